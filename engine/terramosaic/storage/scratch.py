"""Files of this machine that live for a while: half-written ones, and copies of objects, which GDAL reads from disk.

Rasters in a store are copied here before they are read. GDAL could read ranges through Python (rasterio's ``opener``),
but two datasets of one store that are open at once bring the interpreter down when one is closed (rasterio 1.4.4).
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import socket
import tempfile
import threading
import time
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from terramosaic.errors import OutputError
from terramosaic.storage import objects as store
from terramosaic.storage.location import Location, is_remote, location

if TYPE_CHECKING:
    from upath import UPath

#: Objects that are copied at the same time.
_COPIES = 8

#: Seconds without a write after which another machine's half-written file is nobody's.
_ABANDONED = 24 * 3600

_NUMBERS = itertools.count()


def scratch_folder() -> Path:
    """Where what is on its way to or from a store lies: ``TERRAMOSAIC_SCRATCH``, else the system's folder for this."""
    own = os.environ.get("TERRAMOSAIC_SCRATCH")
    folder = Path(own).expanduser() if own else Path(tempfile.gettempdir())
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def partial_name(name: str) -> str:
    """A name for a file on its way to ``name``; it tells whose it is, so that it can be swept once that one is dead."""
    return f".{name}.{_here()}.{os.getpid()}.{threading.get_ident()}-{next(_NUMBERS)}.partial"


def sweep_partials(folder: Location, *, deep: bool = True) -> None:
    """Removes what processes left half-written when they died: below a folder, or in scratch.

    Those of this machine are asked for. Of other machines' files it is known only that one which nobody has written to
    for a day has no writer any more.

    Args:
        folder: a run folder, or another one. Of one in a store the leftovers lie in scratch.
        deep: whether to look into the folders in it as well.
    """
    if is_remote(folder):
        found = scratch_folder().glob(".*.partial")
    else:
        found = folder.rglob(".*.partial") if deep else folder.glob(".*.partial")
    for partial in found:
        # Scratch may be shared with other users of the machine, whose leftovers are theirs to remove; and a file may
        # have got its name since the folder was listed.
        with contextlib.suppress(PermissionError, FileNotFoundError):
            if _is_abandoned(partial):
                partial.unlink()


def is_alive(pid: str) -> bool:
    """Whether a process of this machine has this number."""
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


class LocalCopy:
    """A file that GDAL can open: the file itself, or a copy of the object in scratch, until it is closed.

    Raises:
        OutputError: the object is missing, the store failed, or scratch is full.
    """

    def __init__(self, place: Location) -> None:
        self._is_copy = is_remote(place)
        self.path = _download(place) if is_remote(place) else place

    def close(self) -> None:
        """Removes the copy."""
        if self._is_copy:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Path:
        return self.path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def local_copies(places: Sequence[Location]) -> list[LocalCopy]:
    """Copies of several files, made several at a time; all of them, or after an error none."""
    if not any(is_remote(place) for place in places):
        return [LocalCopy(place) for place in places]
    with ThreadPoolExecutor(_COPIES, thread_name_prefix="fetch") as pool:
        futures = [pool.submit(LocalCopy, place) for place in places]
    if any(future.exception() for future in futures):
        for future in futures:
            if not future.exception():
                future.result().close()
    return [future.result() for future in futures]


def each_locally(places: Iterable[Location]) -> Generator[Path, None, None]:
    """Files one after the other where GDAL can open them, each until the next is asked for."""
    waiting = iter(places)
    while batch := list(itertools.islice(waiting, _COPIES)):
        copies = local_copies(batch)
        try:
            for copy in copies:
                yield copy.path
                copy.close()
        finally:
            for copy in copies:
                copy.close()


@lru_cache(maxsize=64)
def lasting_copy(url: str, version: str) -> Path:
    """A copy of an object that stays until the process ends, however often it is asked for.

    Args:
        url: the object.
        version: tells its content from another that it had before.

    Raises:
        OutputError: the object is missing, the store failed, or scratch is full.
    """
    copy = LocalCopy(location(url))
    atexit.register(copy.close)
    return copy.path


def _download(place: UPath) -> Path:
    partial = scratch_folder() / partial_name(place.name)
    try:
        store.download(place, partial)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, FileNotFoundError):
            raise OutputError(f"{place} is missing; run the same request again") from error
        raise
    return partial


def _is_abandoned(partial: Path) -> bool:
    # What `partial_name` put behind the file's own name, which may have dots of its own.
    host, pid = partial.name.split(".")[-4:-2] if partial.name.count(".") >= 4 else ("", "")
    if host == _here():
        return not is_alive(pid)
    return bool(host) and time.time() - partial.stat().st_mtime > _ABANDONED


def _here() -> str:
    return socket.gethostname().replace(".", "-")
