"""Files that are whole or not there, on disk and in object stores: all that a run reads and writes goes through here.

On disk a file is written under a temporary name and renamed when it is finished. For a store it is written to scratch
and uploaded when it is finished; an object appears with its last byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from terramosaic.errors import ChangedError, OutputError
from terramosaic.settings import SCRATCH
from terramosaic.storage import objects as store
from terramosaic.storage.location import Location, is_remote
from terramosaic.storage.locks import turn_on
from terramosaic.storage.objects import FileFacts
from terramosaic.storage.records import sealed, unsealed
from terramosaic.storage.scratch import half_written, scratch_folder, sweep_partials

__all__ = [
    "FileFacts", "Version", "exists", "facts_of", "link", "list_facts", "point_latest",
    "pointed_at", "read_bytes", "read_json", "read_jsons", "read_text", "read_version", "remove", "remove_folder",
    "sub_folders", "sweep_partials", "whole_file", "write_bytes_if", "write_json", "write_text", "write_text_if",
]  # fmt: skip

logger = logging.getLogger(__name__)

#: Small objects that are read at the same time.
_READS = 16


@dataclass(frozen=True)
class Version:
    """A small file as it was at a moment.

    Attributes:
        content: its bytes.
        version: what `write_text_if` and `write_bytes_if` ask for.
        modified: when it was written, in seconds since 1970, by the clock of the store or of the disk.
    """

    content: bytes
    version: str
    modified: float

    @property
    def text(self) -> str:
        """Its content as a text; what is none in it is replaced by marks."""
        return self.content.decode("utf-8", "replace")


@contextmanager
def whole_file(path: Location) -> Iterator[Path]:
    """A file on disk to write to; it becomes ``path`` when the block ends well, and is removed otherwise.

    Raises:
        OutputError: the file could not be written, or the store did not take it.
    """
    folder = scratch_folder() if is_remote(path) else path.parent
    try:
        with half_written(folder, path.name) as partial:
            yield partial
            if is_remote(path):
                store.upload(partial, path)
            else:
                with partial.open("rb") as written:
                    os.fsync(written.fileno())
                partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        where = f"{SCRATCH} (it is {folder})" if is_remote(path) else "output folder"
        raise OutputError(
            f"{path} could not be written: {reason}; make room or choose another {where}"
        ) from error


def require_new(out: Path) -> None:
    """Refuses a folder that is there, unless it is empty.

    Raises:
        OutputError: something is there.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"out: {out} is there already; choose another folder, or remove it")


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """An empty folder to fill; it becomes ``out`` when the block ends well, and is removed otherwise.

    Raises:
        OutputError: something is there, or the folder could not be written.
    """
    require_new(out)
    try:
        sweep_partials(out.parent, deep=False)
        with half_written(out.parent, out.name) as partial:
            partial.mkdir()
            yield partial
            partial.replace(out)
    except OSError as error:
        raise OutputError(
            f"{out}: cannot be written: {error.strerror or error}; make room, or choose another"
        ) from error


def write_text(path: Location, text: str) -> None:
    """Writes a small file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: Location, content: Mapping[str, Any]) -> None:
    """Writes a record, with its checksum."""
    write_text(path, sealed(content))


def write_text_if(path: Location, text: str, version: str | None) -> str:
    """Writes a small text file if nobody has changed it; see `write_bytes_if`."""
    return write_bytes_if(path, text.encode(), version)


def write_bytes_if(path: Location, content: bytes, version: str | None) -> str:
    """Writes a small file if nobody has changed it; of several that try at once, one succeeds.

    Args:
        path: the file.
        content: what becomes its content.
        version: that of the file as it was read, see `read_version`; None if there was none.

    Returns:
        Its version from now on.

    Raises:
        ChangedError: another one has written or removed it.
        OutputError: it could not be written; of a store that did not answer, it may have been all the same.
    """
    if is_remote(path):
        written = store.write_if(path, content, version)
    else:
        with turn_on(path):
            found = read_version(path)
            written = _version_of(content) if (found.version if found else None) == version else None
            if written:
                with whole_file(path) as partial:
                    partial.write_bytes(content)
    if written:
        return written
    found = read_version(path)
    # An answer that was lost on its way is asked for again, and then what is there is our own.
    if found is None or found.content != content:
        raise ChangedError(f"{path} was changed by another meanwhile; run the same request again")
    return found.version


def read_bytes(path: Location) -> bytes:
    """A file's content.

    Raises:
        FileNotFoundError: there is none.
        OutputError: it cannot be read, or the store does not answer.
    """
    if is_remote(path):
        return store.read(path)
    with _readable(path):
        return path.read_bytes()


def read_text(path: Location) -> str:
    """A text file's content; see `read_bytes`."""
    return read_bytes(path).decode("utf-8")


