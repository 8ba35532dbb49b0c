"""The flow ``map-region``: plan, one task per block, assemble, publish."""

from __future__ import annotations

from collections import deque
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.futures import PrefectFuture
from prefect.tasks import Task, exponential_backoff

from engine.block import finished_block, run_block
from engine.errors import CatalogError, MissingBandError, OffsetConflictError, TerramosaicError
from engine.files import sweep_partials
from engine.generator import available_cpus
from engine.imagery.pool import READERS
from engine.mapping import raise_failures
from engine.mosaic import assemble
from engine.plan import Plan
from engine.planning import plan
from engine.publish import publish
from engine.request import RegionRequest, request_of
from engine.run import RunFolder, is_complete, read_plan, write_plan
from flows.deployed import begin_deployed_run, refuse_relative_request
from flows.outcome import fails_in_one_line
from flows.reporting import BlockProgress, report_outputs, report_plan
from flows.runners import task_runner, worker_count

#: Prefect's result cache is not the record of finished work: receipts in the run folder are.
_PLAIN: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}

#: Blocks submitted for each worker: enough to keep it busy, few enough to stop soon.
_AHEAD = 2


def can_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again may help: an asset that failed to load, yes; a missing band or a broken bundle, no."""
    try:
        state.result()
    except (MissingBandError, OffsetConflictError):
        return False
    except CatalogError:
        return True
    except Exception:
        return False
    return False


@task(name="plan", **_PLAIN)
def make_plan(request: RegionRequest) -> Plan:
    """Decides the run and makes its folder."""
    made = plan(request)
    sweep_partials(write_plan(made).path)
    return made


@task(
    name="run-block",
    task_run_name="{block_id}",
    retries=2,
    retry_delay_seconds=exponential_backoff(10),
    retry_jitter_factor=0.5,
    retry_condition_fn=can_pass,
    **_PLAIN,
)
def compute_block(run_folder: str, block_id: str) -> str:
    """Computes one block, unless it is done. Paths go in and out, never pixels."""
    made = read_plan(run_folder)
    run_block(made, made.block(block_id), threads=max(1, available_cpus() // worker_count()))
    return block_id


@task(name="assemble", **_PLAIN)
def assemble_mosaics(run_folder: str) -> list[str]:
    """Puts the mosaics together."""
    return [str(path) for path in assemble(read_plan(run_folder))]


@task(name="publish", **_PLAIN)
def publish_run(run_folder: str) -> str:
    """Writes quicklooks, report and STAC item."""
    return str(publish(read_plan(run_folder)))


# The request is validated inside, so that what is wrong with it is said in the engine's words.
@flow(name="map-region", task_runner=task_runner(), persist_result=False, validate_parameters=False)
@fails_in_one_line
def map_region(request: RegionRequest) -> str:
    """Maps a region with TerraMind and publishes cloud-optimized mosaics, a report and a STAC item.

    Args:
        request: Where, when, from which catalog, with which model, and into which folder.

    Returns:
        The run folder.
    """
    begin_deployed_run()
    request = request if isinstance(request, RegionRequest) else request_of(**request)
    refuse_relative_request(request)
    made = make_plan(request)
    run_folder = str(RunFolder.of(made).path.resolve())
    report_plan(made)
    if not is_complete(made):
        _compute_blocks(made, run_folder)
        assemble_mosaics(run_folder)
    publish_run(run_folder)
    report_outputs(made)
    return run_folder


def _compute_blocks(made: Plan, run_folder: str) -> None:
    """Hands out the blocks that are not done, a few ahead of the workers.

    A block whose imagery fails does not stop the others; any other error does.
    """
    waiting = [block.id for block in reversed(made.blocks) if finished_block(made, block) is None]
    progress = BlockProgress(len(made.blocks), done=len(made.blocks) - len(waiting))
    running: deque[PrefectFuture[str]] = deque()
    failures: list[TerramosaicError] = []
    with READERS.closing_idle():
        while waiting or running:
            while waiting and len(running) < _AHEAD * worker_count():
                running.append(compute_block.submit(run_folder, waiting.pop()))
            # A failed task that nobody asks is ignored by Prefect, and the flow would end Completed.
            error: Any = running.popleft().result(raise_on_failure=False)
            if isinstance(error, TerramosaicError):
                failures.append(error)
                if not isinstance(error, CatalogError):
                    waiting.clear()
            elif isinstance(error, BaseException):
                raise error
            progress.step()
    raise_failures(failures, len(made.blocks))
