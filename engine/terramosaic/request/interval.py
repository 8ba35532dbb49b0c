"""Periods of time as people write them: ISO 8601 intervals, days, months, years."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

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


def interval_text(dates: Mapping[str, Any]) -> str:
    """The interval of two dates as text.

    Raises:
        ValueError: there is something else than ``start`` and ``end``.
    """
    if unknown := sorted(set(dates) - {"start", "end"}):
        raise ValueError(f"a period has start and end, not {', '.join(unknown)}")
    return f"{dates.get('start') or '..'}/{dates.get('end') or '..'}"


def parse_interval(text: str) -> tuple[datetime | None, datetime | None]:
    """An ISO 8601 interval, day, month or year as first and last moment in UTC (None where open).

    Raises:
        ValueError: not a date, reversed, or open at both ends.
    """
    start_text, slash, end_text = text.strip().partition("/")
    start = _moment(start_text, last=False)
    end = _moment(end_text, last=True) if slash else _moment(start_text, last=True)
    if start is None and end is None:
        raise ValueError("both ends are open; give at least one date")
    if start and end and start > end:
        raise ValueError(f"interval is reversed: {start_text} is after {end_text}")
    return start, end


def format_interval(start: datetime | None, end: datetime | None) -> str:
    """The interval as RFC 3339, the form that every STAC API takes."""
    return "/".join(".." if moment is None else f"{moment:%Y-%m-%dT%H:%M:%SZ}" for moment in (start, end))


def _moment(text: str, *, last: bool) -> datetime | None:
    """The first or last second of what ``text`` names: a year, month, day or moment; None if it names nothing."""
    text = text.strip()
    if text in ("", ".."):
        return None
    try:
        if re.fullmatch(r"\d{4}(-\d{2}){0,2}", text):
            parts = [int(part) for part in text.split("-")]
            year, month, day = parts + [1] * (3 - len(parts))
            first = datetime(year, month, day, tzinfo=UTC)
            if not last:
                return first
            following = (
                first.replace(year=first.year + 1) if len(parts) == 1
                else (first.replace(day=1) + timedelta(days=32)).replace(day=1) if len(parts) == 2
                else first + timedelta(days=1)
            )  # fmt: skip
            return following - timedelta(seconds=1)
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is not an ISO 8601 date such as 2023-08-15 or 2023-08-15T10:00:00Z"
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
