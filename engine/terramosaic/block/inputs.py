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

    def cloudy(self, rect: Rect) -> np.ndarray:
        """Which pixels of a window that was cut are flagged as cloud: bool (height, width)."""

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """What lies under ``rect``, valid only inside the region's mask, once all windows over it have been cut."""


class PassesShown(Protocol):
    """Sentinel-1, whose windows are of several passes."""

    def passes(self, rect: Rect) -> dict[str, np.ndarray]:
        """Which pixels each pass shows, by its label: bool (height, width); nothing of one that shows none."""


@dataclass(frozen=True)
class BlockInputs:
    """All inputs under a block. A pixel is mapped where each of them has seen it.

    Attributes:
        name: of the input that leads.
        leading: it.
        others: by name.
        radar: Sentinel-1, if it is one of them.
    """

    name: str
    leading: Leading
    others: Mapping[str, InputRows] = field(default_factory=dict)
    radar: PassesShown | None = None

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

    def cloudy(self, rect: Rect) -> np.ndarray:
        """As `Leading.cloudy`."""
        return self.leading.cloudy(rect)

    def marks(self, rect: Rect) -> dict[str, np.ndarray]:
        """What each input knows of pixels, that which leads first; see `InputRows.marks`."""
        return {self.name: self.leading.marks(rect)} | {
            name: rows.marks(rect) for name, rows in self.others.items()
        }

    def passes(self, rect: Rect) -> dict[str, np.ndarray]:
        """As `PassesShown.passes`; nothing where Sentinel-1 is no input."""
        return {} if self.radar is None else self.radar.passes(rect)

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """What lies under ``rect``: of the input that leads, valid where all have seen the ground."""
        source = self.leading.source(rect, region)
        return with_inputs(source, region, self.marks(rect), self.passes(rect))


def with_inputs(
    source: SourceRows, region: np.ndarray, marks: Mapping[str, np.ndarray], passes: Mapping[str, np.ndarray]
) -> SourceRows:
    """Rows of what leads, valid where all inputs have seen the ground, and what each had of the region, counted.

    Every pixel counts once. Of another input than the one that leads nothing is told where that saw nothing: whether
    windows there were read hangs on what lies beside them.

    Args:
        source: what lies under some rows; changed.
        region: bool (height, width): which pixels are wanted.
        marks: by input, that which leads first.
        passes: by the label of a pass of Sentinel-1, the pixels that show it.
    """
    led = seen_in(next(iter(marks.values())))
    for place, (name, known) in enumerate(marks.items()):
        of_input = known if place == 0 else np.where(led, known, np.uint8(Mark.NOT_READ))
        source.marked[name] = count_of(of_input, region)
        source.valid[:] &= seen_in(of_input)
        source.sea[:] |= of_input == Mark.SEA
    for label, shown in passes.items():
        if count := int((shown & source.valid).sum()):
            source.passes[label] = count
    return source
