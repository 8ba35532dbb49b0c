"""What windows are cut from: the imagery that leads, and the other inputs of the same ground."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from terramosaic.block.rasters import SourceRows
from terramosaic.block.read_rows import InputRows
from terramosaic.ground.grid import Rect


class Leading(Protocol):
    """The input whose acquisitions a run is of."""

    def drop_above(self, row: int) -> None:
        """Forgets what lies above ``row``."""

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """Writes a window into float32 (bands, side, side); returns its valid pixels, bool (side, side)."""

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

        Where the one that leads has nothing, the others are not read.
        """
        seen = {self.name: self.leading.cut(window, places[self.name])}
        if seen[self.name].any():
            seen |= {name: rows.cut(window, places[name]) for name, rows in self.others.items()}
        return seen

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """What lies under ``rect``: of the input that leads, valid where all have seen the ground."""
        source = self.leading.source(rect, region)
        for rows in self.others.values():
            source.valid[:] &= rows.seen(rect)
        return source
