"""The Prefect flow on a real (temporary, loopback) server: states, artifacts, failures."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import rasterio

from engine import map_region as map_without_prefect
from engine.errors import RequestError
from engine.grid import Rect
from tests.integration.conftest import LAND


@pytest.fixture(scope="module")
def server():
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield


def artifacts(key):
    from prefect.client.orchestration import get_client

    async def fetch():
        async with get_client() as client:
            return [artifact for artifact in await client.read_artifacts() if artifact.key == key]

    return asyncio.run(fetch())


def test_flow_maps_a_region_and_leaves_artifacts(server, land, tmp_path):
    from flows.map_region import map_region

    rect = Rect(LAND.row, LAND.col, 700, 600)
    request = land.request(rect, tmp_path / "flow", targets=("NDVI", "LULC"))
    state = map_region(request, return_state=True)
    assert state.is_completed(), state.message
    alone = map_without_prefect(request.model_copy(update={"out": str(tmp_path / "alone")}))
    for name in ("NDVI", "LULC"):
        with (
            rasterio.open(tmp_path / "flow" / alone.plan.run_id / f"{name}.tif") as ours,
            rasterio.open(alone.mosaics[name]) as theirs,
        ):
            np.testing.assert_array_equal(ours.read(), theirs.read())
    again = map_region(request, return_state=True)
    assert again.is_completed() and again.result() == str(tmp_path / "flow" / alone.plan.run_id)
    table, *_ = artifacts("plan")
    assert "S2A_33TWL_20230815" in str(table.data) and alone.plan.run_id in table.description
    (progress,) = artifacts("blocks")
    assert float(progress.data) == 100.0
    outputs, *_ = artifacts("outputs")
    assert "data:image/jpeg;base64," in outputs.data and "report.html" in outputs.data
    assert len(outputs.data) < 500_000


def test_flow_maps_into_an_object_store(server, land):
    from flows.map_region import map_region

    request = land.request(Rect(LAND.row, LAND.col, 300, 300), "memory://flow/maps", targets=("NDVI",))
    folder = map_region(request)
    assert folder.startswith("memory://flow/maps/")
    (outputs,) = (artifact for artifact in artifacts("outputs") if folder in artifact.data)
    assert f"`{folder}/report.html`" in outputs.data and "data:image/jpeg;base64," in outputs.data


def test_a_failed_block_fails_the_flow_with_its_line_and_the_others_are_done(
    server, land, tmp_path, monkeypatch
):
    from flows import map_region as module

    monkeypatch.setattr("engine.imagery.reader._PAUSE_FIRST", 0.01)
    monkeypatch.setattr(
        module, "compute_block", module.compute_block.with_options(retries=1, retry_delay_seconds=0.1)
    )
    broken = next(land.folder.glob("b/*_B04.tif"))
    hidden = broken.with_suffix(".hidden")
    broken.rename(hidden)
    try:
        request = land.request(Rect(LAND.row, LAND.col, 600, 600), tmp_path, targets=("NDVI",))
        state = module.map_region(request, return_state=True)
    finally:
        hidden.rename(broken)
    assert state.is_failed()
    assert "of 4 blocks failed; " in state.message and not state.message.startswith("Flow run encountered")
    assert "asset B04 of S2B_33TWL_20230820" in state.message


def test_a_wrong_request_fails_with_the_line_of_the_command_line(server):
    from flows.map_region import map_region

    upside_down = {"region": {"west": 14, "south": 45, "east": 13, "north": 46}, "datetime": "2023"}
    state = map_region(upside_down, return_state=True)
    assert state.is_failed() and state.message.startswith("region: bbox is inverted")
    with pytest.raises(RequestError, match="bbox is inverted"):
        map_region(upside_down)


def test_a_deployment_refuses_relative_paths_and_an_endless_crash_loop(server, monkeypatch):
    from flows.map_region import map_region

    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "a-deployment")
    relative = {
        "region": {"path": "here.geojson"},
        "datetime": "2023",
        "catalog": "world/catalog.json",
        "model": "bundle",
        "out": "maps",
    }
    state = map_region(relative, return_state=True)
    assert state.is_failed()
    lines = state.message.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["out", "model", "catalog", "region"]
    assert all("is relative" in line and "give an absolute path" in line for line in lines)
    state = map_region(relative | {"out": "s3://bucket/maps"}, return_state=True)
    assert [line.partition(":")[0] for line in state.message.splitlines()] == ["model", "catalog", "region"]
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", "11")
    state = map_region(relative, return_state=True)
    assert state.is_failed() and "started 10 times" in state.message


def test_models_are_checked_and_exported_in_flows_that_fail_in_one_line(server, tmp_path):
    from flows.models import check_model, export_model

    state = check_model("demo", return_state=True)
    assert state.is_failed() and "holds no self-test" in state.message
    state = export_model({"out": str(tmp_path), "steps": 7}, return_state=True)
    assert state.is_failed() and state.message.startswith("steps: 7 does not divide 1000")
    state = export_model({"out": str(tmp_path), "variant": "huge"}, return_state=True)
    assert state.is_failed() and state.message.startswith("variant: ")


def test_only_what_can_pass_is_retried():
    from prefect.states import Failed

    from engine.errors import CatalogError, MissingBandError, ModelError
    from flows.map_region import can_pass

    for error, expected in (
        (CatalogError("x"), True),
        (MissingBandError("x"), False),
        (ModelError("x"), False),
        (KeyError("x"), False),
    ):
        assert can_pass(None, None, Failed(data=error)) is expected


def test_runner_setting(monkeypatch):
    from engine.errors import RequestError
    from flows.runners import SETTING, task_runner

    monkeypatch.setenv(SETTING, "threads:3")
    assert task_runner()._max_workers == 3
    monkeypatch.setenv(SETTING, "abacus")
    with pytest.raises(RequestError, match="TERRAMOSAIC_RUNNER: 'abacus'"):
        task_runner()
