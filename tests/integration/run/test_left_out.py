"""Scenes that a run leaves out by their looks or their files: told everywhere, and the next best in their place."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic import assemble, map_region, plan, publish, run_block
from terramosaic.block.receipt import finished_block, finished_blocks, outdated_blocks
from terramosaic.cli.show import result_as_json
from terramosaic.errors import NothingLeftError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.publishing.item import told_warnings
from terramosaic.run.mapping import map_plan
from terramosaic.watch.watch import look
from tests.integration.conftest import LAND, Catalog
from tests.support.scenes import write_scene

PLACE = Rect(LAND.row, LAND.col, 600, 600)
BAD, GOOD = "S2A_33TWL_20230815", "S2B_33TWL_20230820"


def spoil(item):
    """Makes of a scene what earth-search#78 shows: bright noise in the 10 m bands, and a classification of nothing."""
    rng = np.random.default_rng(3)
    for band in ("B02", "B03", "B04", "B08", "SCL"):
        with rasterio.open(item["assets"][band]["href"], "r+") as file:
            if band == "SCL":
                file.write(np.zeros((1, *file.shape), np.uint8))
            else:
                file.write(rng.integers(64_000, 65_000, (1, *file.shape)).astype(np.uint16))


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    bad = write_scene(folder, PLACE, name=BAD)
    spoil(bad)
    return {
        BAD: bad,
        GOOD: write_scene(folder, PLACE, name=GOOD, day="2023-08-20", level=900, cloud=9.0),
    }


@pytest.fixture
def request_for(items, tmp_path):
    def requested(*names, **fields):
        catalog = Catalog(tmp_path / "-".join(names))
        catalog.folder.mkdir(exist_ok=True)
        for name in names:
            catalog.add(items[name])
        return catalog.request(PLACE, tmp_path / "maps", targets=("NDVI",), **fields)

    return requested


def pixels(result):
    with rasterio.open(result.mosaics["NDVI"]) as file:
        return file.read()


def test_an_implausible_scene_is_left_out_and_told(request_for):
    result = map_region(request_for(BAD, GOOD))
    np.testing.assert_array_equal(pixels(result), pixels(map_region(request_for(GOOD))))
    properties = json.loads(result.item.read_text())["properties"]
    told = properties["terramosaic:left_out"][BAD]
    assert told["cause"] == "implausible" and told["figures"]["against_scl"] > 0.9
    (line,) = [line for line in told_warnings(result.plan, RunFolder(result.folder)) if BAD in line]
    assert (
        line
        == f"scene {BAD} was left out (implausible): {told['reason']}; --trust {BAD} uses it all the same"
    )
    assert result_as_json(result)["left_out"] == [line]
    assert "left out (implausible)" in result.report.read_text()
    links = json.loads(result.item.read_text())["links"]
    assert [link["title"] for link in links if link["rel"] == "derived_from"] == [GOOD]


@pytest.mark.slow
def test_a_request_may_trust_it(request_for):
    left_out, trusted = (map_region(request_for(BAD, GOOD, **fields)) for fields in ({}, {"trust": [BAD]}))
    assert trusted.plan.run_id != left_out.plan.run_id
    decision = SceneRecords(RunFolder(trusted.folder)).read(BAD)
    assert decision.is_used and decision.reason
    assert f"scene {BAD} is trusted by the request, but " in str(result_as_json(trusted)["left_out"])


def test_where_nothing_is_left_the_reasons_are_told_each_time(request_for):
    for _ in range(2):
        with pytest.raises(NothingLeftError, match=rf"nothing is left to map.*{BAD}: .*trust them") as told:
            map_region(request_for(BAD))
        assert told.value.exit_code == 4
    assert not list((RunFolder.of(plan(request_for(BAD))).path).glob("*.tif"))


@pytest.fixture
def with_a_hollow_one(items, request_for, tmp_path):
    """Requests of scenes and one more of their pass, which can be used and holds nothing over the region."""
    hollow = write_scene(
        tmp_path / "hollow", PLACE, name="S2A_33TWM_20230815", holes=np.ones((600, 600), bool), cloud=0.0
    )

    def requested(*names, **fields):
        Catalog(tmp_path / "-".join(names)).folder.mkdir()
        Catalog(tmp_path / "-".join(names)).add(hollow)
        return request_for(*names, **fields)

    return requested


