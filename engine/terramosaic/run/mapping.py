"""The four stages in order: what a script or a notebook calls to map a region."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Protocol

from terramosaic.block.block import run_block
from terramosaic.block.receipt import BlockReceipt, finished_blocks
from terramosaic.errors import PASSING, TerramosaicError
from terramosaic.imagery.pool import READERS
from terramosaic.model.devices import Device, available_cpus, worker_devices
from terramosaic.mosaic.assemble import assemble
from terramosaic.mosaic.result import MapResult, result_of
from terramosaic.planning.folder import is_complete, write_plan
from terramosaic.planning.plan import Block, Plan
from terramosaic.planning.planning import plan
from terramosaic.publishing.publish import publish
from terramosaic.request.request import RegionRequest
from terramosaic.run.workers import WorkerPool
from terramosaic.storage.files import sweep_partials

logger = logging.getLogger(__name__)


class Progress(Protocol):
    """What `map_region` tells while it works. Methods are called from several threads."""

    def planned(self, plan: Plan, remaining: list[Block]) -> None:
        """The plan is made; all but the ``remaining`` blocks were finished by an earlier run."""

    def windows(self, count: int) -> None:
        """So many more windows were computed."""

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        """A block is finished."""

    def stage(self, name: str) -> None:
        """A stage begins: ``assemble`` or ``publish``."""


class Quiet:
    """Progress that nobody looks at."""

    def planned(self, plan: Plan, remaining: list[Block]) -> None: ...
    def windows(self, count: int) -> None: ...
    def block_done(self, block: Block, receipt: BlockReceipt) -> None: ...
    def stage(self, name: str) -> None: ...


def map_region(
    request: RegionRequest,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
    devices: Sequence[str] | None = None,
) -> MapResult:
    """Maps a region: plans it, computes its blocks, assembles mosaics and publishes report and item.

    A run that was stopped goes on where it was; one that is complete is recognised and returned at once.

    Args:
        request: what to map.
        progress: told what happens.
        workers: blocks computed at the same time; by default one for each processor, at most 4. With ``devices``, in
            each process; by default 1 on the CPU and up to 4 on a GPU.
        batch_size: windows per call of the model; by default what suits the device.
        devices: a worker process for each, such as ``["cuda:0", "cuda:1"]`` or ``["cpu", "cpu"]``, all of the kind of
            the request's device; by default threads of this process use that device. Results do not depend on it.

    Raises:
        TerramosaicError: one of its kinds, in one line. What is finished by then stays finished.
    """
    return carry_out(
        plan(request), progress=progress, workers=workers, batch_size=batch_size, devices=devices
    )


def carry_out(
    plan: Plan,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
    batch_size: int | None = None,
    devices: Sequence[str] | None = None,
) -> MapResult:
    """Carries out a plan; see `map_region`."""
    progress = progress or Quiet()
    chosen = None if devices is None else worker_devices(devices, plan.request.device)
    if is_complete(plan):
        progress.planned(plan, [])
        publish(plan)
        return result_of(plan, was_done=True)
    sweep_partials(write_plan(plan).path)
    done = finished_blocks(plan)
    remaining = [block for block in plan.blocks if block.id not in done]
    progress.planned(plan, remaining)
    run_blocks(plan, remaining, progress, workers, batch_size, chosen)
    progress.stage("assemble")
    assemble(plan)
    progress.stage("publish")
    publish(plan)
    return result_of(plan)


def run_blocks(
    plan: Plan,
    blocks: list[Block],
    progress: Progress,
    workers: int | None = None,
    batch_size: int | None = None,
    devices: Sequence[Device] | None = None,
) -> None:
    """Computes blocks, several at a time: in threads of this process or, with ``devices``, in a process for each.

    A block whose imagery fails does not stop the others; any other error does, once the blocks that run are finished.

    Raises:
        TerramosaicError: the first block's error, with the number of blocks that failed.
    """
    if devices is None:
        failures = _run_in_threads(plan, blocks, progress, workers, batch_size)
    else:
        with WorkerPool(
            plan,
            devices[: len(blocks)],
            blocks_at_once=workers,
            batch_size=batch_size,
            on_windows=progress.windows,
            on_done=progress.block_done,
        ) as pool:
            failures = pool.compute(blocks)
    if failures:
        raise blocks_failed(failures, len(plan.blocks))


def _run_in_threads(
    plan: Plan, blocks: list[Block], progress: Progress, workers: int | None, batch_size: int | None
) -> list[TerramosaicError]:
    processors = available_cpus()
    workers = workers or min(4, processors)
    cancelled = threading.Event()
    failures: list[TerramosaicError] = []
    running: dict[Future[BlockReceipt], Block] = {}
    waiting = list(reversed(blocks))
    with (
        READERS.closing_idle(),
        ThreadPoolExecutor(workers, thread_name_prefix="block") as pool,
        _set_on_exception(cancelled),
    ):
        while running or waiting:
            # Handed out one by one, so that an error or Ctrl-C leaves no queue behind it.
            while waiting and len(running) < workers:
                block = waiting.pop()
                future = pool.submit(
                    run_block,
                    plan,
                    block,
                    batch_size=batch_size,
                    # Blocks side by side keep the processors busy with less waiting than threads within a model.
                    threads=max(1, processors // workers),
                    on_windows=progress.windows,
                    cancelled=cancelled,
                )
                running[future] = block
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                block = running.pop(future)
                try:
                    progress.block_done(block, future.result())
                except TerramosaicError as error:
                    logger.error(str(error))
                    failures.append(error)
                    if not isinstance(error, PASSING):
                        waiting.clear()
    return failures


def blocks_failed(failures: Sequence[TerramosaicError], blocks: int) -> TerramosaicError:
    """The first error of a run in which some of so many blocks failed, which says how many, and how to go on."""
    return failures[0].within(
        f"failed, {len(failures)} of {blocks} blocks",
        hint="what is finished is kept, run the same request again to compute the rest",
    )


@contextmanager
def _set_on_exception(event: threading.Event) -> Iterator[None]:
    try:
        yield
    except BaseException:
        event.set()
        raise
