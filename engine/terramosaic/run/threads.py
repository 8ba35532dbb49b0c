"""Blocks computed by threads of this process, which share its model."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import ExitStack
from typing import Any, Self

from terramosaic.block.block import model_threads, run_block
from terramosaic.block.fence import Fence
from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import ModelError
from terramosaic.imagery.pool import READERS
from terramosaic.model.device_lock import device_to_itself, give_up
from terramosaic.model.devices import Device, available_cpus, blocks_at_once
from terramosaic.planning.plan import Block, Plan
from terramosaic.run.scheduling import block_timeout
from terramosaic.settings import BLOCK_TIMEOUT

logger = logging.getLogger(__name__)


class Threads:
    """Threads as a workforce; a context that ends with its last block, or within a batch when an error passes.

    A block that takes too long is abandoned: its thread cannot be ended, but writes nothing any more.

    Args:
        device: where the model runs.
        count: blocks at the same time; by default one for each processor, at most 4.
        batch_size: windows per call of the model; by default what suits the device.
        on_windows: called with the number of windows that were computed since the last call.

    Raises:
        RequestError: the time limit is no number of seconds.
    """

    def __init__(
        self,
        device: Device,
        count: int | None = None,
        *,
        batch_size: int | None = None,
        on_windows: Callable[[int], None] | None = None,
    ) -> None:
        self._device = device
        self._count = count or blocks_at_once()
        self._timeout = block_timeout()
        self._running: dict[threading.Thread, Fence] = {}
        self._held = ExitStack()
        self._how: dict[str, Any] = {"batch_size": batch_size, "on_windows": on_windows}

    def __enter__(self) -> Self:
        self._held.enter_context(READERS.closing_idle())
        # Before the first block, whose time must not pass while another process uses the device.
        self._held.enter_context(device_to_itself(self._device))
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is not None:
            self.close()
        for thread in list(self._running):
            thread.join()
        self._held.close()

    def width(self) -> int:
        return self._count

    def submit(self, plan: Plan, block: Block) -> Future[BlockReceipt]:
        future: Future[BlockReceipt] = Future()
        future.set_running_or_notify_cancel()
        fence = Fence()
        # Nobody waits for it when the process ends: it may hang.
        thread = threading.Thread(
            target=self._compute, args=(plan, block, fence, future), name=f"block-{block.id}", daemon=True
        )
        self._running[thread] = fence
        thread.start()
        return future

    def close(self) -> None:
        """Stops blocks between two batches."""
        for fence in list(self._running.values()):
            fence.close()

    def _compute(self, plan: Plan, block: Block, fence: Fence, future: Future[BlockReceipt]) -> None:
        thread = threading.current_thread()
        timer = threading.Timer(self._timeout, self._abandon, (thread, block, fence, future))
        timer.daemon = True
        timer.start()
        outcome: BlockReceipt | BaseException
        try:
            threads = model_threads(plan, self._device, processors=available_cpus(), blocks=self._count)
            outcome = run_block(plan, block, threads=threads, fence=fence, **self._how)
        except BaseException as error:  # for whoever waits for the block
            outcome = error
        timer.cancel()
        self._running.pop(thread, None)
        with contextlib.suppress(InvalidStateError):  # it was abandoned
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _abandon(
        self, thread: threading.Thread, block: Block, fence: Fence, future: Future[BlockReceipt]
    ) -> None:
        fence.close()
        if future.done():
            return
        give_up(self._device)
        self._running.pop(thread, None)
        error = ModelError(
            f"not done after {self._timeout:g} s ({BLOCK_TIMEOUT}); a thread that hangs cannot be ended, so "
            f"{self._device} is not used again in this process",
            hint="run the same request again in a new one; worker processes (devices) would be ended, and others go on",
        )
        with contextlib.suppress(InvalidStateError):
            future.set_exception(error.within(f"block {block.id}"))
