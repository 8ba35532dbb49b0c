"""Whom the server of `up` answers."""

from __future__ import annotations

import asyncio

import pytest

from terramosaic_flows.service.own_origin import OwnOrigin, refusal

PORT = 4200


def headers(*pairs: tuple[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in pairs]


@pytest.mark.parametrize(
    ("host", "origin", "port"),
    [
        ("127.0.0.1:4200", None, PORT),
        ("localhost:4200", None, PORT),
        ("LocalHost:4200", "http://localhost:4200", PORT),
        ("[::1]:4200", "http://[::1]:4200", PORT),
        ("127.0.0.1:4200", "http://127.0.0.1:4200", PORT),
        ("127.0.0.1", "http://127.0.0.1", 80),
        ("localhost:80", None, 80),
    ],
)
def test_programs_and_its_own_pages_are_answered(host, origin, port):
    origins = [("origin", origin)] if origin else []
    assert refusal(headers(("host", host), *origins), port) is None


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        [""],
        ["127.0.0.1"],
        ["127.0.0.1:4201"],
        ["127.0.0.2:4200"],
        ["evil.example:4200"],
        ["localhost.evil.example:4200"],
        ["127.0.0.1:4200.evil.example"],
        ["user@127.0.0.1:4200"],
        ["localhost.:4200"],
        ["127.0.0.1:4200", "evil.example"],
    ],
)
def test_another_name_is_refused(hosts):
    status, reason = refusal(headers(*(("host", host) for host in hosts)), PORT)
    assert status == 421 and "127.0.0.1:4200" in reason


@pytest.mark.parametrize(
    "origins",
    [
        [""],
        ["null"],
        ["http://evil.example"],
        ["http://127.0.0.1:4201"],
        ["http://127.0.0.1"],
        ["https://127.0.0.1:4200"],
        # The same machine by another name is another origin, and may be another server.
        ["http://localhost:4200"],
        ["http://127.0.0.1:4200", "http://evil.example"],
    ],
)
def test_a_page_of_another_origin_is_refused(origins):
    given = headers(("host", "127.0.0.1:4200"), *(("origin", origin) for origin in origins))
    status, _ = refusal(given, PORT)
    assert status == 403


def answers(kind: str, *pairs: tuple[str, str]) -> tuple[bool, list[dict]]:
    """Whether the application behind was asked, and what was sent."""
    asked, sent = [], []

    async def behind(scope, receive, send):
        asked.append(scope["type"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]})

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("not read")

    scope = {"type": kind, "headers": headers(*pairs), "server": ("127.0.0.1", PORT)}
    asyncio.run(OwnOrigin(behind)(scope, receive, send))
    return bool(asked), sent


def test_what_is_refused_reaches_nothing_behind():
    asked, (start, body) = answers("http", ("host", "evil.example"))
    assert not asked and start["status"] == 421 and body["body"]
    asked, (close,) = answers("websocket", ("host", "127.0.0.1:4200"), ("origin", "http://evil.example"))
    assert not asked and close["type"] == "websocket.close"


def test_what_is_answered_may_not_be_framed_by_others():
    asked, (start,) = answers("http", ("host", "127.0.0.1:4200"))
    assert asked
    assert start["headers"] == [(b"a", b"b"), (b"content-security-policy", b"frame-ancestors 'self'")]


def test_the_servers_own_start_and_end_pass():
    assert answers("lifespan")[0]
