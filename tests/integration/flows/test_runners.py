"""Block tasks on threads, on processes, and on temporary Dask and Ray clusters: the same map, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic import map_region as map_without_prefect
from terramosaic.block.block import finished_block
from terramosaic.errors import RunCancelledError
from terramosaic.ground.grid import Rect
from terramosaic.model.device_lock import device_to_itself
from terramosaic.model.devices import Device
from terramosaic.planning.folder import write_plan
from terramosaic.planning.planning import plan
from terramosaic.run.processes import DeviceProcesses
from terramosaic.settings import BLOCK_TIMEOUT, RUNNER
from tests.integration.conftest import LAND
from tests.support.services import wait_for


@pytest.fixture(scope="module")
def alone(land, tmp_path_factory):
    """The region as one process maps it."""
    rect = Rect(LAND.row, LAND.col, 700, 600)
    return map_without_prefect(land.request(rect, tmp_path_factory.mktemp("alone"), targets=("NDVI", "LULC")))


def children() -> set[str]:
    """Processes that have this one as an ancestor."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # Python's own helper, that stays as long as the process does.
            if "resource_tracker" not in (folder / "cmdline").read_text():
                parents[folder.name] = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
    mine, more = set(), {str(os.getpid())}
    while more:
        more = {pid for pid, parent in parents.items() if parent in more}
        mine |= more
    return mine


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["threads:2", "processes:cpu,cpu", "dask:2", "ray:2"])
def test_a_runner_makes_the_same_map_and_leaves_no_process(
    server, land, alone, tmp_path, monkeypatch, setting
):
    from terramosaic_flows.map_region import map_region

    pytest.importorskip(
        {"dask": "prefect_dask", "ray": "prefect_ray"}.get(setting.partition(":")[0], "prefect")
    )
    monkeypatch.setenv(RUNNER.name, setting)
    before = children()
    request = alone.plan.request.model_copy(update={"out": str(tmp_path)})
    state = map_region(request, return_state=True)
    assert state.is_completed(), state.message
    for name, path in alone.mosaics.items():
        with rasterio.open(tmp_path / alone.plan.run_id / path.name) as ours, rasterio.open(path) as theirs:
            np.testing.assert_array_equal(ours.read(), theirs.read(), err_msg=name)
    wait_for("the end of every process", lambda: not children() - before)


#: Imported by every Python that starts below the test: its first block, on whichever worker, never ends.
HANG_ONCE = """
import threading
from pathlib import Path

import terramosaic_flows.far as far

run_block = far.run_block

def hang_once(*arguments, **options):
    try:
        Path({mark!r}).touch(exist_ok=False)
    except FileExistsError:
        return run_block(*arguments, **options)
    threading.Event().wait()

far.run_block = hang_once
"""


@pytest.mark.slow
@pytest.mark.parametrize("setting", ["dask:2", "ray:2"])
def test_a_clusters_worker_that_hangs_is_killed_and_its_block_done_by_another(
    server, land, alone, tmp_path, monkeypatch, setting
):
    from terramosaic_flows.map_region import map_region

    pytest.importorskip({"dask": "prefect_dask", "ray": "prefect_ray"}[setting.partition(":")[0]])
    mark, site = tmp_path / "hung", tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(HANG_ONCE.format(mark=str(mark)))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    monkeypatch.setenv(RUNNER.name, setting)
    monkeypatch.setenv(BLOCK_TIMEOUT.name, "20")
    state = map_region(alone.plan.request.model_copy(update={"out": str(tmp_path)}), return_state=True)
    assert state.is_completed(), state.message
    assert mark.exists()
    for name, path in alone.mosaics.items():
        with rasterio.open(tmp_path / alone.plan.run_id / path.name) as ours, rasterio.open(path) as theirs:
            np.testing.assert_array_equal(ours.read(), theirs.read(), err_msg=name)
    assert not list(tmp_path.rglob("hung.json")), "what was counted is forgotten once the block is done"


@pytest.mark.slow
def test_a_block_that_hangs_on_a_cluster_kills_two_workers_and_fails(land, tmp_path):
    made = plan(land.request(Rect(LAND.row, LAND.col, 300, 300), tmp_path / "out", targets=("NDVI",)))
    program = (
        "import sys, threading, terramosaic_flows.far as far; from terramosaic import read_plan;"
        "far.run_block = lambda *_, **__: threading.Event().wait(); plan = read_plan(sys.argv[1]);"
        "far.compute_far_from_the_flow(plan, plan.blocks[0], 0.2)"
    )
    folder = write_plan(made).location
    ends = [
        subprocess.run(
            [sys.executable, "-c", program, folder], check=False, capture_output=True, text=True, timeout=120
        )
        for _ in range(3)
    ]
    assert [end.returncode for end in ends] == [-signal.SIGKILL, -signal.SIGKILL, 1]
    assert "both workers that computed it were lost (each not done after 0.2 s)" in ends[2].stderr
    # A run that is started again tries again.
    assert not list(tmp_path.rglob("hung.json"))


def test_closing_stops_processes_in_the_middle_of_a_block(land, tmp_path):
    made = plan(land.request(Rect(LAND.row, LAND.col, 900, 900), tmp_path, block_size=2048, stride=16))
    with DeviceProcesses(made, [Device("cpu")]) as processes:

        def close_in_the_midst() -> None:
            wait_for("a raster that is being written", lambda: list(tmp_path.glob("*/blocks/*/.*.partial")))
            processes.close()

        closer = threading.Thread(target=close_in_the_midst)
        closer.start()
        with pytest.raises(RunCancelledError):
            processes.submit(made, made.blocks[0]).result()
        closer.join()
    # The block would have taken minutes.
    assert finished_block(made, made.blocks[0]) is None


def test_a_gpu_is_locked_by_one_process_and_free_when_it_dies():
    ready, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        with device_to_itself(Device("cuda", 93)):
            os.write(told, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    cancelled = threading.Event()
    threading.Timer(1, cancelled.set).start()
    with (
        pytest.raises(RunCancelledError, match="another process used cuda:93"),
        device_to_itself(Device("cuda", 93), cancelled),
    ):
        raise AssertionError("two processes hold one GPU")
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    with device_to_itself(Device("cuda", 93)), device_to_itself(Device("cuda", 93)):
        pass
