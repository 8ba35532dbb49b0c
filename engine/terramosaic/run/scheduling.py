"""Who computes blocks, and what becomes of a run where some fail: the one policy, whoever the workers are."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import NamedTuple, Protocol

from terramosaic.block.receipt import BlockReceipt, finished_blocks, outdated_blocks
from terramosaic.errors import (
    PASSING,
    DamagedBlocksError,
    ModelError,
    RequestError,
    RunCancelledError,
    TerramosaicError,
    WorkerLostError,
)
from terramosaic.planning.folder import mosaics_of, tables_of
from terramosaic.planning.plan import Block, Plan
from terramosaic.settings import BLOCK_TIMEOUT
from terramosaic.storage.files import remove
from terramosaic.storage.retries import DAMAGED_BLOCK, LOST_WORKER
from terramosaic.storage.tally import count

logger = logging.getLogger(__name__)

#: Seconds that a block may take. It decides no pixel, so it is no part of a request.
_TIMEOUT = 24 * 3600.0

#: How often blocks are gone through again for scenes that were left out after they were done. Each time can find a
#: further scene dead; what is outdated then is computed when the request is run again.
_MOST_ROUNDS = 8

#: Workers lost one after the other, with no block done between; one more is no block's fault.
_MOST_LOSSES = 8


class Job(NamedTuple):
    """A block of a run, to be computed."""

    plan: Plan
    block: Block


class Failure(NamedTuple):
    """A job that failed."""

    job: Job
    error: TerramosaicError


class Workforce(Protocol):
    """Workers of any kind: threads, processes, a cluster."""

    def width(self) -> int:
        """Blocks that it wants in hand now; a cluster grows and shrinks."""

    def submit(self, plan: Plan, block: Block) -> Future[BlockReceipt]:
        """Takes a block. The future may be cancelled until a worker begins.

        It raises WorkerLostError where another worker may get the block done, and what `run_block` raises.
        """


class Done(Protocol):
    """Who wants to know of finished blocks."""

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        """A block is finished."""


def jobs_left(plans: Iterable[Plan]) -> list[Job]:
    """What is to be computed of some runs: all blocks but those that are done."""
    left = []
    for plan in plans:
        done = finished_blocks(plan)
        left += _jobs(plan, [block for block in plan.blocks if block.id not in done])
    return left


def carry_out(jobs: Iterable[Job], workforce: Workforce, progress: Done) -> list[Failure]:
    """Has blocks computed, of one run or of several, and returns those that failed.

    A block that fails by itself does not stop the others. A block whose worker is lost is given to another one, alone
    and after all others: if it is what killed the first, little is left to lose then; if it is not, it gets done. Any
    other error stops the run, once the blocks that are being computed are finished; it is the last one returned.

    At the end blocks are computed again that were done before a scene of theirs was left out or got other files, here
    or by another worker: neighbours never show different scenes because one was quicker.

    Raises:
        RunCancelledError: the run was stopped.
        Exception: any that is none of the engine's.
    """
    jobs = list(jobs)
    failures = _Carrying(jobs, workforce, progress).carry_out()
    plans = list({id(job.plan): job.plan for job in jobs}.values())
    for _ in range(_MOST_ROUNDS):
        failed = {(job.plan.run_id, job.block.id) for job, _ in failures}
        outdated = [job for plan in plans for job in _jobs(plan, outdated_blocks(plan))]
        again = [job for job in outdated if (job.plan.run_id, job.block.id) not in failed]
        if not again or what_stopped(failures):
            break
        logger.warning(
            "%d blocks were made from scenes that are left out or others by now; they are computed again",
            len(again),
        )
        failures += _Carrying(again, workforce, _Nobody()).carry_out()
    return failures


def _jobs(plan: Plan, blocks: Sequence[Block]) -> list[Job]:
    """Blocks to compute. Mosaics that an earlier attempt has made go.

    That also where the blocks were removed since and would give the same pixels again: a scene may be left out by now,
    and layers of one run never show different ones.
    """
    if blocks:
        for made in (*mosaics_of(plan).values(), *tables_of(plan).values()):
            remove(made)
    return [Job(plan, block) for block in blocks]


class _Nobody:
    """Who has been told of the blocks before."""

    def block_done(self, block: Block, receipt: BlockReceipt) -> None: ...


class _Carrying:
    def __init__(self, jobs: Iterable[Job], workforce: Workforce, progress: Done) -> None:
        self._workforce, self._progress = workforce, progress
        self._waiting = deque(jobs)
        self._suspects: deque[Job] = deque()
        self._running: dict[Future[BlockReceipt], Job] = {}
        self._ended: SimpleQueue[Future[BlockReceipt]] = SimpleQueue()
        self._losses: dict[tuple[str, str], list[WorkerLostError]] = {}
        self._losses_in_a_row: list[str] = []
        self._failures: list[Failure] = []
        self._is_stopped = False

    def carry_out(self) -> list[Failure]:
        try:
            while self._waiting or self._suspects or self._running:
                # Handed out as they are wanted, so that an error or Ctrl-C leaves no queue behind it.
                while self._waiting and len(self._running) < self._workforce.width():
                    self._hand_out(self._waiting.popleft())
                if self._suspects and not self._running:
                    self._hand_out(self._suspects.popleft())
                self._take_in(self._ended.get())
        except BaseException:
            self._drop_the_rest()
            raise
        return self._failures

    def _hand_out(self, job: Job) -> None:
        future = self._workforce.submit(*job)
        self._running[future] = job
        future.add_done_callback(self._ended.put)

    def _take_in(self, future: Future[BlockReceipt]) -> None:
        job = self._running.pop(future)
        if future.cancelled():
            return
        try:
            receipt = future.result()
        except RunCancelledError:
            raise
        except WorkerLostError as error:
            self._give_to_another(job, error)
        except TerramosaicError as error:
            self._fail(job, error)
            if not isinstance(error, PASSING):
                self._drop_the_rest()
        else:
            self._losses_in_a_row.clear()
            self._progress.block_done(job.block, receipt)

    def _give_to_another(self, job: Job, error: WorkerLostError) -> None:
        losses = self._losses.setdefault((job.plan.run_id, job.block.id), [])
        losses.append(error)
        self._losses_in_a_row.append(error.how)
        if error.tries > 1 or self._is_stopped:
            self._fail(job, error)
        elif len(losses) >= LOST_WORKER.tries:
            ways = ", ".join(loss.how for loss in losses)
            self._fail(job, WorkerLostError(ways, tries=len(losses)).within(f"block {job.block.id}"))
        else:
            logger.warning("%s; it is tried once more", error)
            count("retries", what="block", kind="lost worker")
            self._suspects.append(job)
        if len(self._losses_in_a_row) > _MOST_LOSSES and not self._is_stopped:
            self._drop_the_rest()
            ways = ", ".join(self._losses_in_a_row)
            self._fail(job, ModelError(f"workers are lost, one after the other ({ways})"))

    def _fail(self, job: Job, error: TerramosaicError) -> None:
        if any(known is error for _, known in self._failures):
            return  # what a worker could not begin for is one failure, however many blocks it was given
        logger.error(str(error))
        self._failures.append(Failure(job, error))

    def _drop_the_rest(self) -> None:
        self._is_stopped = True
        self._waiting.clear()
        self._suspects.clear()
        for future in list(self._running):
            future.cancel()


def until_whole(
    runs: Mapping[str, Plan], attempt: Callable[[Mapping[str, Plan]], Mapping[str, TerramosaicError]]
) -> dict[str, TerramosaicError]:
    """Carries out runs, and those again of which blocks prove to be damaged when mosaics are made of them.

    Args:
        runs: their plans, by a name of the caller's.
        attempt: computes what is left of some runs and finishes them; returns the errors of those that failed.

    Returns:
        The errors of those that failed in the end.
    """
    failures: dict[str, TerramosaicError] = {}
    for tries in itertools.count(1):
        failures.update(attempt(runs))
        runs = {name: run for name, run in runs.items() if isinstance(failures.get(name), DamagedBlocksError)}
        if not runs or tries == DAMAGED_BLOCK.tries:
            break
        for name in runs:
            logger.warning("%s; computed again", failures.pop(name).text)
    return failures


def what_stopped(failures: Sequence[Failure]) -> TerramosaicError | None:
    """The error that left blocks untried, if one did."""
    return next((error for _, error in failures if not isinstance(error, PASSING)), None)


def blocks_failed(failures: Sequence[TerramosaicError], blocks: int) -> TerramosaicError:
    """The first error of a run in which some of so many blocks failed, which says how many, and how to go on."""
    return failures[0].within(
        f"failed, {len(failures)} of {blocks} blocks",
        hint="what is finished is kept, run the same request again to compute the rest",
    )


def block_timeout() -> float:
    """Seconds that a block may take: the setting ``TERRAMOSAIC_BLOCK_TIMEOUT``, a day by default.

    Raises:
        RequestError: it is no number of seconds.
    """
    text = BLOCK_TIMEOUT.text
    try:
        seconds = float(text) if text else _TIMEOUT
    except ValueError:
        seconds = 0
    # What threading takes at most.
    if not 0 < seconds < 1e9:
        raise RequestError(
            f"{BLOCK_TIMEOUT}: {text!r} is no number of seconds above 0; leave it out for a day"
        )
    return seconds
