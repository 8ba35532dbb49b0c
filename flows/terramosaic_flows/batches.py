"""Blocks put together to tasks: each worth some ten seconds, as measured while the run goes on.

A task costs the orchestration up to 0.15 s, and a block may take a second or an hour: only the run can tell.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import RequestError
from terramosaic.planning.plan import Block, Plan

#: Seconds that a task should take; 0 makes each block a task of its own.
SETTING = "TERRAMOSAIC_TASK_SECONDS"
_SECONDS = 30.0

#: So many blocks at most, whatever they take: what a lost task leaves to look through again stays small.
_MOST_BLOCKS = 64


@dataclass(frozen=True)
class Batch:
    """Blocks of one run that make a task."""

    plan: Plan
    blocks: tuple[Block, ...]

    @property
    def name(self) -> str:
        """For the UI: the first block, and how many come after it."""
        more = len(self.blocks) - 1
        return f"{self.blocks[0].id} and {more} more" if more else self.blocks[0].id


class Batches:
    """Blocks that wait for a task.

    Args:
        blocks: with their runs, in the order of work.
        width: tells how many tasks run at the same time; towards the end batches get smaller, so that all have work.
    """

    def __init__(self, blocks: Iterable[tuple[Plan, Block]], width: Callable[[], int]) -> None:
        self._waiting = deque(blocks)
        self._width = width
        self._worth = _task_seconds()
        self._windows = 0
        self._seconds = 0.0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def clear(self) -> None:
        """Drops all that wait."""
        self._waiting.clear()

    def measure(self, receipt: BlockReceipt) -> None:
        """Learns from a block how long windows take."""
        self._windows += receipt.windows
        self._seconds += receipt.seconds["total"]

    def next(self) -> Batch:
        """The next blocks to compute; until a first block is measured, one."""
        made, block = self._waiting.popleft()
        blocks, windows = [block], block.windows
        most = min(_MOST_BLOCKS, len(self._waiting) // (2 * self._width()))
        while len(blocks) < most and self._waiting:
            after_plan, after = self._waiting[0]
            if after_plan is not made or self._expected(windows + after.windows) > self._worth:
                break
            self._waiting.popleft()
            blocks.append(after)
            windows += after.windows
        return Batch(made, tuple(blocks))

    def _expected(self, windows: int) -> float:
        return windows * self._seconds / self._windows if self._windows else float("inf")


def _task_seconds() -> float:
    text = os.environ.get(SETTING)
    try:
        seconds = float(text) if text else _SECONDS
    except ValueError:
        seconds = -1
    if seconds < 0:
        raise RequestError(f"{SETTING}: {text!r} is no number of seconds")
    return seconds
