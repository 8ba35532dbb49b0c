"""A period of time cut into months, seasons or years, each of which is mapped by itself."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal

from terramosaic.errors import RequestError
from terramosaic.request.interval import format_interval
from terramosaic.request.request import RegionRequest

#: What a request can be cut into.
Every = Literal["month", "season", "year"]

#: Periods of a request; a century of months is most likely a slip.
_MOST = 600

#: Meteorological seasons by the month that they begin in; winter is that of the year in which it ends.
_SEASONS = {3: "MAM", 6: "JJA", 9: "SON", 12: "DJF"}
_MONTHS = {"month": 1, "season": 3, "year": 12}

_SECOND = timedelta(seconds=1)


def periods_of(request: RegionRequest) -> dict[str, RegionRequest]:
    """A request for each month, season or year that the request's period touches, the oldest first.

    Months are called ``2023-08``, years ``2023``, seasons ``2023-JJA``: March to May (MAM), June to August (JJA),
    September to November (SON), December to February (DJF, of the year of its January). Where the period begins or
    ends within one, it is that part of it. Each request is what one would write for that period alone, and so has the
    same run.

    Args:
        request: with ``every``.

    Raises:
        RequestError: the period has an open end, or there are too many.
    """
    if request.every == "none":
        return {"": request}
    first, last = request.interval
    if first is None or last is None:
        raise RequestError(
            f"every: the period needs a first and a last day to be cut into {request.every}s, such as 2023-01/2023-12"
        )
    found: dict[str, RegionRequest] = {}
    start = _begin(first, request.every)
    while start <= last:
        end = _later(start, _MONTHS[request.every])
        interval = format_interval(max(start, first), min(end - _SECOND, last))
        found[_name(start, request.every)] = request.model_copy(
            update={"every": "none", "datetime": interval}
        )
        if len(found) > _MOST:
            raise RequestError(
                f"every: the period has more than {_MOST} {request.every}s; take a shorter one"
            )
        start = end
    return found


def _begin(moment: datetime, every: Every) -> datetime:
    """When the month, season or year began that a moment is in."""
    month = datetime(moment.year, moment.month, 1, tzinfo=UTC)
    if every == "year":
        return month.replace(month=1)
    return _later(month, -(month.month % 3)) if every == "season" else month


def _later(month: datetime, months: int) -> datetime:
    years, index = divmod(month.month - 1 + months, 12)
    return month.replace(year=month.year + years, month=index + 1)


def _name(start: datetime, every: Every) -> str:
    if every == "year":
        return f"{start:%Y}"
    if every == "month":
        return f"{start:%Y-%m}"
    return f"{start.year + (start.month == 12)}-{_SEASONS[start.month]}"
