"""Carries out plans: the blocks of all of them share the workers, and what fails in one does not stop the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from contextlib import closing
from contextvars import ContextVar
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from queue import SimpleQueue
from typing import Any

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.states import Completed, Failed, State

from terramosaic.block.receipt import BlockReceipt, finished_block, finished_blocks
from terramosaic.errors import PASSING, OutputError, RunCancelledError, TerramosaicError, WorkerLostError
from terramosaic.imagery.pool import READERS
from terramosaic.planning.folder import RunFolder, is_complete
from terramosaic.planning.plan import Block, Plan
from terramosaic.run.mapping import blocks_failed
from terramosaic.storage.files import sweep_partials
from terramosaic_flows.batches import Batch, Batches
from terramosaic_flows.deployed import whole_number
from terramosaic_flows.reporting import RunProgress, report_outputs
from terramosaic_flows.runners import Workforce, chosen_runner, workforce
from terramosaic_flows.stages import assemble_mosaics, compute_blocks, publish_run

logger = logging.getLogger("terramosaic.flows")

#: Tasks submitted for each that can run: enough to keep workers busy, few enough to stop soon.
_AHEAD = 2

#: Above so many blocks a run is split by grid cell, into flow runs of their own that a server and its UI can hold.
SPLIT_SETTING = "TERRAMOSAIC_SPLIT"
_SPLIT = 2000

#: Side of a grid cell in pixels: 100 km, as MGRS has it.
_CELL = 10_000


def carry_out(plans: Mapping[str, Plan]) -> dict[str, TerramosaicError]:
    """Computes, assembles and publishes runs. What is done of them is not done again.

    Args:
        plans: runs by a name of the caller's.

    Returns:
        The errors of those that failed, in one line each.
    """
    waiting = {name: made for name, made in plans.items() if not is_complete(made)}
    for made in plans.values():
        # What a killed run left half-written.
        sweep_partials(RunFolder.of(made).path)
    left: Jobs = []
    for made in waiting.values():
        done = finished_blocks(made)
        left += [(made, block) for block in made.blocks if block.id not in done]
    total = sum(len(made.blocks) for made in plans.values())
    with closing(RunProgress(total, done=total - len(left))) as progress:
        failures = _compute(waiting, left, progress)
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
        progress.stage(f"assemble {name}".rstrip())
        assemble_mosaics(location)
    progress.stage(f"publish {name}".rstrip())
    publish_run(location)
    report_outputs(made, name)


def _compute(plans: Mapping[str, Plan], left: Jobs, progress: RunProgress) -> dict[str, TerramosaicError]:
    """Computes the blocks that are left; returns the runs that lack some, each with its error."""
    failed: dict[str, list[TerramosaicError]] = {}
    fatal: TerramosaicError | None = None
    if left:
        with READERS.closing_idle(), workforce(chosen_runner(), left[0][0]) as force:
            for name, cell in _cells(left, force.is_cluster):
                if name is None:
                    errors = _hand_out(cell, force, progress)
                else:
                    errors = _in_flow_of_its_own(name, cell, force, progress)
                for location, error in errors:
                    failed.setdefault(location, []).append(error)
                fatal = next((error for _, error in errors if not isinstance(error, PASSING)), None)
                if fatal is not None:
                    break
    failures: dict[str, TerramosaicError] = {}
    for name, made in plans.items():
        own = failed.get(RunFolder.of(made).location)
        if own is None and fatal is not None and len(finished_blocks(made)) < len(made.blocks):
            # Blocks were left that nobody tried: the run's error is the one that stopped everything.
            own = [copy(fatal)]
        if own is not None:
            failures[name] = blocks_failed(own, len(made.blocks))
    return failures


Jobs = list[tuple[Plan, Block]]
Errors = list[tuple[str, TerramosaicError]]
Ended = SimpleQueue[tuple[Batch, PrefectFuture[Any]]]


def _cells(jobs: Jobs, on_cluster: bool) -> Iterable[tuple[str | None, Jobs]]:
    """All jobs at once, without a name; or, if there are very many, those of one grid cell after the other.

    On a cluster all have a name: each task takes a copy of its flow run's parameters there, and back as part of the
    scheduler's memory, and a region may be large.
    """
    most = whole_number(SPLIT_SETTING, _SPLIT)
    if len(jobs) <= most:
        return [("blocks" if on_cluster else None, jobs)]

    def cell(job: tuple[Plan, Block]) -> str:
        block = job[1]
        return f"{block.epsg}-r{block.row // _CELL:03d}-c{block.col // _CELL:03d}"

    return [(name, list(jobs_of)) for name, jobs_of in groupby(sorted(jobs, key=cell), key=cell)]


def _in_flow_of_its_own(name: str, jobs: Jobs, force: Workforce, progress: RunProgress) -> Errors:
    """Hands out as a flow run below this one; a task that goes to a cluster carries its flow run with it."""
    cell = _Cell(jobs, force, progress)
    token = _cell.set(cell)
    try:
        map_cell(name, return_state=True)
    finally:
        _cell.reset(token)
    if cell.broken is not None:
        # Prefect keeps it in the cell's state, and the flow would go on to the next cell.
        raise cell.broken
    return cell.errors


@dataclass
class _Cell:
    """What a cell's flow run works on, which is too much for a parameter, and what came of it."""

    jobs: Jobs
    force: Workforce
    progress: RunProgress
    errors: Errors = field(default_factory=list)
    broken: BaseException | None = None


