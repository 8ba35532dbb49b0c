"""A file of Sentinel-1 RTC, held against its item, and its numbers on a zone's grid: as they are, or resampled once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from affine import Affine
from rasterio.enums import MaskFlags, Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect, is_utm
from terramosaic.imagery.marks import Mark
from terramosaic.imagery.resampling import bilinear, nearest_to, places_in
from terramosaic.imagery.swath import power_of

#: Metres by which a file may lie off the grid, or beside where its item says, that count as nothing.
_DUST = 1e-3

#: Medians of linear gamma nought that can be: calm water has 0.0005 in VH, a city 1. Amplitudes of GRD have hundreds.
_LEAST, _MOST = 1e-4, 5.0


@dataclass(frozen=True)
class Power:
    """Linear power under a rectangle.

    Attributes:
        values: float32 (height, width), NaN in gaps.
        marks: uint8 (height, width), what is known of each pixel; see `Mark`.
    """

    values: np.ndarray
    marks: np.ndarray

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Power:
        """Where the file does not lie."""
        return cls(np.full(shape, np.nan, np.float32), np.full(shape, Mark.MISSING, np.uint8))


@dataclass(frozen=True)
class BackscatterFile:
    """An open file.

    Attributes:
        dataset: the file.
        epsg: the zone of its pixels, by its header.
        has_mask: whether it has a mask of its own.
    """

    dataset: DatasetReader
    epsg: int
    has_mask: bool = False

    @classmethod
    def of(cls, dataset: DatasetReader) -> BackscatterFile:
        """An open file that has passed `problem_of`."""
        mask = dataset.mask_flag_enums[0]
        return cls(dataset, dataset.crs.to_epsg(), MaskFlags.per_dataset in mask)

    def read(self, rect: Rect, epsg: int) -> Power:
        """Linear power under a rectangle of a zone's grid.

        A file of the zone whose pixels lie on the grid is read as it is. Of any other each pixel is made of the four
        around its centre; gaps are taken out before.
        """
        transform = self.dataset.transform
        if self.epsg == epsg and _is_on_grid(transform):
            row = rect.row - round((NORTHING_OF_ROW_0 - transform.f) / RESOLUTION)
            col = rect.col - round(transform.c / RESOLUTION)
            return self._window(row, row + rect.height, col, col + rect.width)
        places = places_in(rect, epsg, self.dataset.crs, transform)
        first_row, end_row, first_col, end_col = places.window()
        if (
            first_row >= self.dataset.height
            or first_col >= self.dataset.width
            or end_row <= 0
            or end_col <= 0
        ):
            return Power.none(rect.shape)
        native = self._window(first_row, end_row, first_col, end_col)
        origin = first_row, first_col
        return Power(bilinear(native.values, origin, places), nearest_to(native.marks, origin, places))

    def overview(self, longest: int) -> np.ndarray:
        """Numbers of the whole file at a coarse scale, at most ``longest`` pixels a side, without marked gaps."""
        scale = max(1, self.dataset.width / longest, self.dataset.height / longest)
        shape = tuple(max(1, round(side / scale)) for side in self.dataset.shape)
        numbers = self.dataset.read(1, out_shape=shape, resampling=Resampling.nearest)
        seen: np.ndarray = numbers[np.isfinite(numbers) & (numbers > -1000) & (numbers != 0)]
        return seen

    def _window(self, first_row: int, end_row: int, first_col: int, end_col: int) -> Power:
        """The file's own pixels, gaps beyond its end."""
        shape = end_row - first_row, end_col - first_col
        found = Power.none(shape)
        top, bottom = max(first_row, 0), min(end_row, self.dataset.height)
        left, right = max(first_col, 0), min(end_col, self.dataset.width)
        if top >= bottom or left >= right:
            return found
        window = Window(left, top, right - left, bottom - top)
        power, marks = power_of(self.dataset.read(1, window=window), self.dataset.nodata)
        if self.has_mask:
            masked = self.dataset.read_masks(1, window=window) == 0
            power[masked], marks[masked] = np.nan, Mark.NO_DATA
        inside = slice(top - first_row, bottom - first_row), slice(left - first_col, right - first_col)
        found.values[inside], found.marks[inside] = power, marks
        return found


def problem_of(dataset: DatasetReader) -> str:
    """Why a file cannot be read as terrain-corrected backscatter, to follow the asset's name; empty if it can."""
    return next(_problems(dataset), "")


def _problems(dataset: DatasetReader) -> Iterator[str]:
    transform, code = dataset.transform, dataset.crs and dataset.crs.to_epsg()
    if dataset.tags(ns="OVERVIEWS"):
        yield "names another file for its overviews"
    if dataset.count != 1:
        yield f"holds {dataset.count} bands, not one polarisation"
    if dataset.dtypes[0] not in ("float32", "float64"):
        yield f"holds {dataset.dtypes[0]}, not linear power as float32"
    if dataset.crs is None:
        yield "has no CRS: it is not geocoded"
    elif not is_utm(code):
        yield f"comes in {f'EPSG:{code}' if code else 'another CRS'}, not in a UTM zone"
    if transform.b or transform.d or not transform.a > 0 > transform.e:
        yield "is not north-up"
    size = max(transform.a, -transform.e)
    if not math.isclose(size, RESOLUTION, rel_tol=0.01) or not math.isclose(
        min(transform.a, -transform.e), RESOLUTION, rel_tol=0.01
    ):
        yield f"has pixels of {size:g} m, not of {RESOLUTION} m"
    if (dataset.scales[0], dataset.offsets[0]) != (1, 0):
        yield f"has the tags scale {dataset.scales[0]:g} and offset {dataset.offsets[0]:g}"


def contradictions(dataset: DatasetReader, scene: BackscatterScene) -> Iterator[str]:
    """In what a file's header is another than its item says; the header is believed."""
    code = dataset.crs.to_epsg()
    if code != scene.epsg:
        yield f"it comes in EPSG:{code}, and its item says EPSG:{scene.epsg}"
    elif scene.transform is not None:
        there, told = dataset.transform, Affine(*scene.transform)
        east, north = there.c - told.c, there.f - told.f
        if max(abs(east), abs(north)) > _DUST:
            yield f"it lies {east:+.3f} m east and {north:+.3f} m north of where its item says"
    if scene.shape is not None and dataset.shape != scene.shape:
        yield "it has {} x {} pixels, and its item says {} x {}".format(*dataset.shape, *scene.shape)


def problem_of_numbers(numbers: np.ndarray) -> tuple[float | None, str]:
    """The median of a file's numbers at a glance, and why they are no linear power; empty if they may be."""
    if not numbers.size:
        return None, ""
    median = float(np.median(numbers))
    if np.count_nonzero(numbers < 0) * 2 > numbers.size:
        return median, f"holds dB (median {median:.1f}), and linear power is wanted"
    if not _LEAST <= median <= _MOST:
        return median, f"holds numbers with a median of {median:g}, which is no linear power of radar"
    return median, ""


def _is_on_grid(transform: Affine) -> bool:
    off = (abs(at - RESOLUTION * round(at / RESOLUTION)) for at in (transform.c, transform.f))
    return (transform.a, transform.e) == (RESOLUTION, -RESOLUTION) and max(off) <= _DUST
