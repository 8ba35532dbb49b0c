"""What of Sentinel-1 the windows of a run may be cut from, which is in its plan, and how much of it they will read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import shapely
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.ground.grid import Rect
from terramosaic.planning.blocks import reaching_blocks, windows_of
from terramosaic.planning.dates import PlannedDate, distinct
from terramosaic.planning.inputs import is_led_by_radar
from terramosaic.planning.lattices import TargetLattice, cover_of, margin_of
from terramosaic.planning.pass_choice import Candidate, WindowPasses
from terramosaic.planning.plan import Block, Zone
from terramosaic.planning.radar import Radar
from terramosaic.request.request import RegionRequest


def scenes_for_windows(
    radar: Radar, request: RegionRequest, zones: Sequence[Zone], lattices: Sequence[TargetLattice]
) -> set[str]:
    """Keys of the slices that windows may be cut from.

    Of a period these are all that windows reach, for where one pass saw nothing the next is taken. Of a single
    acquisition of Sentinel-2 they are those that its windows need by their footprints.
    """
    margin = margin_of(lattices)
    if request.composite != "single" or is_led_by_radar(request):
        return {scene.key for scene in reaching_blocks(list(radar.scenes.values()), zones, margin)}
    return _needed(radar, zones, lattices)


def needed_at(
    radar: Radar, dates: Sequence[PlannedDate], zones: Sequence[Zone], lattices: Sequence[TargetLattice]
) -> tuple[PlannedDate, ...]:
    """Dates with the slices alone that their windows need by their footprints, as of a single acquisition."""
    needed = {
        one.acquisition: _needed(radar.at(one.moment, one.slices), zones, lattices) for one in distinct(dates)
    }
    return tuple(one.keeping(needed[one.acquisition]) for one in dates)


def _needed(radar: Radar, zones: Sequence[Zone], lattices: Sequence[TargetLattice]) -> set[str]:
    """The slices that windows paired with a single acquisition need by their footprints."""
    margin, needed = margin_of(lattices), set[str]()
    for zone in zones:
        choice = radar.window_passes(zone.epsg, zone.rect.pad(margin), "single")
        for block in zone.blocks:
            for _, ranked in _places(choice, zone, block, lattices):
                needed.update(scene.key for one in ranked for scene in one.slices)
    return needed


@dataclass(frozen=True)
class RadarEstimate:
    """What windows will read and see of Sentinel-1, by footprints.

    Attributes:
        reads: by block, of how many passes a window is read, as a mean: the best of each, and further ones where what
            is better saw nothing; the less it covers, the likelier.
        ground: by zone, what windows will see of its blocks, in metres. A window shows one pass; so at a swath's rim it
            is less than all passes together have.
    """

    reads: Mapping[str, float]
    ground: Mapping[int, BaseGeometry]

    @classmethod
    def of(
        cls,
        radar: Radar,
        request: RegionRequest,
        zones: Sequence[Zone],
        lattices: Sequence[TargetLattice],
        dates: Sequence[PlannedDate] = (),
    ) -> RadarEstimate:
        """Looks at each window of the zones' blocks, but where one pass is the best for all of a block.

        Of several dates all are read, and what is seen is what every one sees.
        """
        if not dates:
            return cls._of_one(radar, request.composite, zones, lattices)
        each = [
            cls._of_one(radar.at(one.moment, one.slices), "single", zones, lattices)
            for one in distinct(dates)
        ]
        return cls(
            {block: sum(one.reads[block] for one in each) for block in each[0].reads},
            {epsg: shapely.intersection_all([one.ground[epsg] for one in each]) for epsg in each[0].ground},
        )

    @classmethod
    def _of_one(
        cls, radar: Radar, composite: str, zones: Sequence[Zone], lattices: Sequence[TargetLattice]
    ) -> RadarEstimate:
        reads, ground = {}, {}
        for zone in zones:
            choice = radar.window_passes(zone.epsg, zone.rect.pad(margin_of(lattices)), composite)
            parts = []
            for block in zone.blocks:
                places = _places(choice, zone, block, lattices)
                reads[block.id] = sum(_expected(ranked) for _, ranked in places) / max(1, len(places))
                parts.append(_seen(choice, places).intersection(box(*block.rect.bounds)))
            ground[zone.epsg] = shapely.union_all(parts)
        return cls(reads, ground)


def _seen(choice: WindowPasses, places: Iterable[tuple[Rect, Sequence[Candidate]]]) -> BaseGeometry:
    """What windows see, each of the first pass that has anything of it."""
    shown: dict[int, list[BaseGeometry]] = defaultdict(list)
    for rect, ranked in places:
        place = box(*rect.bounds)
        having = (one.number for one in ranked if choice.swath(one.number).intersects(place))
        if (number := next(having, None)) is not None:
            shown[number].append(place)
    seen = [choice.swath(number).intersection(shapely.union_all(each)) for number, each in shown.items()]
    return shapely.union_all(seen)


def _expected(ranked: Sequence[Candidate]) -> float:
    reads, left = 0.0, 1.0
    for one in ranked:
        reads += left
        left *= 1 - one.coverage
    return reads


def _places(
    choice: WindowPasses, zone: Zone, block: Block, lattices: Sequence[TargetLattice]
) -> list[tuple[Rect, list[Candidate]]]:
    """The windows of a block, and what each may be cut from.

    Where one pass is the best for all and covers them, it is one for all, of the pixels that they cover.
    """
    cover = cover_of(lattices, block.rect)
    first = choice.one_for_all(cover)
    if first is not None:
        return [(cover, [first])]
    return [(window, choice.of(window)) for window in windows_of(lattices, zone, block)]
