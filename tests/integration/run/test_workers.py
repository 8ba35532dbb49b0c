"""Worker processes: the same bytes however many, what a death costs, and that nothing is left behind."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from terramosaic import MapResult, map_region, plan
from terramosaic.block.block import BlockReceipt, finished_block
from terramosaic.block.rasters import BlockRasters, Written
from terramosaic.block.tokens import TokenSheet
from terramosaic.errors import ModelError, OffsetConflictError, OutputError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.model.devices import Device
from terramosaic.model.gpus import cuda_device_count
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Block, Plan
from terramosaic.run.mapping import Quiet, map_plan
from terramosaic.run.messages import Failed
from terramosaic.run.processes import DeviceProcesses
from terramosaic.run.scheduling import carry_out, jobs_left
from terramosaic.settings import BLOCK_TIMEOUT
from tests.integration.conftest import LAND

#: Four blocks of 6 and 12 windows, so each has several batches.
RECT = Rect(LAND.row + 300, LAND.col + 300, 700, 700)

#: No main guard, on purpose.
MAP_IN_A_PROCESS = """
import signal, sys
from pathlib import Path
import terramosaic.run.worker
from terramosaic import RegionRequest, map_region
from terramosaic.run.mapping import Quiet

class Announcing(Quiet):
    def windows(self, count):
        print("computing", flush=True)

# Tests that run in the background ignore Ctrl-C, and so would what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
terramosaic.run.worker.MODULE = "tests.integration.run.staged_worker"
request = RegionRequest.model_validate_json(Path(sys.argv[1]).read_text())
map_region(request, devices=["cpu", "cpu"], progress=Announcing())
"""


class Recorder(Quiet):
    """Counts what it is told."""

    def __init__(self) -> None:
        self.computed = 0
        self.done: list[str] = []

    def windows(self, count: int) -> None:
        assert count > 0
        self.computed += count

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        assert receipt.block == block.id
        self.done.append(block.id)


@pytest.fixture
def request_here(land, tmp_path):
    """A request for four blocks, into the test's own folder."""
    return land.request(RECT, tmp_path / "out", targets=("S1GRD",))


@pytest.fixture(scope="module")
def in_threads(land, tmp_path_factory) -> MapResult:
    """The four blocks as threads of one process make them."""
    return map_region(land.request(RECT, tmp_path_factory.mktemp("threads"), targets=("S1GRD",)))


@pytest.fixture
def stage(monkeypatch):
    """Lets something happen in worker processes."""

    def set_acts(**acts: list[object]) -> None:
        monkeypatch.setattr("terramosaic.run.worker.MODULE", "tests.integration.run.staged_worker")
        monkeypatch.setenv("STAGED", json.dumps(acts))

    return set_acts


def rasters(result: MapResult) -> dict[str, bytes]:
    """All rasters of a run, mosaics and blocks."""
    return {str(path.relative_to(result.folder)): path.read_bytes() for path in result.folder.rglob("*.tif")}


def finished(made: Plan) -> list[str]:
    return [block.id for block in made.blocks if finished_block(made, block)]


def test_one_process_makes_what_threads_make(request_here, in_threads):
    assert rasters(map_region(request_here, devices=["cpu"])) == rasters(in_threads)


@pytest.mark.slow
def test_two_processes_at_the_same_time_make_what_one_makes(request_here, in_threads, stage, tmp_path):
    first, second, *_ = in_threads.plan.blocks
    os.mkfifo(tmp_path / "fifo")
    fifo = str(tmp_path / "fifo")
    stage(**{first.id: ["meet", fifo, "rb"], second.id: ["meet", fifo, "wb"]})
    recorder = Recorder()
    result = map_region(request_here, devices=["cpu", "cpu"], progress=recorder, batch_size=1)
    assert rasters(result) == rasters(in_threads)
    assert sorted(recorder.done) == sorted(block.id for block in result.plan.blocks)
    assert recorder.computed == result.plan.figures.windows


@pytest.mark.slow
def test_a_block_whose_worker_is_killed_is_done_by_another(request_here, in_threads, stage, tmp_path, caplog):
    stage(**{in_threads.plan.blocks[0].id: ["die once", signal.SIGKILL, str(tmp_path / "mark")]})
    recorder = Recorder()
    with caplog.at_level(logging.INFO, "terramosaic"):
        result = map_region(request_here, devices=["cpu", "cpu"], progress=recorder)
    assert rasters(result) == rasters(in_threads)
    # Progress never goes back, and never beyond the end.
    assert sorted(recorder.done) == sorted(block.id for block in result.plan.blocks)
    assert recorder.computed == result.plan.figures.windows
    assert not list(result.folder.rglob("*.partial"))
    assert "a worker process died: SIGKILL on cpu" in caplog.messages
    # The log of workers is the parent's.
    for block in result.plan.blocks:
        assert any(message.startswith(f"block {block.id}: ") for message in caplog.messages)


