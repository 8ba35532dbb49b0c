"""Files that are whole or not there: written under a temporary name, renamed when finished."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import OutputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; renamed to ``path`` when the block ends well, removed otherwise.

    Raises:
        OutputError: the file could not be written.
    """
    partial = path.with_name(_partial_name(path.name))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{path} could not be written: {reason}; make room or choose another output folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any | None:
    """A JSON file's content, or None if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def sweep_partials(folder: Path) -> None:
    """Removes, below a folder, what processes of this machine left half-written when they died."""
    for partial in folder.rglob(".*.partial"):
        # What `_partial_name` put behind the file's own name, which may have dots of its own.
        host, pid = partial.name.split(".")[-4:-2] if partial.name.count(".") >= 4 else ("", "")
        if host == _here() and not is_alive(pid):
            partial.unlink(missing_ok=True)


def replace_link(link: Path, target: str) -> None:
    """Points a symbolic link at a folder beside it, in one step.

    Raises:
        OSError: the file system knows no links.
    """
    partial = link.with_name(_partial_name(link.name))
    try:
        partial.symlink_to(target, target_is_directory=True)
        partial.replace(link)
    finally:
        partial.unlink(missing_ok=True)


def _partial_name(name: str) -> str:
    return f".{name}.{_here()}.{os.getpid()}.{threading.get_ident()}.partial"


def _here() -> str:
    return socket.gethostname().replace(".", "-")


def is_alive(pid: str) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
