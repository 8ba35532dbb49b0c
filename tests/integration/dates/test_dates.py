"""Maps of several dates: what a window is handed, blocks and overlaps that agree, resume, dates that are missing."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import box, mapping

from terramosaic import MapResult, map_region, plan, run_block, verify
from terramosaic.errors import NoScenesError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import lonlat_of
from terramosaic.planning.layers import QUALITY_CLOUD, QUALITY_NODATA
from terramosaic.publishing.facts import PlanFacts
from tests.integration.conftest import Catalog
from tests.support.dated_model import make_dated
from tests.support.heights import write_tile
from tests.support.pixels import read
from tests.support.radar import power_at, write_rtc
from tests.support.scenes import dn_of, write_scene

GROUND = Rect(490_002, 50_004, 900, 900)
PLACE = Rect(GROUND.row + 150, GROUND.col + 150, 600, 640)
DAYS = ("2023-08-05", "2023-08-10", "2023-08-15", "2023-08-20", "2023-08-25")
#: Of each day what is added to all numbers.
LEVELS = {day: 100 * place for place, day in enumerate(DAYS)}
#: Where the scene of the 15th holds nothing, where that of the 20th is clouded, and where radar near the 25th is 0.
HOLE = Rect(GROUND.row + 300, GROUND.col + 300, 60, 84)
CLOUD = Rect(GROUND.row + 420, GROUND.col + 300, 40, 60)
DARK = Rect(GROUND.row + 400, GROUND.col + 560, 48, 60)


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Five acquisitions, the first without Sentinel-1 near to it, and one more of a half; a DEM."""
    folder = tmp_path_factory.mktemp("dates")
    catalog = Catalog(folder)
    holes = np.zeros(GROUND.shape, bool)
    holes[HOLE.slices(GROUND)] = True
    clouds = np.full((450, 450), 4)
    part = CLOUD.slices(GROUND)
    clouds[part[0].start // 2 : part[0].stop // 2, part[1].start // 2 : part[1].stop // 2] = 9
    for day in DAYS:
        catalog.add(
            write_scene(
                folder / day,
                GROUND,
                name=f"S2A_33TWL_{day.replace('-', '')}",
                day=day,
                level=LEVELS[day],
                holes=holes if day == "2023-08-15" else None,
                scl=clouds if day == "2023-08-20" else None,
                cloud=1.0 + DAYS.index(day),
            )
        )
    half = Rect(GROUND.row, GROUND.col, GROUND.height, 450)
    catalog.add(write_scene(folder / "half", half, name="S2A_33TWL_20230823", day="2023-08-23", cloud=0.1))

    def scaled(factor: float, dark: bool = False) -> Any:
        def change(pixels: np.ndarray) -> np.ndarray:
            made: np.ndarray = (pixels * factor).astype(np.float32)
            if dark:
                made[DARK.slices(GROUND)] = 0
            return made

        return change

    for number, (day, dark) in enumerate(
        (("08-11", False), ("08-15", False), ("08-19", False), ("08-26", True))
    ):
        catalog.add(
            write_rtc(
                folder / f"radar{number}",
                GROUND,
                name=f"S1A_{number}_rtc",
                start=f"2023-{day} 05:00:00+00:00",
                orbit=49800 + 30 * number,
                change=scaled(0.5 + 0.25 * number, dark),
            )
        )
    lon, lat = (float(middle) for middle in lonlat_of(box(*GROUND.bounds).centroid, 32633).coords[0])
    # The ground lies on both sides of a cell's edge.
    for south in (math.floor(lat) - 1, math.floor(lat)):
        tile = write_tile(folder / "dem", south, math.floor(lon), around=(lon, lat))
        assert tile.transform is not None
        catalog.add({
            "type": "Feature", "stac_version": "1.0.0", "id": tile.id, "collection": tile.collection, "links": [],
            "geometry": mapping(tile.geometry), "bbox": list(tile.geometry.bounds),
            "properties": {"datetime": "2021-04-22T00:00:00Z", "proj:epsg": 4326, "proj:transform": tile.transform,
                           "proj:shape": tile.shape},
            "assets": {"data": {"href": tile.assets["DEM"].href}},
        })  # fmt: skip
    return catalog


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_dated(tmp_path_factory.mktemp("model") / "three", 3, ("S2L2A", "S1RTC")))


def request_of(ground: Catalog, model: str, out: Path, rect: Rect = PLACE, **fields: Any) -> Any:
    given = {"model": model, "targets": ("seen", "mixed"), "inputs": ("S2L2A", "S1RTC"), "dtype": "float32",
             "dates": {"pair_days": 2}}  # fmt: skip
    return ground.request(rect, out, **given | fields)


