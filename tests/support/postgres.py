"""A PostgreSQL of a test's own: its cluster in a temporary folder, on a free port of loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: PostgreSQL refuses to run as root; Debian's package brings this user.
_USER = "postgres"


def has_postgres() -> bool:
    """Whether a server can be run here (Debian: apt-get install postgresql)."""
    return _programs() is not None and (os.geteuid() != 0 or shutil.which("runuser") is not None)


def _programs() -> Path | None:
    """Where initdb and pg_ctl are: Debian keeps them off the path, one folder for each version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    found = [path for path in folders if (path / "initdb").exists()]
    if found:
        return found[-1]
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


@contextmanager
def postgres_server() -> Iterator[str]:
    """Runs a server with an empty database and gives its URL, as Prefect wants it."""
    programs = _programs()
    assert programs is not None
    is_root = os.geteuid() == 0
    as_user = ["runuser", "-u", _USER, "--"] if is_root else []
    # Short: the path of its socket may have 107 characters.
    folder = Path(tempfile.mkdtemp(prefix="tm-pg-"))
    if is_root:
        shutil.chown(folder, _USER)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    def call(program: str, *arguments: str) -> None:
        command = [*as_user, str(programs / program), *arguments]
        with (folder.parent / f"{folder.name}.log").open("a") as log:
            subprocess.run(command, cwd="/", check=True, stdout=log, stderr=log)

    data = str(folder / "data")
    call("initdb", "--pgdata", data, "--username", "test", "--auth", "trust", "--no-sync")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    call("pg_ctl", "--pgdata", data, "--wait", "--log", str(folder / "server.log"), "-o", options, "start")
    try:
        yield f"postgresql+asyncpg://test@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "--pgdata", data, "--wait", "--mode", "immediate", "stop")
        shutil.rmtree(folder)
        (folder.parent / f"{folder.name}.log").unlink()
