"""Points of which it is known what is there, from a vector file: GeoJSON, or what GIS programs write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from pyproj import Transformer
from shapely.geometry import shape

from terramosaic.errors import RequestError, printable
from terramosaic.evaluation.reference import Reference
from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Zone
from terramosaic.request.crs import crs_name, in_degrees
from terramosaic.request.files import read_region

#: What a point's value may be called where nothing else is told.
_USUAL = ("value", "class")


@dataclass(frozen=True)
class Points:
    """Where they are and what is there.

    Attributes:
        lonlat: (points, 2), degrees.
        numbers: (bands, points) as the file has them, NaN where it has none.
    """

    lonlat: np.ndarray
    numbers: np.ndarray

    def pixels(self, zone: Zone) -> tuple[np.ndarray, np.ndarray]:
        """Row and column of each point on a zone's grid."""
        transformer = Transformer.from_crs(4326, zone.epsg, always_xy=True)
        east, north = transformer.transform(self.lonlat[:, 0], self.lonlat[:, 1])
        rows = np.floor((NORTHING_OF_ROW_0 - north) / RESOLUTION)
        return rows.astype(np.int64), np.floor(east / RESOLUTION).astype(np.int64)


def read_points(reference: Reference, layer: Layer) -> Points:
    """The points of a file, with a value for each band of a map.

    Raises:
        RequestError: the file cannot be read, holds other geometries, or no property that tells values.
    """
    try:
        document = read_region(reference.path)
    except RequestError as error:
        raise RequestError(f"reference: {error.text.removeprefix('region: ')}") from error
    features = document.get("features") if isinstance(document, dict) else None
    if not isinstance(features, list) or not features:
        raise RequestError(f"reference: {reference.path} holds no features")
    names = _properties(reference, layer, features[0])
    places, numbers = [], []
    for feature in features:
        if feature.get("geometry") is None:
            continue
        try:
            geometry = shapely.force_2d(shape(feature["geometry"]))
            crs = crs_name(feature.get("crs") or document.get("crs"))
            point = in_degrees(geometry, crs)
        except (ValueError, TypeError, KeyError, shapely.errors.ShapelyError) as error:
            raise RequestError(f"reference: {reference.path}: {error}") from error
        if point.geom_type != "Point" or point.is_empty:
            raise RequestError(f"reference: {reference.path} holds a {geometry.geom_type}; points are wanted")
        places.append((point.x, point.y))
        numbers.append([_number(feature["properties"].get(name)) for name in names])
    return Points(np.array(places, float).reshape(-1, 2), np.array(numbers, float).reshape(-1, len(names)).T)


def _properties(reference: Reference, layer: Layer, feature: dict[str, Any]) -> list[str]:
    """The property of each band."""
    held = feature.get("properties") or {}
    wanted = [reference.column] if reference.column else [layer.target, *layer.bands, *_USUAL]
    if reference.bands:
        names = reference.assets_for(layer)
    elif len(layer.bands) > 1:
        names = list(layer.bands)
    else:
        names = [name for name in wanted if name in held][:1]
    if not names or any(name not in held for name in names):
        raise RequestError(
            f"reference: {reference.path} has no property {' or '.join(names or wanted)}; "
            f"it has {printable(', '.join(held)) or 'none'}"
        )
    return names


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return float("nan")