def mapped(ground: Catalog, model: str, out: Path, rect: Rect = PLACE, **fields: Any) -> MapResult:
    return map_region(request_of(ground, model, out, rect, **fields))


@pytest.fixture(scope="module")
def result(ground: Catalog, model: str, tmp_path_factory: pytest.TempPathFactory) -> MapResult:
    return mapped(ground, model, tmp_path_factory.mktemp("out"))


def test_each_date_is_one_acquisition_and_has_its_own_pass(result: MapResult) -> None:
    made = result.plan
    assert [one.day for one in made.dates] == ["2023-08-15", "2023-08-20", "2023-08-25"]
    assert [made.acquisitions[one.acquisition].solar_day for one in made.dates] == [
        one.day for one in made.dates
    ]
    labels = [[each.label[:10] for each in one.passes] for one in made.dates]
    assert labels == [["2023-08-15"], ["2023-08-19"], ["2023-08-26"]]
    assert [one.passes[0].days for one in made.dates] == pytest.approx([5 / 24, 29 / 24, 19 / 24], abs=1e-6)
    reasons = {dropped.reason for dropped in made.dropped if dropped.id.startswith("S2A")}
    assert reasons == {"not of a date that was chosen"}


def test_a_window_is_handed_each_dates_own_pixels(result: MapResult) -> None:
    seen, rect = read(result.mosaics["seen"])
    part = rect.slices(GROUND)
    rows, cols = np.mgrid[rect.row : rect.row_end, rect.col : rect.col_end]
    valid = read(result.mosaics["quality"])[0][0] != QUALITY_NODATA
    for place, day in enumerate(("2023-08-15", "2023-08-20", "2023-08-25")):
        expected = dn_of("B03", *GROUND.shape, level=LEVELS[day])[part]
        np.testing.assert_allclose(seen[place][valid], expected[valid], rtol=1e-6)
        power = power_at("VV", rows, cols) * (0.75 + 0.25 * place)
        np.testing.assert_allclose(seen[3 + place][valid], 10 * np.log10(power)[valid], atol=1e-4)


def test_a_pixel_is_mapped_where_every_date_has_seen_it(result: MapResult) -> None:
    quality, rect = read(result.mosaics["quality"])
    empty = np.zeros(GROUND.shape, bool)
    empty[HOLE.slices(GROUND)] = True
    # At the edges of a swath some pixels are taken off.
    empty[DARK.pad(4).slices(GROUND)] = True
    np.testing.assert_array_equal(quality[0] == QUALITY_NODATA, empty[rect.slices(GROUND)])
    cloudy = np.zeros(GROUND.shape, bool)
    cloudy[CLOUD.slices(GROUND)] = True
    told = (quality[0] & QUALITY_CLOUD > 0) & (quality[0] != QUALITY_NODATA)
    np.testing.assert_array_equal(told, cloudy[rect.slices(GROUND)])


def told_of(result: MapResult) -> tuple[dict[str, dict[str, int]], dict[str, int]]:
    """What each input had and each pass shows, by the item."""
    told = json.loads((result.folder / "item.json").read_text())["properties"]
    return told["terramosaic:input_pixels"], told["terramosaic:pass_pixels"]


def test_each_pixel_is_counted_once_by_what_all_dates_have_of_an_input(
    ground: Catalog, model: str, result: MapResult, tmp_path: Path
) -> None:
    quality, rect = read(result.mosaics["quality"])
    pixels, hole, dark = rect.height * rect.width, HOLE.height * HOLE.width, DARK.height * DARK.width
    edge = (DARK.height + 8) * (DARK.width + 8) - dark
    left, mapped_pixels = pixels - hole, int((quality[0] != QUALITY_NODATA).sum())
    inputs, passes = told_of(result)
    assert inputs == {
        "S2L2A": {"seen": left, "missing": hole},
        "S1RTC": {"seen": left - dark - edge, "edge": edge, "unmarked": dark, "not_read": hole},
    }
    # All three passes show each pixel, at one of the dates.
    assert list(passes.values()) == [mapped_pixels] * 3 and mapped_pixels == left - dark - edge
    assert told_of(mapped(ground, model, tmp_path, block_size=2048)) == (inputs, passes)


def test_blocks_of_any_size_and_overlapping_regions_have_the_same_pixels(
    ground: Catalog, model: str, result: MapResult, tmp_path: Path
) -> None:
    whole = mapped(ground, model, tmp_path / "2048", block_size=2048)
    part = Rect(PLACE.row + 111, PLACE.col + 97, 300, 411)
    inside = mapped(ground, model, tmp_path / "part", part)
    for name in ("seen", "mixed", "quality", "acquired"):
        pixels, rect = read(result.mosaics[name])
        np.testing.assert_array_equal(pixels, read(whole.mosaics[name])[0])
        own, other = read(inside.mosaics[name])
        np.testing.assert_array_equal(own, pixels[:, *other.slices(rect)])


