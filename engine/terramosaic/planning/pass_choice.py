"""Which pass of Sentinel-1 a window is cut from: a function of its place, of the passes and of the moment alone.

Two passes see a slope from two places, so no window mixes them. Nothing of the region goes in, nor of the block: a
window at a swath's rim is of the same pass in every map of the same direction and moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import shapely
from shapely.geometry import box

from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.backscatter_passes import BackscatterPass, days_between, rank_of
from terramosaic.ground.grid import Rect
from terramosaic.planning.footprints import Footprints


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
    """

    def __init__(self, passes: Sequence[BackscatterPass], moment: datetime, epsg: int, rect: Rect) -> None:
        self._moment = moment
        self._numbers = {scene.key: number for number, one in enumerate(passes) for scene in one.scenes}
        self._footprints = Footprints([scene for one in passes for scene in one.scenes], epsg, rect)

    def of(self, window: Rect) -> list[Candidate]:
        """The passes that may have imagery of a window, the best for it first."""
        place = box(*window.bounds)
        slices: dict[int, list[int]] = defaultdict(list)
        for index in self._footprints.reaching(place):
            slices[self._numbers[self._footprints.scenes[index].key]].append(index)
        found = []
        for number, indices in slices.items():
            scenes = tuple(self._footprints.scenes[index] for index in indices)
            drawn = [self._footprints.drawn[index].intersection(place) for index in indices]
            coverage = min(1.0, shapely.union_all(drawn).area / place.area)
            # Which of its slices are known depends on the region; those over the window do not.
            start = min(scene.sensing_start for scene in scenes)
            found.append(Candidate(number, scenes, coverage, days_between(start, self._moment)))
        return sorted(found, key=lambda one: rank_of(one.coverage, one.days, one.slices[0]))
