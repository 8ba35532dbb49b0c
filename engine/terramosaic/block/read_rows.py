"""Rows of an input beside Sentinel-2, read as windows ask for them and dropped as soon as none does any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from terramosaic.block.strips import Strips
from terramosaic.ground.grid import Rect
from terramosaic.imagery.marks import seen_in
from terramosaic.json_log import ContextPool

#: Reads a rectangle of the grid: float32 (bands, height, width), and what is known of each pixel: see `Mark`, uint8
#: (height, width).
Read = Callable[[Rect], tuple[np.ndarray, np.ndarray]]


class InputRows(Protocol):
    """An input of a block, from top to bottom."""

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """Writes a window into float32 (bands, side, side); returns the pixels that were seen, bool (side, side)."""

    def marks(self, rect: Rect) -> np.ndarray:
        """The most that windows which were cut so far know of pixels: see `Mark`, uint8 (height, width)."""

    def drop_above(self, row: int) -> None:
        """Forgets what lies above ``row``."""

    def close(self) -> None:
        """Ends what is being read; waits for it."""


class ReadRows:
    """Strips of one source; while windows are cut from one, the next is read.

    Args:
        read: the source.
        windows: all that may be asked for; beyond them nothing is read.
    """

    def __init__(self, read: Read, windows: Iterable[Rect]) -> None:
        self._pool = ContextPool(1, thread_name_prefix="read-rows")
        self._strips: Strips[Future[tuple[np.ndarray, np.ndarray]]] = Strips(
            windows, lambda rect: self._pool.submit(read, rect)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """As `InputRows.cut`."""
        seen = np.zeros(window.shape, bool)
        pixels[:] = 0
        for strip, reading in self._strips.under(window, ahead=1):
            values, marks = reading.result()
            valid = seen_in(marks)
            part = strip.intersection(window)
            here, there = part.slices(window), part.slices(strip)
            seen[here] = valid[there]
            pixels[:, *here] = np.where(valid[there], values[:, *there], 0)
        return seen

    def sees(self, window: Rect) -> bool:
        """Whether it has anything of a window, which is read for it."""
        under = self._strips.under(window, ahead=1)
        return any(
            seen_in(reading.result()[1][strip.intersection(window).slices(strip)]).any()
            for strip, reading in under
        )

    def marks(self, rect: Rect) -> np.ndarray:
        """As `InputRows.marks`: of one source, what it has."""
        found = np.zeros(rect.shape, np.uint8)
        for strip, reading in self._strips.held_under(rect):
            part = strip.intersection(rect)
            found[part.slices(rect)] = reading.result()[1][part.slices(strip)]
        return found

    def drop_above(self, row: int) -> None:
        """As `InputRows.drop_above`."""
        self._strips.drop_above(row)

    def close(self) -> None:
        """As `InputRows.close`."""
        self._pool.shutdown(wait=True, cancel_futures=True)
