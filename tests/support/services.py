"""`terramosaic up` as a process: started, asked, stopped; and what else lives with its Prefect home."""

from __future__ import annotations

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

UP = [str(Path(sys.executable).with_name("terramosaic")), "up"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """This process's, without what the tests' own Prefect is told."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | more


def pids_of(home: Path) -> dict[int, str]:
    """Command lines of the processes that live with this Prefect home, by process id."""
    mine = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"PREFECT_HOME={home}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                mine[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return mine


def processes_of(home: Path) -> list[str]:
    """Command lines of the processes that live with this Prefect home."""
    return list(pids_of(home).values())


def wait_for(what: str, seen: Callable[[], Any], patience: float = 300) -> Any:
    deadline = time.monotonic() + patience
    while not (found := seen()):
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.2)
    return found


def login_of(home: Path) -> str | None:
    """What `up` keeps in a home."""
    file = home / "login"
    return file.read_text().strip() if file.exists() else None


def call(port: int, path: str, body: Any = None, login: str | None = None, method: str | None = None) -> Any:
    """Asks the API of a server on loopback; with a body, posts it, unless another method is named."""
    headers = {"Content-Type": "application/json"}
    if login is not None:
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers=headers,
        method=method,
    )
    for wait in (1, 2, 4, 8, None):
        try:
            # Longer than a server waits for SQLite's lock before it says 503.
            with urllib.request.urlopen(request, timeout=180) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            # SQLite's lock was held for too long: Prefect's own client tries again, too.
            if error.code != 503 or wait is None:
                raise
        time.sleep(wait)


class Service:
    """A running `terramosaic up`."""

    def __init__(
        self, home: Path, *arguments: str, runner: str = "threads:1", port: int | None = None
    ) -> None:
        self.home, self.port = home, port or free_port()
        self.process = subprocess.Popen(
            [*UP, "--home", str(home), "--port", str(self.port), *arguments],
            env=environment(TERRAMOSAIC_RUNNER=runner),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            # The last line before it waits: what is read ahead of here is lost to `stop`.
            if "Ctrl-C stops" in line:
                self.login = None if "--no-login" in arguments else login_of(home)
                return
        raise AssertionError("".join(self.said))

    def call(self, path: str, body: Any = None, method: str | None = None) -> Any:
        return call(self.port, path, body, self.login, method)

    def trigger(self, request: dict[str, Any]) -> str:
        deployment = self.call("/deployments/name/map-region/map-region")["id"]
        return str(
            self.call(f"/deployments/{deployment}/create_flow_run", {"parameters": {"request": request}})[
                "id"
            ]
        )

    def ended(self, run: str) -> dict[str, Any] | None:
        found = self.call(f"/flow_runs/{run}")
        return found if found["state_type"] in ("COMPLETED", "FAILED", "CRASHED") else None

    def stop(self, number: int) -> str:
        """Stops it; what it says from then on."""
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=180)
        assert self.process.returncode == 0, rest
        return str(rest)


class Home:
    """A home for `terramosaic up`, which is started as it is asked for; what runs that way already is used again."""

    def __init__(self, home: Path, runner: str) -> None:
        self._home, self._runner = home, runner
        self._stack = ExitStack()
        self._running: tuple[Service, tuple[str, ...]] | None = None

    def __call__(self, *arguments: str) -> Service:
        if (
            self._running is None
            or self._running[0].process.poll() is not None
            or self._running[1] != arguments
        ):
            self.close()
            started = self._stack.enter_context(service(self._home, *arguments, runner=self._runner))
            self._running = started, arguments
        return self._running[0]

    def close(self) -> None:
        self._stack.close()


@contextmanager
def service(home: Path, *arguments: str, runner: str = "threads:1") -> Iterator[Service]:
    running = Service(home, *arguments, runner=runner)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(180)
