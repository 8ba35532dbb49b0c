"""What happens to runs in the hands of people and machines: cancelled, started twice, crashed again and again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic import map_region
from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND
from tests.support.services import pids_of, wait_for


def is_alive(pid: str) -> bool:
    """Whether there is a process of this number."""
    return subprocess.run(["kill", "-0", pid], capture_output=True, check=False).returncode == 0


def flow_processes(home: Path) -> list[str]:
    """Processes that belong to flow runs."""
    return [
        line
        for line in pids_of(home).values()
        if "prefect.engine" in line or "terramosaic.run.process" in line
    ]


@pytest.mark.slow
def test_a_cancelled_run_stops_in_the_midst_of_a_block_and_leaves_nothing(up, land, tmp_path):
    # Blocks that take minutes.
    slow = land.request(Rect(LAND.row, LAND.col, 900, 900), tmp_path / "out", stride=16, block_size=512)
    running = up()
    run = running.trigger(slow.model_dump(mode="json"))
    wait_for("a block that is being written", lambda: list((tmp_path / "out").glob("*/blocks/*/.*.partial")))
    running.call(f"/flow_runs/{run}/set_state", {"state": {"type": "CANCELLING"}})
    wait_for("the end", lambda: running.call(f"/flow_runs/{run}")["state_type"] == "CANCELLED")
    wait_for("no process", lambda: not flow_processes(running.home))
    assert not list((tmp_path / "out").glob("*/blocks/*/block.json"))
    assert not list((tmp_path / "out").glob("*/blocks/*/.*.partial"))


@pytest.mark.slow
def test_one_run_started_twice_at_once_is_one_map(land, tmp_path):
    request = land.request(Rect(LAND.row, LAND.col, 900, 900), tmp_path / "out", targets=("NDVI", "LULC"))
    program = (
        "import sys; from terramosaic import *; map_region(RegionRequest.model_validate_json(sys.argv[1]))"
    )
    both = [subprocess.Popen([sys.executable, "-c", program, request.model_dump_json()]) for _ in range(2)]
    assert [process.wait(300) for process in both] == [0, 0]
    alone = map_region(request.model_copy(update={"out": str(tmp_path / "alone")}))
    for path in alone.mosaics.values():
        with (
            rasterio.open(path) as theirs,
            rasterio.open(tmp_path / "out" / alone.plan.run_id / path.name) as ours,
        ):
            np.testing.assert_array_equal(ours.read(), theirs.read())
    assert not list((tmp_path / "out").rglob(".*.partial"))


def test_a_flow_process_ends_with_its_worker():
    flow = (
        "import time; from terramosaic_flows.deployed import end_with_parent as f; f(); print('up', flush=True);"
        "time.sleep(60)"
    )
    worker = (
        "import subprocess as s, sys, time; child = s.Popen([sys.executable, '-c', sys.argv[1]], stdout=s.PIPE);"
        "child.stdout.readline(); print(child.pid, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", worker, flow], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    child = process.stdout.readline().strip()
    assert is_alive(child)
    process.kill()
    process.wait()
    wait_for("the end of what it had started", lambda: not is_alive(child))
