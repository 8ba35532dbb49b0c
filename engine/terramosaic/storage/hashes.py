"""SHA-256 of files, computed once for a file and time of change: gigabytes of weights take seconds."""

from __future__ import annotations

import contextlib
import hashlib
from functools import lru_cache
from pathlib import Path

from terramosaic.errors import OutputError
from terramosaic.storage.cache import cache_folder
from terramosaic.storage.files import read_json, write_json

#: Files above this size are remembered in the user's cache folder too; smaller ones are hashed faster than looked up.
_WORTH_KEEPING = 16 * 2**20

#: Multihash prefix: SHA-256, 32 bytes.
_SHA256 = "1220"


def sha256_of(path: Path) -> str:
    """Hash of a file's content as 64 hexadecimal digits.

    Raises:
        OSError: the file cannot be read.
    """
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=256)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    if size < _WORTH_KEEPING:
        return computed_sha256(path)
    file_is = {"path": str(path), "size": size, "mtime_ns": mtime_ns}
    note = cache_folder("hashes") / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.json"
    with contextlib.suppress(OutputError):
        known = read_json(note) or {}
        if "sha256" in known and {**known, "sha256": None} == {**file_is, "sha256": None}:
            return str(known["sha256"])
    found = computed_sha256(path)
    with contextlib.suppress(OutputError):  # a cache that cannot be written costs time, nothing else
        write_json(note, {**file_is, "sha256": found})
    return found


def multihash_of(path: Path) -> str:
    """SHA-256 of a file as a multihash in hexadecimal, as STAC's file extension wants it; the file is streamed."""
    return as_multihash(computed_sha256(path))


def multihash_of_bytes(content: bytes) -> str:
    """The same of a content."""
    return as_multihash(hashlib.sha256(content).hexdigest())


def as_multihash(sha256: str) -> str:
    """A SHA-256 of 64 hexadecimal digits as a multihash."""
    return _SHA256 + sha256


def computed_sha256(path: Path) -> str:
    """The same, computed now and not remembered: of a file that gets another name, or may have been damaged."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
