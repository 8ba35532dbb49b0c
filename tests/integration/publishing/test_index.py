"""All runs of an output folder as a table: whole, wherever it is moved, and of runs alone."""

from __future__ import annotations

import json
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pystac
import pytest

pytest.importorskip("stac_geoparquet", reason="stac-geoparquet is not installed")
from pyarrow import parquet
from stac_geoparquet.arrow import stac_table_to_items

from terramosaic.planning.folder import RunFolder
from terramosaic.publishing import index
from terramosaic.publishing.catalog import update_catalog
from terramosaic.publishing.publish import publish
from terramosaic.storage.location import location
from terramosaic.upkeep.listing import list_again
from tests.integration.publishing.small_run import polygon_run, two_zone_run


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Runs of which two end at the same moment, and one lies in two zones."""
    folder = tmp_path_factory.mktemp("index")
    plans = [polygon_run(folder, targets=(target,), extras=()) for target in ("NDVI", "LULC")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(publish, plans))
    publish(two_zone_run(folder))
    return plans


@pytest.fixture
def out(plans, tmp_path) -> Path:
    """A copy, elsewhere."""
    return Path(shutil.copytree(RunFolder.of(plans[0]).path.parent, tmp_path / "moved", symlinks=True))


def items_of(out: Path) -> list[pystac.Item]:
    return [
        pystac.Item.from_dict(item) for item in stac_table_to_items(parquet.read_table(out / "items.parquet"))
    ]


def test_it_has_all_runs_with_what_their_items_tell(out):
    items = {item.id: item for item in items_of(out)}
    assert len(items) == 3
    for path in out.glob("*/item.json"):
        if path.parent.name == "latest":
            continue
        told = json.loads(path.read_text())
        item = items[told["id"]]
        assert item.geometry == told["geometry"] or item.geometry["type"] == told["geometry"]["type"]
        assert item.collection_id == told["collection"]
        assert item.datetime == pystac.Item.from_dict(told).datetime
        assert json.loads(item.properties["terramosaic:model"]) == told["properties"]["terramosaic:model"]
        assert item.properties["terramosaic:valid_pixels"] == told["properties"]["terramosaic:valid_pixels"]
        assert item.assets.keys() == told["assets"].keys()
        raster = next(name for name in told["assets"] if name.startswith(("NDVI", "LULC")))
        assert item.assets[raster].extra_fields["bands"] == told["assets"][raster]["bands"]


def test_files_are_found_from_the_table_on_wherever_it_lies(out):
    for item in items_of(out):
        assert all((out / asset.href).is_file() for asset in item.assets.values())
        links = {link.rel: link.href for link in item.links}
        assert links.keys() == {"root", "parent", "collection", "alternate"}
        assert all((out / href).is_file() for href in links.values())


def test_where_items_know_their_url_so_does_the_table(out):
    (path, *_) = out.glob("*/item.json")
    item = json.loads(path.read_text())
    url = f"https://maps.example/all/{path.parent.name}"
    item["links"].append({"rel": "self", "href": f"{url}/item.json", "type": "application/geo+json"})
    path.write_text(json.dumps(item))
    update_catalog(out)
    rows = stac_table_to_items(parquet.read_table(out / "items.parquet"))
    (told,) = (each for each in rows if each["id"] == item["id"])
    assert told["assets"]["report"]["href"] == f"{url}/report.html"
    (root,) = (link["href"] for link in told["links"] if link["rel"] == "root")
    assert root == "https://maps.example/all/catalog.json"


def test_neither_scenes_nor_layers_are_columns(out):
    schema = parquet.read_schema(out / "items.parquet")
    assert not any("S2A" in str(schema.field(name)) for name in schema.names)
    assert str(schema.field("terramosaic:offsets").type) == "string"


def test_made_again_it_is_the_same_and_is_not_written(out):
    path = out / "items.parquet"
    before, then = path.read_bytes(), path.stat().st_mtime_ns
    update_catalog(out)
    assert path.stat().st_mtime_ns == then
    path.unlink()
    update_catalog(out)
    assert path.read_bytes() == before


def test_runs_that_were_removed_go_with_the_next_cleaning(plans, out):
    shutil.rmtree(out / plans[0].run_id)
    list_again(out)
    assert len(items_of(out)) == 2 and plans[0].run_id not in (out / "catalog.json").read_text()
    for path in out.glob("*/item.json"):
        shutil.rmtree(path.parent, ignore_errors=True)
    list_again(out)
    assert not (out / "items.parquet").exists()


def test_a_run_that_may_be_made_good_stays_listed(plans, out):
    before = (out / "items.parquet").read_bytes()
    (out / plans[0].run_id / "item.json").unlink()
    list_again(out)
    assert (out / "items.parquet").read_bytes() == before


def test_a_folder_without_a_catalog_gets_none(tmp_path):
    list_again(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_table_of_somebody_else_stays(out, caplog):
    import pyarrow

    path = out / "items.parquet"
    for content in (b"no table at all", None):
        if content is None:
            parquet.write_table(pyarrow.table({"id": ["S2A"], "s2:mgrs_tile": ["33TWL"]}), path)
        else:
            path.write_bytes(content)
        before = path.read_bytes()
        update_catalog(out)
        assert path.read_bytes() == before
    assert caplog.text.count("items.parquet is of somebody else") == 2


def test_a_damaged_item_costs_its_row_alone(plans, out, caplog):
    path = out / plans[0].run_id / "item.json"
    item = json.loads(path.read_text())
    path.write_text(json.dumps(item | {"geometry": {"type": "Polygon", "coordinates": "none"}}))
    update_catalog(out)
    assert len(items_of(out)) == 2
    assert "items.parquet is without 1 damaged items" in caplog.text


def test_without_what_writes_it_a_run_is_published_and_that_is_said_once(out, caplog, monkeypatch):
    index.tell_stale.cache_clear()
    monkeypatch.setitem(sys.modules, "stac_geoparquet.arrow", None)
    before = (out / "items.parquet").read_bytes()
    (out / "catalog.json").unlink()
    for _ in range(2):
        update_catalog(out)
    assert (out / "items.parquet").read_bytes() == before and (out / "catalog.json").exists()
    assert caplog.text.count("pip install 'terramosaic[vectors]'") == 1
    # Where nobody has a table nobody misses it.
    index.tell_stale.cache_clear()
    (out / "items.parquet").unlink()
    update_catalog(out)
    assert caplog.text.count("pip install 'terramosaic[vectors]'") == 1


def test_it_lies_in_a_store_as_well(out):
    pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
    from tests.support.s3 import BUCKET, s3_server

    with s3_server() as server:
        for path in out.glob("*/item.json"):
            if path.parent.name != "latest":
                key = f"index/{path.parent.name}/item.json"
                server.client.put_object(Bucket=BUCKET, Key=key, Body=path.read_bytes())
        place = location(server.url("index"))
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(update_catalog, [place, place]))
        for name in (
            "items.parquet",
            "layers/NDVI.vrt",
            "layers/NDVI.gti.gpkg",
            "layers/zones/NDVI_32633.vrt",
        ):
            assert server.read(f"index/{name}") == (out / name).read_bytes(), name
