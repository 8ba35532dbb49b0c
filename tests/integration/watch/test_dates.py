"""Watching with a model of several dates: a map for each acquisition that makes a set of dates whole."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest

from terramosaic import map_region
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.request.request import RegionRequest
from terramosaic.run.mapping import map_plan
from terramosaic.watch.watch import Watch, look
from tests.integration.conftest import Catalog
from tests.support.dated_model import make_dated
from tests.support.pixels import read
from tests.support.radar import write_rtc
from tests.support.scenes import write_scene

GROUND = Rect(490_002, 50_004, 300, 300)
PLACE = Rect(GROUND.row + 60, GROUND.col + 60, 150, 150)
DAYS = ("2023-08-05", "2023-08-10", "2023-08-15", "2023-08-20", "2023-08-25")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    (tmp_path / "catalog").mkdir()
    return Catalog(tmp_path / "catalog")


def add(catalog: Catalog, day: str, **more: object) -> None:
    name = f"S2A_33TWL_{day.replace('-', '')}"
    catalog.add(
        write_scene(catalog.folder / name, GROUND, name=name, day=day, level=10 * DAYS.index(day), **more)
    )


def add_radar(catalog: Catalog, day: str, number: int) -> None:
    folder = catalog.folder / f"radar{number}"
    start = f"{day} 05:00:00+00:00"
    catalog.add(write_rtc(folder, GROUND, name=f"S1A_{number}_rtc", start=start, orbit=49800 + 30 * number))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("models")
    kinds = {"optical": ("S2L2A",), "both": ("S2L2A", "S1RTC"), "radar": ("S1RTC",)}
    return {name: str(make_dated(folder / name, 2, inputs)) for name, inputs in kinds.items()}


def request_for(catalog: Catalog, model: str, out: Path, **fields: object) -> RegionRequest:
    given = {"model": model, "inputs": ("S2L2A",), "targets": ("seen",), "dtype": "float32",
             "datetime": "2023-08-01/.."}  # fmt: skip
    return catalog.request(PLACE, out, **given | fields)


def looked(request: RegionRequest, day: int, days: int = 30) -> Watch:
    return look(request, days, datetime(2023, 8, day, 23, tzinfo=UTC))


def mapped(request: RegionRequest, day: int, days: int = 30) -> list[list[str]]:
    """Days of the sets of dates that are new."""
    found = looked(request, day, days)
    for of_pass, made in list(found.new.items()):
        map_plan(made)
        found.record(of_pass)
    found.keep_newest()
    return [[one.day for one in made.dates] for made in found.new.values()]


def test_each_acquisition_that_makes_a_set_whole_is_mapped_once(
    catalog: Catalog, models: dict[str, str], tmp_path: Path
) -> None:
    request = request_for(catalog, models["optical"], tmp_path / "out")
    add(catalog, DAYS[0])
    assert mapped(request, 6) == []
    for day in DAYS[1:3]:
        add(catalog, day)
    assert mapped(request, 16) == [[DAYS[0], DAYS[1]], [DAYS[1], DAYS[2]]]
    assert mapped(request, 17) == []
    add(catalog, DAYS[3])
    assert mapped(request, 21) == [[DAYS[2], DAYS[3]]]
    # A short look back knows the older date all the same, and what slid out of it is no other set.
    assert mapped(request, 21, days=2) == []
    held = looked(request, 21).collection.mapped
    assert [each.of_pass.solar_day for each in held] == [date.fromisoformat(day) for day in DAYS[1:4]]
    newest, _ = read(tmp_path / "out" / "newest" / "seen.tif")
    same = map_region(
        request.model_copy(update={"datetime": "2023-08-01/2023-08-20", "out": str(tmp_path / "one")})
    )
    np.testing.assert_array_equal(newest, read(same.mosaics["seen"])[0])
    assert same.plan.run_id == held[-1].run_id


def test_what_a_set_was_made_of_and_was_processed_again_is_mapped_again(
    catalog: Catalog, models: dict[str, str], tmp_path: Path
) -> None:
    request = request_for(catalog, models["optical"], tmp_path / "out")
    for day in DAYS[:3]:
        add(catalog, day)
    assert len(mapped(request, 16)) == 2
    again = write_scene(catalog.folder / "again", GROUND, name="S2A_33TWL_20230810", day=DAYS[1], level=500)
    again["id"] += "_N0510"
    again["properties"]["s2:processing_baseline"] = "05.10"
    catalog.add(again)
    found = looked(request, 16)
    assert len(found.new) == len(found.again) == 2


def test_a_window_bounds_how_far_back_dates_lie(
    catalog: Catalog, models: dict[str, str], tmp_path: Path
) -> None:
    for day in (DAYS[0], DAYS[2], DAYS[3]):
        add(catalog, day)
    fields = {"dates": {"window_days": 7}, "datetime": "../2024-01-01"}
    request = request_for(catalog, models["optical"], tmp_path / "out", **fields)
    assert mapped(request, 21) == [[DAYS[2], DAYS[3]]]
    assert mapped(request, 21, days=1) == []
    open_end = request_for(catalog, models["optical"], tmp_path / "open", datetime="../2024-01-01")
    with pytest.raises(
        RequestError, match="dates: how far back they are looked for is open; say window_days"
    ):
        looked(open_end, 21)


def test_dates_around_a_day_are_mapped_when_those_behind_it_have_come(
    catalog: Catalog, models: dict[str, str], tmp_path: Path
) -> None:
    dates = {"rule": "before_after", "reference": "2023-08-12", "repeat_missing": True}
    request = request_for(catalog, models["optical"], tmp_path / "out", dates=dates)
    for day in DAYS[:2]:
        add(catalog, day)
    assert mapped(request, 12) == []
    for day in DAYS[2:4]:
        add(catalog, day)
    assert mapped(request, 21) == [[DAYS[1], DAYS[2]]]
    assert mapped(request, 21) == []


def test_of_reference_days_that_come_to_one_newest_date_the_last_counts(
    catalog: Catalog, models: dict[str, str], tmp_path: Path
) -> None:
    dates = {"rule": "evenly", "window_days": 14}
    request = request_for(catalog, models["optical"], tmp_path / "out", dates=dates)
    for day in DAYS[:3]:
        add(catalog, day)
    assert mapped(request, 16) == [
        [DAYS[0], DAYS[1]]
    ]  # of the 15th; of its second part the 10th is nearest its middle
    for day in DAYS[3:]:
        add(catalog, day, cloud=9.0 if day == DAYS[4] else 1.0)
    assert mapped(request, 26, days=3) == [[DAYS[2], DAYS[3]]]
    assert mapped(request, 26, days=3) == []


def test_radar_beside_dates_is_waited_for_and_stays(
    catalog: Catalog, models: dict[str, str], tmp_path: Path
) -> None:
    fields = {"inputs": ("S2L2A", "S1RTC"), "dates": {"pair_days": 2}}
    request = request_for(catalog, models["both"], tmp_path / "out", **fields)
    for day in DAYS[:2]:
        add(catalog, day)
    add_radar(catalog, "2023-08-05", 0)
    assert mapped(request, 11) == []
    add_radar(catalog, "2023-08-11", 1)
    assert mapped(request, 12) == [[DAYS[0], DAYS[1]]]
    add_radar(catalog, "2023-08-10", 2)  # nearer; the map that was made stays
    assert mapped(request, 12) == []


def test_passes_of_radar_alone_make_sets(catalog: Catalog, models: dict[str, str], tmp_path: Path) -> None:
    request = request_for(catalog, models["radar"], tmp_path / "out", inputs=("S1RTC",))
    for number, day in enumerate(DAYS[:3]):
        add_radar(catalog, day, number)
    assert mapped(request, 16) == [[DAYS[0], DAYS[1]], [DAYS[1], DAYS[2]]]
    assert mapped(request, 16) == []
