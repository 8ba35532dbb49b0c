"""Block tasks on threads, on processes, and on temporary Dask and Ray clusters: the same map, bit for bit."""

from __future__ import annotations

import os
import signal
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
from terramosaic.planning.planning import plan
from terramosaic.run.workers import DeviceProcesses
from terramosaic_flows.runners import SETTING
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


@pytest.mark.parametrize("setting", ["threads:2", "processes:cpu,cpu", "dask:2", "ray:2"])
def test_a_runner_makes_the_same_map_and_leaves_no_process(
    server, land, alone, tmp_path, monkeypatch, setting
):
    from terramosaic_flows.map_region import map_region

    pytest.importorskip(
        {"dask": "prefect_dask", "ray": "prefect_ray"}.get(setting.partition(":")[0], "prefect")
    )
    monkeypatch.setenv(SETTING, setting)
    before = children()
    request = alone.plan.request.model_copy(update={"out": str(tmp_path)})
    state = map_region(request, return_state=True)
    assert state.is_completed(), state.message
    for name, path in alone.mosaics.items():
        with rasterio.open(tmp_path / alone.plan.run_id / path.name) as ours, rasterio.open(path) as theirs:
            np.testing.assert_array_equal(ours.read(), theirs.read(), err_msg=name)
    wait_for("the end of every process", lambda: not children() - before)


def test_a_process_that_dies_is_a_lost_worker_and_the_next_block_gets_a_new_one(land, tmp_path):
    from terramosaic.errors import WorkerLostError

    made = plan(land.request(Rect(LAND.row, LAND.col, 600, 600), tmp_path, targets=("NDVI",)))
    with DeviceProcesses(made, [Device("cpu")]) as processes:
        process = processes._process(0)
        os.kill(process._worker._process.pid, signal.SIGSTOP)
        killer = threading.Timer(0.5, os.kill, (process._worker._process.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(WorkerLostError, match="worker process on cpu died \\(SIGKILL\\)"):
            processes.compute(made, made.blocks[0])
        assert processes.compute(made, made.blocks[0]).block == made.blocks[0].id


def test_closing_stops_processes_in_the_middle_of_a_block(land, tmp_path):
    made = plan(land.request(Rect(LAND.row, LAND.col, 900, 900), tmp_path, block_size=2048, stride=16))
    with DeviceProcesses(made, [Device("cpu")]) as processes:

        def close_in_the_midst() -> None:
            wait_for("a raster that is being written", lambda: list(tmp_path.glob("*/blocks/*/.*.partial")))
            processes.close()

        closer = threading.Thread(target=close_in_the_midst)
        closer.start()
        with pytest.raises(RunCancelledError):
            processes.compute(made, made.blocks[0])
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
