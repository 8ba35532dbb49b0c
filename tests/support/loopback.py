"""A web application on loopback, in a thread, for as long as a test needs it."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send


@contextmanager
def serving(app: Starlette, **options: Any) -> Iterator[int]:
    """Serves until the context ends; gives the port, which the system chose."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class _Guarded:
    """An application that refuses (403) what it is not asked for rightly."""

    def __init__(self, app: ASGIApp, allows: Callable[[Request], bool]) -> None:
        self._app, self._allows = app, allows

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = scope["type"] == "http" and not self._allows(Request(scope))
        await (Response(status_code=403) if refused else self._app)(scope, receive, send)


def guarded_by(allows: Callable[[Request], bool] | None) -> list[Middleware]:
    """The middleware of an application that answers only what a function allows."""
    return [Middleware(_Guarded, allows=allows)] if allows else []


def self_signed(folder: Path) -> dict[str, str]:
    """Options of a server whose certificate nobody has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    day = dt.datetime(2020, 1, 1)
    certificate = x509.CertificateBuilder(name, name, key.public_key(), 1, day, day.replace(year=2100))
    folder.mkdir(parents=True, exist_ok=True)
    signed = certificate.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "certificate.pem").write_bytes(signed)
    (folder / "key.pem").write_bytes(private)
    return {"ssl_certfile": str(folder / "certificate.pem"), "ssl_keyfile": str(folder / "key.pem")}
