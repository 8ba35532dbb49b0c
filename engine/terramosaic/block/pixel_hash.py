"""The hash of a block's raster: of its pixels, so that neither writing nor assembling reads anything twice.

A file's own bytes pass through GDAL alone, which lays them out in strips and compresses some. What it gives back
counts, and a damaged header shows in that too.
"""

from __future__ import annotations

import hashlib

import numpy as np

from terramosaic.ground.grid import Rect


class PixelHash:
    """SHA-256 of a raster's numbers (little-endian), row after row from the top, and in each row band after band.

    It does not depend on how many rows come at once. Rows that never come hold no data.

    Args:
        rect: the raster's pixels.
        count: its bands.
        dtype: their type.
        nodata: what stands for no data.
    """

    def __init__(self, rect: Rect, count: int, dtype: str, nodata: float) -> None:
        self._rect, self._row = rect, rect.row
        self._dtype = np.dtype(dtype).newbyteorder("<")
        self._empty = np.full((count, rect.width), nodata, self._dtype).tobytes()
        self._hash = hashlib.sha256()

    def feed(self, row: int, pixels: np.ndarray) -> None:
        """Takes the next rows.

        Args:
            row: the first of them, on the grid.
            pixels: (bands, rows, columns) in all of the raster's width.
        """
        self._skip_to(row)
        rows = np.ascontiguousarray(pixels.swapaxes(0, 1), self._dtype)
        self._hash.update(rows.data)
        self._row = row + pixels.shape[1]

    def hexdigest(self) -> str:
        """The hash, once all rows have come."""
        self._skip_to(self._rect.row_end)
        return self._hash.hexdigest()

    def _skip_to(self, row: int) -> None:
        for _ in range(self._row, row):
            self._hash.update(self._empty)
        self._row = max(self._row, row)
