"""Footprints as clean geometry: valid, polygonal, and never across the antimeridian in one piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape
from shapely.geometry.base import BaseGeometry

from terramosaic.errors import CatalogError
from terramosaic.ground.zones import beside, split_at_antimeridian


def footprint_of(item: Mapping[str, Any]) -> BaseGeometry:
    """An item's footprint in lon/lat degrees (EPSG:4326), valid, and split at the antimeridian if it must be.

    A polygon that jumps from 180 to -180, or runs on beyond 180, is read as lying across.

    Raises:
        CatalogError: the item has no usable geometry.
    """
    try:
        geometry = shapely.force_2d(shape(item["geometry"]))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, shapely.errors.ShapelyError):
        raise CatalogError(f"item {item.get('id')} has no usable geometry") from None
    if not geometry.is_valid:
        geometry = _polygons(shapely.make_valid(geometry))
    if geometry.is_empty or geometry.area == 0:
        raise CatalogError(f"item {item.get('id')} has no usable geometry: it has no area")
    west, _, east, _ = geometry.bounds
    if west < -180 or east > 180:
        geometry = shapely.transform(geometry, _wrap)
    elif east - west <= 180:
        return geometry
    return shapely.union_all([split_at_antimeridian(part) for part in getattr(geometry, "geoms", [geometry])])


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
