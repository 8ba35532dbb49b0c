"""Numbers of a file under the pixels of a grid that is not its own: bilinear, and never reaching over a gap.

What a pixel gets depends on where it lies and on the file alone, not on the rectangle that is asked for: so that
rectangles that overlap agree bit for bit. GDAL's warper approximates its transformation over whatever it is asked for;
here it is exact on a lattice of the ground, whose cells are small enough to be plane.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS

from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect

#: Pixels between the places where a transformation is computed. A cell of 640 m departs from a plane by less than a
#: centimetre between UTM zones, and by a tenth of a metre between metres and degrees at 84 degrees north. A power of
#: two, so that shares of a cell are exact.
_CELL = 64

#: Digits after the point that are kept of a transformed metre and degree: builds of PROJ differ in the last ones.
_DIGITS = {True: 6, False: 11}


@dataclass(frozen=True)
class Places:
    """Where the centres of a rectangle's pixels lie in a file: 0.0 is the centre of its first row or column.

    Attributes:
        rows: float64, (height, width), or (height, 1) where the grids are parallel.
        cols: float64, (height, width), or (1, width).
    """

    rows: np.ndarray
    cols: np.ndarray

    def window(self) -> tuple[int, int, int, int]:
        """The file's pixels that they are made of: first and end row, first and end column."""
        return (
            int(np.floor(self.rows.min())),
            int(np.floor(self.rows.max())) + 2,
            int(np.floor(self.cols.min())),
            int(np.floor(self.cols.max())) + 2,
        )


def places_in(rect: Rect, epsg: int, crs: CRS, transform: Affine) -> Places:
    """Where a rectangle of a zone's grid lies in a north-up file.

    Args:
        rect: the rectangle.
        epsg: the grid's zone.
        crs: the file's, in metres or degrees.
        transform: from (column, row) to the file's CRS.
    """
    if crs.to_epsg() == epsg:
        x = (rect.col + np.arange(rect.width) + 0.5)[None, :] * RESOLUTION
        y = NORTHING_OF_ROW_0 - (rect.row + np.arange(rect.height) + 0.5)[:, None] * RESOLUTION
    else:
        x, y = moved(rect, epsg, crs)
    return Places((y - transform.f) / transform.e - 0.5, (x - transform.c) / transform.a - 0.5)


def moved(
    rect: Rect, epsg: int, crs: CRS, change: Callable[[np.ndarray], np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The centres of a rectangle's pixels in another CRS: x and y, float64 (height, width).

    Args:
        rect: the rectangle.
        epsg: its grid's zone.
        crs: the other one.
        change: done to x before it is interpolated, as where longitudes jump.
    """
    rows, cols = _Cells.of(rect.row, rect.height), _Cells.of(rect.col, rect.width)
    y, x = np.meshgrid(
        NORTHING_OF_ROW_0 - (rows.corners + 0.5) * RESOLUTION,
        (cols.corners + 0.5) * RESOLUTION,
        indexing="ij",
    )
    transformer = _transformer(epsg, crs.to_wkt())
    there_x, there_y = transformer.transform(x, y)
    digits = _DIGITS[not crs.is_geographic]
    there_x = np.round(there_x, digits)
    if change is not None:
        there_x = change(there_x)
    return _interpolated(there_x, rows, cols), _interpolated(np.round(there_y, digits), rows, cols)


def bilinear(values: np.ndarray, origin: tuple[int, int], places: Places) -> np.ndarray:
    """A file's numbers at places between its pixels.

    Args:
        values: float32 (rows, columns) of the file, NaN in gaps and beyond its end; holds `Places.window`.
        origin: the file's row and column of its first.
        places: where.

    Returns:
        float32 (height, width); see `blended`.
    """
    return blended(*_corners(values, origin, places))


def nearest_to(values: np.ndarray, origin: tuple[int, int], places: Places) -> np.ndarray:
    """What a file holds nearest to places: where `bilinear` has a gap, that of the gap; the same arguments."""
    return nearest(*_corners(values, origin, places))


def _corners(
    values: np.ndarray, origin: tuple[int, int], places: Places
) -> tuple[list[np.ndarray], np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """The four pixels around places, and the shares of the way between them; see `blended`."""
    top, left = np.floor(places.rows), np.floor(places.cols)
    rows, cols = top.astype(np.intp) - origin[0], left.astype(np.intp) - origin[1]
    corners = [values[rows + down, cols + right] for down in (0, 1) for right in (0, 1)]
    south = (places.rows - top).astype(np.float32)
    east = (places.cols - left).astype(np.float32)
    return corners, south, (east, east)


def blended(
    corners: Sequence[np.ndarray], south: np.ndarray, east: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Four numbers weighted by how near they are, without those that are gaps.

    Where the nearest of them is a gap there is none: a gap is neither filled from its rim nor smaller for it.

    Args:
        corners: float32 (height, width) each, NaN in gaps: north-west, north-east, south-west, south-east.
        south: share of the way to the southern ones, 0 to 1.
        east: share of the way to the eastern ones, on the northern side and on the southern one.

    Returns:
        float32 (height, width), NaN in gaps.
    """
    one = np.float32(1)
    sides = ((one - south) * (one - east[0]), (one - south) * east[0],
             south * (one - east[1]), south * east[1])  # fmt: skip
    shape = np.broadcast_shapes(corners[0].shape, south.shape)
    total, weight = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    for corner, share in zip(corners, sides, strict=True):
        known = ~np.isnan(corner)
        total += np.where(known, corner * share, np.float32(0))
        weight += np.where(known, share, np.float32(0))
    gap = np.isnan(nearest(corners, south, east))
    with np.errstate(invalid="ignore", divide="ignore"):
        found: np.ndarray = np.where(gap, np.float32(np.nan), total / weight)
    return found


def nearest(
    corners: Sequence[np.ndarray], south: np.ndarray, east: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """The nearest of the four; see `blended`."""
    half = np.float32(0.5)
    north_west, north_east, south_west, south_east = corners
    found: np.ndarray = np.where(
        south < half,
        np.where(east[0] < half, north_west, north_east),
        np.where(east[1] < half, south_west, south_east),
    )
    return found


@dataclass(frozen=True)
class _Cells:
    """The cells of the ground's lattice that a run of rows or columns lies in.

    Attributes:
        corners: absolute pixels of the cells' corners.
        index: of the corner before each row or column.
        share: of the way to the next one, 0 to below 1.
    """

    corners: np.ndarray
    index: np.ndarray
    share: np.ndarray

    @classmethod
    def of(cls, start: int, length: int) -> _Cells:
        pixels = start + np.arange(length)
        first = start // _CELL
        count = (start + length - 1) // _CELL - first + 2
        return cls((first + np.arange(count)) * _CELL, pixels // _CELL - first, (pixels % _CELL) / _CELL)


def _interpolated(corners: np.ndarray, rows: _Cells, cols: _Cells) -> np.ndarray:
    down, right = rows.share[:, None], cols.share[None, :]
    at_rows = corners[rows.index] * (1 - down) + corners[rows.index + 1] * down
    found: np.ndarray = at_rows[:, cols.index] * (1 - right) + at_rows[:, cols.index + 1] * right
    return found


@lru_cache(maxsize=128)
def _transformer(epsg: int, wkt: str) -> Transformer:
    return Transformer.from_crs(epsg, wkt, always_xy=True)
