"""The viewer over runs in a store: looked at without fetching mosaics, which come when they are shown, and go again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from terramosaic.viewer.app import make_app
from terramosaic.viewer.shelf import Shelf
from tests.integration.viewer.conftest import out_of
from tests.integration.viewer.test_app import middle, pixels, tile_at
from tests.support.s3 import BUCKET, Store, s3_server


@pytest.fixture(scope="module")
def store(kite) -> Iterator[Store]:
    with s3_server() as server:
        for path in out_of(kite).rglob("*"):
            inner = path.relative_to(out_of(kite))
            if path.is_file() and inner.parts[0] != "latest":
                server.client.put_object(Bucket=BUCKET, Key=f"out/{inner.as_posix()}", Body=path.read_bytes())
        server.client.put_object(Bucket=BUCKET, Key="secret.txt", Body=b"secret")
        server.client.put_object(Bucket=BUCKET, Key="out/notes.txt", Body=b"secret")
        yield server


def test_runs_in_a_store_are_shown(store, kite, tmp_path, monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(tmp_path))
    asked = TestClient(make_app(Shelf(store.url("out"))), base_url="http://127.0.0.1")
    (run,) = asked.get("/runs.json").json()["runs"]
    assert run["name"] == kite.run_id
    layers = {layer["name"]: layer for layer in asked.get(f"/runs/{kite.run_id}.json").json()["layers"]}
    assert layers["NDVI"]["waits"] and not list(tmp_path.iterdir())
    at, (lon, lat) = "/".join(map(str, tile_at(*middle(kite), 14))), middle(kite)
    legend = asked.get(f"/legends/{kite.run_id}/NDVI.json").json()
    assert legend["ramps"][0]["low"] == -0.2
    here = TestClient(make_app(Shelf(out_of(kite))), base_url="http://127.0.0.1")
    url = f"/tiles/{kite.run_id}/NDVI/{at}.png"
    assert (pixels(asked.get(url)) == pixels(here.get(url))).all()
    params = {"lon": lon, "lat": lat}
    (told,) = asked.get(f"/point/{kite.run_id}", params=params).json()["layers"]
    assert told in here.get(f"/point/{kite.run_id}", params=params).json()["layers"]


def test_files_in_a_store_come_in_ranges_and_nothing_else_does(store, kite):
    asked = TestClient(make_app(Shelf(store.url("out"))), base_url="http://127.0.0.1")
    content = (out_of(kite) / kite.run_id / "NDVI.tif").read_bytes()
    url = f"/files/{kite.run_id}/NDVI.tif"
    assert asked.get(url).content == content
    assert asked.get(url, headers={"Range": "bytes=10-19"}).content == content[10:20]
    assert asked.get("/files/catalog.json").status_code == 200
    for path in (
        "notes.txt",
        "%2e%2e/secret.txt",
        "..%2fsecret.txt",
        f"{kite.run_id}",
        f"{kite.run_id}/none.tif",
    ):
        response = asked.get(f"/files/{path}")
        assert response.status_code == 404 and set(response.json()) == {"error"}, path


def test_a_store_that_does_not_answer_is_a_line(store, kite, monkeypatch):
    asked = TestClient(make_app(Shelf(store.url("out"))), base_url="http://127.0.0.1")
    store.failing.append(("GET", f"{kite.run_id}/LULC.tif", 403, 99))
    response = asked.get(f"/tiles/{kite.run_id}/LULC/3/4/2.png")
    assert response.status_code == 500 and "access was denied" in response.json()["error"]
    store.failing.clear()
    assert asked.get(f"/tiles/{kite.run_id}/LULC/3/4/2.png").status_code == 200