def read_version(path: Location) -> Version | None:
    """A small file as it is now, or None if there is none."""
    try:
        if is_remote(path):
            content, facts = store.read_version(path)
            return Version(content, facts.version, facts.modified)
        with _readable(path), path.open("rb") as file:
            content, stat = file.read(), os.fstat(file.fileno())
            return Version(content, _version_of(content), stat.st_mtime)
    except FileNotFoundError:
        return None


def read_json(path: Location, *, always_sealed: bool = False) -> dict[str, Any] | None:
    """A record's content, or None if there is none.

    A damaged one is as good as none: what it told is found out again, and a line of the log says so.

    Args:
        path: the record.
        always_sealed: whether one without a checksum is damaged, see `unsealed`.
    """
    try:
        return unsealed(read_bytes(path), always_sealed=always_sealed)
    except FileNotFoundError:
        return None
    except ValueError as error:
        logger.warning("%s is damaged and counts as not there: %s", path, error)
        return None


def read_jsons(paths: Sequence[Location], *, always_sealed: bool = False) -> list[dict[str, Any] | None]:
    """Contents of several records, see `read_json`; from a store, several at a time."""
    read = partial(read_json, always_sealed=always_sealed)
    if not any(is_remote(path) for path in paths):
        return list(map(read, paths))
    with ThreadPoolExecutor(_READS, thread_name_prefix="read") as pool:
        return list(pool.map(read, paths))


def facts_of(path: Location) -> FileFacts | None:
    """Size, time and version of a file as it is now; None if there is none."""
    if is_remote(path):
        return store.facts_of(path)
    try:
        with _readable(path):
            return _local_facts(path.stat())
    except FileNotFoundError:
        return None


def exists(path: Location) -> bool:
    """Whether a file is there now, whoever wrote it."""
    return facts_of(path) is not None


def list_facts(folder: Location) -> dict[str, FileFacts]:
    """All files below a folder, by names relative to it and with ``/`` between their parts; none if it is not there."""
    if is_remote(folder):
        return store.list_facts(folder)
    found = {}
    for parent, _, names in os.walk(folder):
        for name in names:
            path = Path(parent) / name
            # What another process removes at this moment was not there.
            with contextlib.suppress(FileNotFoundError):
                found[path.relative_to(folder).as_posix()] = _local_facts(path.stat())
    return found


def sub_folders(folder: Location) -> list[str]:
    """Names of the folders right below one, in order, but for links; none if it is not there."""
    if is_remote(folder):
        return store.sub_folders(folder)
    try:
        with _readable(folder), os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []


def remove(path: Location) -> None:
    """Removes a file, if it is there."""
    if is_remote(path):
        store.remove(path)
    else:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()


def remove_folder(folder: Location) -> None:
    """Removes a folder with all that is in it, if it is there.

    Raises:
        OutputError: something in it could not be removed.
    """
    if is_remote(folder):
        store.remove_folder(folder)
        return
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OutputError(
            f"{folder} could not be removed: {error.strerror or error}; remove it yourself"
        ) from error


def point_latest(folder: Location) -> None:
    """Points ``latest`` beside a run folder at it: a symbolic link, or in a store a small text that holds its name."""
    latest = folder.parent / "latest"
    if is_remote(latest):
        if pointed_at(latest).name != folder.name:
            write_text(latest, folder.name + "\n")
        return
    # Some file systems know no links; the run is none the worse for it.
    with contextlib.suppress(OSError):
        link(latest, folder.name)


def link(path: Path, target: str) -> None:
    """Makes a symbolic link, in place of whatever file or link is there.

    Args:
        path: the link.
        target: where it points, from the folder that it lies in.

    Raises:
        OSError: the file system knows no links, or does not want this one.
    """
    if path.is_symlink() and str(path.readlink()) == target:
        return
    with half_written(path.parent, path.name) as partial:
        partial.symlink_to(target, target_is_directory=(path.parent / target).is_dir())
        partial.replace(path)


def pointed_at(latest: Location) -> Location:
    """The run folder that ``latest`` stands for; any other folder is itself."""
    if latest.name != "latest" or not is_remote(latest):
        return latest
    try:
        return latest.parent / read_text(latest).strip()
    except FileNotFoundError:
        return latest


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Says in a line why a file that may be there cannot be looked at."""
    try:
        yield
    except FileNotFoundError:
        raise
    except NotADirectoryError as error:
        raise FileNotFoundError(*error.args) from error
    except OSError as error:
        raise OutputError(
            f"{path} could not be read: {error.strerror or error}; choose another output folder"
        ) from error


def _local_facts(stat: os.stat_result) -> FileFacts:
    return FileFacts(stat.st_size, stat.st_mtime, f"{stat.st_mtime_ns}-{stat.st_ino}")


def _version_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
