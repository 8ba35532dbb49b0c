"""The table of a watched region's items: what the collection names, beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("stac_geoparquet", reason="stac-geoparquet is not installed")
from pyarrow import parquet
from stac_geoparquet.arrow import stac_table_to_items

from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND, Catalog
from tests.integration.watch.newest_region import put, watch

PLACE = Rect(LAND.row, LAND.col, 240, 240)


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    (tmp_path / "catalog").mkdir()
    return Catalog(tmp_path / "catalog")


def rows(out: Path) -> dict[str, dict]:
    return {item["id"]: item for item in stac_table_to_items(parquet.read_table(out / "items.parquet"))}


def test_it_has_what_the_collection_names_and_follows_it(catalog, tmp_path):
    out = tmp_path / "maps"
    request = catalog.request(PLACE, out, datetime="2023-01-01/..", targets=("NDVI",))
    put(catalog, "2023-08-10", place=PLACE)
    watch(request, "2023-08-11")
    (first,) = rows(out).values()
    assert (out / first["assets"]["NDVI"]["href"]).is_file()
    put(catalog, "2023-08-12", place=PLACE)
    watch(request, "2023-08-13")
    assert len(rows(out)) == 2
    # An acquisition that was processed again is there once: as the collection has it.
    put(catalog, "2023-08-12", place=PLACE, processing="0214")
    watch(request, "2023-08-13")
    links = json.loads((out / "collection.json").read_text())["links"]
    named = {f"terramosaic-{link['terramosaic:run_id']}" for link in links if "terramosaic:run_id" in link}
    assert rows(out).keys() == named and len(named) == 2


def test_one_that_was_not_written_is_made_good(catalog, tmp_path):
    out = tmp_path / "maps"
    request = catalog.request(PLACE, out, datetime="2023-01-01/..", targets=("NDVI",))
    put(catalog, "2023-08-10", place=PLACE)
    watch(request, "2023-08-11")
    (out / "items.parquet").unlink()
    watch(request, "2023-08-11")
    assert len(rows(out)) == 1
