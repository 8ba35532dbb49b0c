"""Which acquisitions a rule takes as dates, and what stands in for those that are missing."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from terramosaic.planning.dates import Candidate, PlannedDate, choose, distinct, with_stand_ins
from terramosaic.request.dates import Dates

JUNE = date(2023, 6, 1), date(2023, 6, 30)


def candidates(*days: int, cloud: dict[int, float] | None = None) -> list[Candidate]:
    """Acquisitions of days of June, in no order of time."""
    found = [
        Candidate(
            index=day,
            day=date(2023, 6, day),
            start=datetime(2023, 6, day, 10, tzinfo=UTC),
            cloud=(cloud or {}).get(day, 5.0),
        )
        for day in days
    ]
    return found[::2] + found[1::2]


def days_of(chosen: list[Candidate | None]) -> list[int | None]:
    return [one and one.day.day for one in chosen]


def dates(**fields: object) -> Dates:
    return Dates.model_validate({"count": 4} | fields)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [15, 20, 25, 30]),
        ({"reference": "2023-06-20"}, [5, 10, 15, 20]),
        ({"reference": "2023-06-19"}, [1, 5, 10, 15]),
        ({"reference": "2023-06-20", "window_days": 10}, [None, 10, 15, 20]),
        ({"window_days": 9}, [None, None, 25, 30]),
        ({"reference": "2023-05-20"}, [None] * 4),
        ({"rule": "before_after", "reference": "2023-06-12"}, [5, 10, 15, 20]),
        ({"rule": "before_after", "reference": "2023-06-10"}, [1, 5, 10, 15]),
        ({"rule": "before_after", "reference": "2023-06-10", "count": 3}, [5, 10, 15]),
        ({"rule": "before_after", "reference": "2023-06-04"}, [None, 1, 5, 10]),
        ({"rule": "before_after", "reference": "2023-06-26"}, [20, 25, 30, None]),
        ({"rule": "before_after", "reference": "2023-06-12", "window_days": 3}, [None, 10, 15, None]),
        # Parts of 7.5 days, of each that whose middle of the day lies nearest to the part's.
        ({"rule": "evenly"}, [5, 10, 20, 25]),
        ({"rule": "evenly", "count": 2}, [10, 25]),
        # From the 10th to the 20th.
        ({"rule": "evenly", "count": 2, "reference": "2023-06-20", "window_days": 10}, [10, 20]),
    ],
)
def test_rules(fields: dict[str, object], expected: list[int | None]) -> None:
    known = candidates(1, 5, 10, 15, 20, 25, 30)
    assert days_of(choose(known, dates(**fields), JUNE)) == expected


def test_of_each_part_the_clearest_is_taken() -> None:
    known = candidates(1, 5, 10, 15, 20, 25, 30, cloud={1: 0.5, 30: 0.5})
    assert days_of(choose(known, dates(rule="evenly"), JUNE)) == [1, 10, 20, 30]
    assert days_of(choose(known, dates(rule="evenly"), (None, None))) == [1, 10, 20, 30]


def test_nothing_is_found_of_nothing() -> None:
    assert choose([], dates(), JUNE) == [None] * 4
    assert with_stand_ins([None] * 4, dates()) == [None] * 4


def test_the_nearest_stands_in_on_its_own_side_of_a_day() -> None:
    known = candidates(1, 5, 10, 15)
    early = dates(rule="before_after", reference="2023-06-04")
    chosen = choose(known, early, JUNE)
    assert days_of(with_stand_ins(chosen, early)) == [1, 1, 5, 10]
    before_all = dates(rule="before_after", reference="2023-06-01")
    chosen = choose(known, before_all, JUNE)
    assert days_of(with_stand_ins(chosen, before_all)) == [None, None, 1, 5]
    assert days_of(with_stand_ins(choose(known[:1], dates(), JUNE), dates())) == [1] * 4
    gap = [known[0], None, None, known[1]]
    assert with_stand_ins(gap, dates(rule="evenly")) == [known[0], known[0], known[1], known[1]]


def test_an_acquisition_that_stands_in_is_opened_once() -> None:
    moment = datetime(2023, 6, 1, tzinfo=UTC)
    planned = [
        PlannedDate(day="", acquisition=number, moment=moment + timedelta(days=place))
        for place, number in enumerate((1, 1, 0, 0))
    ]
    assert [one.acquisition for one in distinct(planned)] == [1, 0]
