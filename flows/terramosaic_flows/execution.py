"""Carries out plans: the blocks of all of them share the workers, and what fails in one does not stop the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from copy import copy
from typing import Any

from prefect import flow
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed, State

from terramosaic.block.receipt import BlockReceipt, finished_blocks
from terramosaic.errors import TerramosaicError, error_of
from terramosaic.planning.folder import RunFolder, is_complete, mosaics_of, read_plan, remove_flaws
from terramosaic.planning.plan import Block, Plan
from terramosaic.run.attempt import begin_attempt, require_imagery
from terramosaic.run.scheduling import (
    Failure,
    Job,
    blocks_failed,
    carry_out,
    jobs_left,
    until_whole,
    what_stopped,
)
from terramosaic.settings import SPLIT
from terramosaic.storage.files import facts_of
from terramosaic.storage.tally import count
from terramosaic_flows.reporting import RunProgress, report_outputs
from terramosaic_flows.runners import Crew, chosen_runner, crew
from terramosaic_flows.stages import assemble_mosaics, publish_run
from terramosaic_flows.tasks import Tasks
from terramosaic_flows.told import name_below

#: Above so many blocks a run is split by grid cell, into flow runs of their own that a server and its UI can hold.
_SPLIT = 2000

#: Side of a grid cell in pixels: 100 km, as MGRS has it.
_CELL = 10_000

#: The cell that all blocks are in.
_ALL = "blocks"


def carry_out_plans(plans: Mapping[str, Plan]) -> dict[str, TerramosaicError]:
    """Computes, assembles and publishes runs. What is done of them is not done again.

    Args:
        plans: runs by a name of the caller's.

    Returns:
        The errors of those that failed, in one line each.
    """
    waiting = [made for made in plans.values() if not remove_flaws(made)]
    for made in waiting:
        begin_attempt(made)
    left = jobs_left(waiting)
    total = sum(len(made.blocks) for made in plans.values())
    with closing(RunProgress(total, done=total - len(left))) as progress:

        def attempt(runs: Mapping[str, Plan]) -> dict[str, TerramosaicError]:
            jobs = left
            if runs is not plans:
                jobs = jobs_left(runs.values())
                progress.blocks_again(len(jobs))
                count("retries", len(jobs), what="block", kind="damaged")
            return _attempt(runs, jobs, progress)

        return until_whole(plans, attempt)


def _attempt(
    plans: Mapping[str, Plan], left: list[Job], progress: RunProgress
) -> dict[str, TerramosaicError]:
    """Computes what is left of runs, and finishes them; returns the errors of those that failed."""
    failures = _compute(plans, left, progress)
    for name, made in plans.items():
        if name not in failures:
            try:
                _finish(name, made, progress)
            except TerramosaicError as error:
                failures[name] = error
    return failures


def _finish(name: str, made: Plan, progress: RunProgress) -> None:
    location = RunFolder.of(made).location
    if not is_complete(made):
        require_imagery(made)
        progress.stage(f"assemble {name}".rstrip())
        assemble_mosaics(location)
        made_of = (facts_of(mosaic) for mosaic in mosaics_of(made).values())
        count("written_bytes", sum(facts.size for facts in made_of if facts), what="mosaics")
    progress.stage(f"publish {name}".rstrip())
    publish_run(location)
    report_outputs(made, name)


def _compute(
    plans: Mapping[str, Plan], left: list[Job], progress: RunProgress
) -> dict[str, TerramosaicError]:
    """Computes the blocks that are left; returns the runs that lack some, each with its error."""
    failed: list[Failure] = []
    if left:
        with crew(chosen_runner(), left[0].plan) as workers:
            for cell in _cells(left, workers.is_cluster):
                if cell is None:
                    failed += _carry_out(left, workers, progress)
                else:
                    jobs = [job for job in left if _is_in(cell, job.block)]
                    failed += _in_flow_of_its_own(cell, jobs, workers, progress)
                if what_stopped(failed):
                    break
    fatal = copy(what_stopped(failed))
    failures: dict[str, TerramosaicError] = {}
    had_some_left = {RunFolder.of(plan) for plan, _ in left}
    for name, made in plans.items():
        if RunFolder.of(made) not in had_some_left:
            continue
        own = [error for job, error in failed if RunFolder.of(job.plan) == RunFolder.of(made)]
        if not own and fatal is not None and len(finished_blocks(made)) < len(made.blocks):
            # Blocks were left that nobody tried: the run's error is the one that stopped everything.
            own = [copy(fatal)]
        if own:
            failures[name] = blocks_failed(own, len(made.blocks))
    return failures


def _carry_out(jobs: Sequence[Job], workers: Crew, progress: RunProgress) -> list[Failure]:
    with Tasks(workers) as force:
        failures = carry_out(jobs, force, _Counted(progress))
    for failure in failures:
        progress.block_failed()
        count("blocks", outcome="failed")
        count("failures", what="block", kind=type(failure.error).__name__)
    return failures


class _Counted:
    """Hands on what is done, and counts it for the worker's metrics: once, where it is carried out."""

    def __init__(self, progress: RunProgress) -> None:
        self._progress = progress

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        count("blocks", outcome="computed")
        count("windows", receipt.windows)
        count("written_bytes", sum(receipt.files.values()), what="blocks")
        for phase, seconds in receipt.seconds.items():
            if phase != "total":
                count("block_seconds", seconds, phase=phase)
        self._progress.block_done(block, receipt)


