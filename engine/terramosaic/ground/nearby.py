"""What of a long outline matters near a small one, so that intersecting them does not take the whole of it each time.

GEOS goes along all vertices of both: of a border with two million a footprint takes 0.2 s, and a country's year has
thousands. Of vertices far away those are left out between two others beyond the same side of the place, which moves the
outline there and nowhere else. The place keeps all of its vertices in their order, and GEOS itself lets go of what lies
farther away before it computes anything: so what is shared is the same to the last bit of its area.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import shapely
from shapely.geometry import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

#: Share of a place's smaller side that GEOS looks around it, and room to spare.
_AROUND = 0.15

#: Vertices of each polygon's rings, float64 (N, 2), the shell first; the first of a ring is not repeated at its end.
_Rings = Sequence[Sequence[np.ndarray]]


class Nearby:
    """A polygon or multipolygon that many smaller geometries are intersected with.

    Args:
        outline: in lon/lat degrees.
    """

    def __init__(self, outline: BaseGeometry) -> None:
        polygons = shapely.get_parts(outline)
        rings = [
            [shapely.get_coordinates(ring)[:-1] for ring in (part.exterior, *part.interiors)]
            for part in polygons
        ]
        # Whatever reaches into a place is kept to its other end.
        self._longest = max(
            float(np.abs(ring - np.roll(ring, 1, 0)).max()) for part in rings for ring in part
        )
        self._rows = cache(lambda south, north: list(_between(rings, 1, south, north)))
        self._cells = cache(self._cell)

    def around(self, geometry: BaseGeometry) -> BaseGeometry:
        """What to intersect a geometry with instead of the outline: for that alone it is good."""
        west, south, east, north = geometry.bounds
        return self._cells(math.floor(west), math.floor(south), math.ceil(east), math.ceil(north))

    def _cell(self, west: int, south: int, east: int, north: int) -> BaseGeometry:
        more = self._longest + _AROUND * min(east - west, north - south)
        row = self._rows(south - more, north + more)
        parts = [Polygon(shell, holes) for shell, *holes in _between(row, 0, west - more, east + more)]
        return parts[0] if len(parts) == 1 else MultiPolygon(parts)


def _between(rings: _Rings, axis: int, low: float, high: float) -> Iterator[list[np.ndarray]]:
    """Polygons without vertices that lie between others below or above a range; none where nothing else is left."""
    for polygon in rings:
        near = []
        for ring in polygon:
            above = ring[_is_needed(ring[:, axis] < low)]
            near.append(above[_is_needed(above[:, axis] > high)])
        shell, *holes = near
        if len(shell) > 2:
            yield [shell, *(hole for hole in holes if len(hole) > 2)]


def _is_needed(beyond: np.ndarray) -> np.ndarray:
    """Which vertices of a ring are not beyond a side with both of their neighbours."""
    needed: np.ndarray = ~(beyond & np.roll(beyond, 1) & np.roll(beyond, -1))
    return needed
