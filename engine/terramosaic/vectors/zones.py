"""Polygons of a file, within which a map is summed up."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from terramosaic.errors import RequestError
from terramosaic.ground.zones import Area, utm_of, zone_areas
from terramosaic.planning.plan import Plan
from terramosaic.request.area import polygons_of
from terramosaic.request.files import read_region

logger = logging.getLogger(__name__)

#: Degrees around a run's region in which polygons are moved to its zones' metres: far off there are none.
_AROUND = 0.1


@dataclass(frozen=True)
class NamedPolygon:
    """A polygon of a file.

    Attributes:
        properties: what the file says of it.
        outline: polygon or multipolygon, lon/lat.
    """

    properties: dict[str, Any]
    outline: BaseGeometry


@dataclass(frozen=True)
class Placed:
    """A polygon where a run's mosaics are.

    Attributes:
        area_ha: of all of it, in the projection of its zones; of one that reaches far beyond the run's region on the
            ellipsoid.
        parts: what of it lies near the region, in the metres of each of the run's zones.
    """

    area_ha: float
    parts: dict[int, BaseGeometry]


def read_polygons(path: str) -> list[NamedPolygon]:
    """The polygons of a file, in its order. A feature without a geometry is passed over, with a warning.

    Args:
        path: path or URL of GeoJSON, WKT, or of what GIS programs write, as regions come (`read_region`).

    Raises:
        RequestError: the file cannot be read, or a feature is no polygon; says which.
    """
    document = read_region(path, field="polygons")
    kind = document.get("type") if isinstance(document, dict) else None
    features = document.get("features") if kind == "FeatureCollection" else [document]
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise RequestError("polygons: the file is no FeatureCollection")
    crs = {"crs": document["crs"]} if kind == "FeatureCollection" and document.get("crs") is not None else {}
    found = []
    for number, feature in enumerate(features, 1):
        if feature.get("type") == "Feature" and feature.get("geometry") is None:
            logger.warning("polygons: feature %d has no geometry and is passed over", number)
            continue
        try:
            outline = polygons_of(crs | feature)
        except ValueError as error:
            raise RequestError(f"polygons: feature {number}: {error}") from error
        if not outline.is_valid:
            reason = shapely.is_valid_reason(outline)
            raise RequestError(
                f"polygons: feature {number} is not valid: {reason}; draw it without crossings"
            )
        found.append(NamedPolygon(_plain(feature), outline))
    if not found:
        raise RequestError("polygons: the file holds none")
    return found


def _plain(feature: dict[str, Any]) -> dict[str, Any]:
    """What a feature says of itself, as a cell of a table can hold it."""
    told = feature.get("properties")
    told = dict(told) if isinstance(told, dict) else {}
    if "id" in feature:
        told = {"id": feature["id"], **told}
    return {
        str(name): value
        if isinstance(value, str | int | float | bool | None)
        else json.dumps(value, default=str)
        for name, value in told.items()
    }


def placed(polygon: NamedPolygon, plan: Plan) -> Placed:
    """A polygon in the metres of a run's zones."""
    west, south, east, north = shape(plan.region).bounds
    around = box(west - _AROUND, south - _AROUND, east + _AROUND, north + _AROUND)
    near = polygon.outline.intersection(around)
    if near.is_empty:
        return Placed(Area(polygon.outline).square_kilometres * 100, {})
    # All of it in each zone: over the zone's boundary mosaics have no data, but for those of tiles, which go on there.
    parts = {zone.epsg: utm_of(near, zone.epsg) for zone in plan.zones}
    if not around.contains(polygon.outline):
        hectares = Area(polygon.outline).square_kilometres * 100
    elif len(parts) == 1:
        hectares = sum(part.area for part in parts.values()) / 10_000
    else:
        cut = [one.outline for one in zone_areas(Area(near))]
        hectares = sum(part.area for part in cut if part is not None) / 10_000
    return Placed(hectares, parts)
