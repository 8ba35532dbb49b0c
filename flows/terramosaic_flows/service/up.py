"""A server and a worker, from nothing to ready, and back."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from terramosaic.errors import OutputError, RequestError, TerramosaicError
from terramosaic_flows.service import Echo
from terramosaic_flows.service.login import keep_login, login_file
from terramosaic_flows.service.own_origin import server_command
from terramosaic_flows.service.processes import ManagedProcess, worker_command
from terramosaic_flows.service.settings import HOST, POOL, api_url, deployments_folder, service_environment

#: Prefect's usual port, where it is free.
_USUAL_PORT = 4200

#: Seconds until a server must answer; 5 to 30 were seen.
_SERVER_PATIENCE = 180.0
_STOP_PATIENCE = 15.0

#: What is given up without the login.
_OPEN = (
    "--no-login: every user and program of this machine can start runs, and so commands, as you; "
    "pages of other origins are refused all the same"
)


def up(
    home: Path,
    *,
    port: int | None = None,
    runs: int = 2,
    check: bool = False,
    with_login: bool = True,
    echo: Echo = print,
) -> None:
    """Starts server and worker, sets everything up, and stays until it is stopped or something fails.

    Args:
        home: folder for the database, logs and default outputs.
        port: of the server; by default 4200, or another one if that is taken.
        runs: flow runs at the same time.
        check: prove the set-up with a demo run and a scheduled run, and return.
        with_login: let nobody in without the login that is kept in ``home``.
        echo: gets a line for what happens.

    Raises:
        TerramosaicError: in one line, what failed.
    """
    home = home.expanduser().resolve()
    with _stoppable() as stop, ExitStack() as stack:
        folder = deployments_folder()
        stack.enter_context(_alone_in(home))
        port = _free_port(port)
        login = keep_login(home, echo) if with_login else None
        if login is None:
            echo(_OPEN)
        environment = service_environment(home, port, login)
        os.environ.clear()
        os.environ.update(environment)
        echo(f"starting the server; database and logs are in {home}")
        server = ManagedProcess(
            "server",
            server_command(port),
            environment,
            home / "server.log",
        )
        stack.callback(server.stop, _STOP_PATIENCE)
        # While the server starts. Prefect's settings are read once, when it is imported: by now they are set.
        from terramosaic_flows.service import setup

        _wait_until_ready(server, port, stop)
        echo("setting up pool, deployments and automations")
        asyncio.run(setup.prepare(runs))
        _requeue(echo, "left from before, and going on")
        worker = ManagedProcess(
            "worker",
            worker_command(
                "--pool", POOL, "--type", "process", "--limit", str(runs),
                "--name", f"up-{socket.gethostname()}", "--install-policy", "never",
            ),
            environment,
            home / "worker.log",
        )  # fmt: skip
        # In this order when it ends: the worker stops, its runs are put back in the queue, the server stops.
        stack.callback(_requeue, echo, "waiting for the next `terramosaic up`")
        stack.callback(worker.stop, _STOP_PATIENCE)
        # While the worker starts, which takes as long.
        setup.deploy(folder, environment)
        if stop.is_set():
            raise KeyboardInterrupt
        if with_login:
            echo(f"to log in, enter the line in {login_file(home)} (user:password)")
        echo(f"the UI is at http://{HOST}:{port}")
        if check:
            from terramosaic_flows.service.proof import Proof

            watch = partial(_raise_if_ended, [server, worker])
            asyncio.run(Proof(home / "check", watch, stop, echo).show())
            echo("all is well: a triggered and a scheduled run came and finished")
        else:
            echo(f"for Prefect's own commands: export {_client_settings(home, port, with_login)}")
            echo("Ctrl-C stops server and worker; runs go on at the next start")
            _watch([server, worker], stop)
        echo("stopping")


def _client_settings(home: Path, port: int, with_login: bool) -> str:
    """As a shell sets them. The login itself is not shown: what a terminal shows is kept and passed on."""
    address = f"PREFECT_API_URL={api_url(port)}"
    if not with_login:
        return address
    return f'{address} PREFECT_API_AUTH_STRING="$(cat {shlex.quote(str(login_file(home)))})"'


def _requeue(echo: Echo, what: str) -> None:
    # Prefect reads its settings when it is imported; by now they are set.
    from prefect.client.orchestration import get_client

    from terramosaic_flows.service.resume import leave_resumable

    async def work() -> None:
        async with get_client() as client:
            for run in await leave_resumable(client):
                echo(f"run {run.name}: {what}")

    asyncio.run(work())


def _wait_until_ready(server: ManagedProcess, port: int, stop: threading.Event) -> None:
    deadline = time.monotonic() + _SERVER_PATIENCE
    while not _is_ready(port):
        _raise_if_ended([server])
        if time.monotonic() > deadline:
            raise TerramosaicError(
                f"the server did not answer within {_SERVER_PATIENCE:.0f} s; see {server.log}"
            )
        if stop.wait(0.3):
            raise KeyboardInterrupt


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"{api_url(port)}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _watch(processes: list[ManagedProcess], stop: threading.Event) -> None:
    while not stop.wait(0.5):
        _raise_if_ended(processes)


def _raise_if_ended(processes: list[ManagedProcess]) -> None:
    """Says which process ended, and why.

    Raises:
        TerramosaicError: one did.
    """
    for process in processes:
        if not process.is_alive:
            raise TerramosaicError(
                f"the {process.name} ended by itself: {process.last_line()}; see {process.log}"
            )


def _free_port(wanted: int | None) -> int:
    for port in (wanted,) if wanted is not None else (_USUAL_PORT, 0):
        with socket.socket() as probe:
            # As the server will: a port that a stopped one has just left is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RequestError(f"port: {wanted} is taken on {HOST}; leave it out and a free one is found")


@contextmanager
def _alone_in(home: Path) -> Iterator[None]:
    """One `up` per home: two workers would each take the other's runs for abandoned."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = FileLock(home / "up.lock")
        lock.acquire(timeout=0)
    except Timeout:
        raise RequestError(
            f"home: {home} is in use by another `terramosaic up`; stop that, or give another --home"
        ) from None
    except OSError as error:
        raise OutputError(f"home: {home} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event, also a second time: what is being stopped is stopped in order."""
    stop = threading.Event()

    def set_stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    names = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    before = {name: signal.signal(name, set_stop) for name in names}
    try:
        yield stop
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
