"""Blocks computed by worker processes, one for each device; what dies with a process is one try at its blocks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import Any, Self

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import GO_ON, RunCancelledError, TerramosaicError, WorkerLostError
from terramosaic.model.devices import Device, available_cpus
from terramosaic.planning.folder import RunFolder, write_plan
from terramosaic.planning.plan import Block, Plan
from terramosaic.run.messages import Began, Done, Failed, Log, Setup, Windows
from terramosaic.run.scheduling import block_timeout
from terramosaic.run.worker import Worker, require_platform
from terramosaic.storage.files import sweep_partials

logger = logging.getLogger(__name__)

#: Blocks side by side on a GPU, where one reads or writes while another computes.
_BLOCKS_ON_CUDA = 4

#: Seconds that workers have to end by themselves; they give their own blocks a little less.
_PATIENCE = 8.0


class DeviceProcesses:
    """Processes as a workforce; a context that leaves none behind. They are started when they are wanted, and again.

    Args:
        plan: one of the runs; its model is opened at once.
        devices: one process each.
        blocks_at_once: blocks at the same time in each; by default 1 on the CPU and up to 4 on a GPU.
        batch_size: windows per call of the model; by default what suits the device.
        on_windows: called with the number of windows that were computed since the last call; what a second try
            repeats is not counted again.

    Raises:
        RequestError: the platform hands no sockets down to processes, or the time limit is no number of seconds.
    """

    def __init__(
        self,
        plan: Plan,
        devices: Sequence[Device],
        blocks_at_once: int | None = None,
        *,
        batch_size: int | None = None,
        on_windows: Callable[[int], None] | None = None,
    ) -> None:
        require_platform()
        share = max(1, available_cpus() // len(devices))
        counts = [
            blocks_at_once or (1 if device.kind == "cpu" else min(_BLOCKS_ON_CUDA, share))
            for device in devices
        ]
        self._setups = [
            Setup(
                run_folder=write_plan(plan).location,
                device=str(device),
                blocks_at_once=count,
                processors=share,
                batch_size=batch_size,
                log_level=logging.getLogger("terramosaic").getEffectiveLevel(),
            )
            for device, count in zip(devices, counts, strict=True)
        ]
        self._width = sum(counts)
        self._tallies = _Tallies(on_windows or (lambda _: None))
        self._timeout = block_timeout()
        self._processes: list[_Process | None] = [None] * len(devices)
        self._guard = threading.Lock()
        self._is_closed = False
        self._free: SimpleQueue[int] = SimpleQueue()
        for round_ in range(max(counts)):
            for index, count in enumerate(counts):
                if round_ < count:
                    self._free.put(index)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def width(self) -> int:
        return self._width

    def submit(self, plan: Plan, block: Block) -> Future[BlockReceipt]:
        """Has a block computed on whichever device is free; waits for one."""
        index = self._free.get()
        try:
            order = _Order(plan, block)
            self._give(index, order)
        except BaseException:
            self._free.put(index)
            raise
        order.future.add_done_callback(lambda _: self._free.put(index))
        return order.future

    def close(self) -> None:
        """Stops all processes, within seconds also those in the middle of a block."""
        with self._guard:
            self._is_closed = True
            processes = [process for process in self._processes if process is not None]
        for process in processes:
            process.dismiss()
        deadline = time.monotonic() + _PATIENCE
        for process in processes:
            process.end(max(0.0, deadline - time.monotonic()))

    def _give(self, index: int, order: _Order) -> None:
        with self._guard:
            if self._is_closed:
                raise RunCancelledError("stopped", hint=GO_ON)
            process = self._processes[index]
            if process is None or not process.give(order):
                process = _Process(
                    self._setups[index], self._tallies, self._timeout, partial(self._give, index)
                )
                self._processes[index] = process
                process.give(order)


@dataclass
class _Order:
    """A block that a process was asked for."""

    plan: Plan
    block: Block
    future: Future[BlockReceipt] = field(default_factory=Future)
    timer: threading.Timer | None = None

    def __post_init__(self) -> None:
        self.future.set_running_or_notify_cancel()

    def settle(self, outcome: BlockReceipt | Exception) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if isinstance(outcome, Exception):
            self.future.set_exception(outcome)
        else:
            self.future.set_result(outcome)


class _Process:
    """One worker process, its thread that listens, and what it was asked for."""

    def __init__(
        self, setup: Setup, tallies: _Tallies, timeout: float, give_to_next: Callable[[_Order], None]
    ) -> None:
        self._give_to_next = give_to_next
        self._device, self._tallies, self._timeout = setup.device, tallies, timeout
        self._worker = Worker(setup)
        self._orders: dict[str, _Order] = {}
        self._guard = threading.Lock()
        self._is_dismissed = False
        self._reason = ""
        self._has_begun = False
        self._is_over = False
        self._ear = threading.Thread(target=self._listen, name=f"listen-{setup.device}", daemon=True)
        self._ear.start()

    def give(self, order: _Order) -> bool:
        """Asks for a block; false if the process is known to be over."""
        folder = RunFolder.of(order.plan).location
        name = f"{folder}/{order.block.id}"
        with self._guard:
            if self._is_over:
                return False
            self._orders[name] = order
            # If it is dead by now, that will be heard.
            self._worker.order(name, folder, order.block)
        return True

    def dismiss(self) -> None:
        self._is_dismissed = True
        self._worker.hang_up()

    def end(self, patience: float) -> None:
        self._worker.ending(patience)  # killed after that, and then the ear hears the end
        self._ear.join()

    def _listen(self) -> None:
        fault: Exception | None = None
        try:
            fault = self._hear_all()
        except Exception as error:  # whoever waits for a block must hear of it
            fault = error
            self._worker.hang_up()
        how = self._worker.ending(_PATIENCE)
        self._worker.dismiss()
        self._bury(fault, self._reason or f"{how} on {self._device}")

    def _hear_all(self) -> Exception | None:
        """Takes in what the process says, to its end; returns what it could not begin for."""
        fault: Exception | None = None
        while (report := self._worker.hear()) is not None:
            match report:
                case Began(block=name):
                    self._has_begun = True
                    self._tallies.begin(name)
                    self._time(self._orders[name])
                case Windows(block=name, count=count):
                    self._tallies.add(name, count)
                case Done(block=name, receipt=receipt):
                    self._orders.pop(name).settle(receipt)
                case Failed(block=None) as failed:
                    fault = failed.exception()
                    if isinstance(fault, TerramosaicError):
                        fault.within(f"worker on {self._device}")
                case Failed(block=str(name)) as failed:
                    self._orders.pop(name).settle(failed.exception())
                case Log(name=name, level=level, line=line, about=about):
                    logging.getLogger(name).log(level, "%s", line, extra=about)
        return fault

    def _bury(self, fault: Exception | None, how: str) -> None:
        """Takes the blocks out of a dead process's hands."""
        with self._guard:
            self._is_over = True
            left, self._orders = list(self._orders.values()), {}
        for folder in {RunFolder.of(order.plan).path for order in left}:
            sweep_partials(folder)
        if fault is None and not self._is_dismissed:
            logger.warning("a worker process died: %s", how)
        for order in left:
            if order.timer is None and self._has_begun and fault is None and not self._is_dismissed:
                # On its way to a process that died over others, or over none.
                try:
                    self._give_to_next(order)
                except TerramosaicError as error:  # stopped, or no process can be started
                    order.settle(error)
                continue
            lost = RunCancelledError("stopped", hint=GO_ON) if self._is_dismissed else WorkerLostError(how)
            order.settle(fault or lost.within(f"block {order.block.id}"))

    def _time(self, order: _Order) -> None:
        """Ends the process when a block that it has begun takes too long."""

        def kill() -> None:
            if not order.future.done():
                self._reason = f"not done after {self._timeout:g} s on {self._device}"
                self._worker.kill()

        order.timer = threading.Timer(self._timeout, kill)
        order.timer.daemon = True
        order.timer.start()


class _Tallies:
    """Windows of blocks that were told, and those of the tries that run."""

    def __init__(self, on_windows: Callable[[int], None]) -> None:
        self._on_windows = on_windows
        self._told: dict[str, int] = {}
        self._now: dict[str, int] = {}

    def begin(self, name: str) -> None:
        """A try starts from nothing."""
        self._now[name] = 0

    def add(self, name: str, count: int) -> None:
        """Tells those of so many more windows that were not told in an earlier try."""
        self._now[name] += count
        further = self._now[name] - self._told.get(name, 0)
        if further > 0:
            self._told[name] = self._now[name]
            self._on_windows(further)
