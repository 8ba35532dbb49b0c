"""What is held of the ground under a block's windows, in strips of rows: memory does not grow with its height."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from terramosaic.ground.grid import Rect

#: Rows of a strip, at multiples of it: what is asked of a server hangs little on the block.
STRIP = 256

_Held = TypeVar("_Held")


class Strips(Generic[_Held]):
    """Strips as wide as the windows that touch them, made as they are asked for and dropped as soon as none does more.

    Args:
        windows: all that will be asked for, in any order.
        make: makes what is held of a strip's pixels.
    """

    def __init__(self, windows: Iterable[Rect], make: Callable[[Rect], _Held]) -> None:
        self._make = make
        self._held: dict[int, _Held] = {}
        self._rects: dict[int, Rect] = {}
        for window in windows:
            for number in _touching(window):
                part = Rect(number * STRIP, window.col, STRIP, window.width).intersection(window)
                self._rects[number] = part.union(self._rects.get(number, part))

    def under(self, rect: Rect, *, ahead: int = 0) -> list[tuple[Rect, _Held]]:
        """The strips that a rectangle touches, with their pixels; so many after them are made, too."""
        numbers = _touching(rect)
        for number in range(numbers.start, numbers.stop + ahead):
            if number in self._rects and number not in self._held:
                self._held[number] = self._make(self._rects[number])
        return list(self.held_under(rect))

    def held_under(self, rect: Rect) -> Iterator[tuple[Rect, _Held]]:
        """Those of them that are held, the others as if they were not there."""
        for number in _touching(rect):
            if number in self._held and not self._rects[number].intersection(rect).is_empty:
                yield self._rects[number], self._held[number]

    def drop_above(self, row: int) -> None:
        """Forgets what lies above a row."""
        for number in [number for number in self._held if (number + 1) * STRIP <= row]:
            del self._held[number]


def _touching(rect: Rect) -> range:
    return range(rect.row // STRIP, (rect.row_end - 1) // STRIP + 1) if not rect.is_empty else range(0)
