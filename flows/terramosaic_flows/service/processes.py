"""A process that `terramosaic up` keeps: started with a log file, stopped by its id, never left behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1


class ManagedProcess:
    """A process in a group of its own, so that Ctrl-C in the terminal reaches its keeper alone.

    Attributes:
        name: for messages.
        log: file with everything it prints.
    """

    def __init__(self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self.name, self.log = name, log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_prepare,  # noqa: PLW1509 - it calls the system only, and no other thread runs yet
            )

    @property
    def pid(self) -> int:
        """Its process id, which is that of its group."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def stop(self, patience: float) -> None:
        """Asks it to end, waits, and kills what is left of it and its children."""
        if self.is_alive:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(patience)
        # The group outlives its leader as long as a child is in it.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def last_line(self) -> str:
        """The last line of its log, which says why it ended."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if line), "it said nothing")


def worker_command(*arguments: str) -> list[str]:
    """``prefect worker start`` with an endpoint for metrics, of this very environment."""
    return [sys.executable, "-m", "terramosaic_flows.service.worker", *arguments]


def _prepare() -> None:
    # A shell starts background jobs with SIGINT ignored. A Prefect worker that inherits this never stops on SIGTERM.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        # Should the keeper be killed, the kernel stops what it kept.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
