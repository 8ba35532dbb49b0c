"""Worker processes that many threads hand blocks to, of any run: what a task of a flow waits for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Self

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import GO_ON, RunCancelledError, WorkerLostError
from terramosaic.model.devices import Device
from terramosaic.planning.folder import RunFolder, write_plan
from terramosaic.planning.plan import Block, Plan
from terramosaic.run.workers.messages import Done, Failed, Log, Setup
from terramosaic.run.workers.pool import PATIENCE, blocks_on, setup_for
from terramosaic.run.workers.worker import Worker, require_platform


class DeviceProcesses:
    """A process for each device; a context that leaves none behind. One that died is started again when wanted.

    Args:
        plan: one of the runs; its model is opened at once.
        devices: one process each.
        blocks_at_once: blocks at the same time in each; by default 1 on the CPU and up to 4 on a GPU.

    Raises:
        RequestError: the platform hands no sockets down to processes.
    """

    def __init__(self, plan: Plan, devices: Sequence[Device], blocks_at_once: int | None = None) -> None:
        require_platform()
        folder = write_plan(plan)
        self._setups = [
            (device, setup_for(device, folder, len(devices), blocks_at_once)) for device in devices
        ]
        self._processes: list[_Process | None] = [None] * len(devices)
        self._guard = threading.Lock()
        self._is_closed = False
        self._free: SimpleQueue[int] = SimpleQueue()
        self.width = 0
        """Blocks at the same time, on all of them."""
        for round_ in range(max(blocks_on(device, len(devices), blocks_at_once) for device in devices)):
            for index, device in enumerate(devices):
                if round_ < blocks_on(device, len(devices), blocks_at_once):
                    self._free.put(index)
                    self.width += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def compute(self, plan: Plan, block: Block) -> BlockReceipt:
        """Computes a block on whichever device is free.

        Raises:
            WorkerLostError: the process died over it.
            RunCancelledError: `close` was called.
            TerramosaicError: what the process says of the block.
        """
        index = self._free.get()
        try:
            return self._process(index).give(plan, block).result()
        finally:
            self._free.put(index)

    def close(self) -> None:
        """Stops all processes, within seconds also those in the middle of a block."""
        with self._guard:
            self._is_closed = True
            processes = [process for process in self._processes if process is not None]
        for process in processes:
            process.dismiss()
        deadline = time.monotonic() + PATIENCE
        for process in processes:
            process.end(max(0.0, deadline - time.monotonic()))

    def _process(self, index: int) -> _Process:
        with self._guard:
            if self._is_closed:
                raise RunCancelledError("stopped", hint=GO_ON)
            process = self._processes[index]
            if process is None or process.is_over:
                process = self._processes[index] = _Process(*self._setups[index])
            return process


class _Process:
    """One worker process, its thread that listens, and what it was asked for."""

    def __init__(self, device: Device, setup: Setup) -> None:
        self._worker = Worker(device, setup)
        self._asked: dict[str, Future[BlockReceipt]] = {}
        self._guard = threading.Lock()
        self._is_dismissed = False
        self.is_over = False
        self._ear = threading.Thread(target=self._listen, name=f"listen-{device}", daemon=True)
        self._ear.start()

    def give(self, plan: Plan, block: Block) -> Future[BlockReceipt]:
        future: Future[BlockReceipt] = Future()
        name = f"{RunFolder.of(plan).location}/{block.id}"
        with self._guard:
            if self.is_over:
                future.set_exception(WorkerLostError(f"block {block.id}: its worker process died"))
                return future
            self._asked[name] = future
        self._worker.order(name, RunFolder.of(plan).location, block)
        return future

    def dismiss(self) -> None:
        self._is_dismissed = True
        self._worker.hang_up()

    def end(self, patience: float) -> None:
        self._worker.ending(patience)  # killed after that, and then the ear hears the end
        self._ear.join()

    def _listen(self) -> None:
        fault: Exception | None = None
        try:
            while (report := self._worker.hear()) is not None:
                match report:
                    case Done(block=name, receipt=receipt):
                        self._asked.pop(name).set_result(receipt)
                    case Failed(block=None) as failed:
                        fault = failed.exception()
                    case Failed(block=str(name)) as failed:
                        self._asked.pop(name).set_exception(failed.exception())
                    case Log(name=name, level=level, line=line):
                        logging.getLogger(name).log(level, "%s", line)
        except Exception as error:  # whoever waits for a block must hear of it
            fault = error
            self._worker.hang_up()
        ending = self._worker.ending(PATIENCE)
        self._worker.dismiss()
        with self._guard:
            self.is_over = True
            left, self._asked = self._asked, {}
        for name, future in left.items():
            future.set_exception(fault or self._loss(name.rpartition("/")[2], ending))

    def _loss(self, block_id: str, ending: str) -> Exception:
        if self._is_dismissed:
            return RunCancelledError("stopped", hint=GO_ON).within(f"block {block_id}")
        return WorkerLostError(
            f"block {block_id}: its worker process on {self._worker.device} died ({ending})"
        )
