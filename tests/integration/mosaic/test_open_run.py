"""A finished run is opened again by its folder; one that is not, or that 0.1 planned, is told or taken."""

from __future__ import annotations

import json

import numpy as np
import pytest

from terramosaic import RequestError, map_region, open_run, plan, read_plan
from terramosaic.block.receipt import finished_blocks
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import write_plan
from tests.integration.conftest import LAND

RECT = Rect(LAND.row, LAND.col, 300, 300)


@pytest.fixture(scope="module")
def result(land, tmp_path_factory):
    return map_region(land.request(RECT, tmp_path_factory.mktemp("out"), targets=("NDVI",)))


def test_by_its_folder_its_plan_and_latest(result):
    for place in (result.folder, result.folder / "plan.json", result.folder.parent / "latest"):
        opened = open_run(str(place))
        assert opened.plan == result.plan and opened.was_done
        np.testing.assert_array_equal(opened.open("NDVI"), result.open("NDVI"))


def test_one_that_is_not_finished(land, tmp_path):
    folder = write_plan(plan(land.request(RECT, tmp_path, targets=("NDVI",))))
    with pytest.raises(RequestError, match=r"run: .* is not finished; run the same request again"):
        open_run(folder.location)


def test_no_run_at_all(tmp_path):
    with pytest.raises(RequestError, match="there is no such file"):
        open_run(str(tmp_path))


def test_plans_and_receipts_of_version_0_1_are_read(land, tmp_path):
    done = map_region(land.request(RECT, tmp_path, targets=("NDVI",), device="cpu"))
    stored = json.loads((done.folder / "plan.json").read_text())
    stored["request"]["provider"] = stored["request"].pop("device")
    for scene in stored["scenes"].values():
        scene["provider"] = scene.pop("profile")
    (done.folder / "plan.json").write_text(json.dumps(stored))
    for receipt in done.folder.glob("blocks/*/block.json"):
        content = json.loads(receipt.read_text())
        content["provider"] = content.pop("device")
        receipt.write_text(json.dumps(content))
    made = read_plan(done.folder)
    assert made == done.plan
    assert [receipt.device for receipt in finished_blocks(made).values()] == ["cpu"] * len(made.blocks)
