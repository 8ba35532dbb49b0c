"""A finished run is opened again by its folder; one that is not, or that 0.1 planned, is told or taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic import (
    RequestError,
    assemble,
    map_region,
    open_run,
    plan,
    publish,
    read_plan,
)
from terramosaic.block.receipt import finished_blocks
from terramosaic.ground.grid import Rect
from terramosaic.model.bundle import DEMO_FOLDER
from terramosaic.planning.folder import write_plan
from tests.integration.conftest import LAND
from tests.support.earlier import as_0_1_wrote_it

RECT = Rect(LAND.row, LAND.col, 300, 300)


@pytest.fixture(scope="module")
def result(land, tmp_path_factory):
    return map_region(land.request(RECT, tmp_path_factory.mktemp("out"), targets=("NDVI",)))


def test_by_its_folder_its_plan_and_latest(result):
    for place in (result.folder, result.folder / "plan.json", result.folder.parent / "latest"):
        opened = open_run(str(place))
        assert opened.plan == result.plan and opened.was_done
        np.testing.assert_array_equal(opened.open("NDVI"), result.open("NDVI"))


def test_attributes_say_nothing_of_stored_numbers_beside_values_in_units(result):
    with rasterio.open(result.mosaics["NDVI"]) as stored:
        assert float(stored.tags(1)["STATISTICS_MAXIMUM"]) > 1
    opened = result.open("NDVI")
    assert float(opened.max()) <= 1 and opened.attrs["TERRAMOSAIC_LAYER"] == "NDVI"
    assert not [name for name in opened.attrs if name.startswith("STATISTICS_")]


def test_one_that_is_not_finished(land, tmp_path):
    folder = write_plan(plan(land.request(RECT, tmp_path, targets=("NDVI",))))
    with pytest.raises(RequestError, match=r"run: .* is not finished; run the same request again"):
        open_run(folder.location)


def test_no_run_at_all(tmp_path):
    with pytest.raises(RequestError, match="there is no such file"):
        open_run(str(tmp_path))


def test_plans_and_receipts_of_version_0_1_are_read(land, tmp_path):
    done = map_region(land.request(RECT, tmp_path, targets=("NDVI",), device="cpu"))
    as_0_1_wrote_it(done.folder)
    made = read_plan(done.folder)
    # Its pixels are of the first version, which knew no passes.
    (ranked,) = {(one.platform, one.relative_orbit) for one in made.acquisitions}
    assert made.pixels == 1 and ranked == ("", None)
    # Nor did it tell days.
    assert [layer.name for layer in made.layers] == ["NDVI", "quality"]
    today = {name: getattr(done.plan, name) for name in ("pixels", "acquisitions", "layers")}
    assert made.model_copy(update=today) == done.plan
    assert [receipt.device for receipt in finished_blocks(made).values()] == ["cpu"] * len(made.blocks)


def test_the_standard_deviation_of_0_1_keeps_its_files(land, tmp_path):
    done = map_region(land.request(RECT, tmp_path, targets=("NDVI", "LULC"), extras=("std", "confidence")))
    expected = done.open("NDVI_std").load()
    as_0_1_wrote_it(done.folder)
    opened = open_run(str(done.folder))
    assert list(opened) == ["NDVI", "NDVI_spread", "LULC", "LULC_confidence", "quality"]
    np.testing.assert_array_equal(opened.open("NDVI_spread"), expected)
    assert len(finished_blocks(opened.plan)) == len(opened.plan.blocks)


@pytest.fixture
def own_model(tmp_path) -> Path:
    """The demo's bundle in a folder that may go."""
    return Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))


def test_a_finished_run_needs_no_model(land, tmp_path, own_model):
    done = map_region(land.request(RECT, tmp_path / "out", targets=("NDVI", "LULC"), model=str(own_model)))
    expected = done.open("NDVI").load()
    shutil.rmtree(own_model)
    opened = open_run(str(done.folder))
    np.testing.assert_array_equal(opened.open("NDVI"), expected)
    assert opened["LULC"].layer.classes == done["LULC"].layer.classes
    assert "NDVI" in opened["NDVI"]._repr_html_() and "NDVI" in opened._repr_html_()
    (done.folder / "NDVI.tif").unlink()
    (done.folder / "report.html").unlink()
    # All that comes after the blocks is made again without it.
    assert {path.name for path in assemble(opened.plan)} == {
        "NDVI.tif",
        "LULC.tif",
        "LULC_confidence.tif",
        "LULC_disagreement.tif",
        "acquired.tif",
        "quality.tif",
    }
    publish(opened.plan)
    np.testing.assert_array_equal(open_run(str(done.folder)).open("NDVI"), expected)


def test_a_plan_of_0_1_without_its_model_says_what_to_do(land, tmp_path, own_model):
    done = map_region(land.request(RECT, tmp_path / "out", targets=("NDVI",), model=str(own_model)))
    as_0_1_wrote_it(done.folder)
    manifest = json.loads((own_model / "bundle.json").read_text())
    (own_model / "bundle.json").write_text(json.dumps(manifest | {"title": "another"}))
    with pytest.raises(RequestError, match=r"version 0.1 wrote it for another model .* put that one back"):
        open_run(str(done.folder))
    shutil.rmtree(own_model)
    with pytest.raises(RequestError, match=r"version 0.1 wrote it, and its layers .* there is no folder"):
        open_run(str(done.folder))
