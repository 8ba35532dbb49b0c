"""The Prefect flow on a real (temporary, loopback) server: states, artifacts, failures."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from pathlib import Path

import numpy as np
import pytest
import rasterio
from prefect import flow
from shapely.geometry import box

from terramosaic import map_region as map_without_prefect
from terramosaic.block.receipt import finished_blocks
from terramosaic.errors import ModelError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import read_plan
from terramosaic.planning.planning import plan
from terramosaic.settings import RUNNER
from terramosaic_flows.runners import Runner, chosen_runner
from tests.integration.conftest import LAND, Catalog
from tests.support.scenes import write_scene


def artifacts(key, *states):
    """Artifacts of this name, of the flow runs that ended in these states or of all."""
    from prefect.client.orchestration import get_client

    runs = {state.state_details.flow_run_id for state in states}

    async def fetch():
        async with get_client() as client:
            return [
                artifact
                for artifact in await client.read_artifacts()
                if artifact.key == key and (not runs or artifact.flow_run_id in runs)
            ]

    return asyncio.run(fetch())


def test_flow_maps_a_region_and_leaves_artifacts(server, land, tmp_path, monkeypatch):
    from terramosaic_flows.map_region import map_region

    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", "https://maps.example/")
    monkeypatch.setenv("TERRAMOSAIC_OUT", str(tmp_path))
    rect = Rect(LAND.row, LAND.col, 700, 600)
    request = land.request(rect, tmp_path / "flow", targets=("NDVI", "LULC"))
    state = map_region(request, return_state=True)
    assert state.is_completed(), state.message
    alone = map_without_prefect(request.model_copy(update={"out": str(tmp_path / "alone")}))
    shown = f"https://maps.example/#run=flow%2F{alone.plan.run_id}"
    assert state.message.startswith("mapped: NDVI and land cover of ")
    assert f"km², 2 days 2023-08-15 to 2023-08-20: {shown}; 4.7% of the pixels to map are" in state.message
    (run,) = (run for run in runs_of("map-region") if run.id == state.state_details.flow_run_id)
    assert re.fullmatch(r"[\d.]+E [\d.]+N to [\d.]+E [\d.]+N 2023-08", run.name)
    for name in ("NDVI", "LULC"):
        with (
            rasterio.open(tmp_path / "flow" / alone.plan.run_id / f"{name}.tif") as ours,
            rasterio.open(alone.mosaics[name]) as theirs,
        ):
            np.testing.assert_array_equal(ours.read(), theirs.read())
    again = map_region(request, return_state=True)
    assert again.is_completed() and again.result() == [str(tmp_path / "flow" / alone.plan.run_id)]
    table, *_ = artifacts("plan", state, again)
    assert "S2A_33TWL_20230815" in str(table.data) and alone.plan.run_id in table.description
    blocks = len(alone.plan.blocks)
    progress = artifacts("progress", state, again)
    first, second = sorted((each.description for each in progress), key=len, reverse=True)
    assert {float(each.data) for each in progress} == {100.0}
    assert f"{blocks} of {blocks} blocks done" in first and "Stage: **ended**" in first
    assert "windows a second" in first and "waiting for imagery" in first and "in the model" in first
    assert f"{blocks} of them before" in second and "a second" not in second
    outputs, *_ = artifacts("outputs", state, again)
    assert "data:image/jpeg;base64," in outputs.data and "report.html" in outputs.data
    assert re.search(r"\| NDVI \| [\d.]+ .*\|", outputs.data)
    served = f"https://maps.example/flow/{alone.plan.run_id}"
    assert f"[On the map](<{shown}>), [report](<{served}/report.html>)" in outputs.data
    assert f"| [NDVI](<{served}/NDVI.tif>) |" in outputs.data
    assert f"`{tmp_path}/flow/{alone.plan.run_id}`" in outputs.data
    assert all(f"| `{name}.tif` |" in outputs.data for name in ("NDVI", "LULC"))
    assert len(outputs.data) < 500_000


@pytest.mark.slow
def test_several_regions_are_shown_each_by_its_name(server, land, tmp_path):
    from terramosaic_flows.map_region import map_region

    features = []
    for name, row in (("North side", LAND.row), ("South_2", LAND.row + 400)):
        region = land.request(Rect(row, LAND.col, 200, 200), tmp_path).region
        features.append({"type": "Feature", "properties": {"name": name}, "geometry": region.geojson})
    file = tmp_path / "regions.geojson"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    whole = land.request(Rect(LAND.row, LAND.col, 200, 200), tmp_path / "out", targets=("NDVI",))
    state = map_region(whole.model_dump(mode="json") | {"region": {"path": str(file)}}, return_state=True)
    assert state.is_completed(), state.message
    for region in ("north-side", "south-2"):
        (table,), (outputs,) = artifacts(f"plan-{region}"), artifacts(f"outputs-{region}")
        assert "S2A_33TWL_20230815" in str(table.data) and "NDVI.tif" in outputs.data


def test_a_series_is_a_run_for_each_period_and_a_page(server, land, tmp_path):
    from terramosaic_flows.map_region import map_region

    request = land.request(Rect(LAND.row, LAND.col, 200, 200), tmp_path, targets=("NDVI",), every="month",
                           datetime="2023-07/2023-08")  # fmt: skip
    state = map_region(request, return_state=True)
    assert state.is_completed(), state.message
    (folder,) = state.result()  # July has no imagery
    (page,) = tmp_path.glob("series-*.html")
    assert f"{Path(folder).name}/report.html" in page.read_text() and "2023-07: no scene" in page.read_text()
    (outputs,) = artifacts("outputs-2023-08")
    assert "NDVI.tif" in outputs.data


def test_what_stays_without_data_is_the_message_of_the_run(server, land, tmp_path):
    from terramosaic_flows.map_region import map_region

    hole = Rect(LAND.row + 620, LAND.col + 420, 100, 200)
    state = map_region(land.request(hole, tmp_path, targets=("NDVI",)), return_state=True)
    assert state.is_failed() and state.message.startswith(
        "nothing to map: 100.0% of the pixels to map are without"
    )
    edge = Rect(LAND.row + 620, LAND.col + 300, 100, 200)
    state = map_region(land.request(edge, tmp_path, targets=("NDVI",)), return_state=True)
    assert state.is_completed() and "; 50.0% of the pixels to map are without data" in state.message


@pytest.mark.slow
def test_a_region_that_is_larger_than_the_server_takes(server, land, tmp_path):
    from terramosaic_flows.map_region import map_region

    outline = box(*Rect(LAND.row, LAND.col, 100, 100).bounds).segmentize(0.2)  # 20 000 vertices
    request = land.request(LAND, tmp_path, outline=outline, targets=("NDVI",))
    assert len(request.model_dump_json()) > 600_000
    (folder,) = map_region(request)
    assert read_plan(folder).request.region == request.region


@pytest.mark.slow
def test_flow_maps_into_an_object_store(server, land):
    from terramosaic_flows.map_region import map_region

    request = land.request(Rect(LAND.row, LAND.col, 300, 300), "memory://flow/maps", targets=("NDVI",))
    (folder,) = map_region(request)
    assert folder.startswith("memory://flow/maps/")
    (outputs,) = (artifact for artifact in artifacts("outputs") if folder in artifact.data)
    assert (
        f"In `{folder}`:" in outputs.data
        and "`report.html`" in outputs.data
        and "data:image/jpeg;base64," in outputs.data
    )


@pytest.mark.slow
def test_a_dead_file_leaves_its_scene_out_and_the_flow_says_so(server, tmp_path, quick_retries):
    from terramosaic_flows.map_region import map_region

    # Six blocks. The first day is clouded in the far east, and the second has nothing but that: two blocks read it.
    place, catalog = Rect(LAND.row, LAND.col, 600, 1098), Catalog(tmp_path / "catalog")
    scl = np.full((300, 549), 4)
    scl[:, 500:] = 9
    catalog.add(write_scene(catalog.folder / "a", place, scl=scl))
    east = Rect(LAND.row, LAND.col + 966, 600, 132)
    catalog.add(write_scene(catalog.folder / "b", east, name="S2B_33TWL_20230820", day="2023-08-20"))
    next(catalog.folder.glob("b/*_B11.tif")).unlink()
    request = catalog.request(place, tmp_path / "maps", targets=("NDVI",))
    state = map_region(request, return_state=True)
    assert state.is_completed()
    assert "; scene S2B_33TWL_20230820 was left out (dead asset): asset B11 of" in state.message
    assert len(finished_blocks(plan(request))) == 6


def runs_of(flow_name):
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowFilter, FlowFilterName

    async def fetch():
        async with get_client() as client:
            return await client.read_flow_runs(flow_filter=FlowFilter(name=FlowFilterName(any_=[flow_name])))

    return asyncio.run(fetch())


@pytest.mark.slow
def test_very_many_blocks_are_handed_out_by_grid_cell(server, land, tmp_path, monkeypatch):
    from terramosaic_flows import execution, tasks
    from terramosaic_flows.map_region import map_region

    monkeypatch.setenv("TERRAMOSAIC_SPLIT", "3")
    monkeypatch.setattr(execution, "_CELL", 512)
    request = land.request(Rect(LAND.row, LAND.col, 600, 600), tmp_path, targets=("NDVI",))
    (folder,) = map_region(request)
    assert len(finished_blocks(read_plan(folder))) == 4
    cells = runs_of("map-cell")
    assert len({run.name for run in cells}) == 4 and all(run.state.is_completed() for run in cells)
    (above,) = {run.name.rpartition(": ")[0] for run in cells}
    assert above.endswith(" 2023-08")

    def break_down(*_):
        raise KeyError("a bug")

    monkeypatch.setattr(tasks, "_outcome", break_down)
    state = map_region(request.model_copy(update={"seed": 1}), return_state=True)
    assert state.is_failed() and "a bug" in state.message
    monkeypatch.setenv("TERRAMOSAIC_SPLIT", "many")
    state = map_region(request.model_copy(update={"seed": 2}), return_state=True)
    assert state.is_failed() and state.message.startswith("TERRAMOSAIC_SPLIT: 'many'")


def test_what_stops_a_run_is_the_error_of_all_that_was_left(server, land, tmp_path, monkeypatch):
    from terramosaic_flows import execution, tasks

    made = {
        name: plan(
            land.request(Rect(LAND.row, LAND.col, 600, 600), tmp_path / name, seed=seed, targets=("NDVI",))
        )
        for seed, name in enumerate(("first", "second"))
    }
    monkeypatch.setattr(tasks, "_outcome", lambda *_: ModelError("the device is gone"))

    @flow
    def carry():
        return {name: str(error) for name, error in execution.carry_out_plans(made).items()}

    for line in carry().values():
        assert line.startswith("failed, ") and "the device is gone" in line


def test_a_wrong_request_fails_with_the_line_of_the_command_line(server):
    from terramosaic_flows.map_region import map_region

    upside_down = {"region": {"west": 14, "south": 45, "east": 13, "north": 46}, "datetime": "2023"}
    state = map_region(upside_down, return_state=True)
    assert state.is_failed() and state.message.startswith("region: bbox is inverted")
    with pytest.raises(RequestError, match="bbox is inverted"):
        map_region(upside_down)


def test_a_deployment_refuses_relative_paths_and_an_endless_crash_loop(server, monkeypatch):
    from terramosaic_flows.map_region import map_region

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


def test_a_run_that_is_started_again_goes_on_with_its_plan(server, land, tmp_path, monkeypatch):
    """Although the catalog has a new scene by then."""
    from terramosaic_flows import execution
    from terramosaic_flows.map_region import map_region

    rect = Rect(LAND.row, LAND.col, 300, 300)
    catalog = Catalog(tmp_path / "catalog")
    catalog.folder.mkdir()
    catalog.add(write_scene(catalog.folder / "a", rect, name="S2A_33TWL_20230815"))
    request = catalog.request(rect, tmp_path / "maps", targets=("NDVI",))
    monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "a-deployment")
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", "a-run")
    with monkeypatch.context() as patch:
        patch.setattr(execution, "_compute", lambda *_: {"": ModelError("killed here")})
        assert map_region(request, return_state=True).is_failed()
    catalog.add(write_scene(catalog.folder / "b", rect, name="S2B_33TWL_20230820", day="2023-08-20"))
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", "2")
    (again,) = map_region(request)
    assert list(read_plan(again).scenes) == ["S2A_33TWL_20230815"]
    # It came to its end: what is started after that is another map.
    (after,) = map_region(request)
    assert len(read_plan(after).scenes) == 2


def test_models_are_checked_and_exported_in_flows_that_fail_in_one_line(server, tmp_path):
    from terramosaic_flows.models import check_model, export_model

    state = check_model("demo", return_state=True)
    assert state.is_failed() and "holds no self-test" in state.message
    state = check_model("demo", precision="fp16", return_state=True)
    assert state.is_failed() and state.message.startswith("precision: a cpu computes in fp32 alone")
    state = export_model({"out": str(tmp_path), "steps": 7}, return_state=True)
    assert state.is_failed() and state.message.startswith("steps: 7 does not divide 1000")
    state = export_model({"out": str(tmp_path), "variant": "huge"}, return_state=True)
    assert state.is_failed() and state.message.startswith("variant: ")


def test_only_what_can_pass_is_retried():
    from prefect.states import Failed

    from terramosaic.errors import CatalogError, MissingBandError, ModelError, StoreError, WorkerLostError
    from terramosaic_flows.stages import can_pass

    for error, expected in (
        (CatalogError("x"), False),
        (StoreError("x"), True),
        (MissingBandError("x"), False),
        (ModelError("x"), False),
        (WorkerLostError("x"), False),
        (KeyError("x"), False),
    ):
        assert can_pass(None, None, Failed(data=error)) is expected


@pytest.mark.parametrize(
    "setting, expected",
    [
        (None, Runner("threads")),
        ("threads:3", Runner("threads", count=3)),
        ("processes:cuda:0,cuda:1", Runner("processes", devices="cuda:0,cuda:1")),
        ("dask:2", Runner("dask", count=2)),
        ("dask:tcp://10.0.0.1:8786", Runner("dask", address="tcp://10.0.0.1:8786")),
        ("ray:ray://head:10001", Runner("ray", address="ray://head:10001")),
    ],
)
def test_runner_setting(monkeypatch, setting, expected):
    if setting is None:
        monkeypatch.delenv(RUNNER.name, raising=False)
    else:
        monkeypatch.setenv(RUNNER.name, setting)
    assert chosen_runner() == expected


@pytest.mark.parametrize("setting", ["abacus", "threads:0", "threads:tcp://here", "dask:many"])
def test_a_wrong_runner_setting_is_named(monkeypatch, setting):
    monkeypatch.setenv(RUNNER.name, setting)
    with pytest.raises(RequestError, match=f"TERRAMOSAIC_RUNNER: '{setting}'"):
        chosen_runner()


def test_an_error_of_the_engine_is_logged_in_its_line_and_a_bug_with_its_traceback(server, caplog):
    from prefect import flow, task

    from terramosaic.errors import CatalogError
    from terramosaic_flows.failures import fails_in_one_line

    @task
    def fail(error: Exception) -> None:
        raise error

    @flow(validate_parameters=False)
    @fails_in_one_line
    def failing(error: Exception) -> None:
        fail(error)

    log = logging.getLogger("prefect.task_runs")
    log.addHandler(caplog.handler)  # it hands nothing on to the root logger
    try:
        for error in (CatalogError("asset B04 could not be read"), KeyError("a bug")):
            caplog.clear()
            failing(error, return_state=True)
            first = next(record for record in caplog.records if record.levelno >= logging.ERROR)
            assert str(error) in first.getMessage()
            assert bool(first.exc_info) == isinstance(error, KeyError)
    finally:
        log.removeHandler(caplog.handler)