def test_a_run_that_was_stopped_goes_on_to_the_same_pixels(
    ground: Catalog, model: str, result: MapResult, tmp_path: Path
) -> None:
    request = request_of(ground, model, tmp_path)
    made = plan(request)
    run_block(made, made.blocks[0])
    resumed = map_region(request)
    assert resumed.plan.run_id == made.run_id == result.plan.run_id
    for name in ("seen", "mixed", "quality"):
        np.testing.assert_array_equal(read(resumed.mosaics[name])[0], read(result.mosaics[name])[0])


def test_verification_computes_the_same_windows(result: MapResult) -> None:
    found = verify(result.folder, windows=12)
    assert found.passed and found.verified > 0


def test_dates_before_and_after_a_day(ground: Catalog, model: str, tmp_path: Path) -> None:
    dates = {"rule": "before_after", "reference": "2023-08-16", "pair_days": 2}
    made = plan(request_of(ground, model, tmp_path, dates=dates))
    assert [one.day for one in made.dates] == ["2023-08-15", "2023-08-20", "2023-08-25"]
    evenly = plan(request_of(ground, model, tmp_path, dates={"rule": "evenly", "pair_days": 2}))
    assert [one.day for one in evenly.dates] == ["2023-08-10", "2023-08-15", "2023-08-25"]
    assert evenly.run_id != made.run_id
    latest = plan(request_of(ground, model, tmp_path, dates="3,pair_days=2"))
    assert latest.run_id == made.run_id  # the same dates by another rule are the same map


def test_missing_dates_are_told_and_repeated_on_request_alone(
    ground: Catalog, model: str, tmp_path: Path
) -> None:
    dates = {"reference": "2023-08-15", "pair_days": 2}
    with pytest.raises(NoScenesError) as error:
        plan(request_of(ground, model, tmp_path, dates=dates))
    line = str(error.value)
    assert "dates: 3 are wanted (the newest), and 2 found" in line and ": 2023-08-10, 2023-08-15" in line
    assert "1 more acquisitions cover less of the region; 1 have no Sentinel-1 within 2 days" in line
    assert "take repeat_missing: true" in line and "\n" not in line
    result = mapped(ground, model, tmp_path, dates=dates | {"repeat_missing": True}, targets=("seen",))
    made = result.plan
    assert [(one.day, one.stands_in) for one in made.dates] == [
        ("2023-08-10", True), ("2023-08-10", False), ("2023-08-15", False)
    ]  # fmt: skip
    assert "dates: 2023-08-10 is taken once more for a date without an acquisition" in made.warnings
    seen, _ = read(result.mosaics["seen"])
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_array_equal(seen[3], seen[4])


@pytest.mark.parametrize("one_dem", [True, False])
def test_heights_are_the_same_on_every_date(
    ground: Catalog, result: MapResult, tmp_path: Path, one_dem: bool
) -> None:
    inputs = ("S2L2A", "S1RTC", "DEM")
    model = str(make_dated(tmp_path / "model", 3, inputs, one_dem=one_dem))
    made = mapped(ground, model, tmp_path / "out", inputs=inputs, targets=("seen",))
    seen, _ = read(made.mosaics["seen"])
    before, _ = read(result.mosaics["seen"])
    np.testing.assert_array_equal(seen[:6], before)
    heights = seen[6:]
    assert len(heights) == (1 if one_dem else 3)
    valid = heights[0] > -30_000
    assert valid.mean() > 0.9 and np.ptp(heights[0][valid]) > 1
    for plane in heights:
        np.testing.assert_array_equal(plane, heights[0])


