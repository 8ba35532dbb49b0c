"""What lies in a collection's folder and is damaged is told, or counts as removed."""

from __future__ import annotations

import json

import pytest

from terramosaic.errors import OutputError
from terramosaic.watch.collection import MapCollection
from terramosaic.watch.generation import Generation

LINK = {
    "rel": "item", "terramosaic:solar_day": "2023-08-15", "terramosaic:datetime": "2023-08-15T10:00:00+00:00",
    "terramosaic:platform": "sentinel-2a", "terramosaic:relative_orbit": 122, "terramosaic:run_id": "0123456789abcdef",
}  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        {"links": [{**LINK, "terramosaic:run_id": 5}]},
        {"links": [{**LINK, "terramosaic:run_id": "../../maps"}]},
        {"links": [{**LINK, "terramosaic:solar_day": None}]},
        {"links": [5]},
        {"assets": []},
        {"assets": {"newest-NDVI": 3}},
        {"assets": {"newest-NDVI": {"href": None}}},
        {"assets": {"newest-NDVI": {"href": "https://example.com/a/b/NDVI.tif"}}},
    ],
)
def test_a_damaged_collection_is_told_in_a_line(tmp_path, change):
    whole = {"type": "Collection", "links": [LINK], "assets": {}}
    file = tmp_path / "collection.json"
    file.write_text(json.dumps(whole))
    assert [held.run_id for held in MapCollection(tmp_path).mapped] == [LINK["terramosaic:run_id"]]
    file.write_text(json.dumps(whole | change))
    with pytest.raises(OutputError, match=r"collection\.json is damaged: .*; put a copy of it back"):
        MapCollection(tmp_path)


@pytest.mark.parametrize("text", ["{}", '{"type": "Feature", "properties": null}', "", "[]"])
def test_a_replaced_runs_damaged_item_is_left_as_it_is(tmp_path, text):
    item = tmp_path / "acquisitions" / "old" / "item.json"
    item.parent.mkdir(parents=True)
    item.write_text(text)
    MapCollection(tmp_path)._mark("old", "new")
    assert item.read_text() == text


@pytest.mark.parametrize("text", ["", "[]", "{", '{"mosaics": {}}', '{"runs": {}, "checksum": "0"}'])
def test_a_generation_whose_note_is_damaged_is_none(tmp_path, text):
    (tmp_path / "newest.json").write_text(text)
    assert Generation.read(tmp_path) is None
