"""UTM zones: a region cut into one area per zone, and geometry between a zone's metres and degrees."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from pyproj import Geod, Transformer
from pyproj.enums import TransformDirection
from shapely.geometry import MultiPolygon, Polygon, box, mapping
from shapely.geometry.base import BaseGeometry

from terramosaic.ground.grid import RESOLUTION, Rect, rect_from_bounds

#: Longest straight piece, in degrees, of an outline that is reprojected (about 1 km: sagitta below a decimetre).
_DENSIFY_DEGREES = 0.01
#: Digits after the point of a metre that reprojection keeps: builds of PROJ differ in the ninth, and what lies on the
#: grid comes back on it.
_DIGITS = 6
_WGS84 = Geod(ellps="WGS84")

#: Zones that UTM widens or narrows over Norway and Svalbard: (zone, south, north) -> (west, east) or no cell at all.
_ZONE_EXCEPTIONS: dict[tuple[int, int, int], tuple[float, float] | None] = {
    (31, 56, 64): (0, 3), (32, 56, 64): (3, 12),
    (31, 72, 84): (0, 9), (32, 72, 84): None, (33, 72, 84): (9, 21), (34, 72, 84): None,
    (35, 72, 84): (21, 33), (36, 72, 84): None, (37, 72, 84): (33, 42),
}  # fmt: skip


@dataclass(frozen=True)
class Area:
    """A region as plain geometry.

    Attributes:
        outline: polygon or multipolygon, lon/lat degrees (EPSG:4326), split at the antimeridian.
        is_box: whether the user drew a rectangle (then a mosaic in one zone is filled to its edges).
        tile: the Sentinel-2 tile's (EPSG code, pixels), when the region is one.
    """

    outline: BaseGeometry
    is_box: bool = False
    tile: tuple[int, Rect] | None = None

    @property
    def parts(self) -> list[BaseGeometry]:
        """The outline's polygons, none of which crosses the antimeridian."""
        return list(getattr(self.outline, "geoms", [self.outline]))

    @property
    def square_kilometres(self) -> float:
        """Area on the ellipsoid."""
        # Rings that run the other way round count as negative, and a region may hold both; lines have none.
        parts = shapely.get_parts(shapely.normalize(self.outline))
        polygons = parts[shapely.get_dimensions(parts) == 2]
        return sum(abs(_WGS84.geometry_area_perimeter(polygon)[0]) for polygon in polygons) / 1e6


@dataclass(frozen=True)
class ZoneArea:
    """The part of a region that one UTM zone maps.

    Attributes:
        epsg: the zone's CRS.
        rect: pixels of the zone's grid that the mosaic covers.
        outline: polygon in the zone's metres to which the mosaic is cut, or None when it fills ``rect``.
    """

    epsg: int
    rect: Rect
    outline: BaseGeometry | None

    @property
    def holds_a_pixel(self) -> bool:
        """Whether the centre of a pixel lies in it, as pixels are mapped whose centres do."""
        if self.outline is None:
            return True
        # A point as far from the outline as area / length is in any shape, and no point of the plane is farther from a
        # pixel's centre than half a diagonal.
        if self.outline.area > self.outline.length * RESOLUTION * math.sqrt(0.5):
            return True
        rect, half = self.rect, RESOLUTION / 2
        left, bottom, right, _ = rect.bounds
        rows = bottom + half + RESOLUTION * np.arange(rect.height)
        ends = np.stack([np.broadcast_to([left, right], (rect.height, 2)), np.stack([rows, rows], 1)], 2)
        inside = shapely.get_parts(shapely.intersection(self.outline, shapely.linestrings(ends)))
        spans = shapely.bounds(inside[shapely.get_dimensions(inside) >= 0])
        first = np.ceil((spans[:, 0] - half) / RESOLUTION)
        return bool((first * RESOLUTION + half <= spans[:, 2]).any())


def zone_areas(area: Area) -> list[ZoneArea]:
    """One area for each UTM zone (and hemisphere) that the region touches, by EPSG code.

    A rectangle that lies in one zone gives a mosaic without cut corners; everything else is cut to its outline, and
    at the zones' boundary, so that each spot of ground is mapped in exactly one zone.
    """
    if area.tile is not None:
        epsg, rect = area.tile
        return [ZoneArea(epsg, rect, None)]
    found = []
    for north in (True, False):
        for zone, cells in zone_cells(north):
            inside = shapely.union_all([area.outline.intersection(cell) for cell in cells])
            epsg = (32600 if north else 32700) + zone
            if inside.area == 0:
                continue
            outline = utm_of(inside, epsg)
            if outline.area >= RESOLUTION**2:  # less is the dust of a shared edge
                found.append(ZoneArea(epsg, rect_from_bounds(outline.bounds), outline))
    if area.is_box and len(found) == 1:
        return [ZoneArea(found[0].epsg, found[0].rect, None)]
    return found


