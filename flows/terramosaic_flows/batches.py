"""Blocks put together to tasks: each worth some ten seconds, as measured while the run goes on.

A task costs the orchestration up to 0.15 s, and a block may take a second or an hour: only the run can tell.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import RequestError
from terramosaic.planning.plan import Block, Plan
from terramosaic.settings import TASK_SECONDS

#: Seconds that a task should take; 0 makes each block a task of its own.
_SECONDS = 30.0

#: So many blocks at most, whatever they take: what a lost task leaves to look through again stays small.
MOST_BLOCKS = 64


class Wanted(NamedTuple):
    """A block that is to be computed, and who waits for it."""

    plan: Plan
    block: Block
    future: Future[BlockReceipt]


@dataclass(frozen=True)
class Batch:
    """Blocks of one run that make a task."""

    wanted: tuple[Wanted, ...]

    @property
    def plan(self) -> Plan:
        return self.wanted[0].plan

    @property
    def block_ids(self) -> list[str]:
        return [one.block.id for one in self.wanted]

    @property
    def name(self) -> str:
        """For the UI: the first block, and how many come after it."""
        first, *more = self.block_ids
        return f"{first} and {len(more)} more" if more else first


class Batches:
    """Blocks that wait for a task.

    Args:
        slots: tells how many tasks run at the same time; towards the end batches get smaller, so that all have work.
    """

    def __init__(self, slots: Callable[[], int]) -> None:
        self._waiting: deque[Wanted] = deque()
        self._slots = slots
        self._worth = _task_seconds()
        self._windows = 0
        self._seconds = 0.0

    def add(self, wanted: Wanted) -> None:
        """One more waits, behind the others."""
        self._waiting.append(wanted)

    def put_back(self, wanted: Iterable[Wanted]) -> None:
        """Some wait again, before the others: their task was lost before it came to them."""
        self._waiting.extendleft(reversed(tuple(wanted)))

    def measure(self, receipt: BlockReceipt) -> None:
        """Learns from a block how long windows take."""
        self._windows += receipt.windows
        self._seconds += receipt.seconds["total"]

    def next(self) -> Batch | None:
        """The next blocks to compute, if any is left; until a first block is measured, one."""
        batch: list[Wanted] = []
        windows = 0
        most = max(1, min(MOST_BLOCKS, len(self._waiting) // (2 * self._slots())))
        while self._waiting and len(batch) < most:
            windows += self._waiting[0].block.windows
            if batch and (
                self._waiting[0].plan is not batch[0].plan or self._expected(windows) > self._worth
            ):
                break
            wanted = self._waiting.popleft()
            # Nobody may want it any more.
            if wanted.future.running() or wanted.future.set_running_or_notify_cancel():
                batch.append(wanted)
        return Batch(tuple(batch)) if batch else None

    def _expected(self, windows: int) -> float:
        return windows * self._seconds / self._windows if self._windows else float("inf")


def _task_seconds() -> float:
    text = TASK_SECONDS.text
    try:
        seconds = float(text) if text else _SECONDS
    except ValueError:
        seconds = -1
    if seconds < 0:
        raise RequestError(f"{TASK_SECONDS}: {text!r} is no number of seconds")
    return seconds
