"""What this process has done, counted for whoever watches over workers: bytes, blocks, tries, failures.

A worker's endpoint names a folder in the environment, which its flow runs and their processes inherit; each keeps one
small file of its sums there. Without that nothing is counted and nothing written. Counting costs a lock and an
addition, and a file every other second; what goes wrong with it is nobody's error.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

#: The folder, set by the endpoint for the processes below it; and the run that a process counts for. No settings: no
#: person sets them.
FOLDER, RUN = "_TALLIES_OF_A_WORKER", "_TALLY_OF_A_RUN"

#: Seconds between two writings.
_EVERY = 2.0

#: What is counted, with its labels.
Key = tuple[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Told:
    """What the file of a process says.

    Attributes:
        run: that it counts for; empty where it is none.
        facts: about the run, such as its name.
        sums: what was counted.
        is_alive: whether the process may count on.
        age: seconds since it last said something.
    """

    run: str
    facts: Mapping[str, str]
    sums: Mapping[Key, float]
    is_alive: bool
    age: float


class _Tally:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sums: dict[Key, float] = {}
        self._facts: dict[str, str] = {}
        self._written = 0.0
        self._is_registered = False

    def add(self, name: str, amount: float, labels: Mapping[str, str]) -> None:
        with self._lock:
            key = name, tuple(sorted(labels.items()))
            self._sums[key] = self._sums.get(key, 0.0) + amount
            self._write_if_due()

    def describe(self, facts: Mapping[str, str]) -> None:
        with self._lock:
            self._facts.update(facts)
            self._written = 0.0
            self._write_if_due()

    def flush(self) -> None:
        with self._lock:
            self._written = 0.0
            self._write_if_due()

    def _write_if_due(self) -> None:
        now = time.monotonic()
        if self._written and now - self._written < _EVERY:
            return
        self._written = now
        if not self._is_registered:
            self._is_registered = True
            atexit.register(flush)
        content = {
            "run": os.environ.get(RUN, ""),
            "facts": self._facts,
            "sums": [[name, dict(labels), amount] for (name, labels), amount in self._sums.items()],
        }
        # A name for each process; one that is reused continues nobody's sums.
        file = Path(os.environ[FOLDER]) / f"{os.getpid()}-{_started()}.json"
        partial = file.with_suffix(".partial")
        partial.write_text(json.dumps(content), encoding="utf-8")
        partial.replace(file)


_TALLY = _Tally()
os.register_at_fork(after_in_child=lambda: globals().update(_TALLY=_Tally()))


def count(name: str, amount: float = 1, **labels: str) -> None:
    """Adds to what this process has done; does nothing where nobody asked for it.

    Args:
        name: of what is counted, as ``read_bytes``.
        amount: how much.
        labels: what it is told apart by, a handful of values each.
    """
    if os.environ.get(FOLDER):
        with suppress(Exception):  # whatever it is, it is no reason to lose a map
            _TALLY.add(name, amount, labels)


def describe_run(**facts: str) -> None:
    """Says what the run is called that this process counts for."""
    if os.environ.get(FOLDER):
        with suppress(Exception):  # whatever it is, it is no reason to lose a map
            _TALLY.describe(facts)


def flush() -> None:
    """Writes what was counted since; a process that ends does so by itself."""
    if os.environ.get(FOLDER):
        with suppress(Exception):  # whatever it is, it is no reason to lose a map
            _TALLY.flush()


def told_in(folder: Path) -> Iterator[tuple[Path, Told]]:
    """What the processes of a folder have counted; files that cannot be read are passed over."""
    for file in sorted(folder.glob("*.json")):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
            yield (
                file,
                Told(
                    run=str(content["run"]),
                    facts={str(name): str(value) for name, value in content["facts"].items()},
                    sums={
                        (str(name), tuple(sorted(labels.items()))): float(amount)
                        for name, labels, amount in content["sums"]
                    },
                    is_alive=_is_alive(file.stem),
                    age=max(0.0, time.time() - file.stat().st_mtime),
                ),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue


def _is_alive(name: str) -> bool:
    pid, _, started = name.partition("-")
    return _started(pid) == started


def _started(pid: str = "self") -> str:
    """When a process was started, in ticks since the machine was; empty where there is none, or no telling."""
    try:
        # The name in brackets may hold anything, also spaces and brackets.
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    except (OSError, IndexError):
        return ""
