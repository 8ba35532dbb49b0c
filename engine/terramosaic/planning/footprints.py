"""Footprints of scenes in a zone's metres, and how far imagery may reach beyond them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Generic, Protocol, TypeVar

import shapely
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import lonlat_of, utm_of

#: Metres by which a scene's footprint is widened: providers simplify footprints, and imagery must not be missed.
_SLACK = 500

#: Metres around a rectangle beyond which no widened footprint can matter; generous, it only saves time.
_NEARBY = 20_000


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
        self.scenes = [scene for scene in scenes if around.intersects(scene.geometry)]
        self._drawn = [utm_of(scene.geometry, epsg) for scene in self.scenes]
        self._widened = [footprint.buffer(_SLACK) for footprint in self._drawn]
        # Each is asked about many places, and has a thousand corners.
        shapely.prepare(self._drawn)
        shapely.prepare(self._widened)
        self._tree = shapely.STRtree(self._widened)

    def reaching(self, place: BaseGeometry) -> list[int]:
        """Indices of the scenes that may have imagery of a place in the zone's metres, from the first on."""
        return [index for index in sorted(self._tree.query(place)) if self._widened[index].intersects(place)]

    def drawn(self, indices: Iterable[int]) -> list[BaseGeometry]:
        """Footprints in the zone's metres, as items draw them."""
        return [self._drawn[index] for index in indices]

    def share_under(self, indices: Sequence[int], place: BaseGeometry) -> float:
        """The share of a place in the zone's metres that lies under footprints as items draw them, 0 to 1."""
        drawn = self.drawn(indices)
        if any(footprint.covers(place) for footprint in drawn):
            return 1.0
        parts = [footprint.intersection(place) for footprint in drawn if footprint.intersects(place)]
        return min(1.0, float(shapely.union_all(parts).area / place.area))
