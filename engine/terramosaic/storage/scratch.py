"""Files of this machine that live for a while: half-written ones, and copies of objects, which GDAL reads from disk.

Rasters in a store are copied here before they are read. GDAL could read ranges through Python (rasterio's ``opener``),
but two datasets of one store that are open at once bring the interpreter down when one is closed (rasterio 1.4.4).
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import itertools
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

from terramosaic.errors import OutputError
from terramosaic.settings import SCRATCH
from terramosaic.storage import objects as store
from terramosaic.storage.location import Location, ObjectPath, is_remote, location
from terramosaic.storage.locks import KernelLock, this_boot

#: Objects that are copied at the same time.
_COPIES = 8

#: Seconds without a write after which another machine's half-written file is nobody's.
_ABANDONED = 24 * 3600

#: Seconds within which a lock that was made is locked.
_JUST_MADE = 60

#: What the name of a half-written file's lock has at its end.
_LOCK = ".lock"


def scratch_folder() -> Path:
    """Where what is on its way to or from a store lies: ``TERRAMOSAIC_SCRATCH``, else the system's folder for this."""
    own = SCRATCH.text
    folder = Path(own).expanduser() if own else temporary_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{SCRATCH}: {folder} cannot be made: {error.strerror or error}; name another folder"
        ) from error
    return folder


def temporary_folder() -> Path:
    """The system's folder for files that live for a while: ``TMPDIR``, or another one that can be written.

    Raises:
        OutputError: there is none.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise OutputError(
            "TMPDIR: no folder for temporary files can be written; set it to one that can"
        ) from error


@contextmanager
def half_written(folder: Path, name: str) -> Iterator[Path]:
    """Where a file, or a folder, on its way to ``name`` may be written: what is left there in the end is removed.

    If this process dies meanwhile, `sweep_partials` removes it: beside it lies a lock that is held until then.

    Raises:
        OSError: the folder cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{name}.{_boot()}.{uuid.uuid4().hex[:16]}.partial"
    lock = _lock_beside(partial)
    lock.acquire()
    try:
        yield partial
    finally:
        _discard(partial)
        lock.release(remove=True)


def is_being_written(folder: Location) -> bool:
    """Whether a living process of this machine is writing a file in a folder of a disk, or in one below.

    Of other machines, and of a store, whose files are written in their scratch, nothing is known.
    """
    if is_remote(folder):
        return False
    for file in folder.rglob(f".*.partial{_LOCK}"):
        lock = KernelLock(file)
        try:
            # One that was just made may not be locked yet, and is left to whoever made it.
            is_free = time.time() - file.stat().st_mtime > _JUST_MADE and lock.acquire()
        except OSError:  # it has got its name meanwhile, or it is another user's
            continue
        lock.release()
        if not is_free:
            return True
    return False


def sweep_partials(folder: Location, *, deep: bool = True) -> None:
    """Removes what processes left half-written when they died: below a folder, or in scratch.

    Those of this kernel, in whatever container, have let go of their locks. Of other machines' files it is known only
    that one which nobody has written to for a day has no writer any more.

    Args:
        folder: a run folder, or another one. Of one in a store the leftovers lie in scratch.
        deep: whether to look into the folders in it as well.
    """
    place = scratch_folder() if is_remote(folder) else folder
    found = place.rglob(".*.partial*") if deep and not is_remote(folder) else place.glob(".*.partial*")
    for partial in {place.with_name(place.name.removesuffix(_LOCK)) for place in found}:
        # Scratch may be shared with other users of the machine, whose leftovers are theirs to remove; and a file may
        # have got its name since the folder was listed.
        with contextlib.suppress(PermissionError, FileNotFoundError):
            _sweep(partial)


class LocalCopy:
    """A file that GDAL can open: the file itself, or a copy of the object in scratch, until it is closed.

    Raises:
        OutputError: the object is missing, the store failed, or scratch is full.
    """

    def __init__(self, place: Location) -> None:
        self._copies = ExitStack()
        self.path = self._copies.enter_context(_downloaded(place)) if is_remote(place) else place

    def close(self) -> None:
        """Removes the copy."""
        self._copies.close()

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


_LASTING: dict[tuple[str, str], Future[Path]] = {}
_LASTING_LOCK = threading.Lock()


def lasting_copy(url: str, version: str) -> Path:
    """A copy of an object that stays until the process ends, however often, and by how many at once, it is asked for.

    Args:
        url: the object.
        version: tells its content from another that it had before.

    Raises:
        OutputError: the object is missing, the store failed, or scratch is full.
    """
    with _LASTING_LOCK:
        future = _LASTING.get((url, version))
        is_ours = future is None
        if future is None:
            future = _LASTING[url, version] = Future()
    if is_ours:
        try:
            copy = LocalCopy(location(url))
        except BaseException as error:
            with _LASTING_LOCK:
                del _LASTING[url, version]  # the next one tries again
            future.set_exception(error)
        else:
            atexit.register(copy.close)
            future.set_result(copy.path)
    return future.result()


@contextmanager
def _downloaded(place: ObjectPath) -> Iterator[Path]:
    with half_written(scratch_folder(), place.name) as copy:
        try:
            store.download(place, copy)
        except FileNotFoundError as error:
            raise OutputError(f"{place} is missing; run the same request again") from error
        yield copy


def _sweep(partial: Path) -> None:
    lock = _lock_beside(partial)
    # A name such as ``.NDVI.tif.BOOT.RANDOM.partial``; what 0.1 left behind has none of ours there.
    of_this_boot = partial.name.split(".")[-3:-2] == [_boot()]
    if of_this_boot and not lock.acquire():
        return
    # Locks of this kernel tell the living from the dead. Whether another machine's do, the mount decides.
    is_over = (of_this_boot and lock.kernel) or _is_old(partial)
    if is_over:
        _discard(partial)
    lock.release(remove=bool(is_over))


def _is_old(partial: Path) -> bool:
    files = (partial, partial.with_name(partial.name + _LOCK))
    return all(time.time() - file.stat().st_mtime > _ABANDONED for file in files if file.exists())


def _discard(partial: Path) -> None:
    with contextlib.suppress(OSError):
        partial.unlink()
    shutil.rmtree(partial, ignore_errors=True)


def _lock_beside(partial: Path) -> KernelLock:
    return KernelLock(partial.with_name(partial.name + _LOCK))


def _boot() -> str:
    return hashlib.sha256(this_boot().encode()).hexdigest()[:12]
