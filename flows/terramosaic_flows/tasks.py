"""Prefect tasks as a workforce: blocks are put together to tasks, and handed out a few tasks ahead of the workers."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import copy_context
from copy import copy
from functools import partial
from queue import SimpleQueue
from typing import Any, Self

from prefect.futures import PrefectFuture

from terramosaic.block.receipt import BlockReceipt, finished_block
from terramosaic.errors import OutputError, TerramosaicError, WorkerLostError, one_line
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Block, Plan
from terramosaic.run.scheduling import block_timeout
from terramosaic_flows.batches import MOST_BLOCKS, Batch, Batches, Wanted
from terramosaic_flows.runners import Crew
from terramosaic_flows.stages import compute_blocks

#: Tasks submitted for each that can run: enough to keep workers busy, few enough to stop soon.
_AHEAD = 2

_Ended = tuple[Batch, PrefectFuture[Any]]


class Tasks:
    """Tasks of the flow run that opens it; a context that ends at once, whatever still runs."""

    def __init__(self, crew: Crew) -> None:
        self._crew = crew
        self._timeout = block_timeout()
        self._batches = Batches(crew.slots)
        self._running = 0
        self._pending: set[Future[BlockReceipt]] = set()
        self._broken: BaseException | None = None
        # What happens: a block is wanted, a task has ended, or, as None, all is over.
        self._events: SimpleQueue[Wanted | _Ended | None] = SimpleQueue()
        # In the context of the flow run, whose tasks they are.
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._serve,), name="hand out", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._events.put(None)
        self._thread.join()

    def width(self) -> int:
        return _AHEAD * self._crew.slots() * MOST_BLOCKS

    def submit(self, plan: Plan, block: Block) -> Future[BlockReceipt]:
        future: Future[BlockReceipt] = Future()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        if self._broken is not None:
            raise self._broken
        self._events.put(Wanted(plan, block, future))
        return future

    def _serve(self) -> None:
        try:
            while (event := self._events.get()) is not None:
                if isinstance(event, Wanted):
                    self._batches.add(event)
                else:
                    self._running -= 1
                    self._settle(*event)
                if self._events.empty():
                    self._hand_out()
        except BaseException as error:  # whoever waits for a block must hear of it
            self._broken = error
            for future in list(self._pending):
                with suppress(InvalidStateError):
                    future.set_exception(error)

    def _hand_out(self) -> None:
        while self._running < _AHEAD * self._crew.slots() and (batch := self._batches.next()):
            future = self._crew.submit(
                compute_blocks,
                {
                    "name": batch.name,
                    "run_folder": RunFolder.of(batch.plan).location,
                    "block_ids": batch.block_ids,
                    "timeout": self._timeout,
                    "workforce": self._crew.workforce,
                },
            )
            self._running += 1
            future.add_done_callback(partial(self._put, batch))

    def _put(self, batch: Batch, future: PrefectFuture[Any]) -> None:
        self._events.put((batch, future))

    def _settle(self, batch: Batch, future: PrefectFuture[Any]) -> None:
        """Tells those who wait what became of a task's blocks; what a failed one has finished is finished."""
        outcome = _outcome(batch, future)
        receipts = {} if isinstance(outcome, BaseException) else {one.block: one for one in outcome}
        left = []
        for wanted in batch.wanted:
            receipt = receipts.get(wanted.block.id) or _finished(wanted)
            if receipt is None:
                left.append(wanted)
            else:
                self._batches.measure(receipt)
                wanted.future.set_result(receipt)
        if isinstance(outcome, WorkerLostError):
            # The first of them was in its hands, and the others wait for another one.
            self._batches.put_back(left[1:])
            left = left[:1]
        for wanted in left:
            error = copy(outcome) if isinstance(outcome, TerramosaicError) else outcome
            wanted.future.set_exception(
                error
                if isinstance(error, BaseException)
                else WorkerLostError("its task returned without the block").within(f"block {wanted.block.id}")
            )


def _outcome(batch: Batch, future: PrefectFuture[Any]) -> Any:
    """What a task returned or raised; where the cluster lost it, that it did."""
    try:
        # A failed task that nobody asks is ignored by Prefect, and the flow would end Completed.
        return future.result(raise_on_failure=False)
    except Exception as error:
        return WorkerLostError(f"{type(error).__name__}: {one_line(error)}").within(
            f"block {batch.block_ids[0]}"
        )


def _finished(wanted: Wanted) -> BlockReceipt | None:
    try:
        return finished_block(wanted.plan, wanted.block)
    except OutputError:  # the store that failed the block does not answer this either
        return None
