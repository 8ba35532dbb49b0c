"""The 10 m pixel grid of a UTM zone, in absolute integers, and rectangles of it.

Column = easting / 10 and row = (10 000 000 - northing) / 10, in every zone of either hemisphere, so a pixel has one
address whatever region, block or file it is met in. Sentinel-2's own 10 m pixels lie on this grid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from affine import Affine
from odc.geo.geobox import GeoBox

RESOLUTION = 10
NORTHING_OF_ROW_0 = 10_000_000


@dataclass(frozen=True, order=True)
class Rect:
    """A rectangle of a zone's grid: rows [row, row + height), columns [col, col + width), in absolute pixels."""

    row: int
    col: int
    height: int
    width: int

    @property
    def row_end(self) -> int:
        return self.row + self.height

    @property
    def col_end(self) -> int:
        return self.col + self.width

    @property
    def shape(self) -> tuple[int, int]:
        return self.height, self.width

    @property
    def area(self) -> int:
        """How many pixels it has."""
        return self.height * self.width

    @property
    def is_empty(self) -> bool:
        return self.height <= 0 or self.width <= 0

    @property
    def transform(self) -> Affine:
        """Affine transform from this rectangle's pixels to the zone's metres."""
        return Affine(
            RESOLUTION, 0, self.col * RESOLUTION, 0, -RESOLUTION, NORTHING_OF_ROW_0 - self.row * RESOLUTION
        )

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(left, bottom, right, top) in the zone's metres."""
        return (
            float(self.col * RESOLUTION),
            float(NORTHING_OF_ROW_0 - self.row_end * RESOLUTION),
            float(self.col_end * RESOLUTION),
            float(NORTHING_OF_ROW_0 - self.row * RESOLUTION),
        )

    def geobox(self, epsg: int) -> GeoBox:
        """The rectangle as odc-geo's value of CRS, transform and shape."""
        return GeoBox(self.shape, self.transform, f"EPSG:{epsg}")

    def pad(self, pixels: int) -> Rect:
        return Rect(self.row - pixels, self.col - pixels, self.height + 2 * pixels, self.width + 2 * pixels)

    def intersection(self, other: Rect) -> Rect:
        """The shared rectangle; ``is_empty`` where there is none."""
        row, col = max(self.row, other.row), max(self.col, other.col)
        height = max(0, min(self.row_end, other.row_end) - row)
        width = max(0, min(self.col_end, other.col_end) - col)
        return Rect(row, col, height, width)

    def union(self, other: Rect) -> Rect:
        """The smallest rectangle that holds both."""
        row, col = min(self.row, other.row), min(self.col, other.col)
        return Rect(row, col, max(self.row_end, other.row_end) - row, max(self.col_end, other.col_end) - col)

    def snap(self, size: int) -> Rect:
        """The smallest rectangle of whole ``size`` x ``size`` cells of the grid that holds this one."""
        row, col = self.row // size * size, self.col // size * size
        return Rect(row, col, -(-self.row_end // size) * size - row, -(-self.col_end // size) * size - col)

    def cells(self, size: int) -> Rect:
        """The cells of ``size`` x ``size`` pixels that it touches, as a rectangle of the grid of these."""
        whole = self.snap(size)
        return Rect(whole.row // size, whole.col // size, whole.height // size, whole.width // size)

    def slices(self, inside: Rect) -> tuple[slice, slice]:
        """Index of this rectangle in an array that covers ``inside``."""
        return (
            slice(self.row - inside.row, self.row_end - inside.row),
            slice(self.col - inside.col, self.col_end - inside.col),
        )


def rect_from_bounds(bounds: tuple[float, float, float, float]) -> Rect:
    """The smallest rectangle of pixels that covers (left, bottom, right, top) in a zone's metres.

    A pixel that is touched by less than a millimetre does not count: reprojection leaves such dust.
    """
    left, bottom, right, top = bounds
    dust = 1e-3 / RESOLUTION
    col, col_end = _floor(left / RESOLUTION + dust), -_floor(-(right / RESOLUTION) + dust)
    row = _floor((NORTHING_OF_ROW_0 - top) / RESOLUTION + dust)
    row_end = -_floor(-((NORTHING_OF_ROW_0 - bottom) / RESOLUTION) + dust)
    return Rect(row, col, row_end - row, col_end - col)


def _floor(value: float) -> int:
    return int(value // 1)


def zone_name(epsg: int) -> str:
    """``33N`` for EPSG:32633, ``33S`` for EPSG:32733."""
    return f"{epsg % 100}{'N' if epsg // 100 == 326 else 'S'}"


def is_utm(epsg: Any) -> bool:
    """Whether an EPSG code is a WGS 84 UTM zone, the only CRS that Sentinel-2 tiles come in."""
    return bool(re.fullmatch(r"32[67](0[1-9]|[1-5]\d|60)", str(epsg)))
