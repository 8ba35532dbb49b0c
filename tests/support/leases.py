"""Places for leases: a disk, one whose locks cannot be had, a store in memory; and another machine."""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def _refuse_locks(*_: Any) -> None:
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))


@contextmanager
def without_locks() -> Iterator[None]:
    """As on a mount that knows none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fcntl.flock", _refuse_locks)
        yield


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
        patch.setattr("terramosaic.storage.locks.this_boot", lambda: "another")
        yield


@contextmanager
def each_on_its_own_machine() -> Iterator[None]:
    """Whoever takes a lease in a store has scratch of its own, and with it locks that nobody else sees."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as work:
        patch.setattr("terramosaic.storage.lease.scratch_folder", lambda: Path(work) / uuid.uuid4().hex)
        yield


def age(folder: str, seconds: float) -> None:
    """Time passes for the note of a lease on a disk: by the disk's clock it was written so much earlier."""
    note = Path(folder) / "lease.json"
    before = note.stat().st_mtime - seconds
    os.utime(note, (before, before))
