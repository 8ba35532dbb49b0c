"""Spreads blocks over worker processes; what a dying worker takes with it is one try at the blocks in its hands."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import PASSING, ModelError, TerramosaicError
from terramosaic.model.devices import Device, available_cpus
from terramosaic.planning.folder import RunFolder, write_plan
from terramosaic.planning.plan import Block, Plan
from terramosaic.run.workers.messages import Began, Done, Failed, Log, Ready, Setup, Windows
from terramosaic.run.workers.worker import Worker, require_platform
from terramosaic.storage.files import sweep_partials

logger = logging.getLogger(__name__)

#: Blocks side by side on a GPU, where one reads or writes while another computes.
_BLOCKS_ON_CUDA = 4

#: Seconds that workers have to end by themselves; they give their own blocks a little less.
PATIENCE = 8.0


class WorkerPool:
    """Worker processes of one run; a context that leaves no process behind.

    A block that was being computed when its worker died is tried once more, by another worker, alone and after all
    others: if it is what killed the first, little is left to lose then; if it is not, it gets done. If its second
    worker dies as well, the block has failed. A worker that died is not replaced.

    Args:
        plan: the run's plan.
        devices: one process each.
        blocks_at_once: blocks at the same time in each process; by default 1 on the CPU and up to 4 on a GPU.
        batch_size: windows per call of the model; by default what suits the device.
        on_windows: called with the number of windows that were computed since the last call; what a second try
            repeats is not counted again.
        on_done: called with each block that is finished.

    Raises:
        RequestError: the platform hands no sockets down to processes.
    """

    def __init__(
        self,
        plan: Plan,
        devices: Sequence[Device],
        *,
        blocks_at_once: int | None = None,
        batch_size: int | None = None,
        on_windows: Callable[[int], None],
        on_done: Callable[[Block, BlockReceipt], None],
    ) -> None:
        require_platform()
        self._run = write_plan(plan)
        self._devices = tuple(devices)
        self._blocks_at_once, self._batch_size = blocks_at_once, batch_size
        self._on_windows, self._on_done = on_windows, on_done
        self._workers: list[Worker] = []
        self._waiting: list[Block] = []
        self._suspects: list[Block] = []
        self._deaths: list[str] = []
        self._deaths_of: dict[str, list[str]] = {}
        self._tallies: dict[str, _Tally] = {}
        self._failures: list[TerramosaicError] = []
        self._is_failing = False

    def __enter__(self) -> Self:
        try:
            for device in self._devices:
                self._workers.append(Worker(device, self._setup(device)))
        except BaseException:
            self._dismiss(self._workers)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._dismiss(self._workers)

    def compute(self, blocks: Sequence[Block]) -> list[TerramosaicError]:
        """Computes blocks, and returns the errors of those that failed.

        A block whose imagery fails, or whose workers die, does not stop the others; any other error does, once the
        blocks that run are finished.

        Raises:
            ModelError: all workers died.
            TerramosaicError: a worker could not open the model.
        """
        self._waiting = list(reversed(blocks))
        while self._waiting or self._suspects or any(worker.blocks for worker in self._workers):
            if not self._workers:
                raise self._all_died()
            for worker in self._workers:
                self._hand_out(worker)
            heard = wait([worker.connection for worker in self._workers])
            for worker in [worker for worker in self._workers if worker.connection in heard]:
                self._listen(worker)
        return self._failures

    def _setup(self, device: Device) -> Setup:
        return setup_for(device, self._run, len(self._devices), self._blocks_at_once, self._batch_size)

    def _hand_out(self, worker: Worker) -> None:
        if not worker.is_ready or worker.is_alone:
            return
        # One by one, so that an error or Ctrl-C leaves no queue behind it.
        while self._waiting and len(worker.blocks) < blocks_on(
            worker.device, len(self._devices), self._blocks_at_once
        ):
            worker.give(self._waiting.pop())
        if self._suspects and not worker.blocks:
            worker.is_alone = True
            worker.give(self._suspects.pop())

    def _listen(self, worker: Worker) -> None:
        """Takes in one report, or a death."""
        match worker.hear():
            case None:
                self._bury(worker)
            case Ready():
                worker.is_ready = True
            case Began(block=block_id):
                worker.computing.add(block_id)
                self._tallies.setdefault(block_id, _Tally()).begin()
            case Windows(block=block_id, count=count):
                if further := self._tallies[block_id].add(count):
                    self._on_windows(further)
            case Done(block=block_id, receipt=receipt):
                self._on_done(worker.drop(block_id), receipt)
            case Log(name=name, level=level, line=line):
                logging.getLogger(name).log(level, "%s", line)
            case Failed(block=None) as failed:
                error = failed.exception()
                if isinstance(error, TerramosaicError):
                    error.within(f"worker on {worker.device}")
                raise error
            case Failed(block=str(block_id)) as failed:
                worker.drop(block_id)
                error = failed.exception()
                if not isinstance(error, TerramosaicError):
                    raise error
                self._fail(error, stops=not isinstance(error, PASSING))

    def _bury(self, worker: Worker) -> None:
        """Takes the blocks out of a dead worker's hands."""
        self._dismiss([worker])
        self._workers.remove(worker)
        death = f"{worker.ending(0)} on {worker.device}"
        self._deaths.append(death)
        logger.warning("a worker process died: %s", death)
        sweep_partials(self._run.path)
        for block in worker.blocks.values():
            deaths = self._deaths_of.setdefault(block.id, [])
            if block.id in worker.computing:
                deaths.append(death)
            if len(deaths) == 2:
                self._fail(
                    ModelError(
                        f"block {block.id}: both worker processes that computed it died ({', '.join(deaths)})"
                        f"{_hint(deaths)}"
                    )
                )
            elif not self._is_failing:
                (self._suspects if deaths else self._waiting).append(block)

    def _fail(self, error: TerramosaicError, *, stops: bool = False) -> None:
        logger.error(str(error))
        self._failures.append(error)
        if stops:
            self._is_failing = True
            self._waiting.clear()
            self._suspects.clear()

    def _all_died(self) -> ModelError:
        left = len(self._waiting) + len(self._suspects)
        failed = "".join(f"; {error}" for error in self._failures[:1])
        return ModelError(
            f"all worker processes died ({', '.join(self._deaths)}){_hint(self._deaths)}; {left} blocks are left to "
            f"do, run the same request again to go on{failed}"
        )

    def _dismiss(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            worker.dismiss()
        deadline = time.monotonic() + PATIENCE
        for worker in workers:
            worker.ending(max(0.0, deadline - time.monotonic()))


class _Tally:
    """Windows of a block that were told, and those of the try that runs."""

    def __init__(self) -> None:
        self._reported = self._now = 0

    def begin(self) -> None:
        """A try starts from nothing."""
        self._now = 0

    def add(self, count: int) -> int:
        """How many of so many more windows were not told in an earlier try."""
        self._now += count
        further = max(0, self._now - self._reported)
        self._reported += further
        return further


def setup_for(
    device: Device, run: RunFolder, processes: int, blocks_at_once: int | None, batch_size: int | None = None
) -> Setup:
    """How one of so many worker processes of this machine shall work: they share its processors.

    Args:
        device: where its model runs.
        run: whose plan's model it opens at once.
        processes: how many there are.
        blocks_at_once: blocks at the same time; None for what suits the device.
        batch_size: windows per call of the model; None for what suits the device.
    """
    count = blocks_on(device, processes, blocks_at_once)
    return Setup(
        run_folder=run.location,
        device=str(device),
        blocks_at_once=count,
        threads=max(1, _share(processes) // count),
        batch_size=batch_size,
        log_level=logging.getLogger("terramosaic").getEffectiveLevel(),
    )


def blocks_on(device: Device, processes: int, blocks_at_once: int | None = None) -> int:
    """Blocks at the same time in one of so many processes."""
    return blocks_at_once or (1 if device.kind == "cpu" else min(_BLOCKS_ON_CUDA, _share(processes)))


def _share(processes: int) -> int:
    return max(1, available_cpus() // processes)


def _hint(deaths: Sequence[str]) -> str:
    killed = any(death.startswith("SIGKILL") for death in deaths)
    return "; the system kills so where memory runs out: give each less at once" if killed else ""
