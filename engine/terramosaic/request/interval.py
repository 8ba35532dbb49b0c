"""Periods of time as people write them: years, months, weeks, days, hours, minutes, intervals of them (ISO 8601)."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from terramosaic.errors import printable

#: An interval in a form: two dates to pick, either of which may be left out, or the text of `parse_interval`.
INTERVAL_SCHEMA: dict[str, Any] = {
    "anyOf": [
        {
            "title": "Dates",
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "start": {
                    "title": "First day",
                    "description": "Empty: from the beginning",
                    "type": "string",
                    "format": "date",
                },
                "end": {
                    "title": "Last day",
                    "description": "Empty: until now",
                    "type": "string",
                    "format": "date",
                },
            },
        },
        {"title": "ISO 8601 interval", "type": "string"},
    ]
}


def interval_text(period: Any) -> str:
    """What a period is written as, also where a program says it: dates, moments, two of them, or a form's two dates.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(period, Mapping):
        if unknown := sorted(map(str, set(period) - {"start", "end"})):
            raise ValueError(f"a period has start and end, not {printable(', '.join(unknown))}")
        return f"{_text(period.get('start'))}/{_text(period.get('end'))}"
    if getattr(period, "ndim", 0) == 1:  # numpy, pandas
        period = list(period)
    if isinstance(period, list | tuple):
        if len(period) != 2:
            raise ValueError(f"a period has two ends, not {len(period)}")
        return "/".join(map(_text, period))
    return _text(period)


def _text(moment: Any) -> str:
    match moment:
        case None | "":
            return ".."
        case str():
            return moment
        case date():  # a datetime too
            return moment.isoformat()
        case bool():
            pass
        case int():  # YAML has 2023 and 20230815 as numbers
            return f"{moment:d}" if 0 < moment < 10**8 else "?"
    # numpy's moments are of a type of their own.
    if type(moment).__name__ == "datetime64":
        return str(moment)
    raise ValueError(
        f"a text such as 2023-08-15, a date or two of them are wanted, not {type(moment).__name__}"
    )


def parse_interval(text: str) -> tuple[datetime | None, datetime | None]:
    """The first and the last second, in UTC, of what a text names; None where it is open.

    Each end is a year, month, week, day, hour, minute or second in ISO 8601, basic or extended, and means the whole of
    it: ``20230815``, ``2023-227``, ``2023-W33-2`` and ``2023-08-15`` are one day, ``2023-08-15T10:30`` is a minute.

    Raises:
        ValueError: not a date, reversed, or open at both ends.
    """
    start_text, slash, end_text = text.strip().partition("/")
    first, end = _span(start_text), _span(end_text if slash else start_text)
    start, last = first and first[0], end and end[1]
    if start is None and last is None:
        raise ValueError("both ends are open; give at least one date")
    if start and last and start > last:
        raise ValueError(f"interval is reversed: {start_text} is after {end_text}")
    return start, last


def format_interval(start: datetime | None, end: datetime | None) -> str:
    """The interval as RFC 3339, the form that every STAC API takes."""
    return "/".join(
        ".." if moment is None else f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z"
        for moment in (start, end)
    )


def interval_in_words(text: str) -> str:
    """A text with its intervals as `format_interval` writes them told as people read them.

    ``2020-04-01T00:00:00Z/2020-04-30T23:59:59Z``: ``2020-04-01 to 2020-04-30``; parts of days keep their time.
    """
    return _WRITTEN.sub(_told, text)


def _told(found: re.Match[str]) -> str:
    begins, ends = found["first"].removesuffix("T00:00:00Z"), found["last"].removesuffix("T23:59:59Z")
    if ".." in (begins, ends):
        told = "all days" if begins == ends else f"until {ends}" if begins == ".." else f"from {begins} on"
    else:
        told = begins if begins == ends else f"{begins} to {ends}"
    return told.replace("T", " ").replace("Z", " UTC")


_MOMENT = r"(?:\.\.|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)"
#: An interval that is a word of its own, and no part of a path.
_WRITTEN = re.compile(rf"(?<!\S)(?P<first>{_MOMENT})/(?P<last>{_MOMENT})(?![^,;\s])")

_FORM = re.compile(
    r"(?P<days>[0-9W-]+)([T ](?P<time>[0-9]{2}(:?[0-9]{2}(:?[0-9]{2}(?P<fraction>[.,][0-9]+)?)?)?)"
    r"(?P<zone>Z|[+-][0-9]{2}(:?[0-9]{2})?)?)?"
)

_SECOND = timedelta(seconds=1)

#: How long a time is that has so many digits; with more it is a second.
_LENGTHS = {2: timedelta(hours=1), 4: timedelta(minutes=1)}


def _span(text: str) -> tuple[datetime, datetime] | None:
    """The first and the last second of what ``text`` names; None if it is an open end."""
    text = text.strip()
    if text in ("", ".."):
        return None
    try:
        form = _FORM.fullmatch(text.upper())
        if form is None:
            raise ValueError("another form")
        first, last = _days(form["days"])
        if form["time"] is None:
            return datetime.combine(first, time(), UTC), datetime.combine(last, time(23, 59, 59), UTC)
        if first != last:
            raise ValueError("a time of more than a day")
        told = form["time"].removesuffix(form["fraction"] or "")
        clock = time.fromisoformat(told + (form["zone"] or "Z"))
        moment = datetime.combine(first, clock).astimezone(UTC)
        length = _LENGTHS.get(len(told.replace(":", "")), _SECOND)
        return moment, moment + (length - _SECOND)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"'{printable(text)}' is not an ISO 8601 date such as 2023-08-15, 20230815, 2023-W33, 2023-08 or "
            "2023-08-15T10:00:00Z"
        ) from error


def _days(text: str) -> tuple[date, date]:
    """The first and the last day of a year, month, week or day."""
    if re.fullmatch("[0-9]{4}", text):
        return date(int(text), 1, 1), date(int(text), 12, 31)
    if found := re.fullmatch("([0-9]{4})-([0-9]{2})", text):
        year, month = map(int, found.groups())
        first = date(year, month, 1)
        return first, first.replace(day=monthrange(year, month)[1])
    if found := re.fullmatch("([0-9]{4})-?W([0-9]{2})", text):
        year, week = map(int, found.groups())
        monday = date.fromisocalendar(year, week, 1)
        return monday, monday + timedelta(days=6)
    if found := re.fullmatch("([0-9]{4})-?([0-9]{3})", text):  # the ordinal of a day in its year
        year, number = map(int, found.groups())
        day = date(year, 1, 1) + timedelta(days=number - 1)
        if day.year != year:
            raise ValueError("no such day")
    else:
        day = date.fromisoformat(text)
    return day, day
