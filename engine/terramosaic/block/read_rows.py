"""Rows of an input beside Sentinel-2, read as windows ask for them and dropped as soon as none does any more."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from terramosaic.ground.grid import Rect

#: Rows read at once, at multiples of it: what is asked of a server does not hang on the block.
STRIP = 256

#: Reads a rectangle of the grid: float32 (bands, height, width), and which pixels were seen, bool (height, width).
Read = Callable[[Rect], tuple[np.ndarray, np.ndarray]]


class InputRows(Protocol):
    """An input of a block, from top to bottom."""

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """Writes a window into float32 (bands, side, side); returns the pixels that were seen, bool (side, side)."""

    def seen(self, rect: Rect) -> np.ndarray:
        """Which pixels were seen by any window that was cut so far: bool (height, width)."""

    def drop_above(self, row: int) -> None:
        """Forgets what lies above ``row``."""

    def close(self) -> None:
        """Ends what is being read; waits for it."""


class ReadRows:
    """Strips of one source; while windows are cut from one, the next is read.

    Args:
        read: the source.
        rect: all that windows may ask for; beyond it nothing is seen.
    """

    def __init__(self, read: Read, rect: Rect) -> None:
        self._read, self._rect = read, rect
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-rows")
        self._strips: dict[int, Future[tuple[np.ndarray, np.ndarray]]] = {}

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
        shared = window.intersection(self._rect)
        if shared.is_empty:
            return seen
        first, last = shared.row // STRIP, (shared.row_end - 1) // STRIP
        self._want(range(first, last + 2))
        for number in range(first, last + 1):
            strip = self._strip(number)
            values, valid = self._strips[number].result()
            part = strip.intersection(window)
            here, there = part.slices(window), part.slices(strip)
            seen[here] = valid[there]
            pixels[:, *here] = np.where(valid[there], values[:, *there], 0)
        return seen

    def seen(self, rect: Rect) -> np.ndarray:
        """As `InputRows.seen`: of one source, what it has."""
        found = np.zeros(rect.shape, bool)
        for number, reading in self._strips.items():
            strip = self._strip(number)
            part = strip.intersection(rect)
            if not part.is_empty:
                found[part.slices(rect)] = reading.result()[1][part.slices(strip)]
        return found

    def values(self, rect: Rect) -> np.ndarray | None:
        """What was read of a rectangle, float32 (bands, height, width), NaN elsewhere; None where nothing was."""
        found: np.ndarray | None = None
        for number, reading in self._strips.items():
            strip = self._strip(number)
            part = strip.intersection(rect)
            if not part.is_empty:
                values = reading.result()[0]
                if found is None:
                    found = np.full((len(values), *rect.shape), np.nan, np.float32)
                found[:, *part.slices(rect)] = values[:, *part.slices(strip)]
        return found

    def drop_above(self, row: int) -> None:
        """As `InputRows.drop_above`."""
        for number in [number for number in self._strips if (number + 1) * STRIP <= row]:
            del self._strips[number]

    def close(self) -> None:
        """As `InputRows.close`."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _strip(self, number: int) -> Rect:
        whole = Rect(number * STRIP, self._rect.col, STRIP, self._rect.width)
        return whole.intersection(self._rect)

    def _want(self, numbers: range) -> None:
        for number in numbers:
            if number not in self._strips and not self._strip(number).is_empty:
                self._strips[number] = self._pool.submit(self._read, self._strip(number))
