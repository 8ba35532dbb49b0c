"""What is subtracted when items, the files' own tags and pixels say the same, contradict one another, or nothing."""

from __future__ import annotations

import logging

import pytest
import rasterio

from terramosaic.bands import S2L2A_BANDS
from terramosaic.ground.grid import Rect
from terramosaic.imagery.inspection import inspect
from terramosaic.imagery.reader import SceneReader
from terramosaic.request.request import RegionRequest
from tests.support.scenes import as_scene, write_scene

RECT = Rect(490002, 50004, 240, 240)
REQUEST = RegionRequest(region=[15, 45, 15.1, 45.1], datetime="2023", catalog="x")


@pytest.fixture
def bright(tmp_path):
    """Ground of which no pixel is dark, with or without the offset, by an item that knows neither."""
    item = write_scene(tmp_path, RECT, level=1500)
    del item["properties"]["s2:processing_baseline"]
    return item


def tag(item, offset, bands=S2L2A_BANDS):
    for band in bands:
        with rasterio.open(item["assets"][band]["href"], "r+") as file:
            file.scales, file.offsets = [0.0001], [offset]


def decided(item, **options):
    with SceneReader(as_scene(item), 32633) as reader:
        decision = inspect(reader, REQUEST.model_copy(update=options))
    # A file that is tagged is another one, with other facts.
    return decision.model_copy(update={"files": {}})


def subtracted_of(decision):
    assert decision.offsets["SCL"] == 0
    return {decision.offsets[band] for band in S2L2A_BANDS}


@pytest.mark.parametrize(("offset", "subtracted"), [(-0.1, 1000), (0, 0)])
def test_tags_decide_where_the_item_says_nothing(bright, caplog, offset, subtracted):
    tag(bright, offset)
    found = decided(bright)
    assert found.is_used and subtracted_of(found) == {subtracted}
    assert found.offset_rule == "the files' own tags, since the item does not say"
    assert not caplog.records
    assert subtracted_of(decided(bright, offset="keep")) == {0}


def test_where_nothing_tells_it_is_said_by_name(bright, caplog):
    with caplog.at_level(logging.WARNING):
        found = decided(bright)
    assert found.is_used and subtracted_of(found) == {0} and found.offset_rule.startswith("guessed")
    (line,) = caplog.messages
    assert line.startswith(f"scene {bright['id']}: neither its item nor its files say whether")


@pytest.mark.parametrize(("offset", "subtracted"), [(1000, 1000), (0, 0)])
def test_pixels_decide_where_nothing_else_does(tmp_path, caplog, offset, subtracted):
    item = write_scene(tmp_path, RECT, offset=offset)
    for band in S2L2A_BANDS:
        with rasterio.open(item["assets"][band]["href"], "r+") as file:
            pixels = file.read(1)
            file.write((pixels - offset) // 12 + offset, 1)  # dark ground
    del item["properties"]["s2:processing_baseline"]
    found = decided(item)
    assert found.is_used and subtracted_of(found) == {subtracted}
    assert found.offset_rule == "the pixels of B04, since nothing else says" and not caplog.records


@pytest.mark.parametrize(("believe", "subtracted"), [("stop", None), ("metadata", 1000), ("pixels", 0)])
def test_a_file_that_contradicts_its_item_leaves_the_scene_out(tmp_path, believe, subtracted):
    item = write_scene(tmp_path, RECT, offset=1000)
    tag(item, 0, ["B11"])
    found = decided(item, offset_conflict=believe)
    if subtracted is None:
        assert (found.cause, found.reason) == (
            "contradiction",
            f"asset B11 of {item['id']}: its file's scale and offset say that 0 is to be subtracted, and its item "
            "1000; set offset_conflict to metadata or pixels to use it all the same",
        )
    else:
        assert found.is_used and found.offsets["B11"] == subtracted and found.offsets["B12"] == 1000
        assert ("tags, which the request believes" in found.offset_rule) == (believe == "pixels")


def test_files_that_contradict_one_another_cannot_be_used(bright):
    tag(bright, -0.1)
    tag(bright, 0, ["B12"])
    found = decided(bright)
    assert found.cause == "contradiction" and "the other files' 0" in found.reason


def test_tags_that_agree_with_the_item_change_nothing(tmp_path):
    item = write_scene(tmp_path, RECT, offset=1000)
    before = decided(item)
    tag(item, -0.1)
    assert decided(item) == before and subtracted_of(before) == {1000}
