"""Maps from Sentinel-1, alone and beside Sentinel-2: pixels to mosaics, overlaps, gaps, two passes, verification."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import box, mapping

from terramosaic import MapResult, map_region, open_run, verify
from terramosaic.block.receipt import finished_blocks
from terramosaic.errors import NoScenesError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.ground.noise import GroundNoise, GroundUniform
from terramosaic.ground.zones import lonlat_of
from terramosaic.model.bundle import load_bundle
from terramosaic.model.generator import GenerationOptions, WindowRandomness
from terramosaic.model.opening import open_generator
from terramosaic.planning.layers import day_number
from terramosaic.watch.collection import MapCollection
from tests.integration.conftest import Catalog
from tests.integration.watch.newest_region import watch
from tests.support.heights import write_tile
from tests.support.pixels import read
from tests.support.radar import power_at, write_rtc
from tests.support.scenes import write_scene
from tests.unit.model.toy_terramind import make_toy

GROUND = Rect(490_002, 50_004, 900, 900)
#: What is mapped, well inside.
PLACE = Rect(GROUND.row + 250, GROUND.col + 250, 300, 320)
#: Where radar is 0, which it calls no gap.
HOLE = Rect(GROUND.row + 262, GROUND.col + 480, 40, 60)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A scene of Sentinel-2, a pass of Sentinel-1 a day before with a hole, and another a week later without."""
    folder = tmp_path_factory.mktemp("ground")
    catalog = Catalog(folder)
    catalog.add(write_scene(folder / "s2", GROUND))

    def without(pixels: np.ndarray) -> np.ndarray:
        pixels[HOLE.slices(GROUND)] = 0
        return pixels

    catalog.add(
        write_rtc(
            folder / "near",
            GROUND,
            name="S1A_near_rtc",
            start="2023-08-14 05:00:00+00:00",
            orbit=49863,
            change=without,
        )
    )
    # Half of the ground, so that for no window it is the better one where the other is whole.
    west = Rect(GROUND.row, GROUND.col, GROUND.height, 300)
    catalog.add(
        write_rtc(folder / "far", west, name="S1A_far_rtc", start="2023-08-26 05:00:00+00:00", orbit=50038)
    )
    return catalog


def mapped(ground: Catalog, toy: str, out: Path, rect: Rect = PLACE, **fields: Any) -> MapResult:
    given = {"model": toy, "targets": ("NDVI", "LULC"), "steps": 1, "seed": 5, "inputs": ("S1RTC",)}
    return map_region(ground.request(rect, out, **given | fields))


@pytest.fixture(scope="module")
def alone(ground: Catalog, toy: str, tmp_path_factory: pytest.TempPathFactory) -> MapResult:
    return mapped(ground, toy, tmp_path_factory.mktemp("alone"))


