"""Footprints as clean geometry: valid, polygonal, and never across the antimeridian in one piece."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import shapely
from shapely.affinity import scale, translate
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.metadata import bounds, epsg, mgrs_tile, name_of
from terramosaic.errors import UnusableItemError
from terramosaic.ground.zones import beside, lonlat_of, split_at_antimeridian
from terramosaic.request.area import area_from_tile

#: What a scene can be, with room to spare: a tile has 110 km, which are 9 degrees of longitude at 84 degrees north.
#: Degrees of longitude, square degrees at the equator, metres; of fewer metres a side is in degrees. Pixels say of
#: themselves where they lie, so of these more is believed: a grid zone of land cover has 890 km.
_WIDEST, _LARGEST, _SIDES = 30.0, 25.0, (360.0, 1_000_000.0)

#: Metres around a region within which imagery is wanted: windows stick out of it, by 2 to 3 km; and what is added where
#: it is more, for footprints that were drawn generously. Metres in a degree of latitude, at the equator.
_AROUND, _SLACK, _DEGREE = 5500, 1000, 110_000

#: What reading geometry fails with that is none.
_NO_GEOMETRY = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError, RecursionError,
    shapely.errors.ShapelyError,
)  # fmt: skip


def footprint_of(item: Mapping[str, Any]) -> BaseGeometry:
    """An item's footprint in lon/lat degrees (EPSG:4326), valid, and split at the antimeridian if it must be.

    A polygon that jumps from 180 to -180, or runs on beyond 180, is read as lying across. What can be no scene's, such
    as a box around the world that catalogs give to tiles on the antimeridian, or none, is replaced by the place of the
    item's pixels, or by its tile, where the item tells one.

    Raises:
        UnusableItemError: the item has no usable geometry.
    """
    geometry = _geometry_of(item)
    if geometry is not None and geometry.area > 0 and _can_be_a_scene(geometry):
        return geometry
    mended = _pixels_of(item)
    if mended is not None:
        return mended
    if geometry is None:
        raise UnusableItemError(f"item {name_of(item)} has no usable geometry")
    if geometry.is_empty or geometry.area == 0:
        raise UnusableItemError(f"item {name_of(item)} has no usable geometry: it has no area")
    raise UnusableItemError(
        f"item {name_of(item)} has no usable geometry: a footprint that is larger than any scene, and it says neither "
        "where its pixels lie (proj:transform and proj:shape) nor its MGRS tile"
    )


def surroundings(parts: Sequence[BaseGeometry], metres: float = 0) -> list[BaseGeometry]:
    """A region and 5 km around it, which is all that its windows reach; none of it across the antimeridian.

    Args:
        parts: of the region, polygons in lon/lat degrees, none of which crosses the antimeridian.
        metres: that its windows reach, where it may be more.
    """
    widened, around = [], max(_AROUND, metres + _SLACK) / _DEGREE
    for part in parts:
        narrow = math.cos(math.radians(min(abs(part.centroid.y), 85)))
        buffered = scale(scale(part, narrow, 1, origin=(0, 0)).buffer(around), 1 / narrow, 1, origin=(0, 0))
        for turn in (-360, 0, 360):
            inside = translate(buffered, turn).intersection(box(-180, -90, 180, 90))
            widened += [one for one in shapely.get_parts(inside) if one.area > 0]
    return widened


def _geometry_of(item: Mapping[str, Any]) -> BaseGeometry | None:
    """The item's geometry, made valid; None if it has none that can be read."""
    try:
        geometry = shapely.force_2d(shape(item["geometry"]))
        if not geometry.is_valid:
            geometry = _polygons(shapely.make_valid(geometry))
        west, south, east, north = geometry.bounds
        if geometry.is_empty:
            return geometry
        if not (south >= -90 and north <= 90 and math.isfinite(east - west)):
            return None
        if west < -180 or east > 180:
            geometry = shapely.transform(geometry, _wrap)
        elif east - west <= 180:
            return geometry
        return shapely.union_all([split_at_antimeridian(part) for part in shapely.get_parts(geometry)])
    except _NO_GEOMETRY:
        return None


def _can_be_a_scene(geometry: BaseGeometry) -> bool:
    west, south, east, north = geometry.bounds
    if east - west <= _WIDEST and (east - west) * (north - south) <= _LARGEST:
        return True  # as nearly all
    widths = [east - west for west, _, east, _ in shapely.bounds(shapely.get_parts(geometry))]
    return max(widths) <= _WIDEST and square_degrees(geometry) <= _LARGEST


def _pixels_of(item: Mapping[str, Any]) -> BaseGeometry | None:
    """Where the pixels lie by the item's projection, or by its tile; None if it tells neither."""
    if not (isinstance(item.get("properties"), Mapping) and isinstance(item.get("assets"), Mapping)):
        return None
    assets = [asset for asset in item["assets"].values() if isinstance(asset, Mapping)]
    try:
        for asset in (*assets, {}):
            found = bounds(item, asset)
            if found is not None and all(
                _SIDES[0] < found[end] - found[begin] <= _SIDES[1] for begin, end in ((0, 2), (1, 3))
            ):
                return _lonlat(found, epsg(item, asset))
        tile = mgrs_tile(item)
        return None if tile is None else area_from_tile(tile).outline
    except (ValueError, UnusableItemError, shapely.errors.ShapelyError):
        return None


def _lonlat(edges: tuple[float, float, float, float], zone: int) -> BaseGeometry | None:
    outline = lonlat_of(box(*edges), zone)
    return outline if outline.area > 0 and np.isfinite(outline.bounds).all() else None


def middle_longitude(geometry: BaseGeometry, epsg: int) -> float:
    """Longitude of a footprint's centroid, on the side of the antimeridian where its UTM zone lies.

    A tile of zone 1 that reaches to 177.5 east is at -182.5: so tiles of a zone never differ by a day, and a
    footprint in two halves has its centroid between them instead of in Greenwich.
    """
    meridian = 6 * (epsg % 100) - 183
    west, _, east, _ = geometry.bounds
    if west < meridian - 180 or east > meridian + 180:
        geometry = beside(geometry, meridian)
    return float(geometry.centroid.x)


def square_degrees(geometry: BaseGeometry) -> float:
    """Area that is proportional to the ground's, on the sphere: degrees of longitude by sine of latitude."""
    if geometry.is_empty:
        return 0.0

    def equal_area(points: Any) -> Any:
        return np.column_stack([points[:, 0], np.degrees(np.sin(np.radians(points[:, 1])))])

    return float(shapely.transform(geometry, equal_area).area)


def _wrap(points: Any) -> Any:
    points[:, 0] = (points[:, 0] + 180) % 360 - 180
    return points


def _polygons(geometry: BaseGeometry) -> BaseGeometry:
    """The polygons of what repairing gave; lines and points have no area."""
    parts = [part for part in getattr(geometry, "geoms", [geometry]) if part.area > 0]
    return shapely.union_all(parts)