_cell: ContextVar[_Cell] = ContextVar("cell")


def _map_cell(cell: str) -> State[Any]:
    """Computes the blocks of one grid cell, or all of a run on a cluster."""
    mine = _cell.get()
    try:
        mine.errors.extend(_hand_out(mine.jobs, mine.force, mine.progress))
    except BaseException as error:
        mine.broken = error
        raise
    if mine.errors:
        return Failed(message=str(blocks_failed([error for _, error in mine.errors], len(mine.jobs))))
    return Completed()


# Not as a decorator: workers of a cluster find the function by its name, and not a copy of it and all that it uses.
map_cell = flow(name="map-cell", flow_run_name="{cell}", persist_result=False, validate_parameters=False)(
    _map_cell
)


def _hand_out(jobs: Jobs, force: Workforce, progress: RunProgress) -> Errors:
    """Hands out blocks, a few tasks ahead of the workers, until all are done or failed.

    A block whose imagery fails or whose worker is lost does not stop the others; any other error does.
    """
    batches = Batches(jobs, force.width)
    ended: Ended = SimpleQueue()
    running = 0
    errors: Errors = []
    while batches or running:
        while batches and running < _AHEAD * force.width():
            batch = batches.next()
            future = force.submit(
                compute_blocks,
                {
                    "name": batch.name,
                    "run_folder": RunFolder.of(batch.plan).location,
                    "block_ids": [block.id for block in batch.blocks],
                },
            )
            future.add_done_callback(partial(_put, ended, batch))
            running += 1
        batch, future = ended.get()
        running -= 1
        # A failed task that nobody asks is ignored by Prefect, and the flow would end Completed.
        outcome = _outcome(batch, future)
        if isinstance(outcome, BaseException) and not isinstance(outcome, TerramosaicError):
            raise outcome
        for block in batch.blocks:
            receipt = _receipt(batch.plan, block, outcome)
            if receipt is not None:
                batches.measure(receipt)
                progress.block_done(receipt)
            else:
                progress.block_failed()
                errors.append((RunFolder.of(batch.plan).location, outcome))
        if isinstance(outcome, TerramosaicError):
            logger.error(str(outcome))
            if isinstance(outcome, RunCancelledError):
                raise outcome
            if not isinstance(outcome, PASSING):
                batches.clear()
    return errors


def _outcome(batch: Batch, future: PrefectFuture[Any]) -> Any:
    """What a task returned or raised; where the cluster lost it, that it did."""
    try:
        return future.result(raise_on_failure=False)
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return WorkerLostError(f"its worker was lost ({what})").within(f"block {batch.blocks[0].id}")


def _put(ended: Ended, batch: Batch, future: PrefectFuture[Any]) -> None:
    ended.put((batch, future))


def _receipt(made: Plan, block: Block, outcome: list[BlockReceipt] | TerramosaicError) -> BlockReceipt | None:
    if isinstance(outcome, TerramosaicError):
        try:
            return finished_block(made, block)
        except OutputError:  # the store that failed the block does not answer this either
            return None
    return next(receipt for receipt in outcome if receipt.block == block.id)
