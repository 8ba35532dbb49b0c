"""A period cut into months, seasons and years."""

from __future__ import annotations

import pytest

from terramosaic.errors import RequestError
from terramosaic.request.periods import periods_of
from terramosaic.request.request import RegionRequest

BOX = (14.01, 46.02, 14.2, 46.13)


def cut(datetime: str, every: str) -> dict[str, str]:
    """Intervals by name."""
    found = periods_of(RegionRequest(region=BOX, datetime=datetime, every=every))
    assert all(one.every == "none" for one in found.values())
    return {name: one.datetime for name, one in found.items()}


def test_months_are_whole_but_for_the_ends():
    assert cut("2023-11-15/2024-02-29", "month") == {
        "2023-11": "2023-11-15T00:00:00Z/2023-11-30T23:59:59Z",
        "2023-12": "2023-12-01T00:00:00Z/2023-12-31T23:59:59Z",
        "2024-01": "2024-01-01T00:00:00Z/2024-01-31T23:59:59Z",
        "2024-02": "2024-02-01T00:00:00Z/2024-02-29T23:59:59Z",
    }


def test_seasons_are_meteorological_and_winter_is_of_its_january():
    assert cut("2023", "season") == {
        "2023-DJF": "2023-01-01T00:00:00Z/2023-02-28T23:59:59Z",
        "2023-MAM": "2023-03-01T00:00:00Z/2023-05-31T23:59:59Z",
        "2023-JJA": "2023-06-01T00:00:00Z/2023-08-31T23:59:59Z",
        "2023-SON": "2023-09-01T00:00:00Z/2023-11-30T23:59:59Z",
        "2024-DJF": "2023-12-01T00:00:00Z/2023-12-31T23:59:59Z",
    }
    assert cut("2023-12/2024-02", "season") == {"2024-DJF": "2023-12-01T00:00:00Z/2024-02-29T23:59:59Z"}


def test_years():
    assert list(cut("2019-05/2021", "year")) == ["2019", "2020", "2021"]
    assert cut("2020", "year") == {"2020": "2020-01-01T00:00:00Z/2020-12-31T23:59:59Z"}


@pytest.mark.parametrize("every", ["month", "season", "year"])
def test_periods_are_the_whole_without_gap_or_overlap(every):
    found = list(cut("2016-02-29T10:00:05/2021-07-03T01:02:03", every).values())
    starts, ends = zip(*(text.split("/") for text in found), strict=True)
    assert starts[0] == "2016-02-29T10:00:05Z" and ends[-1] == "2021-07-03T01:02:03Z"
    for end, start in zip(ends, starts[1:], strict=False):
        assert end.endswith("T23:59:59Z") and start.endswith("-01T00:00:00Z") and end < start


def test_a_request_of_one_run_is_as_it_was():
    request = RegionRequest(region=BOX, datetime="2023")
    assert periods_of(request) == {"": request}


def test_a_month_of_a_series_is_what_one_would_write_for_it():
    series = RegionRequest(region=BOX, datetime="2023", every="month")
    assert periods_of(series)["2023-08"] == RegionRequest(region=BOX, datetime="2023-08")


def test_an_open_period_and_a_century_of_months_are_refused():
    with pytest.raises(
        RequestError, match=r"every: the period needs a first and a last day to be cut into months"
    ):
        cut("2023-01/..", "month")
    with pytest.raises(RequestError, match="every: the period has more than 600 months; take a shorter one"):
        cut("1950/2024", "month")
