"""A file that fails for good, counted by the server that fails: as often as the table says, whoever runs the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio

from terramosaic import map_region as map_without_prefect
from terramosaic import plan
from terramosaic.block.receipt import finished_blocks
from terramosaic.errors import CatalogError, NothingLeftError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder, mosaics_of
from terramosaic.run.mapping import Quiet
from terramosaic.settings import RUNNER
from terramosaic.storage.retries import ASSET, MISSING
from tests.integration.conftest import LAND, Catalog
from tests.support.file_server import serve_files
from tests.support.scenes import write_scene

PLACE = Rect(LAND.row, LAND.col, 600, 600)
NAME = "S2A_33TWL_20230815"
#: Of another day and with more cloud: the next best.
SECOND = "S2B_33TWL_20230820"


def by_flow(request):
    from terramosaic_flows.map_region import map_region

    return map_region(request)


#: Both run the same code: `make test` has flows where a scene is left out, `make test-slow` all.
RUNS = [map_without_prefect, pytest.param(by_flow, marks=pytest.mark.slow)]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    items = {
        NAME: write_scene(folder, PLACE, name=NAME),
        SECOND: write_scene(folder, PLACE, name=SECOND, day="2023-08-20", level=900, cloud=9.0),
    }
    with serve_files(folder) as server:
        for name, item in items.items():
            for band, asset in item["assets"].items():
                asset["href"] = server.url(f"{name}_{band}.tif")
        server.items = items
        yield server


@pytest.fixture
def request_for(files, tmp_path):
    """A request for four blocks of the best scene, and of others that are named."""
    catalog = Catalog(tmp_path / "catalog")
    catalog.folder.mkdir()
    files.requests.clear()
    files.fail.clear()

    def requested(*others):
        for name in (NAME, *others):
            catalog.add(files.items[name])
        return catalog.request(PLACE, tmp_path / "maps", targets=("NDVI",))

    return requested


@pytest.fixture(scope="module")
def alone(files, tmp_path_factory):
    """The map as it is where there is the second scene alone."""
    catalog = Catalog(tmp_path_factory.mktemp("alone"))
    catalog.add(files.items[SECOND])
    return map_without_prefect(
        catalog.request(PLACE, tmp_path_factory.mktemp("maps"), targets=("NDVI",))
    ).plan


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(
    ("band", "status", "tries"),
    [("B04", 503, ASSET.tries + 1), ("B11", 502, ASSET.tries), ("SCL", 403, 1)],
)
def test_an_outage_costs_blocks_and_no_scene(
    server, files, request_for, quick_retries, run, band, status, tries
):
    request, file = request_for(), f"{NAME}_{band}.tif"
    files.fail[file] = (status, 10_000)
    made = plan(request)
    assert len(made.blocks) == 4
    with pytest.raises(
        CatalogError, match=f"failed, 4 of 4 blocks: block 33N_r.* asset {band} of {NAME}"
    ) as told:
        run(request)
    assert f"--exclude {NAME}" in str(told.value)
    assert files.requests[file] == tries
    # Started anew by its user, it asks again, and the map is made.
    files.fail.clear()
    run(request)
    assert files.requests[file] > tries
    assert not list(RunFolder.of(made).failed_assets.glob("*"))
    assert decided(made)[NAME].is_used


@pytest.mark.parametrize("run", RUNS)
@pytest.mark.parametrize(("band", "status"), [("B04", 404), ("B11", 410), ("SCL", 404)])
def test_where_the_only_scene_is_dead_nothing_is_left(server, files, request_for, run, band, status):
    request, file = request_for(), f"{NAME}_{band}.tif"
    files.fail[file] = (status, 10_000)
    made = plan(request)
    with pytest.raises(NothingLeftError, match=f"nothing is left to map.*{NAME}: asset {band} of {NAME}"):
        run(request)
    assert files.requests[file] == MISSING.tries
    assert decided(made)[NAME].cause == "dead asset"
    # It is asked for again by the next attempt, as nothing hangs on it yet.
    files.fail.clear()
    run(request)
    assert decided(made)[NAME].is_used


@pytest.mark.parametrize("run", [map_without_prefect, by_flow])
def test_the_next_best_takes_a_dead_ones_place(server, files, request_for, alone, run):
    from terramosaic_flows.map_region import map_region

    request = request_for(SECOND)
    files.fail[f"{NAME}_B11.tif"] = (404, 10_000)
    run(request)
    told = map_region(request, return_state=True).message
    assert told.startswith("mapped: NDVI of ")
    assert f"scene {NAME} was left out (dead asset): asset B11 of {NAME} could not be read" in told
    made = plan(request)
    assert files.requests[f"{NAME}_B11.tif"] == MISSING.tries
    held = decided(made)
    assert held[NAME].cause == "dead asset" and "B11" in held[NAME].reason and held[SECOND].is_used
    assert_same_map(made, alone)


@pytest.mark.parametrize("run", [map_without_prefect, by_flow])
@pytest.mark.slow
def test_blocks_that_used_it_before_it_died_are_computed_again_and_no_others(
    server, files, request_for, alone, run
):
    request = request_for(SECOND)
    made = plan(request)
    with pytest.raises(KeyboardInterrupt):
        map_without_prefect(request, progress=StopsAfterOne(), workers=1)
    (first,) = finished_blocks(made)
    files.fail[f"{NAME}_B11.tif"] = (404, 10_000)
    run(request)
    assert_same_map(made, alone)
    receipts = finished_blocks(made)
    assert first in receipts and len(receipts) == 4
    assert all(NAME in receipt.decisions for receipt in receipts.values())


class StopsAfterOne(Quiet):
    """Stops a run when its first block is done, as Ctrl-C does."""

    def block_done(self, block, receipt):
        raise KeyboardInterrupt


def decided(made):
    return SceneRecords(RunFolder.of(made)).read_all(made)


def assert_same_map(made, other):
    for name, path in mosaics_of(made).items():
        with rasterio.open(path) as ours, rasterio.open(mosaics_of(other)[name]) as theirs:
            np.testing.assert_array_equal(ours.read(), theirs.read())


@pytest.mark.slow
def test_processes_ask_no_more_than_one_block_each(server, files, request_for, monkeypatch):
    monkeypatch.setenv(RUNNER.name, "processes:cpu,cpu")
    file = f"{NAME}_SCL.tif"
    files.fail[file] = (404, 10_000)
    with pytest.raises(NothingLeftError, match="nothing is left to map"):
        by_flow(request_for())
    assert files.requests[file] <= 2 * MISSING.tries
