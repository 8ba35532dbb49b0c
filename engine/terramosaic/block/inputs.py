"""What windows are cut from: the imagery that leads, and the other inputs of the same ground."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from terramosaic.block.rasters import SourceRows
from terramosaic.block.read_rows import InputRows
from terramosaic.ground.grid import Rect
from terramosaic.imagery.marks import Mark, count_of, seen_in


class Leading(InputRows, Protocol):
    """The input whose acquisitions a run is of."""

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """What lies under ``rect``, valid only inside the region's mask, once all windows over it have been cut."""


@dataclass(frozen=True)
class BlockInputs:
    """All inputs under a block. A pixel is mapped where each of them has seen it.

    Attributes:
        name: of the input that leads.
        leading: it.
        others: by name.
    """

    name: str
    leading: Leading
    others: Mapping[str, InputRows] = field(default_factory=dict)

    def drop_above(self, row: int) -> None:
        """Forgets what lies above ``row``."""
        self.leading.drop_above(row)
        for rows in self.others.values():
            rows.drop_above(row)

    def cut(self, window: Rect, places: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Writes a window of each input into its place; returns the pixels that each has seen, bool (side, side).

        Where the one that leads has nothing, the others are not read; nor is one that has no place.
        """
        seen = {self.name: self.leading.cut(window, places[self.name])}
        if seen[self.name].any():
            seen |= {
                name: rows.cut(window, places[name]) for name, rows in self.others.items() if name in places
            }
        return seen

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """What lies under ``rect``: of the input that leads, valid where all have seen the ground.

        What each input had of the region is counted, too, every pixel once. Of another than the one that leads nothing
        is told where that saw nothing: whether windows there were read hangs on what lies beside them.
        """
        source = self.leading.source(rect, region)
        marks = self.leading.marks(rect)
        led = seen_in(marks)
        source.marked[self.name] = count_of(marks, region)
        for name, rows in self.others.items():
            marks = np.where(led, rows.marks(rect), np.uint8(Mark.NOT_READ))
            source.marked[name] = count_of(marks, region)
            source.valid[:] &= seen_in(marks)
            source.sea[:] |= marks == Mark.SEA
        return source
