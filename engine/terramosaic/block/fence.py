"""A fence around what a block writes: once it is closed, nothing of the block gets its final name any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from terramosaic.errors import GO_ON, RunCancelledError

#: Seconds that who closes it waits for files that are getting their names at this moment.
_PATIENCE = 10.0


class Fence:
    """What stops a block, wherever it is: between batches it ends, and a call that hung and comes back writes nothing.

    Args:
        closed: set by others to stop all blocks that know it; by default the fence's own.
    """

    def __init__(self, closed: threading.Event | None = None) -> None:
        self.closed = closed or threading.Event()
        self._passing = threading.Lock()

    def check(self) -> None:
        """Goes on only while the fence is open.

        Raises:
            RunCancelledError: it is closed.
        """
        if self.closed.is_set():
            raise RunCancelledError("cancelled", hint=GO_ON)

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Files get their names in here, and nowhere else.

        Raises:
            RunCancelledError: the fence is closed.
        """
        with self._passing:
            self.check()
            yield

    def close(self) -> None:
        """Lets nothing pass any more."""
        self.closed.set()
        if self._passing.acquire(timeout=_PATIENCE):
            self._passing.release()