@pytest.mark.slow
def test_a_block_that_always_kills_fails_and_the_others_finish(request_here, stage):
    made = plan(request_here)
    first, *others = made.blocks
    stage(**{first.id: ["die", signal.SIGSEGV]})
    line = (
        f"failed, 1 of 4 blocks: block {first.id}: both workers that computed it were lost "
        "(SIGSEGV on cpu, SIGSEGV on cpu); what is finished is kept, run the same request again to compute the rest"
    )
    with pytest.raises(ModelError) as error:
        map_plan(made, devices=["cpu", "cpu"])
    assert str(error.value) == line
    assert finished(made) == [block.id for block in others]


@pytest.mark.slow
def test_a_worker_that_dies_between_two_blocks_costs_nothing(request_here):
    """It is started again; what was on its way to it is done like any other."""
    made = plan(request_here)
    done = []

    class Killer(Quiet):
        def block_done(self, block: Block, receipt: BlockReceipt) -> None:
            done.append(block.id)
            process = pool._processes[0]._worker._process
            process.kill()
            process.wait()

    with DeviceProcesses(made, [Device("cpu")]) as pool:
        assert carry_out(jobs_left([made]), pool, Killer()) == []
    assert sorted(done) == sorted(finished(made)) == sorted(block.id for block in made.blocks)


@pytest.mark.slow
def test_workers_that_all_die_end_the_run(request_here, stage, monkeypatch):
    monkeypatch.setattr("terramosaic.run.scheduling._MOST_LOSSES", 2)
    stage(**{"*": ["die", signal.SIGKILL]})
    made = plan(request_here)
    with DeviceProcesses(made, [Device("cpu")]) as pool:
        failures = carry_out(jobs_left([made]), pool, Quiet())
    line = "workers are lost, one after the other (SIGKILL on cpu, SIGKILL on cpu, SIGKILL on cpu)"
    assert [str(error) for _, error in failures] == [line]
    assert not finished(made)


def test_an_error_in_a_worker_is_the_error_in_a_thread(request_here):
    made = plan(request_here)
    # A folder in the raster's place.
    RunFolder.of(made).block_raster(made.blocks[0], "S1GRD").mkdir(parents=True)
    lines = []
    for options in ({"workers": 1}, {"devices": ["cpu"]}):
        with pytest.raises(
            OutputError, match=r"failed, 1 of 4 blocks: block .* could not be written"
        ) as error:
            map_plan(made, **options)
        lines.append(str(error.value))
    assert lines[0] == lines[1]


def test_errors_keep_their_class_and_others_their_name():
    ours = Failed.of("b", OffsetConflictError("they disagree").within("block b"))
    found = Failed.model_validate_json(ours.model_dump_json()).exception()
    assert type(found) is OffsetConflictError and str(found) == "block b: they disagree"
    other = Failed.of("b", ZeroDivisionError("division by zero")).exception()
    assert type(other) is RuntimeError and str(other) == "ZeroDivisionError: division by zero"
    assert "ZeroDivisionError" in other.__notes__[0]


@pytest.mark.skipif(cuda_device_count() > 0, reason="there is a GPU here")
def test_a_device_that_cannot_be_used_ends_the_run_with_its_reason(land, tmp_path):
    request = land.request(RECT, tmp_path, targets=("NDVI",), device="cuda")
    with pytest.raises(
        ModelError,
        match=r"^failed, 1 of 4 blocks: worker on cuda:0: .*cuda was asked for and cannot be used: .*driver",
    ):
        map_region(request, devices=["cuda:0"])


@pytest.mark.skipif(cuda_device_count() > 0, reason="there is a GPU here")
def test_where_this_process_computes_a_missing_gpu_is_told_before_anything_is_planned(land, tmp_path):
    request = land.request(RECT, tmp_path, targets=("NDVI",), device="cuda")
    reason = r"^device: cuda was asked for and cannot be used: .*driver.*; or ask for cpu"
    with pytest.raises(ModelError, match=reason):
        map_region(request.model_copy(update={"catalog": "http://127.0.0.1:9/nobody-is-asked"}))
    with pytest.raises(ModelError, match=reason):
        map_plan(plan(request))
    assert not list(Path(request.out).iterdir())


