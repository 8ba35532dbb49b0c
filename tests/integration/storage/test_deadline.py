"""What a server may do to keep its reader waiting: the answer is given up all the same, and in words."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from terramosaic.storage import objects
from terramosaic.storage.documents import read_document
from terramosaic.storage.http import ask, fetch, pause_asked_by, pool_for
from terramosaic.storage.retries import Limit

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
WITHOUT_LENGTH = b"HTTP/1.1 200 OK\r\n\r\n"

#: A connection, and what is over when the test is.
Behaviour = Callable[[socket.socket, threading.Event], None]


def dripping(begin: bytes, drop: bytes) -> Behaviour:
    """Sends a beginning at once, and then a little again and again, for ever."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(begin)
        while not over.wait(0.01):
            connection.sendall(drop)

    return serve


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def busy(until: bytes) -> Behaviour:
    """Asks to come back later."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        head = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n"
        connection.sendall(head % until)

    return serve


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[tuple[str, list[socket.socket]]]:
    """The URL of a server, and its connections."""
    over, connections = threading.Event(), list[socket.socket]()

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            behaviour(connection, over)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connections.append(connection)
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", connections
        over.set()


@pytest.mark.parametrize(
    "behaviour",
    [silent, dripping(b"", b"X"), dripping(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), dripping(HEAD, b" "),
     dripping(WITHOUT_LENGTH, b" "), dripping(b"HTTP/1.1 503 Busy\r\nContent-Length: 99999\r\n\r\n", b" ")],
)  # fmt: skip
def test_an_answer_that_never_ends_is_given_up(behaviour):
    with (
        serving(behaviour) as (url, _),
        pytest.raises(OSError, match=r"no whole answer in 0\.3 s") as given_up,
    ):
        ask(url, 10**6, read=bytes, within=0.3)
    assert "\n" not in str(given_up.value)


def test_so_is_a_document_of_a_store(monkeypatch):
    monkeypatch.setattr("terramosaic.storage.documents.HTTP", Limit(1, within=0.3))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    head = HEAD.replace(b"Content", b'ETag: "x"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\nContent')
    with serving(dripping(head, b" ")) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url.rstrip("/"))
        objects._bucket.cache_clear()
        with pytest.raises(OSError, match=r"no whole answer in 0\.3 s"):
            read_document("s3://bucket/region.geojson", 10**6)
        with pytest.raises(OSError, match=r"larger than 1e-05 MB"):
            read_document("s3://bucket/region.geojson", 10)
    objects._bucket.cache_clear()


def test_so_is_the_second_answer_over_a_connection_that_was_kept():
    count = iter(range(9))

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        next(count)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        dripping(HEAD, b" ")(connection, over)

    with serving(serve) as (url, connections), pool_for(url) as pool:
        assert ask(url, 99, read=bytes, pool=pool).value == b"{}"
        with pytest.raises(OSError, match="no whole answer"):
            ask(url, 10**6, read=bytes, pool=pool, within=0.3)
        assert len(connections) == 1


def test_an_answer_in_time_is_read_whole():
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.recv(65536)
        connection.sendall(WITHOUT_LENGTH)
        for number in range(5):
            connection.sendall(b"%d" % number)

    with serving(serve) as (url, _):
        assert fetch(url, 99) == b"01234"


def test_one_who_is_told_to_come_back_late_says_so_at_once():
    with serving(busy(b"3600")) as (url, connections):
        with pytest.raises(OSError, match="answers 503 Service Unavailable; it asks to come back in 3600 s"):
            fetch(url, 99)
        assert len(connections) == 1


@pytest.mark.parametrize("until", [b"Fri, 31 Dec 99999 23:59:59 GMT", b"9" * 5000, b"soon", b"-5", b""])
def test_who_asks_to_come_back_at_no_time_asks_for_nothing(until):
    with serving(busy(until)) as (url, _):
        assert pause_asked_by(url) == 0
