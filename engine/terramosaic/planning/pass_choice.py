"""Which pass of Sentinel-1 a window is cut from: a function of its place, of the passes and of the moment alone.

Two passes see a slope from two places, so no window mixes them. Nothing of the region goes in, nor of the block: a
window at a swath's rim is of the same pass in every map of the same direction and moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from math import inf

import shapely
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.backscatter_passes import BackscatterPass, covers_wholly, days_between, rank_of
from terramosaic.ground.grid import RESOLUTION, Rect
from terramosaic.planning.footprints import Footprints

#: Share of a place that rounding may leave uncovered.
_DUST = 1e-9

#: Metres: a gap between slices of twice as much is no edge of their swath; see `terramosaic.imagery.swath`.
_HAIRLINE = 20


@dataclass(frozen=True)
class Candidate:
    """A pass that a window may be cut from.

    Attributes:
        number: of the pass.
        slices: of it, that may have imagery of the window, in the order of time.
        coverage: share of the window under their footprints, as they are drawn.
        days: between the first of them and the moment that is wanted.
    """

    number: int
    slices: tuple[BackscatterScene, ...]
    coverage: float
    days: float


class WindowPasses:
    """Ranks passes for windows of a zone, by the rule of `terramosaic.catalog.backscatter_passes.rank_passes`.

    Args:
        passes: of one direction.
        moment: that passes are wanted near to.
        epsg: the zone.
        rect: all pixels that windows cover.
        paired: whether a window that a pass covers wholly is cut from it or from none.
    """

    def __init__(
        self, passes: Sequence[BackscatterPass], moment: datetime, epsg: int, rect: Rect, *, paired: bool
    ) -> None:
        self._moment, self._paired = moment, paired
        self._passes = len(passes)
        self._numbers = {scene.key: number for number, one in enumerate(passes) for scene in one.scenes}
        self._swaths: dict[int, BaseGeometry] = {}
        self._footprints = Footprints([scene for one in passes for scene in one.scenes], epsg, rect)

    def of(self, window: Rect) -> list[Candidate]:
        """The passes that a window may be cut from, the best for it first."""
        ranked = self._ranked(window)
        return ranked[:1] if self._paired and ranked and covers_wholly(ranked[0].coverage) else ranked

    def one_for_all(self, rect: Rect) -> Candidate | None:
        """The pass that is the best for every window within a rectangle; None where that takes a look at each."""
        ranked = self._ranked(rect)
        if not ranked or ranked[0].coverage < 1 - _DUST:
            return None
        first, *others = ranked
        farthest = max(self._days(scene) for scene in first.slices)
        nearest = min((self._days(scene) for one in others for scene in one.slices), default=inf)
        return first if farthest < nearest else None

    def slices_under(self, rect: Rect) -> list[tuple[BackscatterScene, ...]]:
        """Of each pass the slices that may have imagery of a rectangle, the earlier first: no other need be opened."""
        there = {one.number: one.slices for one in self._ranked(rect)}
        return [there.get(number, ()) for number in range(self._passes)]

    def swath(self, number: int) -> BaseGeometry:
        """The ground in the zone's metres that a pass will have, by footprints: without the swath's edges."""
        if number not in self._swaths:
            scenes = self._footprints.scenes
            own = [index for index, scene in enumerate(scenes) if self._numbers[scene.key] == number]
            whole = shapely.union_all(self._footprints.drawn(own))
            edge = RESOLUTION * max((scenes[index].edge for index in own), default=0)
            # Where slices lie a hairline apart there is no edge.
            closed = whole.buffer(_HAIRLINE, join_style="mitre")
            self._swaths[number] = closed.buffer(-_HAIRLINE - edge, join_style="mitre")
        return self._swaths[number]

    def _ranked(self, window: Rect) -> list[Candidate]:
        place = box(*window.bounds)
        slices: dict[int, list[int]] = defaultdict(list)
        for index in self._footprints.reaching(place):
            slices[self._numbers[self._footprints.scenes[index].key]].append(index)
        found = []
        for number, indices in slices.items():
            scenes = tuple(self._footprints.scenes[index] for index in indices)
            coverage = self._footprints.share_under(indices, place)
            # Which of its slices are known depends on the region; those over the window do not.
            first = min(scenes, key=lambda scene: scene.sensing_start)
            found.append(Candidate(number, scenes, coverage, self._days(first)))
        return sorted(found, key=lambda one: rank_of(one.coverage, one.days, one.slices[0]))

    def _days(self, scene: BackscatterScene) -> float:
        return days_between(scene.sensing_start, self._moment)
