"""A lock with a name on it that ends by itself: one holder at a time, on a disk and in an object store.

A *note*, ``lease.json``, says who holds it. To take the lease, to renew it and to give it back is to replace the note
by a conditional write, which succeeds only if nobody else has replaced it since it was read.

    12:00  a writes {"owner": "a", "ttl": 120}, if there is no note
    12:01  a renews it, if the note is a's of 12:00
    12:04  b finds a's note three minutes old, and replaces it if it is still that of 12:01
    12:05  a, should it wake up, can renew nothing: the note is b's

The note's age is by the clock of the store or of the disk, which has stamped it, and which stamps a question before an
old note is replaced: clocks of machines play no part. What a holder writes otherwise is fenced in the same way: it
reads a file while it holds the lease, and replaces it with `terramosaic.storage.files.write_text_if`. One who was taken
over finds it changed, or has changed it before its heir reads it.

Beside it a *kernel lock* is held (`terramosaic.storage.locks`), in the folder or, for a store, in scratch. Whoever has
it knows that no other process of this kernel holds the lease, whatever the note says: a holder that was killed is
followed at once. Of other machines it says nothing, for a shared disk may keep the lock to each.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from terramosaic.errors import ChangedError, LeaseHeldError, LeaseLostError, OutputError, one_line
from terramosaic.storage.files import Version, facts_of, read_version, remove, write_text, write_text_if
from terramosaic.storage.location import Location, is_remote, location
from terramosaic.storage.locks import KernelLock, warn_of_reach
from terramosaic.storage.scratch import scratch_folder

logger = logging.getLogger(__name__)

#: How often a holder renews its lease within the time to live, and how often it tries once that has failed.
_RENEWALS, _TRIES = 3, 12

#: How often another one may be faster before that is an answer.
_ATTEMPTS = 10


class Note(BaseModel):
    """Who holds a lease.

    Attributes:
        owner: who holds it, in words for a person.
        host: its machine's name.
        kernel: where its kernel lock means something, see `KernelLock`; empty if it has none.
        token: told by nobody else, so that a holder knows its own note again.
        since: when it took the lease, in seconds since 1970, by its own clock.
        ttl: seconds after which the lease ends unless the note is written again.
        renewals: how often it was.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    owner: str
    host: str
    pid: int
    kernel: str
    token: str
    since: float = Field(ge=0, lt=1e11)
    ttl: FiniteFloat
    renewals: int = 0
    released: bool = False

    def __str__(self) -> str:
        since = f"{datetime.fromtimestamp(self.since, UTC):%Y-%m-%d %H:%M:%S}"
        return f"{self.owner} (process {self.pid} on {self.host}) since {since} UTC"


class Lease:
    """A lease that is held, and renewed by a thread, until it is released or lost.

    Attributes:
        note: the note that counts.
        lost: set when it is known that the lease is held no more; its holder must stop then.
    """

    def __init__(self, place: Location, note: Note, version: str) -> None:
        self.note, self.lost = note, threading.Event()
        self._place, self._version = place, version
        self._ended = threading.Event()
        self._turn = threading.Lock()

    def check(self) -> None:
        """Renews the lease before a step that only a holder may take: nobody has held it meanwhile, nor will for `ttl`.

        Raises:
            LeaseLostError: another one has taken it over, or it was released.
            OutputError: the place does not answer; the lease is held until it expires all the same.
        """
        with self._turn:
            if self._ended.is_set():
                raise LeaseLostError(f"the lease of {self.note.owner} on {self._place.parent} was released")
            self._write(self.note.model_copy(update={"renewals": self.note.renewals + 1}))

    def release(self) -> None:
        """Gives it back, unless it is lost; what the place has against it is logged, and then it expires."""
        self._ended.set()
        with self._turn:
            try:
                self._write(self.note.model_copy(update={"released": True}))
            except LeaseLostError:
                pass
            except OutputError as error:
                logger.warning(
                    "the lease on %s could not be released and will expire: %s", self._place.parent, error
                )

    def keep(self) -> None:
        """Renews again and again until it is released or lost; for a thread."""
        pause = self.note.ttl / _RENEWALS
        while not self._ended.wait(pause):
            try:
                self.check()
                pause = self.note.ttl / _RENEWALS
            except LeaseLostError as error:
                if not self._ended.is_set():
                    logger.warning("%s", error)
                return
            except OutputError as error:
                logger.warning(
                    "the lease on %s could not be renewed, trying again: %s", self._place.parent, error
                )
                pause = self.note.ttl / _TRIES

    def _write(self, note: Note) -> None:
        while True:
            try:
                self._version = write_text_if(self._place, note.model_dump_json(), self._version)
            except ChangedError:
                found = read_version(self._place)
                # An earlier try of ours, whose answer never came, may have got there after all.
                theirs = _note_in(self._place, found) if found else None
                if self.lost.is_set() or found is None or theirs is None or theirs.token != note.token:
                    self.lost.set()
                    raise LeaseLostError(
                        f"the lease of {note.owner} on {self._place.parent} was taken over; run the same request again"
                    ) from None
                self._version = found.version
            else:
                self.note = note
                return