def test_the_model_sees_the_backscatter_that_is_on_the_ground(
    alone: MapResult, toy: str, tmp_path: Path
) -> None:
    """A pixel under one window alone is what the model makes of that window's dB."""
    ndvi, rect = read(alone.mosaics["NDVI"])
    i, j = -(-PLACE.row // 192), -(-PLACE.col // 192)
    window = Rect(i * 192, j * 192, 224, 224)
    core = Rect(window.row + 40, window.col + 40, 100, 100)
    assert HOLE.intersection(window).is_empty
    rows, cols = np.mgrid[window.row : window.row_end, window.col : window.col_end]
    db = np.stack([10 * np.log10(power_at(band, rows, cols)) for band in ("VV", "VH")]).astype(np.float32)
    bundle = load_bundle(toy)
    generator = open_generator(
        bundle, ("NDVI", "LULC"), options=GenerationOptions(steps=1, inputs=("S1RTC",))
    )
    randomness = {
        name: WindowRandomness(
            GroundNoise(5, name, 32633, 1).cut(window)[None] if name == "NDVI" else None,
            GroundUniform(5, name, 32633).cut(window)[None],
        )
        for name in ("NDVI", "LULC")
    }
    made = generator.generate({"S1RTC": db[None]}, randomness)["NDVI"][0]
    expected = np.rint(made[:, *core.slices(window)] * 10_000).astype(np.int16)
    np.testing.assert_allclose(ndvi[:, *core.slices(rect)], expected, atol=1)
    assert expected.std() > 1


def test_what_is_read_of_radar_is_counted(alone: MapResult) -> None:
    taken = sum(receipt.read_bytes or 0 for receipt in finished_blocks(alone.plan).values())
    # Two bands of float32; as quoted, of which 0.7 are what they are compressed.
    assert taken > 8 * PLACE.height * PLACE.width
    assert alone.plan.figures.read_gigabytes * 1e9 == pytest.approx(0.7 * taken, rel=0.3)


def test_where_radar_saw_nothing_there_is_no_map(alone: MapResult) -> None:
    ndvi, rect = read(alone.mosaics["NDVI"])
    hole = HOLE.intersection(rect)
    assert (ndvi[0][hole.slices(rect)] == -32768).all()
    # Its rim is taken off, too: there speckle and border noise meet.
    assert (ndvi[0] == -32768).sum() >= hole.height * hole.width
    assert (ndvi[0] != -32768).mean() > 0.5


def test_overlapping_regions_agree_and_parts_are_the_whole(
    ground: Catalog, alone: MapResult, toy: str, tmp_path: Path
) -> None:
    other = mapped(ground, toy, tmp_path, Rect(PLACE.row + 90, PLACE.col - 60, 260, 300))
    for name in ("NDVI", "LULC"):
        one, here = read(alone.mosaics[name])
        two, there = read(other.mosaics[name])
        shared = here.intersection(there)
        np.testing.assert_array_equal(one[:, *shared.slices(here)], two[:, *shared.slices(there)])


def test_at_the_end_of_a_slice_regions_agree(toy: str, tmp_path: Path) -> None:
    """Windows of a region that ends there reach into the next slice of the pass, as those of a larger one do."""
    catalog, end = Catalog(tmp_path / "items"), 280
    catalog.folder.mkdir()
    for name, rect, second in (
        ("north", Rect(GROUND.row, GROUND.col, end, GROUND.width), 0),
        ("south", Rect(GROUND.row + end, GROUND.col, GROUND.height - end, GROUND.width), 25),
    ):
        start = f"2023-08-14 05:00:{second:02}+00:00"
        catalog.add(write_rtc(tmp_path, rect, name=f"S1A_{name}_rtc", start=start, orbit=49863))
    larger = mapped(catalog, toy, tmp_path / "larger")
    south = mapped(catalog, toy, tmp_path / "south", Rect(GROUND.row + end + 2, PLACE.col, 268, PLACE.width))
    for name in ("NDVI", "LULC", "acquired"):
        one, here = read(larger.mosaics[name])
        two, there = read(south.mosaics[name])
        shared = here.intersection(there)
        np.testing.assert_array_equal(one[:, *shared.slices(here)], two[:, *shared.slices(there)])
    assert (two != 0).all()


def test_the_day_of_each_pixel_and_the_scenes_are_told(alone: MapResult) -> None:
    days, ndvi = (read(alone.mosaics[name])[0][0] for name in ("acquired", "NDVI"))
    assert np.unique(days[ndvi != -32768]).tolist() == [day_number(date(2023, 8, 14))]
    item = json.loads((alone.folder / "item.json").read_text())
    assert item["properties"]["constellation"] == "sentinel-1"
    assert item["properties"]["terramosaic:inputs"] == ["S1RTC"]
    titles = [link["title"] for link in item["links"] if link["rel"] == "derived_from"]
    assert "S1A_near_rtc" in titles
    report = alone.report.read_text()
    assert "S1A_<wbr>near" in report
    assert "Sentinel-1 that the model saw" in report


def test_a_map_from_radar_can_be_verified(alone: MapResult) -> None:
    found = verify(alone.folder, windows=20, write=False)
    assert found.failure is None
    assert found.verified == found.drawn > 0


@pytest.mark.slow
def test_a_target_has_a_stride_of_its_own(
    ground: Catalog, alone: MapResult, toy: str, tmp_path: Path
) -> None:
    own = mapped(ground, toy, tmp_path / "own", strides={"LULC": 112})
    at_112 = mapped(ground, toy, tmp_path / "112", stride=112)
    for name, other in (("NDVI", alone), ("LULC", at_112), ("LULC_disagreement", at_112)):
        np.testing.assert_array_equal(read(own.mosaics[name])[0], read(other.mosaics[name])[0], err_msg=name)
    assert verify(own, windows=20, write=False).passed


def test_radar_beside_optical_changes_the_map_and_is_told(
    ground: Catalog, alone: MapResult, toy: str, tmp_path: Path
) -> None:
    both = mapped(ground, toy, tmp_path / "both", inputs=("S1RTC", "S2L2A"))
    optical = mapped(ground, toy, tmp_path / "optical", inputs=("S2L2A",))
    assert both.plan.radar is not None
    assert [one.label[:10] for one in both.plan.radar.passes] == ["2023-08-14", "2023-08-26"]
    maps = {name: read(result.mosaics["NDVI"])[0] for name, result in
            {"both": both, "optical": optical, "alone": alone}.items()}  # fmt: skip
    everywhere = np.logical_and.reduce([pixels != -32768 for pixels in maps.values()])
    for other in ("optical", "alone"):
        assert (maps["both"] != maps[other])[everywhere].mean() > 0.1
    # Pixels count where both have seen the ground.
    np.testing.assert_array_equal(maps["both"] == -32768, maps["alone"] == -32768)
    again = open_run(both.folder)
    assert again.plan.radar == both.plan.radar
    assert verify(both.folder, windows=10, write=False).failure is None


def test_a_pass_that_is_gone_gives_way_to_the_next(ground: Catalog, toy: str, tmp_path: Path) -> None:
    """Its files are dead: the map is of the other pass where that has seen the ground, and it says so."""
    catalog = Catalog(tmp_path / "items")
    catalog.folder.mkdir()
    for file in ground.folder.glob("*.json"):
        item = json.loads(file.read_text())
        if item["id"] == "S1A_near_rtc":
            for key, asset in item["assets"].items():
                asset["href"] = str(tmp_path / f"gone_{key}.tif")
        catalog.add(item)
    result = mapped(catalog, toy, tmp_path / "out")
    days = read(result.mosaics["acquired"])[0][0]
    assert np.unique(days).tolist() == [0, day_number(date(2023, 8, 26))]
    item = json.loads((result.folder / "item.json").read_text())
    assert list(item["properties"]["terramosaic:left_out"]) == ["S1A_near_rtc"]


def test_a_median_needs_optical_imagery(ground: Catalog, toy: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="composite: median is of Sentinel-2"):
        mapped(ground, toy, tmp_path, composite="median")


@pytest.fixture(scope="module")
def hills(ground: Catalog, tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """The same ground with its heights: a plane that rises to the east and north."""
    folder = tmp_path_factory.mktemp("hills")
    catalog = Catalog(folder)
    for file in ground.folder.glob("*.json"):
        catalog.add(json.loads(file.read_text()))
    lon, lat = (float(middle) for middle in lonlat_of(box(*GROUND.bounds).centroid, 32633).coords[0])
    south, west = math.floor(lat), math.floor(lon)
    tile = write_tile(folder / "dem", south, west, around=(lon, lat))
    assert tile.transform is not None
    catalog.add({
        "type": "Feature", "stac_version": "1.0.0", "id": tile.id, "collection": tile.collection, "links": [],
        "geometry": mapping(tile.geometry), "bbox": list(tile.geometry.bounds),
        "properties": {"datetime": "2021-04-22T00:00:00Z", "proj:epsg": 4326, "proj:transform": tile.transform,
                       "proj:shape": tile.shape},
        "assets": {"data": {"href": tile.assets["DEM"].href}},
    })  # fmt: skip
    return catalog


def test_heights_beside_radar_are_what_the_model_sees(
    ground: Catalog, hills: Catalog, alone: MapResult, toy: str, tmp_path: Path
) -> None:
    both = mapped(hills, toy, tmp_path / "both", inputs=("S1RTC", "DEM"))
    assert both.plan.heights is not None
    assert both.plan.run_id != alone.plan.run_id
    one, other = (read(result.mosaics["NDVI"])[0] for result in (both, alone))
    np.testing.assert_array_equal(one == -32768, other == -32768)
    assert (one != other)[one != -32768].mean() > 0.1
    item = json.loads((both.folder / "item.json").read_text())
    assert "Copernicus DEM (metres above the geoid EGM2008" in item["properties"]["processing:lineage"]
    assert any("DSM" in link.get("title", "") for link in item["links"] if link["rel"] == "derived_from")
    shifted = mapped(
        hills,
        toy,
        tmp_path / "shifted",
        Rect(PLACE.row + 90, PLACE.col - 60, 260, 300),
        inputs=("DEM", "S1RTC"),
    )
    (whole, here), (part, there) = (read(result.mosaics["NDVI"]) for result in (both, shifted))
    shared = here.intersection(there)
    np.testing.assert_array_equal(whole[:, *shared.slices(here)], part[:, *shared.slices(there)])
    assert verify(both.folder, windows=10, write=False).failure is None


def test_all_three_inputs_make_a_map(hills: Catalog, toy: str, tmp_path: Path) -> None:
    result = mapped(hills, toy, tmp_path, inputs=("DEM", "S2L2A", "S1RTC"))
    assert result.plan.request.inputs == ("S2L2A", "S1RTC", "DEM")
    # Items of the other inputs beside those of Sentinel-2 are not told as of no use; the page lists their files.
    assert result.plan.dropped == () and not any("left out" in line for line in result.plan.warnings)
    page = result.report.read_text()
    assert "S1A_<wbr>near_<wbr>rtc" in page and "Copernicus_DSM_COG_10_N46E015" in page
    assert (read(result.mosaics["NDVI"])[0] != -32768).mean() > 0.5
    assert verify(result.folder, windows=10, write=False).failure is None


def counted(result: MapResult) -> dict[str, Counter[str]]:
    """What each input had, over all blocks."""
    found: dict[str, Counter[str]] = {}
    for receipt in finished_blocks(result.plan).values():
        for name, counts in (receipt.inputs or {}).items():
            found[name] = found.get(name, Counter()) + Counter(counts)
    return found


def test_what_each_input_had_is_counted_once_whatever_the_blocks(
    hills: Catalog, toy: str, tmp_path: Path
) -> None:
    inputs, place = ("S2L2A", "S1RTC", "DEM"), Rect(GROUND.row - 60, PLACE.col, 500, PLACE.width)
    small = mapped(hills, toy, tmp_path / "small", place, inputs=inputs, strides={"LULC": 112})
    large = mapped(hills, toy, tmp_path / "large", place, inputs=inputs, block_size=2048)
    assert len(small.plan.blocks) > len(large.plan.blocks) == 1
    found = counted(large)
    beyond, hole = 60 * place.width, HOLE.height * HOLE.width
    edge = found["S1RTC"]["edge"]
    assert edge == (HOLE.height + 8) * (HOLE.width + 8) - hole + 4 * place.width
    assert found == {
        "S2L2A": {"seen": 440 * place.width, "missing": beyond},
        "S1RTC": {
            "seen": 440 * place.width - hole - edge,
            "unmarked": hole,
            "edge": edge,
            "not_read": beyond,
        },
        "DEM": {"seen": 440 * place.width, "not_read": beyond},
    }
    assert counted(small) == found
    # What all have seen is mapped, and nothing else.
    assert (read(large.mosaics["NDVI"])[0] != -32768).sum() == found["S1RTC"]["seen"]


def test_without_heights_a_map_of_them_is_refused(ground: Catalog, toy: str, tmp_path: Path) -> None:
    with pytest.raises(NoScenesError, match="no tile of the Copernicus DEM there"):
        mapped(ground, toy, tmp_path, inputs=("S1RTC", "DEM"))


def test_a_watched_region_is_mapped_pass_by_pass(ground: Catalog, toy: str, tmp_path: Path) -> None:
    """Passes are acquisitions: each a map of its own, and the newest mosaic is of the newest one that saw a pixel."""
    given = {"model": toy, "targets": ("NDVI",), "steps": 1, "inputs": ("S1RTC",), "datetime": "2023-08"}
    watch(ground.request(PLACE, tmp_path, **given), "2023-08-31")
    mapped_passes = MapCollection(tmp_path).mapped
    assert [str(held.of_pass.solar_day) for held in mapped_passes] == ["2023-08-14", "2023-08-26"]
    assert [held.of_pass.platform for held in mapped_passes] == ["sentinel-1a"] * 2
    pixels = read(tmp_path / "newest" / "NDVI.tif")[0]
    assert (pixels != -32768).mean() > 0.5
    again = watch(ground.request(PLACE, tmp_path, **given), "2023-08-31")
    assert (again.found, again.new) == (2, {})
