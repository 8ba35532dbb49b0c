"""Where the model takes the windows of a block to lie, kept as one more raster beside the block's others.

A window has one pixel, window (i, j) that of row i and column j, in two bands: latitude and longitude in degrees.
Neighbouring blocks both have what lies across their border, and the same of it.
"""

from __future__ import annotations

import numpy as np
from affine import Affine

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.model.manifest import COORDINATES
from terramosaic.planning.plan import Plan

#: What stands for a window that was not computed; what is no place is NaN.
NOT_COMPUTED = -9999


class PlaceSheet:
    """The places of all windows that touch a rectangle.

    Args:
        lattice: the windows.
        rect: pixels of a block, or of a part of it.

    Attributes:
        rect: the sheet's own pixels, counted over the whole lattice.
        numbers: float32 (2, height, width), latitude and longitude.
    """

    name, dtype, nodata = COORDINATES, "float32", NOT_COMPUTED

    def __init__(self, lattice: Lattice, rect: Rect) -> None:
        rows, cols = lattice.rows(rect), lattice.cols(rect)
        self.lattice, self.rect = lattice, Rect(rows[0], cols[0], len(rows), len(cols))
        self.numbers = np.full((2, *self.rect.shape), self.nodata, self.dtype)

    @property
    def transform(self) -> Affine:
        """Where it lies, each window shrunken to what it does not share with the next: there it begins."""
        stride = self.lattice.stride
        return Rect(self.rect.row * stride, self.rect.col * stride, 1, 1).transform @ Affine.scale(stride)

    def put(self, i: int, j: int, place: np.ndarray) -> None:
        """Takes the place of a window, (2,)."""
        self.numbers[:, i - self.rect.row, j - self.rect.col] = place

    @property
    def computed(self) -> np.ndarray:
        """The windows that were computed, int64 (N, 2): their rows and columns in the lattice."""
        rows, cols = np.nonzero(self.numbers[0] != self.nodata)
        return np.column_stack([rows + self.rect.row, cols + self.rect.col])

    @property
    def places(self) -> np.ndarray:
        """Their places, float32 (N, 2)."""
        found: np.ndarray = self.numbers[:, self.numbers[0] != self.nodata].T
        return found


def place_sheet(plan: Plan, rect: Rect, only: Lattice | None = None) -> PlaceSheet | None:
    """A sheet for what a plan's windows over a rectangle say, where they are asked; nothing is in it yet.

    With ``only`` none, where they are asked on another lattice.
    """
    if COORDINATES not in plan.request.targets:
        return None
    lattice = plan.lattice_of(COORDINATES)
    return PlaceSheet(lattice, rect) if only in (None, lattice) else None
