"""Which passes of Sentinel-1 a run's windows are cut from: found when it is planned, and kept in the plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from terramosaic.catalog.backscatter import BackscatterScene, Direction
from terramosaic.catalog.backscatter_passes import (
    BackscatterPass,
    of_one_direction,
    rank_passes,
)
from terramosaic.catalog.backscatter_search import (
    EXCLUDED,
    FoundBackscatter,
    find_backscatter,
    hint_for_no_backscatter,
    open_backscatter,
)
from terramosaic.catalog.footprint import surroundings
from terramosaic.catalog.unusable import Unusable
from terramosaic.errors import NoRadarError, NoScenesError, UnusableItemError
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import Area
from terramosaic.planning.input_catalogs import catalog_of
from terramosaic.planning.pass_choice import WindowPasses
from terramosaic.request.interval import format_interval, interval_in_words
from terramosaic.request.request import RegionRequest

RADAR = "S1RTC"


class RankedPass(BaseModel):
    """A pass of Sentinel-1.

    Attributes:
        label: day, satellite, direction and relative orbit, in words.
        scenes: keys of its slices, in the order of time.
        coverage: share of the region under their footprints; 0 of one that lies beside it, which windows that stick out
            of the region may be cut from even so.
        days: between it and the moment that is wanted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    start: datetime
    platform: str
    direction: Direction
    absolute_orbit: int | None
    relative_orbit: int | None
    scenes: tuple[str, ...]
    coverage: float
    days: float

    @classmethod
    def of(cls, one: BackscatterPass) -> Self:
        """What a plan keeps of a pass."""
        return cls(
            label=one.label,
            start=one.start,
            platform=one.platform,
            direction=one.direction,
            absolute_orbit=one.absolute_orbit,
            relative_orbit=one.relative_orbit,
            scenes=tuple(scene.key for scene in one.scenes),
            coverage=one.coverage,
            days=round(one.days, 6),
        )


