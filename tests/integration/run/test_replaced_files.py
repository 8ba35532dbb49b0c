"""Files that are replaced under the same name while a run is under way: no map is of both."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic import MapResult, map_region, plan, run_block, verify
from terramosaic.ground.grid import Rect
from terramosaic.imagery import inspection
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan
from terramosaic.request.request import RegionRequest
from tests.integration.conftest import Catalog
from tests.support.pixels import read
from tests.support.radar import write_rtc
from tests.support.scenes import write_scene
from tests.unit.model.toy_terramind import make_toy

GROUND = Rect(490_300, 50_004, 500, 500)
PLACE = Rect(GROUND.row + 100, GROUND.col + 30, 240, 300)
SCENE = {"S1RTC": "S1A_pass_rtc", "S2L2A": "S2A_33TWL_20230815"}


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    made = Catalog(tmp_path / "items")
    made.folder.mkdir()
    made.add(write_rtc(tmp_path / "rtc", GROUND, name=SCENE["S1RTC"], start="2023-08-14 05:00:00+00:00"))
    made.add(write_scene(tmp_path / "s2", GROUND, name=SCENE["S2L2A"]))
    return made


def request_of(catalog: Catalog, toy: str, out: Path, name: str) -> RegionRequest:
    return catalog.request(PLACE, out, model=toy, targets=("NDVI",), steps=1, inputs=(name,))


def begun(request: RegionRequest) -> Plan:
    """A run whose first block is done, of several that show the same scene."""
    made = plan(request)
    assert len(made.blocks) > 1
    run_block(made, made.blocks[0])
    return made


def replace(file: Path, factor: float) -> None:
    """Other numbers, in a file of another size."""
    with rasterio.open(file) as dataset:
        pixels, profile = dataset.read(), {**dataset.profile, "compress": None}
    file.unlink()
    with rasterio.open(file, "w", **profile) as dataset:
        dataset.write((pixels * factor).astype(pixels.dtype))


def file_of(tmp_path: Path, name: str) -> Path:
    pattern = {"S1RTC": "rtc/*_vv.tif", "S2L2A": "s2/*B08*.tif"}[name]
    return next(iter(tmp_path.glob(pattern)))


def same_pixels(one: MapResult, other: MapResult) -> bool:
    return bool(np.array_equal(read(one.mosaics["NDVI"])[0], read(other.mosaics["NDVI"])[0]))


@pytest.mark.parametrize("name", ["S1RTC", "S2L2A"])
def test_a_map_is_of_the_files_that_are_there_at_last(
    catalog: Catalog, toy: str, tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = map_region(request_of(catalog, toy, tmp_path / "before", name))
    request = request_of(catalog, toy, tmp_path / "out", name)
    begun(request)
    replace(file_of(tmp_path, name), 2 if name == "S1RTC" else 1.5)
    resumed = map_region(request)
    assert f"scene {SCENE[name]}: its files became others while the run was under way" in caplog.text
    assert "bytes, and had" in resumed.report.read_text()
    afresh = map_region(request_of(catalog, toy, tmp_path / "afresh", name))
    assert same_pixels(resumed, afresh) and not same_pixels(resumed, before)
    found = verify(resumed.folder, windows=10, write=False)
    assert found.failure is None and found.verified == found.drawn and not found.changed


def test_a_file_that_is_only_newer_has_nothing_computed_again(
    catalog: Catalog, toy: str, tmp_path: Path
) -> None:
    request = request_of(catalog, toy, tmp_path / "out", "S1RTC")
    made = begun(request)
    receipt = RunFolder.of(made).receipt_file(made.blocks[0])
    written = receipt.stat().st_mtime_ns
    os.utime(file_of(tmp_path, "S1RTC"))
    result = map_region(request)
    assert receipt.stat().st_mtime_ns == written
    decision = SceneRecords(RunFolder(result.folder)).read(SCENE["S1RTC"])
    assert decision is not None and decision.changed == 0 and not decision.notes


def test_what_never_rests_is_mapped_in_the_end(
    catalog: Catalog, toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that tells another size each time, as some that share a name do."""
    request = request_of(catalog, toy, tmp_path / "out", "S1RTC")
    begun(request)
    monkeypatch.setattr(inspection, "_LOOK_AGAIN", -1.0)
    monkeypatch.setattr(
        inspection, "changes_since", lambda scene, before: {"VV": "it has 1 bytes, and had 2"}
    )
    monkeypatch.setattr(
        "terramosaic.imagery.backscatter.problem_of_numbers", lambda numbers: (float(os.urandom(1)[0]), "")
    )
    result = map_region(request)
    decision = SceneRecords(RunFolder(result.folder)).read(SCENE["S1RTC"])
    assert decision is not None and decision.changed == inspection._MOST_CHANGES


def test_what_an_item_says_otherwise_than_its_file_is_told_and_not_as_trust(
    catalog: Catalog, toy: str, tmp_path: Path
) -> None:
    request = request_of(catalog, toy, tmp_path / "out", "S1RTC")
    replace(file_of(tmp_path, "S1RTC"), 2)
    page = map_region(request).report.read_text()
    assert "replaced since" in page and "trusted" not in page
