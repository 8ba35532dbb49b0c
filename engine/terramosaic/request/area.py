"""Geometry of the area that a user asks for, checked, from each of the ways to say it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import mgrs
import shapely
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from terramosaic.errors import RequestError
from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect
from terramosaic.ground.zones import (
    Area,
    lonlat_of,
    zone_cells,
)
from terramosaic.storage.documents import read_document, shown

#: UTM is defined between these latitudes, and Sentinel-2's land tiles lie between them.
LATITUDE_MIN, LATITUDE_MAX = -80.0, 84.0

#: Bytes of a region file. A country's coast has a few megabytes; what is larger is most likely something else.
_LARGEST_FILE = 100_000_000


def area_from_box(west: float, south: float, east: float, north: float) -> Area:
    """A rectangle in degrees. ``west > east`` is read as crossing the antimeridian if that is the shorter way.

    Raises:
        ValueError: out of range, inverted or without area, in one line.
    """
    if not all(math.isfinite(value) for value in (west, south, east, north)):
        raise ValueError("bbox has a value that is not a number")
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        raise ValueError(f"longitudes must lie between -180 and 180, not {west:g} and {east:g}")
    _check_latitudes(south, north)
    if south >= north:
        raise ValueError(f"bbox is inverted or empty: south {south:g} is not below north {north:g}")
    if west < east:
        return Area(box(west, south, east, north), is_box=True)
    if west == east or east + 360 - west > 180:
        raise ValueError(f"bbox is inverted or empty: west {west:g} is not left of east {east:g}")
    sides = [box(west, south, 180, north), box(-180, south, east, north)]
    return Area(shapely.multipolygons([side for side in sides if side.area > 0]), is_box=True)


def area_from_geojson(document: Any) -> Area:
    """A GeoJSON geometry, Feature, or FeatureCollection of one feature, in lon/lat (RFC 7946).

    Raises:
        ValueError: no polygon, empty, self-intersecting, out of range, or over the antimeridian unsplit.
    """
    geometry = _polygonal(document)
    if geometry.is_empty:
        raise ValueError("polygon is empty")
    west, south, east, north = geometry.bounds
    if not (west >= -180 and east <= 180):
        raise ValueError(
            f"longitudes must lie between -180 and 180, not {west:g} and {east:g}; is it in degrees?"
        )
    _check_latitudes(south, north)
    if not geometry.is_valid:
        raise ValueError(
            f"polygon is not valid: {shapely.is_valid_reason(geometry)}; draw it without crossings"
        )
    if geometry.area == 0:
        raise ValueError("polygon is empty: it has no area")
    for part in getattr(geometry, "geoms", [geometry]):
        if part.bounds[2] - part.bounds[0] > 180:
            raise ValueError(
                "a polygon is wider than 180 degrees; split it at the antimeridian (RFC 7946, 3.1.9)"
            )
    return Area(geometry)


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
    name = tile.strip().upper().removeprefix("T").removeprefix("MGRS-")
    if not re.fullmatch(r"\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]", name):
        raise ValueError(
            f"MGRS tile {tile!r} is not of the form 33TWL (zone, band, two letters of the 100 km square)"
        )
    return name.zfill(5)


def area_from_file(path: str) -> Area:
    """A GeoJSON file, by its path or URL.

    Raises:
        RequestError: the file cannot be read or does not hold a usable region.
    """
    document = read_geojson(path)
    try:
        return area_from_geojson(document)
    except ValueError as error:
        raise RequestError(f"region: {shown(path)}: {error}") from error


def read_geojson(path: str) -> Any:
    """The content of a GeoJSON file, by its path or URL.

    Raises:
        RequestError: the file cannot be read, is too large or is no JSON.
    """
    try:
        return json.loads(read_document(path, _LARGEST_FILE))
    except OSError as error:
        raise RequestError(f"region: cannot read {shown(path)}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"region: {shown(path)} is not GeoJSON: {error}") from error


def _check_latitudes(south: float, north: float) -> None:
    if south < -90 or north > 90:
        raise ValueError(f"latitudes must lie between -90 and 90, not {south:g} and {north:g}")
    if south < LATITUDE_MIN or north > LATITUDE_MAX:
        raise ValueError(
            f"latitudes {south:g} to {north:g} reach outside UTM ({LATITUDE_MIN:g} to {LATITUDE_MAX:g}); "
            "the poles cannot be mapped"
        )


def _polygonal(document: Any) -> BaseGeometry:
    if not isinstance(document, dict) or "type" not in document:
        raise ValueError("not GeoJSON: an object with a 'type' is wanted")
    if document["type"] == "FeatureCollection":
        features = document.get("features") or []
        if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
            raise ValueError("not GeoJSON: the features are not a list of objects")
        if len(features) != 1:
            raise ValueError(f"one region is wanted, and the FeatureCollection holds {len(features)}")
        document = features[0]
    if document["type"] == "Feature":
        document = document.get("geometry") or {"type": "nothing"}
    if not isinstance(document, dict) or document.get("type") not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"a Polygon or MultiPolygon is wanted, not {document.get('type')}")
    try:
        return shapely.force_2d(shape(document))
    except (KeyError, TypeError, ValueError, IndexError, shapely.errors.ShapelyError) as error:
        raise ValueError(f"coordinates of the {document['type']} are malformed: {error}") from error