@pytest.mark.slow
def test_a_dead_file_that_comes_back_is_found_also_beside_scenes_that_hold_nothing(items, with_a_hollow_one):
    request = with_a_hollow_one(GOOD)
    file = Path(items[GOOD]["assets"]["B11"]["href"])
    kept = file.rename(file.with_suffix(".kept"))
    try:
        with pytest.raises(NothingLeftError, match="B11"):
            map_region(request)
    finally:
        kept.rename(file)
    assert map_region(request).mosaics


def test_under_watch_a_pass_is_quarantined_also_beside_scenes_that_hold_nothing(with_a_hollow_one):
    request = with_a_hollow_one(BAD).model_copy(update={"datetime": "2023-08-01/.."})
    found = look(request, 30, datetime(2023, 8, 25, tzinfo=UTC))
    ((of_pass, made),) = found.new.items()
    with pytest.raises(NothingLeftError) as error:
        map_plan(made)
    found.leave_out(of_pass, error.value)
    assert not look(request, 30, datetime(2023, 8, 25, tzinfo=UTC)).new


def test_under_watch_a_pass_that_is_mapped_without_a_tile_says_so(items, request_for, tmp_path):
    (tmp_path / GOOD).mkdir()
    dead = write_scene(tmp_path / "dead", PLACE, name="S2B_33TWM_20230820", day="2023-08-20")
    Path(dead["assets"]["B11"]["href"]).unlink()
    Catalog(tmp_path / GOOD).add(dead)
    request = request_for(GOOD).model_copy(update={"datetime": "2023-08-01/.."})
    found = look(request, 30, datetime(2023, 8, 25, tzinfo=UTC))
    ((of_pass, made),) = found.new.items()
    result = map_plan(made)
    found.record(of_pass)
    assert f"; scene {dead['id']} was left out (dead asset): asset B11" in str(found)
    assert not look(request, 30, datetime(2023, 8, 25, tzinfo=UTC)).new
    # How to have it mapped again.
    shutil.rmtree(result.folder)
    assert len(look(request, 30, datetime(2023, 8, 25, tzinfo=UTC)).new) == 1


def test_stages_that_are_called_alone_publish_a_map_of_which_nothing_is_left(request_for):
    made = plan(request_for(BAD))
    for block in made.blocks:
        run_block(made, block)
    assemble(made)
    item = json.loads(publish(made).read_text())
    assert item["properties"]["terramosaic:valid_pixels"] == 0
    assert [link for link in item["links"] if link["rel"] == "derived_from"] == []


@pytest.mark.slow
def test_exactly_the_blocks_that_used_a_scene_are_outdated_when_it_is_left_out(items, tmp_path):
    scl = np.full((300, 300), 4)
    scl[:40, :40] = 9
    catalog = Catalog(tmp_path / "catalog")
    catalog.folder.mkdir()
    catalog.add(write_scene(tmp_path / "corner", PLACE, name=BAD, scl=scl))
    catalog.add(items[GOOD])
    request = catalog.request(PLACE, tmp_path, targets=("NDVI",))
    result = map_region(request)
    made, records = result.plan, SceneRecords(RunFolder(result.folder))
    # The second scene is read under the clouds of the first alone, in one block of four.
    used = {id_: set(receipt.decisions) for id_, receipt in finished_blocks(made).items()}
    assert sorted(map(len, used.values())) == [1, 1, 1, 2] and outdated_blocks(made) == []
    records.put(SceneDecision(scene=GOOD, cause="dead asset", reason="gone"))
    outdated = {block.id for block in outdated_blocks(made)}
    assert outdated == {id_ for id_, scenes in used.items() if GOOD in scenes}
    assert set(finished_blocks(made)) == used.keys() - outdated
    for block in made.blocks:
        assert (finished_block(made, block) is None) == (block.id in outdated)
    # Resumed, as if that had been found out before the run was published, it makes these anew, and the mosaics.
    receipts = {block.id: RunFolder.of(made).receipt_file(block) for block in made.blocks}
    before = {id_: file.read_text() for id_, file in receipts.items()}
    result.item.unlink()
    alone = map_region(request.model_copy(update={"exclude": (GOOD,)}))
    np.testing.assert_array_equal(pixels(map_region(request)), pixels(alone))
    assert {id_ for id_, file in receipts.items() if file.read_text() != before[id_]} == outdated


