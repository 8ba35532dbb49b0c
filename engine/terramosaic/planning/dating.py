"""Finds a run's dates: acquisitions that serve the region alike, Sentinel-1 near to each, and the rule over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import shapely

from terramosaic.catalog import Acquisition
from terramosaic.catalog.backscatter import Direction
from terramosaic.catalog.backscatter_passes import BackscatterPass, covered_share, rank_passes
from terramosaic.catalog.backscatter_search import (
    EXCLUDED,
    FoundBackscatter,
    find_backscatter,
    open_backscatter,
)
from terramosaic.catalog.footprint import surroundings
from terramosaic.catalog.unusable import Unusable
from terramosaic.errors import NoScenesError, UnusableItemError
from terramosaic.ground.zones import Area
from terramosaic.planning.dates import Candidate, PairedPass, PlannedDate, choose, with_stand_ins
from terramosaic.planning.gaps import TOLD
from terramosaic.planning.input_catalogs import catalog_of
from terramosaic.planning.inputs import is_led_by_radar
from terramosaic.planning.prepared import Prepared
from terramosaic.planning.radar import RADAR, Radar, RankedPass
from terramosaic.planning.searching import OTHER_DATE, Found, led_by
from terramosaic.request.interval import format_interval, interval_in_words
from terramosaic.request.request import RegionRequest

#: An acquisition serves a region as another does if it covers no less of what that covers than this share.
_ALIKE = 0.95

_RULES = {
    "latest": "the newest",
    "evenly": "one in each part of the period",
    "before_after": "half of them before the reference day",
}


@dataclass(frozen=True)
class Dated:
    """What a run of several dates is made from.

    Attributes:
        found: with the acquisitions that are dates, the newest first.
        radar: Sentinel-1, if it is an input, of all dates.
        dates: the oldest first.
        notes: what to tell of them.
    """

    found: Found
    radar: Radar | None
    dates: tuple[PlannedDate, ...]
    notes: tuple[str, ...]


def dated(prepared: Prepared, found: Found) -> Dated:
    """The dates of a run that Sentinel-2 leads.

    Raises:
        NoScenesError: there are fewer than the model takes, and none is to be repeated; says what there is.
        RequestError: the catalog has no Sentinel-1 RTC.
        CatalogError: the catalog failed.
    """
    outline, best = prepared.area.outline, found.acquisitions[0]
    ground = shapely.union_all([scene.geometry for scene in best.scenes]).intersection(outline)
    alike = [
        index
        for index, one in enumerate(found.acquisitions)
        if covered_share((scene.geometry for scene in one.scenes), ground) >= _ALIKE
    ]
    candidates = [
        Candidate(index, of_pass.solar_day, of_pass.start, found.acquisitions[index].cloud)
        for index in alike
        if (of_pass := found.acquisitions[index].of_pass)
    ]
    reasons = []
    if others := len(found.acquisitions) - len(alike):
        reasons.append(f"{others} more acquisitions cover less of the region")
    pairs = None
    if RADAR in prepared.request.inputs:
        pairs = _Pairs.of(prepared, [one.start for one in candidates])
        kept = pairs.usable(candidates, prepared.request)
        if without := len(candidates) - len(kept):
            reasons.append(f"{without} have no Sentinel-1 within {pairs.reach / timedelta(days=1):g} days")
        candidates = kept
    chosen = _chosen(candidates, prepared.request, found.searched, reasons)
    newest_first = sorted(
        {one.index: one for one, _ in chosen}.values(),
        key=lambda one: (one.day, one.start, one.index),
        reverse=True,
    )
    places = {one.index: place for place, one in enumerate(newest_first)}
    dates = tuple(
        PlannedDate(
            day=one.day.isoformat(),
            acquisition=places[one.index],
            moment=one.start,
            passes=pairs.planned(one.start) if pairs else (),
            stands_in=stands_in,
        )
        for one, stands_in in chosen
    )
    radar = pairs.radar(dates) if pairs else None
    return Dated(_of_dates(found, list(places)), radar, dates, tuple(_told(dates)))


def dated_by_radar(prepared: Prepared, radar: Radar) -> Dated:
    """The dates of a run that passes of Sentinel-1 lead.

    Raises:
        NoScenesError: as `dated`.
    """
    over = [one for one in radar.passes if one.coverage > 0]
    outline = prepared.area.outline

    def footprints(one: RankedPass) -> shapely.Geometry:
        return shapely.union_all([radar.scenes[key].geometry for key in one.scenes])

    ground = footprints(over[0]).intersection(outline) if over else outline
    alike = [one for one in over if covered_share([footprints(one)], ground) >= _ALIKE]
    candidates = [
        Candidate(index, min(radar.scenes[key].solar_day for key in one.scenes), one.start)
        for index, one in enumerate(alike)
    ]
    left = len(over) - len(alike)
    reasons = [f"{left} more passes cover less of the region"] if left else []
    chosen = _chosen(candidates, prepared.request, radar.searched, reasons)
    newest_first = sorted(
        {one.index: one for one, _ in chosen}.values(), key=lambda one: (one.start, one.index), reverse=True
    )
    places = {one.index: place for place, one in enumerate(newest_first)}
    passes = tuple(alike[index].model_copy(update={"days": 0.0}) for index in places)
    scenes = {key: radar.scenes[key] for one in passes for key in one.scenes}
    radar = radar.model_copy(update={"passes": passes, "scenes": scenes, "moment": passes[0].start})
    dates = tuple(
        PlannedDate(
            day=one.day.isoformat(),
            acquisition=places[one.index],
            moment=one.start,
            passes=(PairedPass(label=alike[one.index].label, scenes=alike[one.index].scenes, days=0.0),),
            stands_in=stands_in,
        )
        for one, stands_in in chosen
    )
    return Dated(led_by(radar, prepared), radar, dates, tuple(_told(dates)))


def search_pairs_again(prepared: Prepared, dates: Sequence[PlannedDate]) -> None:
    """Asks the catalog for Sentinel-1 near to dates once more, for hrefs with signatures that no plan keeps."""
    _Pairs.of(prepared, [one.moment for one in dates])


def _chosen(
    candidates: Sequence[Candidate], request: RegionRequest, searched: str, reasons: Sequence[str]
) -> list[tuple[Candidate, bool]]:
    """By date the acquisition, and whether it stands in for one that is missing."""
    dates = request.dates
    picked = choose(candidates, dates, _days_of(request))
    filled = with_stand_ins(picked, dates) if dates.repeat_missing else picked
    found = [(one, picked[place] is None) for place, one in enumerate(filled) if one is not None]
    if len(found) == dates.count:
        return found
    there = [one.day.isoformat() for one in picked if one is not None]
    told = f"{dates.count} are wanted ({_RULES[dates.rule]}), and {len(there) or 'none'} found"
    named = f": {', '.join(there)}" if there else ""
    wider = "widen datetime or dates.window_days, raise max_cloud"
    if RADAR in request.inputs and not is_led_by_radar(request):
        wider += " or dates.pair_days"
    repeat = (
        "" if dates.repeat_missing else ", or take repeat_missing: true, which takes the nearest once more"
    )
    where = f"{interval_in_words(searched)}{named}{''.join(f'; {why}' for why in reasons)}"
    raise NoScenesError(f"dates: {told} in {where}; {wider}{repeat}")


def _days_of(request: RegionRequest) -> tuple[date | None, date | None]:
    start, end = request.interval
    return start.date() if start else None, end.date() if end else None


def _of_dates(found: Found, indices: Sequence[int]) -> Found:
    """Some of the acquisitions alone, in this order; the others' scenes are dropped."""
    others = [one for index, one in enumerate(found.acquisitions) if index not in indices]
    dropped = [*found.dropped, *((scene, OTHER_DATE) for one in others for scene in one.scenes)]
    kept: list[Acquisition[Any]] = [found.acquisitions[index] for index in indices]
    return replace(found, acquisitions=kept, dropped=dropped)


