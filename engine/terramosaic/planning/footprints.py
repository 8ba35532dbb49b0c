"""Footprints of scenes in a zone's metres, and how far imagery may reach beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Generic, Protocol, TypeVar

import numpy as np
import shapely
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import lonlat_of, utm_of

#: Metres by which a scene's footprint is widened: providers simplify footprints, and imagery must not be missed.
_SLACK = 500

#: Metres around a rectangle beyond which no widened footprint can matter; generous, it only saves time.
_NEARBY = 20_000

#: Shares of places that are kept in mind: of a block, which all acquisitions of a year are held against.
_SHARES = 512


class Drawn(Protocol):
    """What has a footprint in lon/lat degrees."""

    @property
    def geometry(self) -> BaseGeometry:
        """The footprint."""


_Scene = TypeVar("_Scene", bound=Drawn)


class Footprints(Generic[_Scene]):
    """Footprints of the scenes that are near a rectangle of a zone.

    Args:
        scenes: any.
        epsg: the zone.
        rect: its pixels that will be asked for.

    Attributes:
        scenes: those of them that are near, in their order.
    """

    def __init__(self, scenes: Sequence[_Scene], epsg: int, rect: Rect) -> None:
        # Of a country's scenes most lie far from any one zone, and reprojecting them all takes longer than the rest.
        around = lonlat_of(box(*rect.bounds).buffer(_NEARBY, join_style="mitre"), epsg)
        shapely.prepare(around)
        self._epsg = epsg
        self.scenes = [scene for scene in scenes if around.intersects(scene.geometry)]
        # Satellites see a whole tile time and again: what has the same footprint is drawn once.
        numbers: dict[BaseGeometry, int] = {}
        self._numbers = np.array(
            [numbers.setdefault(scene.geometry, len(numbers)) for scene in self.scenes], int
        )
        self._shapes = [utm_of(footprint, epsg) for footprint in numbers]
        # Each is asked about many places, and has a thousand corners.
        shapely.prepare(self._shapes)
        self._share = lru_cache(_SHARES)(self._share_of)
        self._widened = shapely.STRtree([shape.buffer(_SLACK) for shape in self._shapes])

    def reaching(self, place: BaseGeometry) -> list[int]:
        """Indices of the scenes that may have imagery of a place in the zone's metres, from the first on."""
        reach = np.zeros(len(self._shapes), bool)
        reach[self._widened.query(place, "intersects")] = True
        found: list[int] = np.flatnonzero(reach[self._numbers]).tolist()
        return found

    def reach(self, place: BaseGeometry) -> bool:
        """Whether any of the scenes does."""
        around = self._widened.geometries[self._widened.query(place)]
        return any(one.intersects(place) for one in around)

    @property
    def ground(self) -> BaseGeometry:
        """Where any of them lies in the zone's metres, as items draw them."""
        # In degrees, where they have a few corners each: of a year's the union takes 0.4 s, in metres 8.6 s.
        whole = shapely.union_all([scene.geometry for scene in self.scenes])
        return shapely.union_all(shapely.get_parts(utm_of(whole, self._epsg)))

    def drawn(self, indices: Iterable[int]) -> list[BaseGeometry]:
        """Footprints in the zone's metres, as items draw them."""
        return [self._shapes[self._numbers[index]] for index in indices]

    def share_under(self, indices: Iterable[int], place: BaseGeometry) -> float:
        """The share of a place in the zone's metres that lies under footprints as items draw them, 0 to 1."""
        return self._share(tuple(dict.fromkeys(self._numbers[index] for index in indices)), place)

    def _share_of(self, numbers: Sequence[int], place: BaseGeometry) -> float:
        shapes = [self._shapes[number] for number in numbers]
        if any(shape.covers(place) for shape in shapes):
            return 1.0
        parts = [shape.intersection(place) for shape in shapes if shape.intersects(place)]
        return min(1.0, float(shapely.union_all(parts).area / place.area))
