"""Sentinel-1 under a block: each window of one pass, the one that is the best for it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from terramosaic.block.preview import stored_backscatter
from terramosaic.block.rasters import SOURCE_BANDS, SourceRows
from terramosaic.block.read_rows import STRIP, ReadRows
from terramosaic.catalog.backscatter_passes import BackscatterPass
from terramosaic.ground.grid import Rect
from terramosaic.imagery.backscatter import read_backscatter
from terramosaic.imagery.scene_decision import SourceDecisions
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.radar import Radar


class RadarRows:
    """VV and VH in dB, cut window by window.

    Two passes see a slope from two places, so no window mixes them. Which one a window is of follows from footprints,
    and so is the same in every block that it touches; another one comes in only where the first saw nothing of it.

    Args:
        radar: the run's passes.
        composite: the request's.
        rect: all that windows may ask for.
        epsg: the zone.
        decisions: which scenes are used.
        run: the run that it is read for.

    Attributes:
        shown: the pass of each pixel that windows were cut from.
    """

    def __init__(
        self,
        radar: Radar,
        composite: str,
        rect: Rect,
        epsg: int,
        decisions: SourceDecisions,
        run: RunFolder | None = None,
    ) -> None:
        self._choice = radar.window_passes(epsg, rect, composite)
        self._rows = [
            ReadRows(partial(_read, one, epsg, decisions, run), rect) for one in radar.passes_with_scenes()
        ]
        self.shown = ShownPasses(rect)

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """As `InputRows.cut`."""
        seen = np.zeros(window.shape, bool)
        pixels[:] = 0
        for one in self._choice.of(window):
            seen = self._rows[one.number].cut(window, pixels)
            if seen.any():
                self.shown.put(window, seen, one.number + 1)
                break
        return seen

    def seen(self, rect: Rect) -> np.ndarray:
        """As `InputRows.seen`."""
        return self.shown.read(rect) > 0

    def values(self, rect: Rect) -> np.ndarray:
        """VV and VH of the passes that are shown, float32 (2, height, width), NaN where nothing was seen."""
        shown = self.shown.read(rect)
        found = np.full((2, *rect.shape), np.nan, np.float32)
        for number in np.unique(shown[shown > 0]):
            values = self._rows[number - 1].values(rect)
            if values is not None:
                np.copyto(found, values, where=shown == number)
        return found

    def drop_above(self, row: int) -> None:
        """As `InputRows.drop_above`."""
        for rows in self._rows:
            rows.drop_above(row)
        self.shown.drop_above(row)

    def close(self) -> None:
        """As `InputRows.close`."""
        for rows in self._rows:
            rows.close()


class RadarLead:
    """Sentinel-1 as what leads a run: its passes are the run's acquisitions.

    Args:
        rows: under the block.
        acquisitions: by pass, the oldest first, which of the block's acquisitions it is, counted from 1; 0 for none.
    """

    def __init__(self, rows: RadarRows, acquisitions: Sequence[int]) -> None:
        self._rows, self._numbers = rows, np.array([0, *acquisitions], np.uint16)

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """As `Leading.cut`."""
        return self._rows.cut(window, pixels)

    def drop_above(self, row: int) -> None:
        """As `Leading.drop_above`."""
        self._rows.drop_above(row)

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """As `Leading.source`; in place of reflectance stands backscatter, see `stored_backscatter`."""
        source = SourceRows.empty(rect, len(SOURCE_BANDS))
        shown = self._rows.shown.read(rect)
        source.acquisition[:] = self._numbers[shown]
        source.valid[:] = (shown > 0) & region
        # VV, VH, and VV once more: a preview has three bands, and a pixel that has them all.
        source.dn[:3] = stored_backscatter(self._rows.values(rect))[[0, 1, 0]] * source.valid
        return source


class ShownPasses:
    """Which pass each pixel is of, counted from 1: held in strips, so that memory does not grow with the block.

    Where windows of several passes meet, it is the oldest of them.
    """

    def __init__(self, rect: Rect) -> None:
        self._rect = rect
        self._strips: dict[int, np.ndarray] = {}

    def put(self, rect: Rect, seen: np.ndarray, number: int) -> None:
        """Pixels of a rectangle were seen by a pass."""
        for strip, held in self._under(rect, make=True):
            part = strip.intersection(rect)
            view, new = held[part.slices(strip)], seen[part.slices(rect)]
            better = new & ((view == 0) | (view > number))
            view[better] = number

    def read(self, rect: Rect) -> np.ndarray:
        """The numbers, uint16 (height, width); 0 where nothing was seen."""
        found = np.zeros(rect.shape, np.uint16)
        for strip, held in self._under(rect, make=False):
            part = strip.intersection(rect)
            found[part.slices(rect)] = held[part.slices(strip)]
        return found

    def drop_above(self, row: int) -> None:
        """Forgets what lies above a row."""
        for number in [number for number in self._strips if (number + 1) * STRIP <= row]:
            del self._strips[number]

    def _under(self, rect: Rect, *, make: bool) -> list[tuple[Rect, np.ndarray]]:
        shared, found = rect.intersection(self._rect), []
        if shared.is_empty:
            return []
        for number in range(shared.row // STRIP, (shared.row_end - 1) // STRIP + 1):
            strip = Rect(number * STRIP, self._rect.col, STRIP, self._rect.width)
            if make and number not in self._strips:
                self._strips[number] = np.zeros(strip.shape, np.uint16)
            if number in self._strips:
                found.append((strip, self._strips[number]))
        return found


def _read(
    one: BackscatterPass, epsg: int, decisions: SourceDecisions, run: RunFolder | None, rect: Rect
) -> tuple[np.ndarray, np.ndarray]:
    found = read_backscatter(one.scenes, rect, epsg, decisions, run)
    return found.db, found.valid
