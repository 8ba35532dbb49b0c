"""Outlines of pixels: polygons along their edges, as they are whatever the strips that they were made in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import shapely
from affine import Affine
from rasterio.features import shapes
from shapely.geometry.base import BaseGeometry


def outlines_of(labels: np.ndarray, wanted: np.ndarray, transform: Affine) -> dict[int, BaseGeometry]:
    """The polygon of each label, along the edges of its pixels.

    Args:
        labels: int32 (height, width): pixels with the same number are connected by their sides.
        wanted: bool (labels,): of which labels.
        transform: from pixels to metres.
    """
    mask = wanted[labels]
    if not mask.any():
        return {}
    traced = [
        (int(label), polygon["coordinates"])
        for polygon, label in shapes(labels, mask=mask, connectivity=4, transform=transform)
    ]
    # Made of three arrays at once: a geometry after the other took twice the time of tracing them.
    rings = [ring for _, polygon in traced for ring in polygon]
    points = np.array(list(chain.from_iterable(rings)))
    ends_of_rings = np.cumsum([0, *map(len, rings)])
    ends_of_polygons = np.cumsum([0, *(len(polygon) for _, polygon in traced)])
    made = shapely.from_ragged_array(shapely.GeometryType.POLYGON, points, (ends_of_rings, ends_of_polygons))
    # GDAL lets a ring touch itself where pixels meet at a corner, which is no valid polygon.
    for index in np.flatnonzero(~shapely.is_valid(made)):
        made[index] = shapely.make_valid(made[index], method="structure")
    return {label: polygon for (label, _), polygon in zip(traced, made, strict=True)}


def joined(pieces: Sequence[BaseGeometry]) -> BaseGeometry:
    """The polygon that pieces on both sides of strips' seams make up.

    Where it is straight it has no corner, so that the seams do not show.
    """
    if len(pieces) == 1:
        return pieces[0]
    return _without_corners_that_are_none(shapely.union_all(pieces))


def _without_corners_that_are_none(polygon: BaseGeometry) -> BaseGeometry:
    rings = [_straightened(shapely.get_coordinates(ring)) for ring in (polygon.exterior, *polygon.interiors)]
    return shapely.Polygon(rings[0], rings[1:])


def _straightened(ring: np.ndarray) -> np.ndarray:
    """A closed ring of edges along the axes without points in the middle of an edge, float64 (N, 2)."""
    points = ring[:-1]
    before, after = np.roll(points, 1, 0), np.roll(points, -1, 0)
    is_corner = ~((before == points) & (points == after)).any(1)
    corners = points[is_corner]
    return np.concatenate([corners, corners[:1]])
