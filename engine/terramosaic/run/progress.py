"""What a run looks like while it works: bars in a terminal or a notebook, plain lines elsewhere."""

from __future__ import annotations

import threading
import time
from importlib.util import find_spec
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from terramosaic.block.receipt import BlockReceipt
from terramosaic.planning.plan import Block, Plan

_STAGES = {"assemble": "putting mosaics together", "publish": "writing report and item"}

#: Seconds between two plain lines.
_LINE_EVERY = 10.0


def shown_progress(console: Console | None = None) -> Bars | Lines:
    """What shows a run best here, to be used as a context.

    Args:
        console: where; by default a notebook's cell, else stderr.
    """
    console = console or Console(stderr=True)
    # In a notebook rich needs them for what moves.
    moves = find_spec("ipywidgets") is not None if console.is_jupyter else console.is_terminal
    return Bars(console) if moves else Lines(console)


class Bars:
    """Two bars, blocks and windows, with windows a second and the time left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:8}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
        )
        self._started = 0.0
        self._count = 0
        self._lock = threading.Lock()
        self._blocks, self._windows = TaskID(0), TaskID(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def planned(self, plan: Plan, remaining: list[Block]) -> None:
        """Starts the bars, unless there is nothing to do."""
        done = len(plan.blocks) - len(remaining)
        if done:
            self._console.print(f"{done} of {len(plan.blocks)} blocks were done before")
        if not remaining:
            return
        self._started, self._count = time.monotonic(), 0
        for bar in self._bars.task_ids:
            self._bars.remove_task(bar)
        self._blocks = self._bars.add_task("blocks", total=len(plan.blocks), completed=done, rate="")
        self._windows = self._bars.add_task(
            "windows", total=sum(block.windows for block in remaining), rate=""
        )
        self._bars.start()

    def windows(self, count: int) -> None:
        """Moves the bar of windows."""
        with self._lock:
            self._count += count
            speed = speed_of(self._count, time.monotonic() - self._started)
        self._bars.update(self._windows, advance=count, rate=speed)

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        """Moves the bar of blocks."""
        self._bars.update(self._blocks, advance=1)

    def stage(self, name: str) -> None:
        """Ends the bars and names the stage."""
        self._bars.stop()
        self._console.print(_STAGES[name])


def speed_of(windows: int, seconds: float) -> str:
    """How fast windows are made, in words; of what is slow the seconds that one takes."""
    if windows == 0 or windows >= seconds:
        return f"{windows / max(1e-3, seconds):.1f} windows/s"
    return f"{seconds / windows:.1f} s a window"


class Lines:
    """A line now and then, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._count, self._done, self._total = 0, 0, 0
        self._started = self._last = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return

    def planned(self, plan: Plan, remaining: list[Block]) -> None:
        """Says how much there is to do."""
        self._started = self._last = time.monotonic()
        self._total = len(plan.blocks)
        self._done = self._total - len(remaining)
        windows = sum(block.windows for block in remaining)
        blocks = "1 block" if self._total == 1 else f"{self._total} blocks"
        self._console.print(f"{blocks}, {self._done} done before; {windows} windows to compute")

    def windows(self, count: int) -> None:
        """Says how far it is, every ten seconds."""
        with self._lock:
            self._count += count
            now = time.monotonic()
            if now - self._last < _LINE_EVERY:
                return
            self._last = now
            speed = speed_of(self._count, now - self._started)
        self._console.print(f"{self._done}/{self._total} blocks, {self._count} windows, {speed}")

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        """Counts the block."""
        self._done += 1

    def stage(self, name: str) -> None:
        """Names the stage."""
        self._console.print(_STAGES[name])
