"""The engine's stages as Prefect tasks. Paths and small values go in and out, never pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import Task, exponential_backoff

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import PASSING, StoreError, TerramosaicError, WorkerLostError
from terramosaic.mosaic.assemble import assemble
from terramosaic.planning.folder import as_begun, read_plan, write_plan
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan
from terramosaic.publishing.publish import publish
from terramosaic.request.request import RegionRequest
from terramosaic.run.scheduling import Workforce
from terramosaic.storage.retries import BLOCK_TASK
from terramosaic.storage.tally import count
from terramosaic_flows.far import compute_far_from_the_flow

#: Prefect's result cache is not the record of finished work: receipts in the run folder are.
_PLAIN: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


def can_pass(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether the same worker may well try again: a store that did not answer, yes.

    An asset, no: its reader has done all that can help. Blocks of a lost worker go to another one, and that is for who
    hands them out.
    """
    passes = isinstance(state.result(raise_on_failure=False), StoreError)
    if passes:
        count("retries", what="task", kind="StoreError")
    return passes


@task(name="plan", **_PLAIN)
def make_plan(request: RegionRequest) -> Plan:
    """Decides a run and makes its folder."""
    made = as_begun(plan(request))
    write_plan(made)
    return made


def compute_some(
    name: str, run_folder: str, block_ids: Sequence[str], timeout: float, workforce: Workforce | None = None
) -> list[BlockReceipt]:
    """Computes some blocks of a run, unless they are done; one that fails by itself does not stop the others.

    Args:
        name: for the UI.
        run_folder: where the plan is.
        block_ids: which blocks.
        timeout: seconds that each may take.
        workforce: computes them; without one, which does not travel to a cluster, this process does.

    Raises:
        TerramosaicError: the first block's error; finished blocks stay finished.
    """
    made = read_plan(run_folder)
    receipts: list[BlockReceipt] = []
    failures: list[TerramosaicError] = []
    for block in map(made.block, block_ids):
        try:
            if workforce is None:
                receipts.append(compute_far_from_the_flow(made, block, timeout))
            else:
                receipts.append(workforce.submit(made, block).result())
        except WorkerLostError:
            # Of the others nothing is known; they are handed out again.
            raise
        except PASSING as error:
            failures.append(error)
    if failures:
        raise failures[0]
    return receipts


# Not as a decorator: workers of a cluster find the function by its name, and not a copy of it and all that it uses.
compute_blocks = task(
    name="run-blocks",
    task_run_name="{name}",
    retries=BLOCK_TASK.tries - 1,
    retry_delay_seconds=exponential_backoff(BLOCK_TASK.pause),
    retry_jitter_factor=0.5,
    retry_condition_fn=can_pass,
    **_PLAIN,
)(compute_some)


@task(name="assemble", **_PLAIN)
def assemble_mosaics(run_folder: str) -> None:
    """Puts the mosaics together."""
    assemble(read_plan(run_folder))


@task(name="publish", **_PLAIN)
def publish_run(run_folder: str) -> None:
    """Writes quicklooks, report and STAC item."""
    publish(read_plan(run_folder))
