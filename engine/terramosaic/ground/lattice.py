"""The windows of a grid. They belong to the ground: window (i, j) starts at row i·stride and column j·stride.

One dimension, stride 192, a block of columns [2048, 4096): window 9 covers [1728, 1952) and misses it, window 10 covers
[1920, 2144) and sticks out to the left, window 21 covers [4032, 4256) and sticks out to the right. The block computes
windows 10 to 21; its right neighbour computes 21 again, from the same pixels, and so gets the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect

#: Side of the window that TerraMind was trained to see, and of its patches, in pixels; a model may have others.
WINDOW = 224
PATCH = 16

#: Windows that may cover a pixel in one dimension: they are counted in a byte.
MOST_OVERLAPPING = 15


@dataclass(frozen=True)
class Lattice:
    """All windows of a zone's grid, ``stride`` pixels apart.

    Attributes:
        side: of a window, in pixels.
        patch: side of the model's patches; windows begin where patches do, so that patches of neighbours coincide.
    """

    stride: int
    side: int = WINDOW
    patch: int = PATCH

    @property
    def patches(self) -> int:
        """Patches to a side of a window."""
        return self.side // self.patch

    @property
    def reach(self) -> int:
        """How many windows away, in one dimension, another one is at most that shares a patch with a window."""
        return (self.side - 1) // self.stride

    def window(self, i: int, j: int) -> Rect:
        """Window (i, j) of the lattice."""
        return Rect(i * self.stride, j * self.stride, self.side, self.side)

    def centres(self, windows: np.ndarray) -> np.ndarray:
        """The middle of windows, whose rows and columns are int64 (N, 2): easting and northing in metres, (N, 2)."""
        middle = windows * self.stride + self.side / 2
        return np.column_stack([middle[:, 1] * RESOLUTION, NORTHING_OF_ROW_0 - middle[:, 0] * RESOLUTION])

    def rows(self, rect: Rect) -> range:
        """Indices i of the windows that touch the rectangle's rows."""
        return self._touching(rect.row, rect.row_end)

    def cols(self, rect: Rect) -> range:
        """Indices j of the windows that touch the rectangle's columns."""
        return self._touching(rect.col, rect.col_end)

    def count(self, rect: Rect) -> int:
        """How many windows touch the rectangle."""
        return len(self.rows(rect)) * len(self.cols(rect))

    def cover(self, rect: Rect, rings: int = 0) -> Rect:
        """The pixels of all windows that touch ``rect``, and of so many rings of windows around these."""
        rows, cols = self.rows(rect), self.cols(rect)
        first = self.window(rows[0] - rings, cols[0] - rings)
        return first.union(self.window(rows[-1] + rings, cols[-1] + rings))

    def _touching(self, start: int, end: int) -> range:
        # The first window that ends after `start` and the last that starts before `end`.
        return range((start - self.side) // self.stride + 1, (end - 1) // self.stride + 1)
