"""What pieces of work that run side by side in a process take of it: processor time, and bytes that are read.

A processor's time is known of a whole process alone, as libraries compute in threads of their own. So whenever a piece
begins or ends, what the process has taken since is shared out among those that were running, in equal parts: of each
that is an estimate, in sum over all it is exact.

    piece A  |=======|=======|
    piece B          |=======|=======|      A takes all of the first third and half of the second
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Taken:
    """What a piece of work has taken so far.

    Attributes:
        processor_seconds: of all processors together.
        read_bytes: see `Meter.read`.
    """

    processor_seconds: float = 0.0
    read_bytes: float = 0.0


class Meter:
    """Shares out what a process takes among the pieces of work in it.

    Args:
        clock: of processor time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self.begin()

    def begin(self) -> None:
        """Begins anew with no work, as in a process that was forked."""
        self._lock = threading.Lock()
        self._running: list[Taken] = []
        self._shared_at, self._read = self._clock(), 0.0

    @contextmanager
    def piece(self) -> Iterator[Callable[[], Taken]]:
        """A piece of work, from here to the end of the context; gives what tells how much it has taken by now."""
        taken = Taken()
        with self._lock:
            self._share()
            self._running.append(taken)
        try:
            yield lambda: self._so_far(taken)
        finally:
            with self._lock:
                self._share()
                # By identity: two that have taken the same are equal.
                self._running = [each for each in self._running if each is not taken]

    def read(self, count: float) -> None:
        """Counts bytes that were read, for whoever is running."""
        with self._lock:
            self._read += count

    def _so_far(self, taken: Taken) -> Taken:
        with self._lock:
            self._share()
            return Taken(taken.processor_seconds, taken.read_bytes)

    def _share(self) -> None:
        now = self._clock()
        for each in self._running:
            each.processor_seconds += (now - self._shared_at) / len(self._running)
            each.read_bytes += self._read / len(self._running)
        self._shared_at, self._read = now, 0.0


#: This process's.
METER = Meter()
os.register_at_fork(after_in_child=METER.begin)
