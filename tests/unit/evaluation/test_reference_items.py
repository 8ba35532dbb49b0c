"""Which items a part is compared with: of the right time, of one pass, of one direction."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from shapely.geometry import Point, box

from terramosaic.catalog.footprint import footprint_of
from terramosaic.evaluation.reference import presets
from terramosaic.evaluation.reference_items import Found, ReferenceItem, _keep_one_direction, by_time, choose

RTC, IO, WORLDCOVER, DEM = (presets()[name] for name in ("s1-rtc", "io-lulc", "worldcover", "cop-dem"))
PART = box(14, 46, 14.1, 46.1)


def item(id_: str, moment: str, footprint=PART, **fields) -> ReferenceItem:
    return ReferenceItem(id_, {}, footprint, datetime.fromisoformat(moment).replace(tzinfo=UTC), **fields)


def chosen(reference, items, day: str) -> tuple[list[str], int]:
    found, away = choose(reference, items, PART, date.fromisoformat(day))
    return [one.id for one in found], away


def test_passes_are_never_mixed():
    halves = [
        item("a1", "2023-08-12T05:00", box(13, 45, 14.06, 47), flight="s1a 7"),
        item("a2", "2023-08-12T05:00", box(14.06, 45, 15, 47), flight="s1a 7"),
        item("b", "2023-08-15T17:00", box(13, 45, 14.05, 47), flight="s1a 9"),
        item("c", "2023-08-30T05:00", flight="s1a 21"),
    ]
    # The one that covers all of the part, though another is nearer in time.
    assert chosen(RTC, halves, "2023-08-15") == (["a1", "a2"], 3)
    assert chosen(RTC, halves, "2023-08-19") == (["b"], 4)
    assert chosen(RTC, halves, "2023-09-10") == ([], 0)


@pytest.mark.parametrize(("day", "days"), [("2023-08-06", 6), ("2023-08-18", 6), ("2023-08-19", None)])
def test_six_days_are_six_days(day, days):
    one = item("a", "2023-08-12T23:59", flight="x")
    assert chosen(RTC, [one], day) == ((["a"], days) if days else ([], 0))


def test_years():
    years = [item(f"{year}", f"{year}-01-01T00:00") for year in (2020, 2021, 2023)]
    assert chosen(IO, years, "2023-08-12") == (["2023"], 0)
    assert chosen(IO, years, "2022-08-12") == ([], 0)
    assert chosen(WORLDCOVER, years[:2], "2023-08-12") == (["2021"], 2)
    elsewhere = item("far", "2023-01-01T00:00", box(20, 46, 21, 47))
    assert chosen(WORLDCOVER, [elsewhere], "2023-08-12") == ([], 0)
    assert chosen(DEM, [elsewhere, item("here", "2021-04-22T00:00")], "2023-08-12") == (["here"], 0)


def test_one_direction_is_kept_and_told():
    region = box(14, 46, 16, 47)
    found = Found([
        item("d", "2023-08-15T05:00", box(14, 46, 15, 47), direction="descending"),
        item("a1", "2023-08-11T17:00", box(14, 46, 15, 47), direction="ascending"),
        item("a2", "2023-08-11T17:00", box(15, 46, 16, 47), direction="ascending"),
    ])  # fmt: skip
    _keep_one_direction(found, region, [date(2023, 8, 15)])
    assert [one.id for one in found.items] == ["a1", "a2"]
    assert found.notes == ["passes are ascending; 1 items of the other direction were left out"]
    assert by_time(found.items) == "2023-08-11"


def test_a_grid_zone_of_land_cover_lies_where_its_pixels_do():
    # As Planetary Computer has them on the antimeridian: a box around the world, and 890 km of pixels.
    ring = [[-180, 48], [180, 48], [180, 56], [-180, 56], [-180, 48]]
    told = {
        "id": "60U-2023",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "proj:epsg": 32660, "proj:shape": [89383, 44754], "proj:transform": [10, 0, 276_190, 0, -10, 6_210_000],
        },
        "assets": {"data": {"href": "https://example.com/60U.tif"}},
    }  # fmt: skip
    footprint = footprint_of(told)
    assert footprint.contains(Point(177, 52)) and not footprint.intersects(Point(0, 52))
    assert 40 < footprint.area < 60
