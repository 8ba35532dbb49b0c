"""Periods: each form that a person or a program writes, and the seconds that it means."""

from datetime import UTC, date, datetime

import numpy as np
import pytest

from terramosaic.errors import RequestError
from terramosaic.request.interval import format_interval, interval_in_words, parse_interval
from terramosaic.request.request import request_of


def period(value):
    return request_of(region="33TWL", datetime=value).datetime


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("2023-08-15", "2023-08-15T00:00:00", "2023-08-15T23:59:59"),
        ("2024-02", "2024-02-01T00:00:00", "2024-02-29T23:59:59"),
        ("2023", "2023-01-01T00:00:00", "2023-12-31T23:59:59"),
        ("9999", "9999-01-01T00:00:00", "9999-12-31T23:59:59"),
        ("2023-08-01/2023-08", "2023-08-01T00:00:00", "2023-08-31T23:59:59"),
        ("2023-08-01T10:00:00+02:00/..", "2023-08-01T08:00:00", None),
        ("/2023-12-31", None, "2023-12-31T23:59:59"),
        # the basic format
        ("20230815", "2023-08-15T00:00:00", "2023-08-15T23:59:59"),
        ("20230801/20230815", "2023-08-01T00:00:00", "2023-08-15T23:59:59"),
        ("20230815T1030Z", "2023-08-15T10:30:00", "2023-08-15T10:30:59"),
        # weeks, from their Monday, and days counted in their year
        ("2023-W33", "2023-08-14T00:00:00", "2023-08-20T23:59:59"),
        ("2023W33/2023-W34", "2023-08-14T00:00:00", "2023-08-27T23:59:59"),
        ("2023-W33-2", "2023-08-15T00:00:00", "2023-08-15T23:59:59"),
        ("2023-227", "2023-08-15T00:00:00", "2023-08-15T23:59:59"),
        ("2024366", "2024-12-31T00:00:00", "2024-12-31T23:59:59"),
        # hours and minutes are whole
        ("2023-08-15T10", "2023-08-15T10:00:00", "2023-08-15T10:59:59"),
        ("2023-08-15T10:30", "2023-08-15T10:30:00", "2023-08-15T10:30:59"),
        ("2023-227T10/2023-08-15T11:30+01", "2023-08-15T10:00:00", "2023-08-15T10:30:59"),
        ("2023-08-15T10:30:15.024Z", "2023-08-15T10:30:15", "2023-08-15T10:30:15"),
    ],
)
def test_ends_are_inclusive_seconds_in_utc(text, start, end):
    found = parse_interval(text)
    assert tuple(moment and moment.replace(tzinfo=None).isoformat() for moment in found) == (start, end)
    assert parse_interval(format_interval(*found)) == found


@pytest.mark.parametrize(
    "text",
    [
        "202308",
        "2023-366",
        "2023-W54",
        "2023-W33T10",
        "2023-08-15x10:00",
        "2023-08-15T25",
        "15.08.2023",
        "2023-08-15T103",
        "2023-08-15T10.5",
    ],
)
def test_what_names_no_time_is_refused(text):
    with pytest.raises(ValueError, match=f"'{text}' is not an ISO 8601 date"):
        parse_interval(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (date(2023, 8, 15), "2023-08-15"),
        (datetime(2023, 8, 15, 10, 30, tzinfo=UTC), "2023-08-15T10:30:00Z"),
        ((date(2023, 8, 1), date(2023, 8, 31)), "2023-08"),
        ([date(2023, 8, 1), None], "2023-08-01/.."),
        (("2023-08", "2023-09"), "2023-08/2023-09"),
        (np.datetime64("2023-08-15"), "2023-08-15"),
        (np.array(["2023-08-01", "2023-08-31"], "datetime64[D]"), "2023-08"),
        (20230815, "2023-08-15"),
        ({"start": date(2023, 8, 1), "end": "2023-08-31"}, "2023-08"),
    ],
)
def test_values_of_python_are_taken(value, text):
    assert period(value) == period(text)


def test_period_as_the_two_dates_of_the_form():
    assert period({"start": "2023-08-01", "end": "2023-08-31"}) == period("2023-08")
    assert period({"start": "2023-08-01"}) == period("2023-08-01/..")
    assert period({"start": None, "end": "2023-08-31"}) == period("../2023-08-31")
    for wrong, line in (
        ({}, "datetime: both ends are open"),
        ({"begin": "2023"}, "datetime: a period has start and end, not begin"),
        ((1, 2, 3), "datetime: a period has two ends, not 3"),
        (1.5, "datetime: a text such as 2023-08-15, a date or two of them are wanted, not float"),
        ({"start": "05/01/2024"}, "datetime: '05' is not an ISO 8601 date"),
    ):
        with pytest.raises(RequestError, match=line):
            period(wrong)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("2020-04-01T00:00:00Z/2020-04-30T23:59:59Z", "2020-04-01 to 2020-04-30"),
        ("2020-04-01T00:00:00Z/2020-04-01T23:59:59Z", "2020-04-01"),
        ("2020-04-01T10:30:00Z/2020-04-02T23:59:59Z", "2020-04-01 10:30:00 UTC to 2020-04-02"),
        ("2020-04-01T00:00:00Z/..", "from 2020-04-01 on"),
        ("../2020-04-01T23:59:59Z", "until 2020-04-01"),
        ("../..", "all days"),
    ],
)
def test_what_was_searched_is_told_in_days(period, expected):
    catalog = "/data/2020-04-01T00:00:00Z/../catalog.json"
    assert (
        interval_in_words(f"{catalog}, {period}, cloud up to 40 %")
        == f"{catalog}, {expected}, cloud up to 40 %"
    )
