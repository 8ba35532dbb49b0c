"""Footprints of scenes in a zone's metres, and how far imagery may reach beyond them."""

from __future__ import annotations

from collections.abc import Sequence
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
        drawn: of each the footprint in metres, as its item draws it.
    """

    def __init__(self, scenes: Sequence[_Scene], epsg: int, rect: Rect) -> None:
        # Of a country's scenes most lie far from any one zone, and reprojecting them all takes longer than the rest.
        around = lonlat_of(box(*rect.bounds).buffer(_NEARBY, join_style="mitre"), epsg)
        shapely.prepare(around)
        self.scenes = [scene for scene in scenes if around.intersects(scene.geometry)]
        self.drawn = [utm_of(scene.geometry, epsg) for scene in self.scenes]
        self._tree = shapely.STRtree([footprint.buffer(_SLACK) for footprint in self.drawn])

    def reaching(self, place: BaseGeometry) -> list[int]:
        """Indices of the scenes that may have imagery of a place in the zone's metres, from the first on."""
        return sorted(self._tree.query(place, predicate="intersects").tolist())
