"""A watched region in the viewer: its acquisitions, and the newest mosaics as if they were a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import rasterio
from rasterio.warp import transform
from starlette.testclient import TestClient

from terramosaic.ground.grid import Rect
from terramosaic.viewer.app import make_app
from terramosaic.viewer.shelf import Shelf
from tests.integration.conftest import LAND, Catalog
from tests.integration.watch.newest_region import put, watch

PLACE = Rect(LAND.row, LAND.col, 240, 240)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder of regions, one of them watched, with two acquisitions."""
    folder = tmp_path_factory.mktemp("regions")
    (folder / "catalog").mkdir()
    catalog = Catalog(folder / "catalog")
    request = catalog.request(PLACE, folder / "out" / "field", datetime="2023-01-01/..", targets=("NDVI",))
    for day in ("2023-08-10", "2023-08-12"):
        put(catalog, day, place=PLACE)
        watch(request, day)
    return folder / "out"


def asked(out: Path) -> TestClient:
    return TestClient(make_app(Shelf(out)), base_url="http://127.0.0.1:8000")


def test_the_newest_mosaics_are_among_the_runs(folder):
    for out, before in ((folder, "field/"), (folder / "field", "")):
        told = asked(out).get("/runs.json").json()
        assert not told["problems"]
        (newest,) = [run for run in told["runs"] if run["is_newest"]]
        assert newest["name"] == f"{before}newest/current" and len(told["runs"]) == 3
        assert (newest["first_day"], newest["last_day"]) == ("2023-08-10", "2023-08-12")
        assert newest["mapped_km2"] == pytest.approx(5.8) and newest["targets"] == ["NDVI"]
        assert asked(out).get(f"/{newest['report']}").status_code == 200


def test_their_layers_tiles_and_values_are_those_of_the_files(folder):
    client, name = asked(folder), "field/newest/current"
    told = client.get(f"/runs/{name}.json").json()
    layers = {layer["name"]: layer for layer in told["layers"]}
    assert {"NDVI", "quality", "acquired"} <= layers.keys() and not any(
        "error" in one for one in layers.values()
    )
    assert [one["label"] for one in layers["acquired"]["swatches"]]
    for download in told["downloads"]:
        assert client.get(f"/{download['href']}").status_code == 200, download
    with rasterio.open(folder / "field" / "newest" / "NDVI.tif") as dataset:
        stored = int(dataset.read(1)[100, 100])
        (lon,), (lat,) = transform(dataset.crs, "EPSG:4326", *[[value] for value in dataset.xy(100, 100)])
    values = client.get(f"/point/{name}", params={"lon": lon, "lat": lat}).json()["layers"]
    by_name = {one["layer"]: one for one in values}
    assert by_name["NDVI"]["bands"][0]["stored"] == stored
    assert by_name["acquired"]["text"].startswith("2023-08-12")
    tile = client.get(f"/tiles/{name}/NDVI/0/0/0.png")
    assert tile.status_code == 200 and "X-Empty" not in tile.headers


def test_items_are_those_of_acquisitions(folder):
    features = asked(folder).get("/items.json").json()["features"]
    assert len(features) == 2 and all("terramosaic:run_id" in one["properties"] for one in features)


def test_a_damaged_collection_costs_the_newest_alone(folder, tmp_path):
    import shutil

    out = shutil.copytree(folder, tmp_path / "copy", symlinks=True)
    (out / "field" / "collection.json").write_text("{")
    assert len(asked(out).get("/runs.json").json()["runs"]) == 2