def test_passes_of_radar_alone_are_dates(ground: Catalog, tmp_path: Path) -> None:
    model = str(make_dated(tmp_path / "model", 2, ("S1RTC",)))
    result = mapped(ground, model, tmp_path / "out", inputs=("S1RTC",), dates={})
    made = result.plan
    assert [one.day for one in made.dates] == ["2023-08-19", "2023-08-26"]
    seen, rect = read(result.mosaics["seen"])
    rows, cols = np.mgrid[rect.row : rect.row_end, rect.col : rect.col_end]
    valid = np.isfinite(seen[0]) & (seen[0] > -100)
    assert valid.mean() > 0.9
    for place in range(2):
        power = power_at("VV", rows, cols) * (1.0 + 0.25 * place)
        np.testing.assert_allclose(seen[place][valid], 10 * np.log10(power)[valid], atol=1e-4)
    assert verify(result.folder, windows=6).passed


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"dates": 2}, "dates: bundle 'dated' takes 3 dates, not 2"),
        ({"composite": "median"}, "composite: each date is one acquisition, of which there is no median"),
        ({"inputs": ("S2L2A",)}, "inputs: bundle 'dated' takes"),
    ],
)
def test_what_is_not_made_of_several_dates_is_told(
    ground: Catalog, model: str, tmp_path: Path, fields: dict[str, Any], told: str
) -> None:
    with pytest.raises(RequestError) as error:
        mapped(ground, model, tmp_path, **fields)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_imagery_of_each_date_is_kept(ground: Catalog, model: str, result: MapResult, tmp_path: Path) -> None:
    kept = mapped(ground, model, tmp_path, keep_imagery=True, block_size=2048)
    assert [layer.name for layer in kept.plan.layers if layer.kind == "imagery"] == [
        "imagery_1", "imagery_2", "imagery_3"
    ]  # fmt: skip
    np.testing.assert_array_equal(read(kept.mosaics["seen"])[0], read(result.mosaics["seen"])[0])
    for place, day in enumerate(("2023-08-15", "2023-08-20", "2023-08-25"), start=1):
        pixels, rect = read(kept.mosaics[f"imagery_{place}"])
        expected = np.stack(
            [dn_of("B03", *GROUND.shape, level=LEVELS[day]), dn_of("B08", *GROUND.shape, level=LEVELS[day])]
        )
        if day == "2023-08-15":
            expected[:, *HOLE.slices(GROUND)] = 0
        inside = PLACE.intersection(rect)
        np.testing.assert_array_equal(pixels[:, *inside.slices(rect)], expected[:, *inside.slices(GROUND)])
    assert verify(kept.folder, windows=6).passed
    assert "What the model saw at date 3 is kept" in kept.report.read_text()


def test_imagery_of_a_date_that_stands_in_is_kept_once(ground: Catalog, model: str, tmp_path: Path) -> None:
    dates = {"reference": "2023-08-15", "pair_days": 2, "repeat_missing": True}
    kept = mapped(ground, model, tmp_path, keep_imagery=True, dates=dates, targets=("seen",))
    assert [name for name in kept.mosaics if name.startswith("imagery")] == ["imagery_1", "imagery_3"]


def test_a_model_of_one_date_takes_no_dates(ground: Catalog, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="dates: bundle 'demo' takes one date; leave dates out"):
        plan(ground.request(PLACE, tmp_path, dates={"rule": "evenly"}))


def test_report_item_and_plan_name_the_dates(result: MapResult) -> None:
    item = json.loads(result.item.read_text())
    told = item["properties"]["terramosaic:dates"]
    assert [one["day"] for one in told] == ["2023-08-15", "2023-08-20", "2023-08-25"]
    assert told[1]["scenes"] == list(result.plan.acquisitions[1].scenes)
    assert told[1]["sentinel-1"][0]["days"] == pytest.approx(29 / 24, abs=1e-6)
    assert not any(one["stands_in"] for one in told)
    assert (
        "Sentinel-2 L2A (3 dates, offset: remove) and Sentinel-1 RTC (descending, a pass a window and date)"
        in (item["properties"]["processing:lineage"])
    )
    days = item["assets"]["acquired"]["bands"][0]["classification:classes"][1:]
    assert all(each["description"].startswith("Sentinel-2 scenes S2A_33TWL_") for each in days)
    line = PlanFacts(plan=result.plan).figures["Dates"]
    assert line.startswith(
        "2023-08-15 (Sentinel-1 2023-08-15 sentinel-1a descending R013 0.2 days apart), 2023-08-20"
    )
    assert line.endswith("; the newest")
    report = result.report.read_text()
    assert "The model saw 3 dates, each one acquisition" in report
    assert "2023-08-19 sentinel-1a descending R013 1.2 days apart" in report


def test_a_scene_of_one_date_that_is_gone_is_no_fault_of_anothers(
    ground: Catalog, model: str, tmp_path: Path
) -> None:
    """Scenes of all dates are read at once; verification names the one whose file it misses, and no other."""
    result = mapped(ground, model, tmp_path, Rect(PLACE.row, PLACE.col, 120, 130))
    lost = Path(result.plan.scenes[result.plan.acquisitions[-1].scenes[0]].assets["B08"].href)
    kept = lost.rename(lost.with_suffix(".gone"))
    try:
        found = verify(result.folder, windows=6)
    finally:
        kept.rename(lost)
    assert found.verified == 0 and len(found.not_verifiable) == 1
    (reason,) = found.not_verifiable
    assert "asset B08 of S2A_33TWL_20230815 could not be read" in reason
