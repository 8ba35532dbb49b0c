"""A server on loopback that has faults, at a rate and from a seed: files with byte ranges, and a STAC API over them."""

from __future__ import annotations

import json
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

#: What an answer may be instead of a good one. Numbers are of HTTP.
KINDS = ("429", "500", "503", "404", "reset", "closed", "cut", "short", "long", "drip", "hang", "zeros")

_STEP = 0.1


class BadServer(ThreadingHTTPServer):
    """Serves a folder, and the items of its collection.

    Attributes:
        kind: of the faults, one of `KINDS`; empty for none.
        rate: their share of the requests.
        at_api: whether searches have them; else files.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.folder, self.kind, self.rate, self.at_api = folder, "", 0.0, False
        self.over = threading.Event()
        self._lots, self._guard = random.Random(0), threading.Lock()
        self._lost, self._lost_after, self._lost_until = "", 0, 0.0
        self._outage = 0.0

    @property
    def url(self) -> str:
        """The landing page."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def fail(self, kind: str, rate: float, seed: int, *, at_api: bool = False) -> None:
        """Has faults from now on."""
        self.kind, self.rate, self.at_api = kind, rate, at_api
        self._lots = random.Random(seed)

    def lose(self, kind: str, after: int, seconds: float) -> None:
        """Has this fault at all requests for so many seconds, from one of those to come on; of "", never."""
        with self._guard:
            self._lost, self._lost_after, self._outage, self._lost_until = kind, after, seconds, 0.0

    @property
    def silence(self) -> float | None:
        """Seconds that a request hangs: to the end of the outage, or of the server."""
        return max(0.0, self._lost_until - time.monotonic()) if self._lost else None

    def draw(self, is_search: bool) -> str:
        """The fault of the next request, or nothing."""
        with self._guard:
            self._lost_after -= 1
            if self._lost and self._lost_after <= 0:
                self._lost_until = self._lost_until or time.monotonic() + self._outage
                if time.monotonic() < self._lost_until:
                    return self._lost
            hits = self.kind and is_search == self.at_api and self._lots.random() < self.rate
        return self.kind if hits else ""

    def items(self) -> list[dict[str, Any]]:
        """The items, whose files are here."""
        found = []
        for path in sorted(self.folder.glob("sentinel-2-l2a/*/*.json")):
            item = json.loads(path.read_text())
            item["links"] = []
            for name, asset in item["assets"].items():
                asset["href"] = f"{self.url}/sentinel-2-l2a/{path.parent.name}/{name}.tif"
            found.append(item)
        return found

    def handle_error(self, *_: Any) -> None:
        """A client that has gone is no news."""


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BadServer

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_file = self.path.startswith("/sentinel-2-l2a/")
        fault = self.server.draw(self.path.startswith("/search"))
        with suppress(OSError):
            body, head = self._file() if is_file else (json.dumps(self._document()).encode(), {})
            self._answer(fault, body, head)

    do_HEAD = do_POST = do_GET  # noqa: N815

    def _document(self) -> dict[str, Any]:
        if self.path.startswith("/search"):
            return {"type": "FeatureCollection", "features": self.server.items(), "links": []}
        link = {
            "rel": "search",
            "href": f"{self.server.url}/search",
            "method": "POST",
            "type": "application/geo+json",
        }
        classes = ["https://api.stacspec.org/v1.0.0/core", "https://api.stacspec.org/v1.0.0/item-search"]
        return {"id": "t", "type": "Catalog", "conformsTo": classes, "links": [link]}

    def _file(self) -> tuple[bytes, dict[str, str]]:
        content = (self.server.folder / self.path.lstrip("/")).read_bytes()
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not asked:
            return content, {"Accept-Ranges": "bytes"}
        first, last = int(asked[1]), min(len(content) - 1, int(asked[2] or len(content)))
        return content[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(content)}"}

    def _answer(self, fault: str, body: bytes, head: dict[str, str]) -> None:
        if fault.isdigit():
            self._send(int(fault), b"no", {"Retry-After": "1"} if fault in ("429", "503") else {})
        elif fault in ("reset", "closed"):
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        elif fault == "hang":
            self.server.over.wait(self.server.silence)
            self.close_connection = True
        elif self.command == "HEAD" or not fault:
            self._send(206 if "Content-Range" in head else 200, body, head)
        elif fault == "drip":
            self._send(206 if "Content-Range" in head else 200, b"", head, len(body))
            for place in range(len(body)):
                if self.server.over.wait(_STEP):
                    break
                self.wfile.write(body[place : place + 1])
        else:
            told = {"cut": len(body), "long": len(body) + 1000}.get(fault)
            sent = {"cut": body[: len(body) // 2], "short": body[: len(body) // 2], "zeros": bytes(len(body))}
            self._send(206 if "Content-Range" in head else 200, sent.get(fault, body), head, told)
            self.close_connection = fault in ("cut", "long")

    def _send(self, status: int, body: bytes, head: dict[str, str], told: int | None = None) -> None:
        self.send_response(status)
        for name, value in head.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if told is None else told))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving_badly(folder: Path) -> Iterator[BadServer]:
    """Serves until the context ends."""
    with BadServer(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()