def _told(dates: Sequence[PlannedDate]) -> list[str]:
    missing = [one.day for one in dates if one.stands_in]
    return [
        f"dates: {day} is taken once more for {'a date' if count == 1 else f'{count} dates'} without an acquisition"
        for day in dict.fromkeys(missing)
        if (count := missing.count(day))
    ]


@dataclass
class _Pairs:
    """Sentinel-1 near to each of several moments, of one direction."""

    prepared: Prepared
    found: FoundBackscatter
    searched: str
    reach: timedelta
    direction: Direction = ""

    @classmethod
    def of(cls, prepared: Prepared, moments: Sequence[datetime]) -> _Pairs:
        """What the catalog has from before the first moment to behind the last."""
        request = prepared.request
        reach = timedelta(days=request.dates.pair_days or request.max_days_apart)
        start, end = min(moments) - reach, max(moments) + reach
        catalog = open_backscatter(*catalog_of(request, RADAR))
        unusable = Unusable(() if request.strict else UnusableItemError, prepared.named.exclude)
        around = surroundings(prepared.area.parts, prepared.metres)
        found = find_backscatter(catalog, around, start, end, unusable)
        return cls(prepared, found, f"{catalog.describe()}, {format_interval(start, end)}", reach)

    def usable(self, candidates: Sequence[Candidate], request: RegionRequest) -> list[Candidate]:
        """Those that have Sentinel-1, of the direction by which most dates are found, then with fewer days between."""
        directions = (
            sorted({one.direction for one in self.found.passes})
            if request.direction == "best"
            else [request.direction]
        )
        ranked = []
        for direction in directions:
            usable = self._paired(candidates, direction)
            picked = [one for one in choose(usable, request.dates, _days_of(request)) if one is not None]
            days = sum(self._near(one.start, direction)[0].days for one in picked)
            ranked.append((-len(picked), days, not direction, direction, usable))
        if not ranked:
            return []
        *_, self.direction, kept = min(ranked, key=lambda one: one[:-1])
        return kept

    def planned(self, moment: datetime) -> tuple[PairedPass, ...]:
        """The passes that windows of a date may be cut from, the best for the region first."""
        return tuple(
            PairedPass(
                label=one.label, scenes=tuple(scene.key for scene in one.scenes), days=round(one.days, 6)
            )
            for one in self._near(moment, self.direction)
        )

    def radar(self, dates: Sequence[PlannedDate]) -> Radar:
        """All that is near to any date; of each pass the days are those to the nearest."""
        passes: dict[str, BackscatterPass] = {}
        for moment in dict.fromkeys(one.moment for one in reversed(dates)):
            for one in self._near(moment, self.direction):
                known = passes.setdefault(one.scenes[0].key, one)
                if one.days < known.days:
                    passes[one.scenes[0].key] = one
        area = self.prepared.area
        without = [
            f"Sentinel-1: at {day} {1 - share:.1%} of the region lies under no pass and stays without data"
            for day, share in self._covered(dates, area).items()
            if 1 - share > TOLD
        ]
        told = f"Sentinel-1: passes are {self.direction or 'of a direction that is not told'}"
        others = {one.direction for one in self.found.passes} - {self.direction}
        excluded = sorted(scene.key for scene, why in self.found.dropped if why == EXCLUDED)
        return Radar(
            moment=dates[-1].moment,
            searched=f"{self.searched}, within {self.reach / timedelta(days=1):g} days of each date",
            passes=tuple(RankedPass.of(one) for one in passes.values()),
            scenes={scene.key: scene for one in passes.values() for scene in one.scenes},
            notes=(*([told] if others else []), *without, *self.found.notes()),
            excluded=tuple(excluded),
        )

    def _covered(self, dates: Sequence[PlannedDate], area: Area) -> Mapping[str, float]:
        return {one.day: self._share(one.moment, self.direction, area) for one in dates}

    def _paired(self, candidates: Sequence[Candidate], direction: Direction) -> list[Candidate]:
        shares = {one.index: self._share(one.start, direction, self.prepared.area) for one in candidates}
        best = max(shares.values(), default=0.0)
        return [one for one in candidates if shares[one.index] > 0 and shares[one.index] >= _ALIKE * best]

    def _share(self, moment: datetime, direction: Direction, area: Area) -> float:
        near = self._near(moment, direction)
        return covered_share((scene.geometry for one in near for scene in one.scenes), area.outline)

    def _near(self, moment: datetime, direction: Direction) -> list[BackscatterPass]:
        near = [
            one
            for one in self.found.passes
            if one.direction == direction and abs(one.start - moment) <= self.reach
        ]
        return rank_passes(near, self.prepared.area.outline, moment)