@pytest.mark.slow
def test_layers_of_a_run_never_show_different_scenes(items, tmp_path):
    """A mosaic is lost, the blocks were removed, and a scene that the other mosaics were made from is dead by now."""
    catalog = Catalog(tmp_path / "catalog")
    catalog.folder.mkdir()
    first = write_scene(tmp_path / "first", PLACE, name=BAD)
    catalog.add(first)
    catalog.add(items[GOOD])
    request = catalog.request(PLACE, tmp_path, targets=("NDVI", "LULC"))
    result = map_region(request)
    shutil.rmtree(RunFolder(result.folder).blocks)
    result.mosaics["NDVI"].unlink()
    Path(first["assets"]["B11"]["href"]).unlink()
    again, alone = map_region(request), map_region(request.model_copy(update={"exclude": (BAD,)}))
    for name, mosaic in alone.mosaics.items():
        assert same_pixels(again.mosaics[name], mosaic), name


def same_pixels(ours, theirs):
    with rasterio.open(ours) as one, rasterio.open(theirs) as other:
        return np.array_equal(one.read(), other.read())


def test_receipts_of_before_there_were_decisions_stay_until_a_scene_of_theirs_is_left_out(land, tmp_path):
    result = map_region(land.request(PLACE, tmp_path, targets=("NDVI",), datetime="2023-08-15"))
    made, folder = result.plan, RunFolder(result.folder)
    for block in made.blocks:
        file = folder.receipt_file(block)
        content = json.loads(file.read_text())
        del content["decisions"], content["checksum"]
        file.write_text(json.dumps(content))
    assert len(finished_blocks(made)) == len(made.blocks)
    (scene,) = made.scenes
    SceneRecords(folder).put(SceneDecision(scene=scene, cause="implausible", reason="flat"))
    assert finished_blocks(made) == {} and len(outdated_blocks(made)) == len(made.blocks)


def test_under_watch_a_quarantined_pass_is_not_tried_again_until_its_item_changes(items, request_for):
    def looked():
        request = request_for(BAD, GOOD)
        return look(
            request.model_copy(update={"datetime": "2023-08-01/.."}), 30, datetime(2023, 8, 25, tzinfo=UTC)
        )

    found = looked()
    assert len(found.new) == 2
    for of_pass, made in list(found.new.items()):
        try:
            map_plan(made)
            found.record(of_pass)
        except NothingLeftError as error:
            found.leave_out(of_pass, error)
    assert str(found).endswith("; 1 quarantined") and len(found.collection.mapped) == 1
    again = looked()
    assert not again.new and str(again).endswith("all others mapped; 1 quarantined")
    before = items[BAD]
    items[BAD] = json.loads(json.dumps(before))
    items[BAD]["properties"]["s2:processing_baseline"] = "02.15"
    try:
        assert len(looked().new) == 1
    finally:
        items[BAD] = before


def test_under_watch_a_dead_pass_is_tried_again(items, request_for, tmp_path):
    before = items[GOOD]
    items[GOOD] = json.loads(json.dumps(before))
    items[GOOD]["assets"]["B11"]["href"] = str(tmp_path / "B11.tif")
    try:
        request = request_for(GOOD).model_copy(update={"datetime": "2023-08-01/.."})
        for _ in range(2):
            found = look(request, 30, datetime(2023, 8, 25, tzinfo=UTC))
            ((of_pass, made),) = found.new.items()
            with pytest.raises(NothingLeftError, match=r"B11.* could not be read"):
                map_plan(made)
            with pytest.raises(NothingLeftError):
                found.leave_out(of_pass, NothingLeftError("nothing"))
    finally:
        items[GOOD] = before