class Radar(BaseModel):
    """The Sentinel-1 that a run's windows are cut from: each window of one pass, all passes of one direction.

    Attributes:
        moment: that passes are wanted near to: of the best acquisition of Sentinel-2, or the middle of the period.
        passes: the best for the region first. A window is of the one that is the best for it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    moment: datetime
    searched: str
    passes: tuple[RankedPass, ...]
    scenes: dict[str, BackscatterScene]
    notes: tuple[str, ...] = Field(default=(), description="What was left out, and why")
    excluded: tuple[str, ...] = Field(default=(), description="Scenes that the request leaves out, by key")

    def only(self, one: RankedPass) -> Radar:
        """Of one pass, as if no other had been there."""
        alone = one.model_copy(update={"days": 0.0})
        scenes = {key: self.scenes[key] for key in one.scenes}
        return Radar(
            moment=one.start,
            searched=self.searched,
            passes=(alone,),
            scenes=scenes,
            excluded=self.excluded,
        )

    def keeping(self, keys: Collection[str]) -> Radar:
        """With some of its scenes alone; as it is, where that would leave none."""
        kept = [
            one.model_copy(update={"scenes": tuple(key for key in one.scenes if key in keys)})
            for one in self.passes
        ]
        passes = tuple(one for one in kept if one.scenes)
        if not passes:
            return self
        scenes = {key: self.scenes[key] for one in passes for key in one.scenes}
        return self.model_copy(update={"passes": passes, "scenes": scenes})

    def at(self, moment: datetime, keys: Collection[str]) -> Radar:
        """What there is of a date: passes near to another moment, of some of the scenes alone; none, perhaps."""
        there = self.scenes.keys() & set(keys)
        passes = tuple(
            one.model_copy(update={"scenes": tuple(key for key in one.scenes if key in there)})
            for one in self.passes
        )
        kept = tuple(one for one in passes if one.scenes)
        scenes = {key: self.scenes[key] for one in kept for key in one.scenes}
        return self.model_copy(update={"moment": moment, "passes": kept, "scenes": scenes})

    def window_passes(self, epsg: int, rect: Rect, composite: str) -> WindowPasses:
        """Which of `passes_with_scenes` windows within some pixels of a zone are cut from.

        Args:
            epsg: the zone.
            rect: the pixels.
            composite: the request's. Of a single acquisition a window has one pass where that covers it wholly: so what
                the acquisition is paired with hangs on nothing that comes later, nor farther away.
        """
        paired = composite == "single"
        return WindowPasses(self.passes_with_scenes(), self.moment, epsg, rect, paired=paired)

    def found_in(self, found: FoundBackscatter) -> Radar | None:
        """The same passes as a catalog tells them today; None if it has not all of them, or one of them otherwise."""
        there = {scene.key: scene for one in found.passes for scene in one.scenes}
        if any(
            key not in there or there[key].identity() != scene.identity()
            for key, scene in self.scenes.items()
        ):
            return None
        return self.model_copy(update={"scenes": {key: there[key] for key in self.scenes}})

    @property
    def oldest_first(self) -> list[RankedPass]:
        """The passes in the order by which they are numbered, which follows from no region."""
        return sorted(self.passes, key=lambda one: (one.start, one.platform, one.scenes))

    def passes_with_scenes(self) -> list[BackscatterPass]:
        """The passes as the catalog has them, the oldest first."""
        return [
            BackscatterPass(tuple(self.scenes[key] for key in one.scenes), one.coverage, one.days)
            for one in self.oldest_first
        ]


def find_radar(
    request: RegionRequest,
    area: Area,
    *,
    near: datetime | None,
    exclude: Iterable[str] = (),
    standing: Radar | None = None,
    metres: float = 0,
) -> Radar:
    """The passes that a request's windows are cut from.

    Args:
        request: says which direction, and how many days from ``near`` at most.
        area: the region.
        near: a moment of the imagery that leads, UTC; None where Sentinel-1 leads, whose period is the request's.
        exclude: ids of scenes to leave out.
        standing: what a map was made from that stands: it is found again, if all of it is there as it was, whatever
            there is beside it by now.
        metres: that windows reach around the region.

    Raises:
        NoScenesError: there is none, of its kind `NoRadarError` where it goes beside what leads; says what is there.
        RequestError: the catalog has no Sentinel-1 RTC.
        CatalogError: the catalog failed.
    """
    catalog = open_backscatter(*catalog_of(request, RADAR))
    start, end = _period(request, near)
    unusable = Unusable(() if request.strict else UnusableItemError, frozenset(exclude))
    # Windows stick out of the region, and where a slice ends beside it the next one of the pass goes on.
    found = find_backscatter(catalog, surroundings(area.parts, metres), start, end, unusable)
    if standing is not None and (again := standing.found_in(found)):
        return again
    over = [one for one in found.passes if one.coverage_of(area.outline) > 0]
    moment = near or _middle(start, end, over)
    passes, told = of_one_direction(over, area.outline, moment, request.direction)
    # Those beside the region, too: of which pass a window at a swath's rim is must not hang on the region.
    alike = [one for one in found.passes if passes and one.direction == passes[0].direction]
    ranked = rank_passes(alike, area.outline, moment)
    searched = f"{catalog.describe()}, {format_interval(start, end)}, {_in_words(request.direction)}"
    if not ranked:
        wanted: Direction = "" if request.direction == "best" else request.direction
        hint = hint_for_no_backscatter(catalog, area.parts, start, end, direction=wanted)
        kind = NoScenesError if near is None else NoRadarError
        raise kind(f"inputs: no Sentinel-1 found in {interval_in_words(searched)}; {hint}")
    return Radar(
        moment=moment,
        searched=searched,
        passes=tuple(map(RankedPass.of, ranked)),
        scenes={scene.key: scene for one in ranked for scene in one.scenes},
        notes=(
            *([told] if len(passes) < len(over) else []),
            *found.notes(),
        ),
        excluded=tuple(sorted(scene.key for scene, why in found.dropped if why == EXCLUDED)),
    )


def _period(request: RegionRequest, near: datetime | None) -> tuple[datetime | None, datetime | None]:
    if near is None:
        return request.interval
    reach = timedelta(days=request.max_days_apart)
    return near - reach, near + reach


def _middle(start: datetime | None, end: datetime | None, passes: Iterable[BackscatterPass]) -> datetime:
    """The middle of a period; where an end is open, of what was found up to there."""
    starts = [one.start for one in passes] or [datetime.now(UTC)]
    first, last = start or min(starts), end or max(starts)
    return first + (last - first) / 2


def _in_words(direction: Literal["best", "ascending", "descending"]) -> str:
    return "of one direction" if direction == "best" else direction
