"""Which acquisitions are a run's dates: a rule over days, coverage and clouds, for the run as a whole.

No block decides it, so all blocks agree; what was chosen is in the plan. A date is one acquisition of what leads. Of
Sentinel-1 beside it those passes that are near in time, of one direction at all dates; each window is of one of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pydantic import BaseModel, ConfigDict

from terramosaic.errors import RequestError
from terramosaic.model.bundle import Bundle
from terramosaic.planning.heights import DEM
from terramosaic.request.dates import Dates
from terramosaic.request.request import RegionRequest

_DAY = timedelta(days=1)

#: Digits of a percentage in which cloud counts.
_CLOUD_DIGITS = 9


class PairedPass(BaseModel):
    """A pass of Sentinel-1 that windows of a date may be cut from.

    Attributes:
        label: day, satellite, direction and relative orbit, in words.
        scenes: keys of its slices.
        days: between it and the date.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    scenes: tuple[str, ...]
    days: float


class PlannedDate(BaseModel):
    """One of a run's dates.

    Attributes:
        day: by the sun, of its acquisition.
        acquisition: which of the plan's it is, from 0.
        moment: when its first scene was sensed, UTC; Sentinel-1 is wanted near to it.
        passes: of Sentinel-1, if that is an input beside what leads; the best for the region first.
        stands_in: whether there was no acquisition for it, and another date's is taken once more.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    day: str
    acquisition: int
    moment: datetime
    passes: tuple[PairedPass, ...] = ()
    stands_in: bool = False

    @property
    def slices(self) -> frozenset[str]:
        """Keys of Sentinel-1 scenes that windows of the date may be cut from."""
        return frozenset(key for one in self.passes for key in one.scenes)

    def keeping(self, keys: Collection[str]) -> PlannedDate:
        """With some of its slices alone."""
        passes = (
            one.model_copy(update={"scenes": tuple(key for key in one.scenes if key in keys)})
            for one in self.passes
        )
        return self.model_copy(update={"passes": tuple(one for one in passes if one.scenes)})


def distinct(dates: Iterable[PlannedDate]) -> list[PlannedDate]:
    """Of dates that are one acquisition the first alone; in their order."""
    return list({one.acquisition: one for one in reversed(list(dates))}.values())[::-1]


def imagery_names(dates: Sequence[PlannedDate]) -> dict[int | None, str]:
    """By acquisition, what the imagery that a run keeps of it is called: by the first date that it is, from 1.

    A run without several dates has one, of no acquisition in particular.
    """
    if not dates:
        return {None: "imagery"}
    return {one.acquisition: f"imagery_{dates.index(one) + 1}" for one in distinct(dates)}


@dataclass(frozen=True)
class Candidate:
    """An acquisition that may be a date.

    Attributes:
        index: tells it from the others.
        day: by the sun.
        start: when its first scene was sensed, UTC.
        cloud: in percent.
    """

    index: int
    day: date
    start: datetime
    cloud: float = 0.0


def choose(
    candidates: Sequence[Candidate], dates: Dates, period: tuple[date | None, date | None]
) -> list[Candidate | None]:
    """The acquisitions that a rule takes, the oldest first; None for each that is missing.

    Args:
        candidates: in any order.
        dates: the rule, with its count.
        period: first and last day in which they were searched; None where open.
    """
    known = sorted(candidates, key=lambda one: (one.day, one.start, one.index))
    if not known:
        return [None] * dates.count
    if dates.rule == "before_after":
        return _around(known, dates)
    last = dates.day or period[1] or known[-1].day
    if dates.rule == "latest" and not dates.reference:
        last = known[-1].day
    first = last - dates.window_days * _DAY if dates.window_days else period[0] or known[0].day
    inside = [one for one in known if first <= one.day <= last]
    if dates.rule == "latest":
        newest = inside[-dates.count :]
        return [None] * (dates.count - len(newest)) + newest
    return _evenly(inside, first, last, dates.count)


def _around(known: Sequence[Candidate], dates: Dates) -> list[Candidate | None]:
    reference = dates.day
    assert reference is not None  # as the request has checked
    reach = dates.window_days * _DAY if dates.window_days else timedelta.max
    near = [one for one in known if abs(one.day - reference) <= reach]
    wanted = dates.count // 2
    before = [one for one in near if one.day < reference][-wanted:]
    behind = [one for one in near if one.day >= reference][: dates.count - wanted]
    lacking = wanted - len(before), dates.count - wanted - len(behind)
    return [None] * lacking[0] + before + behind + [None] * lacking[1]


def _evenly(inside: Sequence[Candidate], first: date, last: date, count: int) -> list[Candidate | None]:
    """Of each of so many parts of the days the clearest, then the nearest to the part's middle."""
    days = (last - first).days + 1
    found: list[Candidate | None] = []
    for part in range(count):
        begin, end = days * part / count, days * (part + 1) / count
        there = [one for one in inside if begin <= (one.day - first).days + 0.5 < end]

        def rank(
            one: Candidate, middle: float = (begin + end) / 2
        ) -> tuple[float, float, date, datetime, int]:
            away = abs((one.day - first).days + 0.5 - middle)
            return round(one.cloud, _CLOUD_DIGITS), away, one.day, one.start, one.index

        found.append(min(there, key=rank, default=None))
    return found


def with_stand_ins(chosen: Sequence[Candidate | None], dates: Dates) -> list[Candidate | None]:
    """With the nearest date in place of each that is missing; before a day never one from after it, nor the reverse."""
    half = dates.count // 2 if dates.rule == "before_after" else 0
    sides = [range(half), range(half, len(chosen))]
    filled: list[Candidate | None] = list(chosen)
    for side in sides:
        there = [place for place in side if chosen[place] is not None]
        for place in side:
            if chosen[place] is None and there:
                filled[place] = chosen[min(there, key=lambda one: (abs(one - place), one))]
    return filled


def with_dates(request: RegionRequest, bundle: Bundle) -> RegionRequest:
    """The request with the model's count of dates.

    Raises:
        RequestError: the model takes another, or what is asked for is not made of several dates.
    """
    taken = bundle.manifest.dates
    if taken == 1:
        if request.dates != Dates():
            raise RequestError(f"dates: bundle {bundle.name!r} takes one date; leave dates out")
        return request
    if request.dates.count not in (0, taken):
        raise RequestError(f"dates: bundle {bundle.name!r} takes {taken} dates, not {request.dates.count}")
    if request.composite == "median":
        raise RequestError(
            "composite: each date is one acquisition, of which there is no median; leave composite out"
        )
    for name in request.inputs:
        if name != DEM and bundle.inputs[name].dates == 1:
            raise RequestError(
                f"inputs: bundle {bundle.name!r} takes one date of {name} and {taken} of others; of {DEM} alone that "
                "can be mapped"
            )
    return request.model_copy(update={"dates": request.dates.model_copy(update={"count": taken})})
