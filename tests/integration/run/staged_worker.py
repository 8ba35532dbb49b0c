"""A worker process in which something happens to chosen blocks, after their first batch and so in their midst.

The variable ``STAGED`` holds what happens as JSON: by block id, an act and what it needs. Tests give this module to
`terramosaic.run.worker` instead of the real one, which it otherwise is.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

from terramosaic.run import process

#: Seconds after which a worker that waits in vain is killed, so that a test fails instead of hanging.
_PATIENCE = 120


def main(file_descriptor: int) -> None:
    """Serves as the real worker does."""
    signal.alarm(_PATIENCE)
    acts = json.loads(os.environ["STAGED"])
    run_block = process.run_block

    def staged(plan: Any, block: Any, *, on_windows: Any, fence: Any, **options: Any) -> Any:
        acts_left = [acts[name] for name in (block.id, "*") if name in acts]

        def then(count: int) -> None:
            on_windows(count)
            while acts_left:
                act, *needed = acts_left.pop()
                _ACTS[act](fence.closed, *needed)

        return run_block(plan, block, on_windows=then, fence=fence, **options)

    process.run_block = staged
    process.main(file_descriptor)


def _die(_: threading.Event, signal_number: int) -> None:
    os.kill(os.getpid(), signal_number)
    threading.Event().wait()


def _die_once(cancelled: threading.Event, signal_number: int, mark: str) -> None:
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return
    _die(cancelled, signal_number)


def _meet(_: threading.Event, fifo: str, mode: str) -> None:
    # Opening a FIFO waits for the other end: only two processes at the same time get past it.
    with Path(fifo).open(mode):
        pass


def _hang(_: threading.Event) -> None:
    process._GRACE = 0  # it will not stop by itself, so there is nothing to wait for
    threading.Event().wait()


def _hang_once(cancelled: threading.Event, mark: str) -> None:
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return
    _hang(cancelled)


_ACTS: dict[str, Any] = {
    "die": _die,
    "die once": _die_once,
    "meet": _meet,
    "wait for the end": lambda cancelled: cancelled.wait(),
    "hang": _hang,
    "hang once": _hang_once,
}
