"""Prefect's server, closed to whatever pages of other origins a browser on this machine shows.

Any page may send requests to loopback, and Prefect takes them: some without asking first (a form; a body without a
type, which is read as JSON), a WebSocket always, and all of them from a page whose name was pointed to 127.0.0.1
after it was loaded. A run's job variables hold a command, so that a page could run one here.

A browser says where a request comes from (``Origin``) and whom it means (``Host``), and no page can change either.
Programs send no ``Origin``. What a login keeps out does not matter here: this holds with and without one.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from terramosaic_flows.service.settings import HOST

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

#: How this machine calls itself.
_NAMES = (HOST, "localhost", "[::1]")

#: A foreign page cannot show the UI either and have its buttons pressed.
_NO_FRAMES = (b"content-security-policy", b"frame-ancestors 'self'")

_MISDIRECTED = 421
_FORBIDDEN = 403


def create_app() -> Application:
    """What uvicorn serves, in each of its processes: Prefect's own factory, wrapped."""
    # Only the server's own process needs it; it takes seconds, and reads the settings of the process.
    from prefect.server.api.server import create_app as create_prefect_app

    return OwnOrigin(create_prefect_app(final=True))


def server_command(port: int) -> list[str]:
    """``prefect server start`` on loopback, with the wrapped application: Prefect's command takes no other one."""
    return [
        sys.executable, "-m", "uvicorn", "--factory", f"{__name__}:create_app",
        "--host", HOST, "--port", str(port), "--log-level", "warning",
    ]  # fmt: skip


class OwnOrigin:
    """An ASGI application that answers its own pages, and programs, alone.

    Args:
        app: what answers them. It listens on loopback, without TLS.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Hands on or refuses a request or a WebSocket; hands on all else."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif refused := refusal(scope["headers"], scope["server"][1]):
            await (_refuse if scope["type"] == "http" else _refuse_websocket)(send, *refused)
        else:
            await self._app(scope, receive, _without_frames(send))


def refusal(headers: list[tuple[bytes, bytes]], port: int) -> tuple[int, str] | None:
    """Why a request is not answered: status and reason; nothing if it is.

    Args:
        headers: of the request, names in lower case.
        port: where the server listens.
    """
    hosts = [f"{name}:{port}" for name in _NAMES] + (list(_NAMES) if port == 80 else [])
    asked = _values(headers, b"host")
    if len(asked) != 1 or asked[0] not in hosts:
        return _MISDIRECTED, f"this server is {' or '.join(hosts)}; a tunnel must keep the port's number"
    # Of one origin is what has the same name: another user's server may listen on [::1], and call itself localhost.
    if any(origin != f"http://{asked[0]}" for origin in _values(headers, b"origin")):
        return _FORBIDDEN, "this server does not answer pages of other origins"
    return None


def _values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1").lower() for each, value in headers if each == name]


async def _refuse(send: Send, status: int, reason: str) -> None:
    body = f"{reason}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _refuse_websocket(send: Send, status: int, reason: str) -> None:
    # Before it was accepted: the handshake is answered with 403.
    await send({"type": "websocket.close", "code": 1008, "reason": reason})


def _without_frames(send: Send) -> Send:
    async def send_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), _NO_FRAMES]}
        await send(message)

    return send_on
