"""Hashes of large files are computed once for a file and time of change, over processes too."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

import terramosaic.storage.hashes
from terramosaic.storage.hashes import sha256_of


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Files that were really read; all count as large, and the cache is new."""
    read: list[Path] = []
    compute = terramosaic.storage.hashes.computed_sha256
    monkeypatch.setattr(terramosaic.storage.hashes, "_WORTH_KEEPING", 0)
    monkeypatch.setattr(
        terramosaic.storage.hashes, "computed_sha256", lambda path: read.append(path) or compute(path)
    )
    monkeypatch.setenv("TERRAMOSAIC_CACHE", str(tmp_path / "cache"))
    return read


def as_a_new_process() -> None:
    terramosaic.storage.hashes._sha256.cache_clear()


def test_a_file_is_read_once(tmp_path: Path, counted: list[Path]) -> None:
    path = tmp_path / "weights.data"
    path.write_bytes(b"weights")
    wanted = hashlib.sha256(b"weights").hexdigest()
    for _ in range(3):
        assert sha256_of(path) == wanted
        as_a_new_process()
    assert counted == [path]


def test_a_changed_file_is_read_again(tmp_path: Path, counted: list[Path]) -> None:
    path = tmp_path / "weights.data"
    path.write_bytes(b"weights")
    os.utime(path, ns=(10**18, 10**18))
    sha256_of(path)
    path.write_bytes(b"WEIGHTS")  # as many bytes
    os.utime(path, ns=(10**18 + 1, 10**18 + 1))
    as_a_new_process()
    assert sha256_of(path) == hashlib.sha256(b"WEIGHTS").hexdigest()
    assert len(counted) == 2


def test_a_spoilt_note_or_a_cache_in_the_way_costs_time_only(tmp_path: Path, counted: list[Path]) -> None:
    path = tmp_path / "weights.data"
    path.write_bytes(b"weights")
    wanted = sha256_of(path)
    (note,) = (tmp_path / "cache" / "hashes").iterdir()
    note.write_text("{half")
    as_a_new_process()
    assert sha256_of(path) == wanted
    note.unlink()
    note.parent.rmdir()
    (tmp_path / "cache" / "hashes").write_text("a file")
    as_a_new_process()
    assert sha256_of(path) == wanted
    assert len(counted) == 3
