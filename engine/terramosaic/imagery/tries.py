"""How long one reading of a scene's file is tried: tries, pauses, and the time that all of them have together."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import cast

from tenacity import RetryCallState, wait_random_exponential

from terramosaic.storage.retries import ASSET

logger = logging.getLogger(__name__)


def failure_of(state: RetryCallState) -> BaseException:
    """What a try has failed with."""
    return cast(BaseException, state.outcome and state.outcome.exception())


class Tries:
    """The tries of one reading; tenacity's ``stop`` and ``wait``.

    Args:
        tries_of: how often is tried in all what fails like this.
        asked_to_wait: seconds that a busy server asks to wait; None after a failure of another kind. Called until it
            answers, for it costs a request.
    """

    def __init__(
        self, tries_of: Callable[[BaseException], int], asked_to_wait: Callable[[BaseException], float | None]
    ) -> None:
        self._tries_of, self._asked_to_wait = tries_of, asked_to_wait
        self._end = time.monotonic() + ASSET.within
        self._backoff = wait_random_exponential(multiplier=ASSET.pause, exp_base=ASSET.growth)
        self._asked: float | None = None

    @property
    def left(self) -> float:
        """Seconds that the reading has left."""
        return self._end - time.monotonic()

    @property
    def later(self) -> str:
        """For the end of a message: when the server asks to come back, where that is beyond the time left."""
        is_late = self._asked is not None and self._asked > self.left
        return f"; its server asks to come back in {self._asked:.0f} s" if is_late else ""

    def stop(self, state: RetryCallState) -> bool:
        """Whether that was the last try."""
        error = failure_of(state)
        if state.attempt_number >= self._tries_of(error) or self.left < 1:
            return True
        if self._asked is None:
            self._asked = self._asked_to_wait(error)
        return (self._asked or 0) > self.left

    def wait(self, state: RetryCallState) -> float:
        """Seconds before the next try."""
        return max(0.0, min(max(self._backoff(state), self._asked or 0), self.left - 1))
