"""One band's open file, seen on a zone's grid: its own numbers by nearest neighbour, 0 where it says no data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from affine import Affine
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window

from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect, rect_from_bounds
from terramosaic.imagery.file_checks import FileVerdict


@dataclass(frozen=True)
class Frame:
    """Where a file's pixels lie."""

    transform: Affine
    height: int
    width: int

    def under(self, rect: Rect) -> tuple[np.ndarray, np.ndarray, tuple[slice, slice]]:
        """The file's row under each row of pixel centres of a rectangle, the columns, and those that it has."""
        rows, cols = _under_centres(rect, self.transform)
        return rows, cols, (_within(rows, self.height), _within(cols, self.width))

    def outside(self, rect: Rect) -> np.ndarray | None:
        """Which pixels of a rectangle the file does not have: bool (height, width); None if it has all."""
        *_, (rows, cols) = self.under(rect)
        if (rows.stop - rows.start, cols.stop - cols.start) == rect.shape:
            return None
        missing = np.ones(rect.shape, bool)
        missing[rows, cols] = False
        return missing


@dataclass(frozen=True)
class BandFile:
    """A file as it is to be read.

    Attributes:
        dataset: the file, or what it looks like on another zone's grid.
        mask: tells by its mask where the file has data; None if the file has no mask.
        alpha: the same by its second band.
        nodata: a number that means no data, besides 0, or None.
    """

    dataset: DatasetReader | WarpedVRT
    mask: DatasetReader | WarpedVRT | None = None
    alpha: DatasetReader | WarpedVRT | None = None
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

        def seen(**options: Any) -> DatasetReader | WarpedVRT:
            return dataset if epsg is None else closing.enter_context(_on_grid(dataset, epsg, **options))

        # On another grid a mask comes over as alpha; a file's own does so by itself.
        return cls(
            seen(src_nodata=0, nodata=0),
            mask=seen(add_alpha=not verdict.has_alpha) if verdict.has_mask else None,
            alpha=seen() if verdict.has_alpha else None,
            nodata=verdict.nodata,
        )

    def read(self, rect: Rect, out: np.ndarray | None) -> np.ndarray:
        """The numbers under a rectangle of the grid, 0 outside the file; see `SceneReader.read`."""
        return self._nearest(rect, np.empty(rect.shape, self._dtype) if out is None else out, self._numbers)

    @property
    def frame(self) -> Frame:
        """Where its pixels lie."""
        return Frame(self.dataset.transform, self.dataset.height, self.dataset.width)

    def declared_holes(self, rect: Rect) -> np.ndarray | None:
        """Where the file has no data other than by 0, also beyond its end: bool (height, width); None if nowhere."""
        holes = self.frame.outside(rect)
        if self.nodata is None and self.mask is None and self.alpha is None:
            return holes
        declared = self._nearest(rect, np.empty(rect.shape, np.uint8), self._declared).astype(bool)
        return declared if holes is None else declared | holes

    @property
    def _dtype(self) -> str:
        dtype: str = self.dataset.dtypes[0]
        return dtype

    def _nearest(self, rect: Rect, out: np.ndarray, values: Callable[..., np.ndarray]) -> np.ndarray:
        """Fills an array with the file's values under the centres of a rectangle's pixels, 0 outside the file."""
        rows, cols, inside = self.frame.under(rect)
        rows, cols = rows[inside[0]], cols[inside[1]]
        if (len(rows), len(cols)) != rect.shape:
            out[:] = 0
        if not len(rows) or not len(cols):
            return out
        window = Window(cols[0], rows[0], cols[-1] - cols[0] + 1, rows[-1] - rows[0] + 1)
        target = out[inside]
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
        if self.nodata is not None or self.mask is not None or self.alpha is not None:
            numbers[self._declared(**which)] = 0
        return numbers

    def _declared(self, out: np.ndarray | None = None, **which: Any) -> np.ndarray:
        """Where the file says that there is no data."""
        numbers = self.dataset.read(1, **which)
        holes = np.zeros(numbers.shape, bool) if self.nodata is None else numbers == self.nodata
        if self.mask is not None:
            holes |= self.mask.read_masks(1, **which) == 0
        if self.alpha is not None:
            holes |= self.alpha.read(2, **which) == 0
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


@lru_cache(maxsize=64)  # a strip is read in twelve bands, of three grids
def _under_centres(rect: Rect, transform: Affine) -> tuple[np.ndarray, np.ndarray]:
    """The file's row under each row of pixel centres, half a pixel inside the grid's edges, and the columns."""
    x = (rect.col + np.arange(rect.width) + 0.5) * RESOLUTION
    y = NORTHING_OF_ROW_0 - (rect.row + np.arange(rect.height) + 0.5) * RESOLUTION
    rows, cols = (y - transform.f) / transform.e, (x - transform.c) / transform.a
    return np.floor(rows).astype(np.int64), np.floor(cols).astype(np.int64)


def _within(indices: np.ndarray, size: int) -> slice:
    """The run of ascending indices that lie in [0, size)."""
    return slice(*np.searchsorted(indices, [0, size]))