def utm_of(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    """A lon/lat geometry in a zone's metres, its outline densified so that straight edges stay where they were."""
    moved = _reproject(shapely.segmentize(geometry, _DENSIFY_DEGREES), epsg, TransformDirection.FORWARD)
    return shapely.transform(moved, lambda metres: np.round(metres, _DIGITS))


def lonlat_of(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    """A geometry in a zone's metres as lon/lat degrees, split at the antimeridian if it lies across."""
    moved = _reproject(shapely.segmentize(geometry, 5_000), epsg, TransformDirection.INVERSE)
    return split_at_antimeridian(moved)


def lonlat_of_points(metres: np.ndarray, epsg: int) -> np.ndarray:
    """Points in a zone's metres, (N, 2) easting and northing, as longitude and latitude in degrees: float64 (N, 2)."""
    inverse = TransformDirection.INVERSE
    return np.column_stack(_transformer(epsg).transform(metres[:, 0], metres[:, 1], direction=inverse))


def kilometres_between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How far points are apart on WGS 84, of longitudes and latitudes (N, 2): float64 (N,)."""
    metres = _WGS84.inv(one[:, 0], one[:, 1], other[:, 0].astype(float), other[:, 1].astype(float))[2]
    return np.asarray(metres) / 1000


def split_at_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """A lon/lat polygon whose outline jumps from 180 to -180, as two that do not; any other comes back unchanged."""
    west, _, east, _ = geometry.bounds
    if east - west <= 180:
        return geometry
    eastward = shapely.transform(geometry, lambda xy: xy + [360, 0] * (xy[:, :1] < 0))
    beyond = shapely.transform(eastward.intersection(box(180, -90, 360, 90)), lambda xy: xy - [360, 0])
    return shapely.union_all([eastward.intersection(box(0, -90, 180, 90)), beyond])


def beside(geometry: BaseGeometry, meridian: float) -> BaseGeometry:
    """The geometry on ``meridian``'s side of the antimeridian, in one piece again if it was split."""

    def move(points: Any) -> Any:
        points[:, 0] -= 360 * ((points[:, 0] - meridian) / 360).round()
        return points

    return shapely.union_all(shapely.get_parts(shapely.transform(geometry, move)))


def in_one_piece(geometry: BaseGeometry) -> tuple[float, BaseGeometry]:
    """A meridian in a geometry (lon/lat degrees), and the geometry on its side of the antimeridian."""
    meridian = geometry.representative_point().x
    return meridian, beside(geometry, meridian)


def as_geojson(geometry: BaseGeometry) -> dict[str, Any]:
    """The geometry as a GeoJSON mapping of lists."""
    # Through arrays: two million vertices take 1.3 s of processor time, by way of JSON's text 5.4 s.
    if isinstance(geometry, Polygon) and not geometry.is_empty:
        return {"type": "Polygon", "coordinates": _rings(geometry)}
    if isinstance(geometry, MultiPolygon) and not geometry.is_empty:
        return {"type": "MultiPolygon", "coordinates": [_rings(part) for part in geometry.geoms]}
    document: dict[str, Any] = json.loads(json.dumps(mapping(geometry)))
    return document


def _rings(polygon: Polygon) -> list[list[list[float]]]:
    rings = (polygon.exterior, *polygon.interiors)
    return [shapely.get_coordinates(ring, include_z=polygon.has_z).tolist() for ring in rings]


def _reproject(geometry: BaseGeometry, epsg: int, direction: TransformDirection) -> BaseGeometry:
    transformer = _transformer(epsg)

    def move(points: Any) -> Any:
        return np.column_stack(transformer.transform(points[:, 0], points[:, 1], direction=direction))

    return shapely.transform(geometry, move)


@lru_cache(maxsize=128)
def _transformer(epsg: int) -> Transformer:
    """Between lon/lat and a zone. A country has thousands of footprints, and setting PROJ up takes longer than one."""
    return Transformer.from_crs(4326, epsg, always_xy=True)


def zone_cells(north: bool) -> Iterator[tuple[int, list[BaseGeometry]]]:
    """Each zone's lon/lat boxes in one hemisphere, with UTM's exceptions over Norway and Svalbard."""
    bands = [(0, 56), (56, 64), (64, 72), (72, 84)] if north else [(-80, 0)]
    for zone in range(1, 61):
        regular = (-186.0 + 6 * zone, -180.0 + 6 * zone)
        spans = [(low, high, _ZONE_EXCEPTIONS.get((zone, low, high), regular)) for low, high in bands]
        yield zone, [box(span[0], low, span[1], high) for low, high, span in spans if span]