@contextmanager
def lease(folder: str | Location, *, owner: str, ttl: float = 120, renews: bool = True) -> Iterator[Lease]:
    """Holds a lease while the block runs.

    Args:
        folder: what the lease is on: a folder or URL of its own, which is made.
        owner: who wants it, in words that tell another one whom to ask.
        ttl: seconds after which the lease of a holder that stopped without a word is free. One whose process is dead,
            on the machine that asks, is free at once; one whose process is there is never free to others of it.
        renews: whether a thread renews it; a test may do that by hand.

    Raises:
        LeaseHeldError: another one holds it; nobody waits.
        OutputError: the place cannot be used. A store must honour conditional writes (``If-None-Match`` and
            ``If-Match``), as S3, GCS, Azure, R2 and MinIO do.
    """
    place = location(folder) / "lease.json"
    with _kernel_lock(place) as kernel:
        held = _acquire(place, kernel, owner, ttl)
        if renews:
            # A daemon: a process that ends in any other way must not wait for it.
            threading.Thread(target=held.keep, name="lease", daemon=True).start()
        try:
            yield held
        finally:
            held.release()


def holder(folder: str | Location) -> Note | None:
    """Who holds a lease, as far as can be told without taking it; None where nobody does.

    Of a holder on another machine this machine's clock decides, so about its end the answer may be wrong. Whoever must
    be sure takes the lease.

    Raises:
        OutputError: the place cannot be read.
    """
    place = location(folder) / "lease.json"
    found = read_version(place)
    note = _note_in(place, found) if found else None
    if found is None or note is None or note.released:
        return None
    lock = _lock_of(place)
    try:
        is_free = lock.acquire()
    except OSError:  # a disk that may only be read
        is_free = True
    kernel = lock.kernel
    lock.release(remove=is_remote(place) and is_free)
    if not is_free:
        return note
    if kernel and kernel == note.kernel:
        return None  # it would have the lock, if it lived
    return note if time.time() < found.modified + note.ttl else None


@contextmanager
def _kernel_lock(place: Location) -> Iterator[str]:
    """Holds the kernel lock, if it can be had, and says where it means something."""
    lock = _lock_of(place)
    try:
        is_free = lock.acquire()
    except OSError as error:
        raise OutputError(
            f"{place} could not be written: {error.strerror or error}; choose another folder"
        ) from error
    if not is_free:
        raise LeaseHeldError(_locked_by(place))
    try:
        if not is_remote(place):
            warn_of_reach(place.parent, lock)
        yield lock.kernel
    finally:
        lock.release(remove=is_remote(place))


def _lock_of(place: Location) -> KernelLock:
    if is_remote(place):
        name = hashlib.sha256(str(place).encode()).hexdigest()[:16]
        return KernelLock(scratch_folder() / f".{name}.lease.lock")
    return KernelLock(place.with_name("lock"))


def _acquire(place: Location, kernel: str, owner: str, ttl: float) -> Lease:
    note = Note(
        owner=owner,
        host=socket.gethostname(),
        pid=os.getpid(),
        kernel=kernel,
        token=uuid.uuid4().hex,
        since=time.time(),
        ttl=ttl,
    )
    for _ in range(_ATTEMPTS):
        found = read_version(place)
        if found is not None:
            _require_over(place, found, kernel)
        # If another one is faster, who that is will be seen.
        with suppress(ChangedError):
            version = write_text_if(place, note.model_dump_json(), found.version if found else None)
            return Lease(place, note, version)
    raise LeaseHeldError(f"{place.parent} changes hands faster than it can be taken; try again")


def _require_over(place: Location, found: Version, kernel: str) -> None:
    note = _note_in(place, found)
    # Who holds it by a damaged note finds another one at the next renewal, and until then writes nothing unfenced.
    if note is None:
        return
    # One of this kernel would have the lock, if it lived.
    if note.released or (kernel and note.kernel == kernel):
        return
    if _now_at(place) < found.modified + note.ttl:
        raise LeaseHeldError(_held_by(place, note))


def _now_at(place: Location) -> float:
    """What the clock of a store or of a disk says, in seconds since 1970."""
    question = place.with_name(f"asked-{uuid.uuid4().hex}")
    write_text(question, "")
    try:
        facts = facts_of(question)
    finally:
        remove(question)
    # Whoever removes what lies there, also removes leases.
    return facts.modified if facts else 0.0


def _note_in(place: Location, found: Version) -> Note | None:
    """What a note says; a damaged one is as good as none."""
    try:
        return Note.model_validate_json(found.text)
    except ValidationError as error:
        what = one_line(error.errors()[0]["msg"])
        logger.warning("%s is damaged and counts as not there: %s", place, what)
        return None


def _locked_by(place: Location) -> str:
    """Who has the kernel lock, as far as the note tells."""
    with suppress(OutputError):
        found = read_version(place)
        note = _note_in(place, found) if found else None
        # Between taking the lock and writing the note, the note is still that of the last one.
        if note is not None and not note.released:
            return _held_by(place, note)
    return f"{place.parent} was taken a moment ago, by a process that has not said yet who it is; try again"


def _held_by(place: Location, note: Note) -> str:
    how_long = f"for {note.ttl:g} s after it was last heard of"
    return f"{place.parent} is held by {note}, and {how_long}; wait for it, or stop it"
