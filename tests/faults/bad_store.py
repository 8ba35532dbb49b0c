"""An S3 on loopback whose answers come late, twice, or not at all, and whose requests may arrive when nobody waits."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tests.faults.schedule import StoreFault
from tests.support.s3 import Store

#: Seconds that a client of `tests.faults.worker` waits for an answer, and that one takes which comes late.
PATIENCE, _LATE = 1.0, 1.6

_SLOW = 0.3


class BadStore(Store):
    """A store with faults:

    slow: the answer takes a while, and the client waits for it.
    late: the request is applied when its client has given it up, and has perhaps asked again.
    unheard: it is applied at once, and the answer comes when nobody waits for it any more.
    failed after all: it is applied, and answered with an error.
    twice: it arrives twice, and what came of the second is answered.
    lost: nothing is applied, and the connection cut.
    busy: nothing is applied; the client is to come back.
    """

    def __init__(self) -> None:
        self._faults: Sequence[StoreFault] = ()
        self._counts: Counter[str] = Counter()
        self._guard = threading.Lock()
        super().__init__()

    def fail(self, faults: Sequence[StoreFault]) -> None:
        """Has these faults from now on, and counts requests anew."""
        with self._guard:
            self._faults = faults
            self._counts.clear()
            self.requests.clear()

    def _door(self, environ: dict[str, Any], start_response: Any) -> Any:
        how = self._drawn(environ["REQUEST_METHOD"])
        if not how:
            return super()._door(environ, start_response)
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))

        def apply(answer: Callable[..., Any]) -> Any:
            return list(super(BadStore, self)._door({**environ, "wsgi.input": io.BytesIO(body)}, answer))

        if how == "late":
            time.sleep(_LATE)
        if how == "slow":
            time.sleep(_SLOW)
        if how in ("twice", "failed after all"):
            apply(_nowhere)
        if how == "lost":
            # The other end sees its connection end without a word.
            with suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            start_response("500 InternalError", [])
            return []
        if how in ("busy", "failed after all"):
            status = "503 SlowDown" if how == "busy" else "500 InternalError"
            start_response(status, [("Content-Length", "0")])
            return []
        answer = apply(start_response)
        if how == "unheard":
            time.sleep(_LATE)
        return answer

    def _drawn(self, method: str) -> str:
        with self._guard:
            self._counts[method] += 1
            count = self._counts[method]
        hit = (
            fault.how
            for fault in self._faults
            if fault.method == method and fault.after <= count < fault.after + fault.times
        )
        return next(hit, "")


def _nowhere(*_: Any) -> None:
    """Takes an answer that nobody hears."""
