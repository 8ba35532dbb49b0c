"""URLs of what is served: by its place below TERRAMOSAIC_OUT, where that is known."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from terramosaic.publishing.collections import documents
from terramosaic.publishing.served import files_url, item_itself, itself, on_the_map, served_at

URL = "https://maps.example/p"


def run_in(out: str) -> Any:
    return SimpleNamespace(request=SimpleNamespace(out=out), run_id="abc")


def hrefs(links: list[dict[str, Any]]) -> list[str]:
    return [link["href"] for link in links]


def self_links(out: Path) -> list[str]:
    item = {
        "properties": {"datetime": "2024-05-02T10:00:00Z"}, "assets": {}, "bbox": [12, 1, 13, 2], "collection": "r",
    }  # fmt: skip
    made = documents({"abc": item}, out).values()
    return [link["href"] for each in made for link in each["links"] if link["rel"] == "self"]


def test_nothing_names_itself_where_no_url_is_known(monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_OUT", "/data/maps")
    run = run_in("/data/maps")
    assert not item_itself(run) and not on_the_map(run) and not files_url(run) and not served_at("/data/maps")
    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", "javascript:alert(1)")
    assert not item_itself(run) and not on_the_map(run)


@pytest.mark.parametrize(
    ("served", "out", "path"),
    [
        ("", "/data/maps", "abc"),
        ("", "/data/maps/lake/acquisitions", "acquisitions/abc"),
        ("/data/maps", "/data/maps", "abc"),
        ("/data/maps/", "/data/maps/lakes/Lake 1", "lakes/Lake%201/abc"),
        ("/data/maps", "/data/maps/lake/acquisitions", "lake/acquisitions/abc"),
        ("s3://bucket/maps/", "s3://bucket/maps/lakes", "lakes/abc"),
        ("s3://bucket", "s3://bucket/maps", "maps/abc"),
        ("/data/maps", "/data/maps2", None),
        ("/data/maps", "/data", None),
        ("s3://bucket/maps", "/data/maps", None),
    ],
)
def test_a_run_is_where_its_folder_is_below_the_one_that_is_served(monkeypatch, served, out, path):
    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", f"{URL}/")
    monkeypatch.setenv("TERRAMOSAIC_OUT", served)
    run = run_in(out)
    assert hrefs(item_itself(run)) == ([] if path is None else [f"{URL}/{path}/item.json"])
    assert files_url(run) == ("" if path is None else f"{URL}/{path}")
    shown = None if path is None else path.replace("/", "%2F")
    assert on_the_map(run) == ("" if path is None else f"{URL}/#run={shown}")
    assert served_at(out) == ("" if path is None else URL)


def test_catalog_and_collections_name_themselves_from_the_folder_on_that_is_served(monkeypatch, tmp_path):
    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", URL)
    names = ["collections/r.json", "catalog.json"]
    assert self_links(tmp_path / "maps") == [f"{URL}/{name}" for name in names]
    monkeypatch.setenv("TERRAMOSAIC_OUT", str(tmp_path))
    assert self_links(tmp_path / "maps") == [f"{URL}/maps/{name}" for name in names]
    monkeypatch.setenv("TERRAMOSAIC_OUT", str(tmp_path / "others"))
    assert self_links(tmp_path / "maps") == []


def test_a_place_is_the_same_however_it_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", URL)
    (tmp_path / "maps" / "lakes").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "maps")
    monkeypatch.setenv("TERRAMOSAIC_OUT", str(tmp_path / "link"))
    monkeypatch.chdir(tmp_path)
    for place in ("maps/lakes", tmp_path / "maps" / "lakes", "link/lakes"):
        assert hrefs(itself(place, "catalog.json")) == [f"{URL}/lakes/catalog.json"]