def _cells(jobs: Sequence[Job], on_cluster: bool) -> Sequence[str | None]:
    """None, for all jobs in this flow run; or, if there are very many, the grid cells to do one after the other.

    On a cluster all have a flow run of their own: each task takes a copy of its parameters there, and back as part of
    the scheduler's memory, and a region may be large.
    """
    most = SPLIT.whole_number(_SPLIT)
    if len(jobs) <= most:
        return [_ALL if on_cluster else None]
    return sorted({_cell_of(block) for _, block in jobs})


def _cell_of(block: Block) -> str:
    return f"{block.epsg}-r{block.row // _CELL:03d}-c{block.col // _CELL:03d}"


def _is_in(cell: str, block: Block) -> bool:
    return cell in (_ALL, _cell_of(block))


def _in_flow_of_its_own(
    cell: str, jobs: Sequence[Job], workers: Crew, progress: RunProgress
) -> list[Failure]:
    """Has the jobs of a cell done by a flow run below this one; a task that goes to a cluster takes its flow along."""
    by_folder = {RunFolder.of(plan).location: plan for plan, _ in jobs}
    below = map_cell.with_options(task_runner=workers, flow_run_name=name_below(cell))
    state = below([*by_folder], cell, return_state=True)
    failed: Any = state.result(raise_on_failure=False)
    if isinstance(failed, BaseException):
        # Prefect keeps it in the cell's state, and the flow would go on to the next cell.
        raise failed
    failures = []
    for folder, blocks in failed.items():
        plan = by_folder[folder]
        failures += [
            Failure(Job(plan, plan.block(id_)), error_of(message)) for id_, message in blocks.items()
        ]
    for plan in by_folder.values():
        receipts = finished_blocks(plan)
        for job in jobs:
            if job.plan is plan and (receipt := receipts.get(job.block.id)):
                progress.block_done(job.block, receipt)
    for _ in failures:
        progress.block_failed()
    return failures


def _map_cell(run_folders: list[str], cell: str) -> State[dict[str, dict[str, Any]]]:
    """Computes what is left of one grid cell, or of all of them on a cluster.

    Args:
        run_folders: of the runs.
        cell: its name, or ``blocks`` for all.

    Returns:
        By run folder, the ids of the blocks that failed, each with its error.
    """
    plans = {folder: read_plan(folder) for folder in run_folders}
    jobs = [job for job in jobs_left(plans.values()) if _is_in(cell, job.block)]
    flow_run = FlowRunContext.get()
    assert flow_run is not None and isinstance(flow_run.task_runner, Crew)
    with closing(RunProgress(len(jobs), done=0)) as progress:
        failures = _carry_out(jobs, flow_run.task_runner, progress)
    failed = {
        folder: {job.block.id: error.message() for job, error in failures if job.plan is made}
        for folder, made in plans.items()
    }
    if failures:
        line = str(blocks_failed([failure.error for failure in failures], len(jobs)))
        return Failed(message=line, data=failed)
    return Completed(data=failed)


# Not as a decorator: workers of a cluster find the function by its name, and not a copy of it and all that it uses.
map_cell = flow(name="map-cell", persist_result=False, validate_parameters=False)(_map_cell)
