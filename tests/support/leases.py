"""Places for leases: a disk, one whose locks cannot be had, a store in memory; and another machine."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def _refuse_locks(*_: Any) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


def lease_place(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder for a lease that nobody else uses: on a "disk", a "disk without locks", or in "memory"."""
    if kind == "disk without locks":
        monkeypatch.setattr("fcntl.flock", _refuse_locks)
    return f"memory://locks/{uuid.uuid4().hex}" if kind == "memory" else str(tmp_path / "lock")


@contextmanager
def on_another_machine() -> Iterator[None]:
    """As one whose locks this machine's do not reach."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fcntl.flock", lambda *_: None)
        patch.setattr("terramosaic.storage.lease_disk.this_boot", lambda: "another")
        patch.setattr("terramosaic.storage.lease_notes.this_machine", lambda: "another")
        yield
