"""The newest mosaics in a store: what a person opens there, and what is seen when the store fails in the middle."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio

pytest.importorskip("moto", reason="moto, which plays S3, is not installed")

from terramosaic.errors import OutputError
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import zone_areas
from terramosaic.storage.location import location
from terramosaic.watch.collection import MapCollection
from terramosaic.watch.newest import update_newest
from tests.integration.conftest import LAND, Catalog
from tests.integration.watch.newest_region import put, watch
from tests.support.s3 import BUCKET, s3_server

PLACE = Rect(LAND.row, LAND.col, 300, 300)
LAYERS = ("LULC", "NDVI", "acquired", "quality")


@pytest.fixture(scope="module")
def store():
    """An S3 server for this module's tests."""
    with s3_server() as server:
        yield server


@pytest.mark.slow
def test_an_update_that_the_store_breaks_off(store, tmp_path, monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(tmp_path / "scratch"))
    (tmp_path / "catalog").mkdir()
    catalog = Catalog(tmp_path / "catalog")
    request = catalog.request(PLACE, store.url("maps"), datetime="2023-01-01/..", targets=("NDVI", "LULC"))
    areas = zone_areas(request.area())

    def seen(name: str) -> np.ndarray:
        """As QGIS opens it."""
        options = {
            "AWS_S3_ENDPOINT": store.endpoint.removeprefix("http://"),
            "AWS_HTTPS": "NO",
            "AWS_VIRTUAL_HOSTING": "FALSE",
            "CPL_VSIL_CURL_NON_CACHED": "/vsis3/",
            "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
        }
        with rasterio.Env(**options), rasterio.open(f"/vsis3/{BUCKET}/maps/newest/{name}") as dataset:
            pixels: np.ndarray = dataset.read(1)
        return pixels

    def by_collection() -> list[np.ndarray]:
        assets = json.loads(store.read("maps/collection.json"))["assets"]
        return [seen(assets[f"newest-{name}"]["href"].removeprefix("./newest/")) for name in LAYERS]

    def by_paths() -> list[np.ndarray]:
        return [seen(f"{name}.tif") for name in LAYERS]

    def are(pixels: list[np.ndarray], version: list[np.ndarray]) -> bool:
        return all(map(np.array_equal, pixels, version))

    def update() -> None:
        update_newest(MapCollection(location(request.out)), areas)

    def generations() -> set[str]:
        return {key.split("/")[2] for key in store.objects("maps/newest/") if key.count("/") == 3}

    put(catalog, "2023-08-15", place=PLACE)
    watch(request, "2023-08-15")
    before = by_collection()
    assert are(by_paths(), before)
    pointer = store.read("maps/newest/LULC.tif").decode()
    assert "<Category>water</Category>" in pointer and str(tmp_path) not in pointer
    put(catalog, "2023-08-20", place=PLACE, level=300)
    watch(request, "2023-08-20", newest=False)
    for part in ("/quality.tif", "/newest.json", "/collection.json"):
        store.failing = [("PUT", part, 403, 100)]
        with pytest.raises(OutputError):
            update()
        assert are(by_collection(), before) and are(by_paths(), before)
    # From the collection on it counts, and what stands for it is mended by the next run, also with nothing new.
    store.failing = [("PUT", "maps/newest/quality.tif", 403, 100)]
    with pytest.raises(OutputError):
        update()
    after = by_collection()
    assert not any(map(np.array_equal, after[1:3], before[1:3]))
    store.failing = []
    update()
    assert are(by_collection(), after) and are(by_paths(), after)
    assert len(generations()) == 2
    store.requests.clear()
    update()
    assert {method for method, _ in store.requests} <= {"GET", "HEAD"}
    assert not any((tmp_path / "scratch").iterdir())
