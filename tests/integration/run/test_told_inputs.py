"""What each input had of a map's ground: flagged in its pixels, and told by its files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from shapely.geometry import mapping

from terramosaic import MapResult, map_region, open_run, verify
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import as_begun
from terramosaic.planning.layers import QUALITY_NODATA, QUALITY_SEA
from terramosaic.publishing.numbers import number, percent
from tests.integration.conftest import Catalog
from tests.integration.publishing.test_report import plain
from tests.support.heights import write_tile
from tests.support.pixels import read
from tests.support.radar import write_rtc
from tests.unit.model.toy_terramind import make_toy

#: On both sides of 15 degrees east, in column 50 000, north of 46 degrees.
GROUND = Rect(490_002, 49_602, 540, 900)
PLACE = Rect(GROUND.row + 60, GROUND.col + 150, 300, 400)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


@pytest.fixture(scope="module")
def coast(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """A pass of Sentinel-1, and tiles of heights in the east alone: in the west lies the sea."""
    folder = tmp_path_factory.mktemp("coast")
    catalog = Catalog(folder)
    catalog.add(
        write_rtc(folder / "s1", GROUND, name="S1A_near_rtc", start="2023-08-14 05:00:00+00:00", orbit=49863)
    )
    for kind in ("GLO-30", "GLO-90"):
        tile = write_tile(folder / "dem", 46, 15, kind=kind, around=(15.0, 46.03))
        catalog.add({
            "type": "Feature", "stac_version": "1.0.0", "id": tile.id, "collection": tile.collection, "links": [],
            "geometry": mapping(tile.geometry), "bbox": list(tile.geometry.bounds), "properties": {
                "datetime": "2021-04-22T00:00:00Z", "proj:epsg": 4326, "proj:transform": tile.transform,
                "proj:shape": tile.shape,
            },
            "assets": {"data": {"href": tile.assets["DEM"].href}},
        })  # fmt: skip
    return catalog


def mapped(catalog: Catalog, toy: str, out: Path, rect: Rect = PLACE, **fields: Any) -> MapResult:
    given = {"model": toy, "targets": ("NDVI",), "steps": 1, "seed": 5, "inputs": ("S1RTC", "DEM")}
    return map_region(catalog.request(rect, out, **given | fields))


@pytest.fixture(scope="module")
def by_the_sea(coast: Catalog, toy: str, tmp_path_factory: pytest.TempPathFactory) -> MapResult:
    return mapped(coast, toy, tmp_path_factory.mktemp("sea"))


def test_the_sea_is_a_flag_of_quality(by_the_sea: MapResult) -> None:
    flags, rect = read(by_the_sea.mosaics["quality"])
    is_sea = flags[0] & QUALITY_SEA != 0
    assert (flags != QUALITY_NODATA).all()
    # The next cell's first points lie in column 50 000, and 11 m before they are the nearest.
    west = np.broadcast_to(np.arange(rect.col, rect.col_end) < 49_999, rect.shape)
    np.testing.assert_array_equal(is_sea, west)
    fields = json.loads((by_the_sea.folder / "item.json").read_text())["assets"]["quality"]
    assert [field["name"] for field in fields["classification:bitfields"]][-1] == "sea"
    assert [field["offset"] for field in fields["classification:bitfields"]] == [0, 1, 2, 3, 4, 5]
    with rasterio.open(by_the_sea.mosaics["quality"]) as file:
        assert file.tags()["BIT_32"].startswith("sea: ")
    assert "sea" in (by_the_sea.folder / "quality.qml").read_text()
    assert verify(by_the_sea.folder, windows=8, write=False).passed


def test_maps_without_heights_know_of_no_sea(
    by_the_sea: MapResult, coast: Catalog, toy: str, tmp_path: Path
) -> None:
    without = mapped(coast, toy, tmp_path, inputs=("S1RTC",))
    flags = read(without.mosaics["quality"])[0]
    np.testing.assert_array_equal(flags, read(by_the_sea.mosaics["quality"])[0] & ~np.uint8(QUALITY_SEA))
    with rasterio.open(without.mosaics["quality"]) as file:
        assert "BIT_32" not in file.tags()


def test_a_run_that_was_begun_without_the_flag_stays_so(
    by_the_sea: MapResult,
    coast: Catalog,
    toy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("terramosaic.planning.layers.DEM", "what no input is called")
        begun = mapped(coast, toy, tmp_path)
    assert not (read(begun.mosaics["quality"])[0] & QUALITY_SEA).any()
    made = as_begun(by_the_sea.plan.model_copy(update={"request": begun.plan.request}))
    assert made.run_id == begun.plan.run_id and made.layers == open_run(begun.folder).plan.layers
    assert "has no flag 32 of quality" in caplog.text


def test_what_each_input_had_is_told_in_item_and_report(by_the_sea: MapResult) -> None:
    pixels, sea = PLACE.height * PLACE.width, PLACE.height * (49_999 - PLACE.col)
    told = json.loads((by_the_sea.folder / "item.json").read_text())["properties"]
    assert told["terramosaic:input_pixels"] == {
        "S1RTC": {"seen": pixels},
        "DEM": {"seen": pixels - sea, "sea": sea},
    }
    assert told["terramosaic:pass_pixels"] == {"2023-08-14 sentinel-1a descending R013": pixels}
    assert told["terramosaic:pass_days"] == {"2023-08-14 sentinel-1a descending R013": 2.29}
    page = plain(" ".join(re.sub("<[^>]*>", " ", by_the_sea.report.read_text()).split()))
    for row in (
        f"DEM {percent(1 - sea / pixels)} {percent(sea / pixels)}",
        f"2023-08-14 05:00 sentinel-1a descending 13 100.0 % 2.3 {number(pixels)} 100.0 %",
        f"sea, 0 m: no tile 1 {number(sea)} {percent(sea / pixels)} gaps 0 0.0 %",
    ):
        assert plain(row) in page
