"""The area that a user asks for, checked, and cut into one area per UTM zone."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mgrs
import shapely
from pyproj import Geod, Transformer
from pyproj.enums import TransformDirection
from shapely.geometry import box, mapping, shape
from shapely.geometry.base import BaseGeometry

from engine.errors import OutputError, RequestError
from engine.files import read_text
from engine.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect, rect_from_bounds
from engine.location import location

#: UTM is defined between these latitudes, and Sentinel-2's land tiles lie between them.
LATITUDE_MIN, LATITUDE_MAX = -80.0, 84.0

#: Longest straight piece, in degrees, of an outline that is reprojected (about 1 km: sagitta below a decimetre).
_DENSIFY_DEGREES = 0.01

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
        return abs(_WGS84.geometry_area_perimeter(self.outline)[0]) / 1e6


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
    name = tile.strip().upper().removeprefix("T").removeprefix("MGRS-")
    if not re.fullmatch(r"\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V]", name):
        raise ValueError(
            f"MGRS tile {tile!r} is not of the form 33TWL (zone, band, two letters of the 100 km square)"
        )
    name = name.zfill(5)
    try:
        zone, hemisphere, easting, northing = mgrs.MGRS().MGRSToUTM(name)
    except mgrs.core.MGRSError as error:
        raise ValueError(f"MGRS tile {tile!r} does not exist") from error
    epsg = (32600 if hemisphere == "N" else 32700) + zone
    # The library answers with the square's centre.
    left, bottom = easting // 100_000 * 100_000, northing // 100_000 * 100_000
    square = lonlat_of(box(left, bottom, left + 100_000, bottom + 100_000), epsg)
    cells = dict(_zone_cells(hemisphere == "N"))[zone]
    if not any(square.intersects(cell) for cell in cells):
        raise ValueError(f"MGRS tile {tile!r} does not exist: the square lies outside its zone")
    origin = 0 if hemisphere == "N" else NORTHING_OF_ROW_0
    top = origin + math.ceil((bottom + 100_000 - origin) / 60) * 60
    rect = Rect((NORTHING_OF_ROW_0 - top) // RESOLUTION, int(left // 60 * 60) // RESOLUTION, 10_980, 10_980)
    return Area(lonlat_of(box(*rect.bounds), epsg), is_box=True, tile=(epsg, rect))


def area_from_file(path: str) -> Area:
    """A GeoJSON file on disk or, by its URL, in an object store.

    Raises:
        RequestError: the file cannot be read or does not hold a usable region.
    """
    try:
        document = json.loads(read_text(location(path)))
    except OSError as error:
        raise RequestError(
            f"region: cannot read {path}: {error.strerror or 'there is no such file'}"
        ) from error
    except OutputError as error:
        # Outputs are what is in stores otherwise; here it is another field.
        raise RequestError(f"region: {str(error).removeprefix('out: ')}") from error
    except ValueError as error:
        raise RequestError(f"region: {path} is not GeoJSON: {error}") from error
    try:
        return area_from_geojson(document)
    except ValueError as error:
        raise RequestError(f"region: {path}: {error}") from error


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
        for zone, cells in _zone_cells(north):
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
    return _reproject(shapely.segmentize(geometry, _DENSIFY_DEGREES), epsg, TransformDirection.FORWARD)


def lonlat_of(geometry: BaseGeometry, epsg: int) -> BaseGeometry:
    """A geometry in a zone's metres as lon/lat degrees, split at the antimeridian if it lies across."""
    moved = _reproject(shapely.segmentize(geometry, 5_000), epsg, TransformDirection.INVERSE)
    return split_at_antimeridian(moved)


def split_at_antimeridian(geometry: BaseGeometry) -> BaseGeometry:
    """A lon/lat polygon whose outline jumps from 180 to -180, as two that do not; any other comes back unchanged."""
    west, _, east, _ = geometry.bounds
    if east - west <= 180:
        return geometry
    eastward = shapely.transform(geometry, lambda xy: xy + [360, 0] * (xy[:, :1] < 0))
    beyond = shapely.transform(eastward.intersection(box(180, -90, 360, 90)), lambda xy: xy - [360, 0])
    return shapely.union_all([eastward.intersection(box(0, -90, 180, 90)), beyond])


def as_geojson(geometry: BaseGeometry) -> dict[str, Any]:
    """The geometry as a GeoJSON mapping of lists."""
    document: dict[str, Any] = json.loads(json.dumps(mapping(geometry)))
    return document


def _reproject(geometry: BaseGeometry, epsg: int, direction: TransformDirection) -> BaseGeometry:
    transformer = Transformer.from_crs(4326, epsg, always_xy=True)

    def move(points: Any) -> Any:
        x, y = transformer.transform(points[:, 0], points[:, 1], direction=direction)
        return shapely.get_coordinates(shapely.points(x, y))

    return shapely.transform(geometry, move)


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
            raise ValueError(
                f"a FeatureCollection must hold one feature, not {len(features)}; make one request for each"
            )
        document = features[0]
    if document["type"] == "Feature":
        document = document.get("geometry") or {"type": "nothing"}
    if not isinstance(document, dict) or document.get("type") not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"a Polygon or MultiPolygon is wanted, not {document.get('type')}")
    try:
        return shapely.force_2d(shape(document))
    except (KeyError, TypeError, ValueError, IndexError, shapely.errors.ShapelyError) as error:
        raise ValueError(f"coordinates of the {document['type']} are malformed: {error}") from error


def _zone_cells(north: bool) -> Iterator[tuple[int, list[BaseGeometry]]]:
    """Each zone's lon/lat boxes in one hemisphere, with UTM's exceptions over Norway and Svalbard."""
    bands = [(0, 56), (56, 64), (64, 72), (72, 84)] if north else [(-80, 0)]
    for zone in range(1, 61):
        regular = (-186.0 + 6 * zone, -180.0 + 6 * zone)
        spans = [(low, high, _ZONE_EXCEPTIONS.get((zone, low, high), regular)) for low, high in bands]
        yield zone, [box(span[0], low, span[1], high) for low, high, span in spans if span]
