"""The catalog of an output folder follows from the items of its runs: what they share, and what is theirs alone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from terramosaic.publishing import collections
from terramosaic.publishing.collections import documents, links_of_run
from terramosaic.publishing.renders import renders_of

OUT = Path("/maps")
S1 = {
    "href": "./S1GRD.tif", "title": "Sentinel-1", "roles": ["data"], "file:size": 1, "file:checksum": "12",
    "proj:code": "EPSG:32633",
    "bands": [{"name": name, "raster:scale": 0.01, "statistics": {"mean": 1}} for name in ("VV", "VH")],
}  # fmt: skip
LULC = {
    "href": "./LULC.tif", "title": "Land cover", "roles": ["data"], "proj:code": "EPSG:32633",
    "bands": [{"name": "LULC class"}],
    "classification:classes": [
        {"value": 0, "name": "no_data", "nodata": True},
        {"value": 1, "name": "water", "color_hint": "419BDF", "percentage": 12.5},
    ],
}  # fmt: skip


def item(collection: str | None, day: str, **assets: dict) -> dict:
    found = {
        "properties": {"datetime": f"{day}T10:00:00Z", "terramosaic:targets": list(assets)},
        "assets": assets,
    }
    found |= {
        "bbox": [12, 1, 13, 2],
        "stac_extensions": ["https://stac-extensions.github.io/raster/v2.0.0/schema.json"],
    }
    return found | ({"collection": collection} if collection else {})


def hrefs(document: dict, rel: str) -> list[str]:
    return [link["href"] for link in document["links"] if link["rel"] == rel]


def test_a_region_is_a_collection_and_runs_are_named_in_order_of_time():
    made = documents(
        {
            "b": item("terramosaic-region-1", "2024-05-02", S1GRD=S1),
            "a": item("terramosaic-region-1", "2024-05-09", S1GRD=S1, LULC=LULC),
            "c": item("terramosaic-region-2", "2024-05-01", LULC=LULC),
            "old": item(None, "2023-01-01", LULC=LULC),
        },
        OUT,
    )
    first, second = "collections/terramosaic-region-1.json", "collections/terramosaic-region-2.json"
    assert list(made) == [first, second, "catalog.json"]
    assert hrefs(made["catalog.json"], "child") == [f"./{first}", f"./{second}"]
    assert hrefs(made["catalog.json"], "item") == ["./old/item.json"]
    assert hrefs(made[first], "item") == ["../b/item.json", "../a/item.json"]
    assert made[first]["extent"]["temporal"]["interval"] == [["2024-05-02T10:00:00Z", "2024-05-09T10:00:00Z"]]
    assert made[first]["summaries"]["terramosaic:targets"] == ["LULC", "S1GRD"]
    assert made[first]["summaries"]["proj:code"] == ["EPSG:32633"]
    assert made[first]["title"] == "Maps around 1.50° N, 12.50° E"


def test_item_assets_tell_what_all_items_agree_on():
    other = json.loads(json.dumps(S1)) | {"title": "Another title", "file:size": 2}
    other["bands"][0]["statistics"]["mean"] = 2
    runs = {"a": item("r", "2024-05-02", S1GRD=S1), "b": item("r", "2024-05-09", S1GRD=other, LULC=LULC)}
    assets = documents(runs, OUT)["collections/r.json"]["item_assets"]
    assert assets["S1GRD"] == {
        "roles": ["data"],
        "bands": [{"name": name, "raster:scale": 0.01} for name in ("VV", "VH")],
    }
    assert assets["LULC"]["classification:classes"][1] == {
        "value": 1,
        "name": "water",
        "color_hint": "419BDF",
    }


def test_renders_are_in_stored_numbers():
    renders = renders_of({"S1GRD": S1, "LULC": LULC, "report": {"roles": ["metadata"], "title": "Report"}})
    assert renders["S1GRD"]["expression"] == "b1;b2;b1-b2"
    assert renders["S1GRD"]["rescale"] == [[-2000, 0], [-2800, -800], [200, 1400]]
    assert renders["LULC"]["colormap"] == {"1": [65, 155, 223, 255]}
    assert set(renders) == {"S1GRD", "LULC"}
    ndvi = {"roles": ["data"], "title": "NDVI", "bands": [{"name": "NDVI", "raster:scale": 0.0001}]}
    found = renders_of({"NDVI_32633": ndvi})["NDVI_32633"]
    assert found["rescale"] == [[-2000, 9000]]
    assert (found["colormap"]["0"], found["colormap"]["255"]) == ([74, 106, 138, 255], [6, 70, 38, 255])


def test_a_region_beyond_the_antimeridian_has_its_middle_there():
    run = item("r", "2024-05-02", LULC=LULC) | {"bbox": [179, -18, -179.5, -16]}
    assert documents({"a": run}, OUT)["collections/r.json"]["title"] == "Maps around 17.00° S, 179.75° E"


@pytest.mark.parametrize(
    ("out", "expected"),
    [
        ("/maps", {"../catalog.json", "../collections/terramosaic-region-1.json"}),
        ("/place/acquisitions", {"../../collection.json"}),
    ],
)
def test_an_item_leads_to_its_collection(monkeypatch, out, expected):
    monkeypatch.setattr(collections, "region_hash", lambda region, outline: "1")
    plan = SimpleNamespace(request=SimpleNamespace(out=out, region=None), region=None, run_id="abc")
    assert {link["href"] for link in links_of_run(plan)} == expected
    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", "https://maps.example/p/")
    own = [link["href"] for link in links_of_run(plan) if link["rel"] == "self"]
    folder = "acquisitions/" if "acquisitions" in out else ""
    assert own == [f"https://maps.example/p/{folder}abc/item.json"]
