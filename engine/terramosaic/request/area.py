"""Geometry of the area that a user asks for, checked, from each of the ways to say it."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import mgrs
import shapely
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from terramosaic.errors import printable
from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect
from terramosaic.ground.zones import (
    Area,
    lonlat_of,
    zone_cells,
)
from terramosaic.request.crs import crs_name, in_degrees

#: UTM is defined between these latitudes, and Sentinel-2's land tiles lie between them.
LATITUDE_MIN, LATITUDE_MAX = -80.0, 84.0


def area_from_box(west: float, south: float, east: float, north: float) -> Area:
    """A rectangle in degrees. ``west > east`` is read as crossing the antimeridian if that is the shorter way.

    Longitudes may also run from 0 to 360.

    Raises:
        ValueError: out of range, inverted or without area, in one line.
    """
    if not all(math.isfinite(value) for value in (west, south, east, north)):
        raise ValueError("bbox has a value that is not a number")
    _check_longitudes(west, east)
    _check_latitudes(south, north)
    if south >= north:
        raise ValueError(f"bbox is inverted or empty: south {south:g} is not below north {north:g}")
    if west < east <= 180:
        return Area(box(west, south, east, north), is_box=True)
    if 180 < east - west <= 360:
        raise ValueError("bbox is wider than 180 degrees; give its longitudes from -180 to 180")
    west, east = (value - 360 if value > 180 else value for value in (west, east))
    if west < east:
        return Area(box(west, south, east, north), is_box=True)
    if west == east or east + 360 - west > 180:
        raise ValueError(f"bbox is inverted or empty: west {west:g} is not left of east {east:g}")
    sides = [box(west, south, 180, north), box(-180, south, east, north)]
    return Area(shapely.multipolygons([side for side in sides if side.area > 0]), is_box=True)


def area_from_geojson(document: Any) -> Area:
    """A GeoJSON geometry, Feature, or FeatureCollection of one feature, in lon/lat (RFC 7946) or as its ``crs`` says.

    Polygons that share an edge or overlap are one. Longitudes may also run from 0 to 360.

    Raises:
        ValueError: no polygon, empty, self-intersecting, out of range, or over the antimeridian unsplit.
    """
    geometry = polygons_of(document)
    if geometry.is_empty:
        raise ValueError("polygon is empty")
    west, south, east, north = geometry.bounds
    _check_longitudes(west, east)
    _check_latitudes(south, north)
    geometry = _united(geometry)
    if not geometry.is_valid:
        raise ValueError(
            f"polygon is not valid: {shapely.is_valid_reason(geometry)}; draw it without crossings"
        )
    if geometry.area == 0:
        raise ValueError("polygon is empty: it has no area")
    for part in shapely.get_parts(geometry):
        if part.bounds[2] - part.bounds[0] > 180:
            raise ValueError(
                "a polygon is wider than 180 degrees; split it at the antimeridian (RFC 7946, 3.1.9)"
            )
    return Area(_around_the_globe(geometry) if west < -180 or east > 180 else geometry)


def polygons_of(document: Any) -> BaseGeometry:
    """The Polygon or MultiPolygon that a GeoJSON document holds, in lon/lat; a collection's polygons are united.

    Raises:
        ValueError: it holds none, or more than one feature, or its CRS is none that can be transformed.
    """
    try:
        return shapely.force_2d(_polygons_of(document, None))
    except RecursionError:
        raise ValueError("not GeoJSON: it is nested too deeply") from None


def area_from_tile(tile: str) -> Area:
    """A Sentinel-2 tile by its MGRS id such as ``33TWL``: 10 980 x 10 980 pixels in the tile's own zone.

    The tile's corner is the 100 km square's, moved outwards to the grid of 60 m pixels that starts at the zone's
    origin (checked on 64 real items).

    Raises:
        ValueError: the id is malformed or no such square exists.
    """
    name = tile_name(tile)
    try:
        zone, hemisphere, easting, northing = mgrs.MGRS().MGRSToUTM(name)
    except mgrs.core.MGRSError as error:
        raise ValueError(f"MGRS tile {tile!r} does not exist") from error
    epsg = (32600 if hemisphere == "N" else 32700) + zone
    # The library answers with the square's centre.
    left, bottom = easting // 100_000 * 100_000, northing // 100_000 * 100_000
    square = lonlat_of(box(left, bottom, left + 100_000, bottom + 100_000), epsg)
    cells = dict(zone_cells(hemisphere == "N"))[zone]
    if not any(square.intersects(cell) for cell in cells):
        raise ValueError(f"MGRS tile {tile!r} does not exist: the square lies outside its zone")
    origin = 0 if hemisphere == "N" else NORTHING_OF_ROW_0
    top = origin + math.ceil((bottom + 100_000 - origin) / 60) * 60
    rect = Rect((NORTHING_OF_ROW_0 - top) // RESOLUTION, int(left // 60 * 60) // RESOLUTION, 10_980, 10_980)
    return Area(lonlat_of(box(*rect.bounds), epsg), is_box=True, tile=(epsg, rect))


def tile_name(tile: str) -> str:
    """``33TWL``, also for ``t33twl`` and ``MGRS-33TWL``.

    Raises:
        ValueError: the id is malformed.
    """
    name = tile.strip().upper().removeprefix("MGRS-").removeprefix("T")
    if not re.fullmatch(r"[0-9]{1,2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]", name):
        raise ValueError(
            f"MGRS tile '{printable(tile, 40)}' is not of the form 33TWL (zone, band, two letters of the 100 km square)"
        )
    return name.zfill(5)


def _check_longitudes(west: float, east: float) -> None:
    if not (min(west, east) >= -180 and max(west, east) <= (180 if min(west, east) < 0 else 360)):
        raise ValueError(
            f"longitudes must lie between -180 and 180, or 0 and 360, not {west:g} and {east:g}; is it in degrees?"
        )


def _check_latitudes(south: float, north: float) -> None:
    if south < -90 or north > 90:
        raise ValueError(f"latitudes must lie between -90 and 90, not {south:g} and {north:g}")
    if south < LATITUDE_MIN or north > LATITUDE_MAX:
        raise ValueError(
            f"latitudes {south:g} to {north:g} reach outside UTM ({LATITUDE_MIN:g} to {LATITUDE_MAX:g}); "
            "the poles cannot be mapped"
        )


def _polygons_of(document: Any, crs: str | None) -> BaseGeometry:
    """As `polygons_of`; ``crs`` is that of what the document stands in."""
    if not isinstance(document, dict) or not isinstance(document.get("type"), str):
        raise ValueError("not GeoJSON: an object with a 'type' is wanted")
    crs = crs_name(document.get("crs")) or crs
    match document["type"]:
        case "FeatureCollection":
            features = drawn_features(document)
            if len(features) != 1:
                raise ValueError(f"one region is wanted, and the FeatureCollection holds {len(features)}")
            return _polygons_of(features[0], crs)
        case "Feature":
            return _polygons_of(document.get("geometry") or {"type": "nothing"}, crs)
        case "GeometryCollection":
            members = document.get("geometries")
            if not isinstance(members, list | tuple) or not members:
                raise ValueError("a GeometryCollection of polygons is wanted, and it is empty")
            return shapely.union_all(
                [part for member in members for part in _valid_parts(_polygons_of(member, crs))]
            )
        case "Polygon" | "MultiPolygon":
            return in_degrees(_shape(document), crs)
        case "Point" | "MultiPoint" | "LineString" | "MultiLineString" | "nothing" as other:
            raise ValueError(f"a Polygon or MultiPolygon is wanted, not {other}")
        case _:
            # Not told: whatever file it is, it may be nobody's business who named it.
            raise ValueError("a Polygon or MultiPolygon is wanted, not what its 'type' says")


def drawn_features(collection: dict[str, Any]) -> list[dict[str, Any]]:
    """The features of a FeatureCollection that have a geometry; exports hold others too.

    Raises:
        ValueError: they are not a list of objects.
    """
    features = collection.get("features") or []
    if not isinstance(features, list | tuple) or not all(isinstance(feature, dict) for feature in features):
        raise ValueError("not GeoJSON: the features are not a list of objects")
    return [feature for feature in features if feature.get("geometry") is not None]


def _shape(document: dict[str, Any]) -> BaseGeometry:
    try:
        found: BaseGeometry = shape(document)
        return found
    except (
        KeyError, TypeError, ValueError, IndexError, AttributeError, ArithmeticError, shapely.errors.ShapelyError,
    ) as error:  # fmt: skip
        raise ValueError(
            f"coordinates of the {document['type']} are malformed: rings of pairs of numbers are wanted"
        ) from error


def _united(geometry: BaseGeometry) -> BaseGeometry:
    """Polygons that share an edge or overlap as one, which GeoJSON does not allow and many programs write."""
    if geometry.is_valid or len(shapely.get_parts(geometry)) < 2:
        return geometry
    return shapely.union_all(list(_valid_parts(geometry)))


def _valid_parts(geometry: BaseGeometry) -> Iterator[BaseGeometry]:
    for part in shapely.get_parts(geometry):
        if not part.is_valid:
            raise ValueError(
                f"polygon is not valid: {shapely.is_valid_reason(part)}; draw it without crossings"
            )
        yield part


def _around_the_globe(geometry: BaseGeometry) -> BaseGeometry:
    """What lies east of 180 degrees, where it is on the map."""
    near = geometry.intersection(box(-180, -90, 180, 90))
    beyond = shapely.transform(geometry.intersection(box(180, -90, 540, 90)), lambda xy: xy - [360, 0])
    parts = shapely.get_parts([*shapely.get_parts(near), *shapely.get_parts(beyond)])
    return shapely.union_all([part for part in parts if part.area > 0])
