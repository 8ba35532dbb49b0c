"""A file that fails for good, counted by the server that fails: as often as the table says, whoever runs the blocks."""

from __future__ import annotations

import pytest

from terramosaic import map_region as map_without_prefect
from terramosaic import plan
from terramosaic.errors import CatalogError
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.retries import ASSET, MISSING
from terramosaic_flows.runners import SETTING
from tests.integration.conftest import LAND, Catalog
from tests.support.file_server import serve_files
from tests.support.scenes import write_scene

PLACE = Rect(LAND.row, LAND.col, 600, 600)
NAME = "S2A_33TWL_20230815"


def by_flow(request):
    from terramosaic_flows.map_region import map_region

    return map_region(request)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    item = write_scene(folder, PLACE, name=NAME)
    with serve_files(folder) as server:
        for band, asset in item["assets"].items():
            asset["href"] = server.url(f"{NAME}_{band}.tif")
        server.item = item
        yield server


@pytest.fixture
def request_for(files, tmp_path):
    """A request for four blocks of the scene."""
    catalog = Catalog(tmp_path / "catalog")
    catalog.folder.mkdir()
    catalog.add(files.item)
    files.requests.clear()
    files.fail.clear()
    return lambda: catalog.request(PLACE, tmp_path / "maps", targets=("NDVI",))


@pytest.mark.parametrize("run", [map_without_prefect, by_flow])
@pytest.mark.parametrize(
    ("band", "status", "tries"),
    [("B04", 503, ASSET.tries), ("B11", 503, ASSET.tries), ("B04", 404, MISSING.tries), ("SCL", 403, 1)],
)
def test_a_dead_asset_is_asked_for_as_often_as_one_block_would(
    server, files, request_for, quick_retries, run, band, status, tries
):
    request, file = request_for(), f"{NAME}_{band}.tif"
    files.fail[file] = (status, 10_000)
    made = plan(request)
    assert len(made.blocks) == 4
    with pytest.raises(CatalogError, match=f"failed, 4 of 4 blocks: block 33N_r.* asset {band} of {NAME}"):
        run(request)
    assert files.requests[file] == tries
    # Started anew by its user, it asks again, and the map is made.
    files.fail.clear()
    run(request)
    assert files.requests[file] > tries
    assert not list(RunFolder.of(made).failed_assets.glob("*"))


def test_processes_ask_no_more_than_one_block_each(server, files, request_for, monkeypatch):
    monkeypatch.setenv(SETTING, "processes:cpu,cpu")
    file = f"{NAME}_SCL.tif"
    files.fail[file] = (404, 10_000)
    with pytest.raises(CatalogError, match="failed, 4 of 4 blocks"):
        by_flow(request_for())
    assert files.requests[file] <= 2 * MISSING.tries
