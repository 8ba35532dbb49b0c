"""The output folder is a static STAC catalog: of all runs, whoever ends at the same moment, wherever it is moved."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pystac
import pytest

from terramosaic.planning.folder import RunFolder
from terramosaic.publishing import catalog as catalog_room
from terramosaic.publishing.catalog import update_catalog
from terramosaic.publishing.publish import publish
from terramosaic.storage.lease import lease
from tests.integration.publishing.small_run import polygon_run


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Two runs over one region, of which one can be published at once with the other."""
    folder = tmp_path_factory.mktemp("catalog")
    plans = [polygon_run(folder, targets=(target,), extras=()) for target in ("NDVI", "LULC")]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(publish, plans))
    return plans


@pytest.fixture(scope="module")
def out(plans):
    return RunFolder.of(plans[0]).path.parent


@pytest.fixture
def copy(out, tmp_path):
    return Path(shutil.copytree(out, tmp_path / "moved", symlinks=True))


def runs_of(out: Path) -> set[str]:
    return {item.id for item in pystac.Catalog.from_file(out / "catalog.json").get_items(recursive=True)}


def ids(plans) -> set[str]:
    return {f"terramosaic-{plan.run_id}" for plan in plans}


def texts(out: Path) -> dict[str, str]:
    return {
        str(path.relative_to(out)): path.read_text()
        for path in (*out.glob("c*.json"), *out.glob("collections/*"))
    }


def test_of_two_runs_that_end_at_once_both_are_named(plans, out):
    assert runs_of(out) == ids(plans)
    (child,) = pystac.Catalog.from_file(out / "catalog.json").get_children()
    assert set(child.item_assets) >= {"NDVI", "LULC", "quality", "report"}


def test_it_is_valid_stac(out):
    for path in (out / "catalog.json", *out.glob("collections/*.json")):
        document = json.loads(path.read_text())
        kind = pystac.STACObjectType(document["type"])
        # The schemas of extensions are not all at hand.
        core = document | {"stac_extensions": []}
        assert pystac.validation.validate_dict(core, kind, document["stac_version"])


def test_a_folder_that_was_moved_stays_right(plans, copy):
    assert runs_of(copy) == ids(plans)
    for plan in plans:
        item = pystac.Item.from_file(copy / plan.run_id / "item.json")
        assert item.get_root().id == "terramosaic"
        assert item.get_parent().id == item.get_collection().id == item.collection_id
        assert Path(item.get_root().self_href).parent == copy


def test_made_again_it_is_the_same(out, copy):
    before = texts(out)
    for path in (copy / "catalog.json", *copy.glob("collections/*.json")):
        path.unlink()
    update_catalog(copy)
    assert texts(copy) == before


def test_runs_that_were_removed_are_no_more_in_it(plans, copy):
    shutil.rmtree(copy / plans[0].run_id)
    update_catalog(copy)
    assert runs_of(copy) == ids(plans[1:])
    shutil.rmtree(copy / plans[1].run_id)
    update_catalog(copy)
    assert not runs_of(copy)
    assert not list(copy.glob("collections/*"))


def test_a_run_that_is_complete_and_in_no_catalog_is_named_the_next_time(plans, out):
    (out / "catalog.json").unlink()
    for path in out.glob("collections/*.json"):
        path.unlink()
    publish(plans[0])
    assert runs_of(out) == ids(plans)
    before = {path: path.stat().st_mtime_ns for path in out.glob("c*/*")}
    publish(plans[0])
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("c*/*")}


def test_a_catalog_of_imagery_that_lies_there_stays(copy, caplog):
    (copy / "catalog.json").write_text('{"type": "Catalog", "id": "my imagery"}')
    update_catalog(copy)
    assert json.loads((copy / "catalog.json").read_text())["id"] == "my imagery"
    assert "somebody else" in caplog.text


def test_who_cannot_have_the_lease_says_so_and_fails_nothing(copy, caplog, monkeypatch):
    monkeypatch.setattr(catalog_room, "CATALOG_LEASE", catalog_room.CATALOG_LEASE.__class__(2, pause=0.01))
    (copy / "catalog.json").unlink()
    with lease(copy / "catalog-lease", owner="another run"):
        update_catalog(copy)
    assert not (copy / "catalog.json").exists()
    assert "the next run makes up for it" in caplog.text
    update_catalog(copy)
    assert (copy / "catalog.json").exists()