def test_wrong_devices_are_refused_before_anything_runs(request_here, tmp_path):
    with pytest.raises(RequestError, match="devices: cuda:0 is not of the request's device cpu"):
        map_region(request_here, devices=["cuda:0"])
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "act"),
    [(signal.SIGINT, ["wait for the end"]), (signal.SIGKILL, ["hang"])],
    ids=["ctrl-c", "kill"],
)
def test_no_process_outlives_its_parent(request_here, tmp_path, how, act):
    """Workers share the parent's stderr: once it ends, none of them is left."""
    file = tmp_path / "request.json"
    file.write_text(request_here.model_dump_json())
    with subprocess.Popen(
        [sys.executable, "-c", MAP_IN_A_PROCESS, str(file)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "STAGED": json.dumps({"*": act})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        # Both workers are in the midst of a block.
        assert [parent.stdout.readline() for _ in range(2)] == ["computing\n"] * 2
        # A terminal's Ctrl-C goes to the group.
        os.killpg(parent.pid, how)
        _, stderr = parent.communicate(timeout=120)
    assert parent.returncode == -how
    if how == signal.SIGINT:
        # Blocks that could stop by themselves have removed what was half-written.
        assert stderr.rstrip().endswith("KeyboardInterrupt")
        assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.slow
def test_a_worker_that_hangs_is_ended_and_its_block_done_by_another(
    request_here, in_threads, stage, tmp_path, monkeypatch, caplog
):
    # Above what a block takes here on a busy machine, where the first one loads the model as well.
    monkeypatch.setenv(BLOCK_TIMEOUT.name, "20")
    stage(**{in_threads.plan.blocks[0].id: ["hang once", str(tmp_path / "mark")]})
    recorder = Recorder()
    result = map_region(request_here, devices=["cpu", "cpu"], progress=recorder)
    assert rasters(result) == rasters(in_threads)
    assert recorder.computed == result.plan.figures.windows
    assert "a worker process died: not done after 20 s on cpu" in caplog.messages
    assert not list(result.folder.rglob("*.partial"))


@pytest.mark.slow
def test_a_block_that_always_hangs_fails_and_the_others_finish(request_here, stage, monkeypatch):
    monkeypatch.setenv(BLOCK_TIMEOUT.name, "20")
    made = plan(request_here)
    first, *others = made.blocks
    stage(**{first.id: ["hang"]})
    with pytest.raises(
        ModelError,
        match=f"failed, 1 of 4 blocks: block {first.id}: both workers .* lost "
        r"\(not done after 20 s on cpu, not done after 20 s on cpu\)",
    ):
        map_plan(made, devices=["cpu"])
    assert finished(made) == [block.id for block in others]


@pytest.mark.slow
def test_a_thread_that_hangs_is_abandoned_writes_nothing_and_takes_its_device_along(
    request_here, in_threads, monkeypatch
):
    """It comes back after its block was given up, and finds all ways to the disk closed."""
    made = plan(request_here)
    first, hangs, back = made.blocks[0], threading.Event(), threading.Event()
    finish = BlockRasters.finish

    def hang(rasters: BlockRasters, tokens: TokenSheet) -> dict[str, Written]:
        hangs.set()
        back.wait()
        return finish(rasters, tokens)

    class OnceItHangs(threading.Timer):
        """The time is over when the block hangs, and not before."""

        def run(self) -> None:
            hangs.wait()
            self.function(*self.args, **self.kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("terramosaic.model.device_lock._GIVEN_UP", set())
        patch.setattr(threading, "Timer", OnceItHangs)
        # All batches are computed by then, and the rasters are about to get their names.
        patch.setattr(BlockRasters, "finish", hang)
        line = f"failed, 1 of 4 blocks: block {first.id}: not done after .* cpu is not used again in this process"
        with pytest.raises(ModelError, match=line):
            map_plan(made, workers=1)
        (hung,) = [thread for thread in threading.enumerate() if thread.name == f"block-{first.id}"]
        with pytest.raises(ModelError, match="cpu: a block hangs on it in this process"):
            map_plan(made, workers=1)
        back.set()
        hung.join()
        assert not list(RunFolder.of(made).blocks.rglob("*.*"))
    # In other processes the run goes on.
    assert rasters(map_plan(made, devices=["cpu"])) == rasters(in_threads)


def test_a_time_limit_that_is_none_is_named(request_here, monkeypatch):
    monkeypatch.setenv(BLOCK_TIMEOUT.name, "soon")
    with pytest.raises(RequestError, match="TERRAMOSAIC_BLOCK_TIMEOUT: 'soon' is no number of seconds"):
        map_region(request_here)
