"""What a disk and a server tell of a scene's files, and what of that is a change."""

from __future__ import annotations

import pytest

from terramosaic.ground.grid import Rect
from terramosaic.imagery.asset_facts import AssetFacts, asset_facts
from terramosaic.imagery.scene_decision import SceneDecision
from tests.support.file_server import serve_files
from tests.support.scenes import as_scene, write_scene

RECT = Rect(490_002, 50_004, 240, 240)


@pytest.fixture
def item(tmp_path):
    return write_scene(tmp_path, RECT)


def test_a_disk_tells_size_and_time(item, tmp_path):
    scene = as_scene(item)
    facts = asset_facts(scene)
    assert facts.keys() == scene.assets.keys()
    assert facts["B04"].size == (tmp_path / "S2A_33TWL_20230815_B04.tif").stat().st_size
    assert not any(facts[band].change_since(told) for band, told in asset_facts(scene).items())
    (tmp_path / "S2A_33TWL_20230815_B04.tif").unlink()
    assert asset_facts(scene).keys() == scene.assets.keys() - {"B04"}


def test_a_server_tells_size_and_etag_by_one_byte(item, tmp_path):
    with serve_files(tmp_path) as files:
        for asset in item["assets"].values():
            asset["href"] = files.url(asset["href"].rpartition("/")[2])
        scene = as_scene(item)
        before = asset_facts(scene)
        path = tmp_path / "S2A_33TWL_20230815_B04.tif"
        assert before["B04"].size == path.stat().st_size
        assert before["B04"].etag and before["B04"].modified
        path.write_bytes(path.read_bytes() + b"more")
        files.fail["S2A_33TWL_20230815_B02.tif"] = (503, 100)
        now = asset_facts(scene)
        assert now.keys() == before.keys() - {"B02"}
        assert [band for band in now if now[band].change_since(before[band])] == ["B04"]
        assert "bytes, and had" in now["B04"].change_since(before["B04"])


@pytest.mark.parametrize(
    ("before", "now", "change"),
    [
        ({"size": 5}, {"size": 6}, "it has 6 bytes, and had 5"),
        (
            {"size": 5, "etag": "a", "modified": "x"},
            {"size": 5, "etag": "b", "modified": "x"},
            "its ETag is b",
        ),
        ({"size": 5, "etag": "a", "modified": "x"}, {"size": 5, "etag": "a", "modified": "y"}, ""),
        ({"size": 5, "modified": "x"}, {"size": 5, "modified": "y"}, "it was written y"),
        ({"size": 5, "etag": "a"}, {"size": 5}, ""),
        ({}, {"size": 5, "etag": "a", "modified": "x"}, ""),
    ],
)
def test_what_was_not_told_does_not_count(before, now, change):
    found = AssetFacts(**now).change_since(AssetFacts(**before))
    assert found.startswith(change) and bool(found) is bool(change)


def test_a_decision_is_the_same_whatever_was_told_of_files():
    told = SceneDecision(scene="a", files={"B04": AssetFacts(size=1)})
    assert told.fingerprint == SceneDecision(scene="a").fingerprint
    assert SceneDecision.model_validate_json(told.model_dump_json()) == told
