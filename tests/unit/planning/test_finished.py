"""A run's files are compared with what its item says, and with nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from terramosaic.planning.finished import flaws_in, told_in
from terramosaic.storage.hashes import multihash_of_bytes

CONTENT = {"NDVI.tif": b"pixels", "report.html": b"<html>", "quicklooks/NDVI.png": b"picture"}


@pytest.fixture
def item(tmp_path) -> dict:
    assets = {}
    for name, content in CONTENT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        told = {"file:size": len(content), "file:checksum": multihash_of_bytes(content)}
        assets[name] = {"href": f"./{name}", **told}
    return {"type": "Feature", "properties": {}, "links": [], "assets": assets}


NOT_VOUCHED_FOR = {
    "item.json": "it is damaged, or does not name all that the run publishes",
    "NDVI.tif": "its item is damaged, which told its size and hash",
    "report.html": "its item is damaged, which told its size and hash",
}


def found(folder: Path, item: dict, **how: bool) -> dict[str, str]:
    (folder / "item.json").write_text(json.dumps(item))
    flaws = flaws_in(folder, folder / "item.json", ["NDVI.tif", "report.html"], **how)
    return {flaw.path.relative_to(folder).as_posix(): flaw.reason for flaw in flaws}


def test_what_is_as_the_item_says_has_no_flaw(tmp_path, item):
    assert not found(tmp_path, item) and not found(tmp_path, item, hashes=True)


def test_missing_files_other_sizes_and_other_hashes_are_flaws(tmp_path, item):
    (tmp_path / "NDVI.tif").write_bytes(b"pixel")
    (tmp_path / "report.html").unlink()
    (tmp_path / "quicklooks/NDVI.png").write_bytes(b"Picture")
    expected = {"NDVI.tif": "it has 5 bytes, and its item says 6", "report.html": "it is missing"}
    assert found(tmp_path, item) == expected
    of_hash = {"quicklooks/NDVI.png": "its hash is not the one that its item says"}
    assert found(tmp_path, item, hashes=True) == expected | of_hash


@pytest.mark.parametrize(
    "href", ["../others.tif", "/etc/passwd", "a/../../b", "https://example.com/a.tif", 3, None]
)
def test_an_item_that_names_what_is_not_of_the_run_is_none(tmp_path, item, href):
    item["assets"]["other"] = {"href": href, "file:size": 1}
    assert found(tmp_path, item) == NOT_VOUCHED_FOR


@pytest.mark.parametrize(
    "change",
    [
        {"properties": None},
        {"properties": []},
        {"properties": {"terramosaic:gaps": "none"}},
        {"properties": {"terramosaic:gaps": {"no scene": "a"}}},
        {"properties": {"terramosaic:valid_pixels": "many"}},
        {"properties": {"terramosaic:warnings": 5}},
        {"links": None},
        {"assets": []},
        {"assets": {"NDVI": {"href": "NDVI.tif", "file:size": "x"}}},
    ],
)
def test_what_is_read_of_an_item_later_is_of_its_type(tmp_path, item, change):
    assert found(tmp_path, item | change) == NOT_VOUCHED_FOR
    assert told_in(tmp_path / "item.json") is None


def test_an_item_of_an_earlier_version_tells_less(tmp_path, item):
    assert not found(tmp_path, item)
    told = told_in(tmp_path / "item.json")
    assert told is not None and (told.gaps, told.valid_pixels, told.warnings) == (None, None, None)


def test_an_item_without_sizes_is_held_against_what_is_there(tmp_path, item):
    for asset in item["assets"].values():
        del asset["file:size"], asset["file:checksum"]
    assert not found(tmp_path, item, hashes=True)
    (tmp_path / "NDVI.tif").unlink()
    assert found(tmp_path, item) == {"NDVI.tif": "it is missing"}
