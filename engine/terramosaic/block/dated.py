"""Windows of several dates: the inputs of each acquisition under a block, beside each other along the axis of dates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from terramosaic.block.inputs import BlockInputs, with_inputs
from terramosaic.block.rasters import SourceRows
from terramosaic.ground.grid import Rect
from terramosaic.imagery.marks import seen_by_all


@dataclass(frozen=True)
class DatedInputs:
    """All inputs of all dates under a block. A pixel is mapped where every date has seen it.

    What is told of the ground is the newest date's. A pixel that was cloudy, mended or of another zone at any date is
    called so.

    Attributes:
        dates: the oldest first; an acquisition that stands for several dates is the same object each time.
    """

    dates: Sequence[BlockInputs]

    def drop_above(self, row: int) -> None:
        """As `BlockInputs.drop_above`."""
        for one in self._distinct:
            one.drop_above(row)

    def cut(self, window: Rect, places: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `BlockInputs.cut`, into places that have an axis of dates behind that of bands.

        A place without one, of what is the same on every date, is the newest's. From the newest on, older dates are not
        read where one has nothing.

        Returns:
            The pixels that each input has seen: bool (dates, side, side), or (side, side) without such an axis.
        """
        seen: dict[str, np.ndarray] = {}
        newest, cut_of = len(self.dates) - 1, dict[int, int]()
        for place in range(newest, -1, -1):
            one = self.dates[place]
            # A second cut of a window would be a second reading.
            known = cut_of.setdefault(id(one), place)
            parts = {
                name: pixels[:, place] if pixels.ndim == 4 else pixels
                for name, pixels in places.items()
                if pixels.ndim == 4 or place == newest
            }
            masks = one.cut(window, parts) if known == place else {}
            for name, pixels in places.items():
                if pixels.ndim < 4:
                    seen |= {name: masks[name]} if place == newest and name in masks else {}
                    continue
                of_input = seen.setdefault(name, np.zeros((len(self.dates), *window.shape), bool))
                if known != place:
                    pixels[:, place], of_input[place] = pixels[:, known], of_input[known]
                elif name in masks:
                    of_input[place] = masks[name]
            if not all(mask.any() for mask in masks.values()):
                break
        return seen

    def cloudy(self, rect: Rect) -> np.ndarray:
        """Which pixels of a window that was cut are flagged as cloud at any date: bool (height, width)."""
        cloudy: np.ndarray = np.logical_or.reduce([one.cloudy(rect) for one in self._distinct])
        return cloudy

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """As `BlockInputs.source`."""
        *older, newest = self._distinct
        source = newest.leading.source(rect, region)
        for one in older:
            other = one.leading.source(rect, region)
            source.valid[:] &= other.valid
            source.cloudy[:] |= other.cloudy
            source.other_zone[:] |= other.other_zone
            source.repaired[:] |= other.repaired
            source.strips.update(other.strips)
        marks = [one.marks(rect) for one in self._distinct]
        passes: dict[str, np.ndarray] = {}
        for one in self._distinct:
            for label, shown in one.passes(rect).items():
                passes[label] = passes.get(label, np.zeros(rect.shape, bool)) | shown
        of_dates = {name: seen_by_all([each[name] for each in marks]) for name in marks[-1]}
        return with_inputs(source, region, of_dates, passes)

    @property
    def _distinct(self) -> list[BlockInputs]:
        """Each acquisition once, in the order of the last date that it is."""
        return list({id(one): one for one in reversed(self.dates)}.values())[::-1]
