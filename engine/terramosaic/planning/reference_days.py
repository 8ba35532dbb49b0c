"""Dates of a watched region: each new acquisition is a reference day, and has a set of dates once that is whole.

A set is chosen of what lies before its reference day alone, so it comes out the same whenever it is planned. It goes by
its newest date; where several reference days come to the same newest date (``evenly``), by the last of them. Where a
request names the reference day itself, there is one set.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

from terramosaic.errors import NoScenesError
from terramosaic.planning.dating import Dated, dated, dated_by_radar
from terramosaic.planning.prepared import Prepared
from terramosaic.planning.radar import Radar
from terramosaic.planning.searching import Found
from terramosaic.request.dates import Dates
from terramosaic.request.interval import format_interval
from terramosaic.request.request import RegionRequest

logger = logging.getLogger(__name__)

_DAY = timedelta(days=1)


def first_day_of_dates(request: RegionRequest, first: date) -> date | None:
    """From which day on acquisitions are searched, so that sets of dates up to ``first`` can be whole.

    Args:
        request: with its own period.
        first: the oldest reference day.

    Returns:
        None where nothing bounds it: the request's period has no first day, and its dates have no window.
    """
    start = request.interval[0]
    period = start.date() if start else None
    if not request.dates.window_days or request.dates.reference:
        return period
    window = first - request.dates.window_days * _DAY
    return max(window, period) if period else window


def sets_of_dates(prepared: Prepared, found: Found, first: date | None) -> Iterator[tuple[Prepared, Dated]]:
    """The whole sets of dates of a region that Sentinel-2 leads, by their reference day, the oldest first.

    Args:
        prepared: the request; its period reaches back to the oldest date that counts.
        found: all acquisitions.
        first: the oldest reference day; None: all.

    Raises:
        CatalogError: the catalog of Sentinel-1 failed.
        RequestError: it has none.
    """
    if prepared.request.dates.reference:
        yield from _if_whole(_alone(prepared), partial(dated, found=found))
        return
    for newest in sorted(found.acquisitions, key=lambda one: one.of_pass.order):
        day = newest.of_pass.solar_day
        if first is not None and day < first:
            continue
        begin = first_day_of_dates(prepared.request, day)
        before = [
            one
            for one in found.acquisitions
            if one.of_pass.order <= newest.of_pass.order and (begin is None or begin <= one.of_pass.solar_day)
        ]
        end = max(scene.datetime for scene in newest.scenes)
        known = replace(found, acquisitions=before, unknown=(), unusable=())
        for alone, its_own in _if_whole(_alone(prepared, begin, day, end), partial(dated, found=known)):
            if _may_end_before(alone) or its_own.found.acquisitions[0].of_pass.is_same(newest.of_pass):
                yield alone, its_own


def sets_of_passes(prepared: Prepared, radar: Radar, first: date | None) -> Iterator[tuple[Prepared, Dated]]:
    """As `sets_of_dates`, of a region that passes of Sentinel-1 lead."""
    if prepared.request.dates.reference:
        yield from _if_whole(_alone(prepared), partial(dated_by_radar, radar=radar))
        return
    for newest in sorted(radar.passes, key=lambda one: (one.start, one.label)):
        day = min(radar.scenes[key].solar_day for key in newest.scenes)
        if first is not None and day < first:
            continue
        begin = first_day_of_dates(prepared.request, day)
        before = [one for one in radar.passes if one.start <= newest.start]
        if begin is not None:
            before = [
                one for one in before if begin <= min(radar.scenes[key].solar_day for key in one.scenes)
            ]
        known = radar.model_copy(update={"passes": tuple(before)})
        asked = _alone(prepared, begin, day, newest.start)
        for alone, its_own in _if_whole(asked, partial(dated_by_radar, radar=known)):
            assert its_own.radar is not None  # it leads
            if _may_end_before(alone) or its_own.radar.passes[0].scenes == newest.scenes:
                yield alone, its_own


def _may_end_before(alone: Prepared) -> bool:
    """Whether a rule may leave out the reference day's own acquisition; else its set is that of the day before."""
    return alone.request.dates.rule == "evenly"


def _alone(
    prepared: Prepared, begin: date | None = None, day: date | None = None, end: datetime | None = None
) -> Prepared:
    """As a request for one set, whose words do not change with what comes later."""
    request = prepared.request
    dates: Dates = request.dates.model_copy(update={"repeat_missing": False})
    if day is None or end is None:
        return replace(prepared, request=request.model_copy(update={"dates": dates}))
    if dates.rule == "evenly":
        dates = dates.model_copy(update={"reference": day.isoformat()})
    start = datetime.combine(begin, time(), UTC) if begin else None
    period = format_interval(start, end + timedelta(seconds=1))
    return replace(prepared, request=request.model_copy(update={"dates": dates, "datetime": period}))


def _if_whole(alone: Prepared, choose: Callable[[Prepared], Dated]) -> Iterator[tuple[Prepared, Dated]]:
    try:
        yield alone, choose(alone)
    except NoScenesError as error:
        # Its other dates, or Sentinel-1 near to one, may come yet.
        logger.info("a set of dates is not whole yet: %s", error)
