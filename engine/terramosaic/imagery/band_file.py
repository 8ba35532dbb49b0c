"""One band's open file, seen on a zone's grid: its own numbers by nearest neighbour, 0 where it says no data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from affine import Affine
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect, rect_from_bounds
from terramosaic.imagery.file_checks import FileVerdict


@dataclass(frozen=True)
class BandFile:
    """A file as it is to be read.

    Attributes:
        dataset: the file, or what it looks like on another zone's grid.
        mask: tells by its mask where the file has data; None if the file has no mask.
        nodata: a number that means no data, besides 0, or None.
    """

    dataset: DatasetReader | WarpedVRT
    mask: DatasetReader | WarpedVRT | None = None
    nodata: int | None = None

    @classmethod
    def of(
        cls, dataset: DatasetReader, verdict: FileVerdict, epsg: int | None, closing: ExitStack
    ) -> BandFile:
        """An open file.

        Args:
            dataset: the file.
            verdict: how it is to be read.
            epsg: the zone on whose grid it is seen, if that is not its own.
            closing: closes what is opened here besides.
        """
        if epsg is None:
            return cls(dataset, dataset if verdict.has_mask else None, verdict.nodata)
        seen = closing.enter_context(_on_grid(dataset, epsg, src_nodata=0, nodata=0))
        if not verdict.has_mask:
            return cls(seen, None, verdict.nodata)
        # The mask comes over as alpha, which a file may have already.
        has_alpha = ColorInterp.alpha in dataset.colorinterp
        mask = closing.enter_context(_on_grid(dataset, epsg, add_alpha=not has_alpha))
        return cls(seen, mask, verdict.nodata)

    def read(self, rect: Rect, out: np.ndarray | None) -> np.ndarray:
        """The numbers under a rectangle of the grid, 0 outside the file; see `SceneReader.read`."""
        return self._nearest(rect, np.empty(rect.shape, self._dtype) if out is None else out, self._numbers)

    def declared_holes(self, rect: Rect) -> np.ndarray | None:
        """Where the file says that it has no data, other than by 0: bool (height, width); None if it never does."""
        if self.nodata is None and self.mask is None:
            return None
        return self._nearest(rect, np.empty(rect.shape, np.uint8), self._declared).astype(bool)

    @property
    def _dtype(self) -> str:
        dtype: str = self.dataset.dtypes[0]
        return dtype

    def _nearest(self, rect: Rect, out: np.ndarray, values: Callable[..., np.ndarray]) -> np.ndarray:
        """Fills an array with the file's values under the centres of a rectangle's pixels, 0 outside the file."""
        dataset, transform = self.dataset, self.dataset.transform
        rows, cols = _under_centres(rect, transform)
        inside_rows, inside_cols = _within(rows, dataset.height), _within(cols, dataset.width)
        rows, cols = rows[inside_rows], cols[inside_cols]
        if (len(rows), len(cols)) != rect.shape:
            out[:] = 0
        if not len(rows) or not len(cols):
            return out
        window = Window(cols[0], rows[0], cols[-1] - cols[0] + 1, rows[-1] - rows[0] + 1)
        target = out[inside_rows, inside_cols]
        if (window.height, window.width) == target.shape:
            if target.flags.c_contiguous and target.dtype == self._dtype:
                values(target, window=window)
            else:
                target[:] = values(window=window)
        else:
            # Columns first, on the few native rows; then whole rows are copied.
            native = values(window=window).astype(out.dtype, copy=False)
            # mode="clip" writes straight into `out`; the indices are in range.
            np.take(native.take(cols - cols[0], axis=1), rows - rows[0], axis=0, out=target, mode="clip")
        return out

    def overview(self, longest: int) -> np.ndarray:
        """The whole file at a coarse scale, at most ``longest`` pixels a side, from its overviews."""
        scale = max(1, self.dataset.width / longest, self.dataset.height / longest)
        shape = tuple(max(1, round(side / scale)) for side in self.dataset.shape)
        return self._numbers(out_shape=shape, resampling=Resampling.nearest)

    def _numbers(self, out: np.ndarray | None = None, **which: Any) -> np.ndarray:
        """The file's numbers in a window or at a scale, 0 where it says that there is no data."""
        numbers: np.ndarray = self.dataset.read(1, out=out, **which)
        if self.nodata is not None or self.mask is not None:
            numbers[self._declared(**which)] = 0
        return numbers

    def _declared(self, out: np.ndarray | None = None, **which: Any) -> np.ndarray:
        """Where the file says that there is no data."""
        numbers = self.dataset.read(1, **which)
        holes = np.zeros(numbers.shape, bool) if self.nodata is None else numbers == self.nodata
        if self.mask is not None:
            holes |= self.mask.read_masks(1, **which) == 0
        if out is not None:
            out[:] = holes
        return holes


def _on_grid(dataset: DatasetReader, epsg: int, **options: Any) -> WarpedVRT:
    """A file of another zone, seen on this zone's 10 m grid by nearest neighbour."""
    crs = f"EPSG:{epsg}"
    rect = rect_from_bounds(transform_bounds(dataset.crs, crs, *dataset.bounds))
    # GDAL's approximate transformation depends on the window asked for, and pixels must not: a billionth of a pixel is
    # exact (rasterio 1.4 fails on 0).
    return WarpedVRT(
        dataset,
        crs=crs,
        transform=rect.transform,
        width=rect.width,
        height=rect.height,
        resampling=Resampling.nearest,
        tolerance=1e-9,
        **options,
    )


def _under_centres(rect: Rect, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """The file's row under each row of pixel centres, half a pixel inside the grid's edges, and the columns."""
    x = (rect.col + np.arange(rect.width) + 0.5) * RESOLUTION
    y = NORTHING_OF_ROW_0 - (rect.row + np.arange(rect.height) + 0.5) * RESOLUTION
    rows, cols = (y - transform.f) / transform.e, (x - transform.c) / transform.a
    return np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)


def _within(indices: np.ndarray, size: int) -> slice:
    """The run of ascending indices that lie in [0, size)."""
    return slice(*np.searchsorted(indices, [0, size]))
