"""The login of a server that `terramosaic up` keeps: made once, and known to its user alone."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path

from terramosaic.errors import OutputError, RequestError
from terramosaic.storage.files import whole_file
from terramosaic_flows.service import Echo

_FILE = "login"
_USER = "terramosaic"

#: Prefect compares as ASCII, and answers anything else with an error of its own.
_FORM = re.compile(r"[!-9;-~]+:[!-~]+")

#: More bytes than any login has.
_LIMIT = 1024


def login_file(home: Path) -> Path:
    """Where the login of the server with this home is kept."""
    return home / _FILE


def keep_login(home: Path, echo: Echo) -> str:
    """The login of the server with this home: the one that is kept, or a new one at the first start.

    The file is never open to others, not even while it is written. One that somebody opened is closed again.

    Args:
        home: the server's folder, which nobody else starts a server in meanwhile.
        echo: gets a line if the file was open to others.

    Returns:
        ``user:password``.

    Raises:
        RequestError: the file is damaged, or another user's.
        OutputError: the file could not be made, read or closed.
    """
    path = login_file(home)
    if not os.path.lexists(path):
        _make(path)
    try:
        content = _read(path, echo)
    except OSError as error:
        raise OutputError(f"login: {path} cannot be read: {error.strerror or error}") from error
    # As `$(cat FILE)` reads it.
    login = content.rstrip("\n")
    if len(content) > _LIMIT or not _FORM.fullmatch(login):
        raise RequestError(
            f"login: {path} is damaged: it is not one line user:password in ASCII without spaces; "
            "write one, or remove the file and a new one is made"
        )
    return login


def _make(path: Path) -> None:
    with whole_file(path) as partial:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(f"{_USER}:{secrets.token_urlsafe(24)}\n")


def _read(path: Path, echo: Echo) -> str:
    # What is checked is what is read, whatever becomes of the name; and a FIFO is not waited for.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
        facts = os.fstat(file.fileno())
        if facts.st_uid != os.geteuid():
            raise RequestError(
                f"login: {path} belongs to another user, who knows it; remove it, or give a --home of your own"
            )
        if not stat.S_ISREG(facts.st_mode):
            raise RequestError(f"login: {path} is no file; remove it and a new one is made")
        mode = stat.S_IMODE(facts.st_mode)
        if mode & 0o077:
            os.fchmod(file.fileno(), 0o600)
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise OutputError(
                    f"login: {path} cannot be closed to others: its file system keeps no modes; "
                    "give a --home on another one"
                )
            echo(
                f"login: {path} was open to others (mode {mode:o}) and is closed now; "
                "remove it for a new login if one of them may have read it"
            )
        return file.read(_LIMIT + 1).decode("ascii", errors="replace")
