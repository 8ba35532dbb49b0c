"""A moment by which an answer over HTTP has arrived whole.

A time-out of a read begins anew with each byte, so that a server which sends ten a second keeps its reader for days.
When a deadline has passed, all connections that its answer came through are shut, whatever waits for them: a handshake,
headers, a body.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from contextvars import ContextVar, Token
from typing import Any, Self

from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.response import BaseHTTPResponse

_NOW: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


class Deadline:
    """The deadline of what this thread asks for in the context.

    Args:
        seconds: from now.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._guard = threading.Lock()
        self._timer = threading.Timer(seconds, self._pass)
        self._timer.daemon = True
        self._token: Token[Deadline | None] | None = None

    def __enter__(self) -> Self:
        self._token = _NOW.set(self)
        self._timer.start()
        return self

    def __exit__(self, *error: Any) -> None:
        self._timer.cancel()
        assert self._token is not None
        _NOW.reset(self._token)
        with self._guard:
            for held in self._sockets:
                held.close()
            self._sockets.clear()

    @property
    def is_over(self) -> bool:
        """Whether it has passed."""
        return self.left == 0

    @property
    def left(self) -> float:
        """Seconds until then."""
        return max(0.0, self._end - time.monotonic())

    def watch(self, connection: socket.socket) -> None:
        """Takes in a connection, by a handle of our own: its owner may wrap, move or close it."""
        with self._guard, contextlib.suppress(OSError):
            self._sockets.append(socket.socket(fileno=os.dup(connection.fileno())))
            if self.is_over:
                self._shut()

    def _pass(self) -> None:
        with self._guard:
            self._shut()

    def _shut(self) -> None:
        for held in self._sockets:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)


def time_left() -> float:
    """Seconds until the deadline of this thread; without one, all the time in the world."""
    deadline = _NOW.get()
    return float("inf") if deadline is None else deadline.left


def watched(pool: PoolManager) -> PoolManager:
    """The pool, whose connections keep to the deadline of the thread that uses them."""
    pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
    return pool


def _watch(connection: socket.socket | None) -> None:
    deadline = _NOW.get()
    if deadline is not None and connection is not None:
        deadline.watch(connection)


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        made = super()._new_conn()
        _watch(made)
        return made

    def getresponse(self) -> BaseHTTPResponse:  # type: ignore[override]
        _watch(self.sock)  # of one that was kept from an earlier request
        return super().getresponse()


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection
