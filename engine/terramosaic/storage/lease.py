"""A lock with a name on it that ends by itself: one holder at a time, on a disk and in an object store.

*Notes* (`terramosaic.storage.lease_notes`) say who holds it and until when, unless it goes on; they hold anywhere,
between machines too. A *kernel lock* (`terramosaic.storage.lease_disk`) is held beside them on a disk. Whoever has it
knows that no other process of this kernel holds the lease, whatever the note says; of other machines it knows
nothing, for a shared disk may keep the lock to each machine.

    lock         held by process 71 of machine A
    000001.json  {"owner": "a", "pid": 71, "expires": 12:02}

    12:01, process 71 is killed, and the kernel frees its lock
    12:01, on A: whoever gets the lock knows that 71 is dead, and creates 000002.json
    12:01, on B: whoever gets the lock cannot know, and is refused until 12:02

What time does: where a note is all there is, a holder gives up a sixth of the time to live before its note ends, and
that is by how much the clocks of machines may differ. Who has the lock loses nothing by time alone. If it slept (a
stopped process, a laptop) for longer than its note lasted, the others of its machine were kept out, but another machine
may have taken the lease over: `Lease.check` then renews it, and of two who create the next note only one succeeds.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from terramosaic.errors import LeaseHeldError, LeaseLostError, OutputError
from terramosaic.storage.lease_disk import DiskLock
from terramosaic.storage.lease_notes import Note, Notes
from terramosaic.storage.location import Location, is_remote, location

logger = logging.getLogger(__name__)

#: How often a holder renews its lease within the time to live, and how often it tries once that has failed.
_RENEWALS, _TRIES = 3, 12

#: The share of the time to live by which a holder gives up before others may take over.
_MARGIN = 1 / 6

#: How often another one may be faster before that is an answer.
_ATTEMPTS = 50


class Lease:
    """A lease that is held, and renewed by a thread, until it is released or lost.

    Attributes:
        note: the note that counts.
        lost: set when it is known that the lease is held no more; its holder must stop then.
    """

    def __init__(self, notes: Notes, number: int, note: Note, ttl: float, clock: Callable[[], float]) -> None:
        self.note, self.lost = note, threading.Event()
        self._notes, self._number, self._ttl, self._clock = notes, number, ttl, clock
        self._ended = threading.Event()
        self._turn = threading.Lock()

    def check(self) -> None:
        """Asks before a step that only a holder may take; nobody else holds the lease for a sixth of its time to live.

        Raises:
            LeaseLostError: it is not held any more.
            OutputError: the place does not answer.
        """
        with self._turn:
            if self._ended.is_set():
                raise LeaseLostError(f"the lease of {self.note.owner} on {self._notes.folder} was released")
            self._require_time()
            if self._is_due:
                self._put_off()
            elif not self._notes.is_highest(self._number, self.note):
                raise self._taken_over()

    def renew(self) -> None:
        """Puts the end of the lease off by the time to live.

        Raises:
            LeaseLostError: another one has taken it over, or its time is up.
            OutputError: the place does not answer; the lease is held until it expires all the same.
        """
        with self._turn:
            # The thread may have been waiting for its turn while the lease was released.
            if not self._ended.is_set():
                self._require_time()
                self._put_off()

    def release(self) -> None:
        """Gives it back, unless it is lost; what the place has against it is logged, and then it expires."""
        self._ended.set()
        with self._turn:
            try:
                self._require_time()
                self._put(self.note.model_copy(update={"released": True, "expires": self._clock()}))
            except LeaseLostError:
                pass
            except OutputError as error:
                logger.warning(
                    "the lease on %s could not be released and will expire: %s", self._notes.folder, error
                )

    def keep(self) -> None:
        """Renews again and again until it is released or lost; for a thread."""
        pause = self._ttl / _RENEWALS
        while not self._ended.wait(pause):
            try:
                self.renew()
                pause = self._ttl / _RENEWALS
            except LeaseLostError as error:
                logger.warning("%s", error)
                return
            except OutputError as error:
                logger.warning(
                    "the lease on %s could not be renewed, trying again: %s", self._notes.folder, error
                )
                pause = self._ttl / _TRIES

    @property
    def _is_due(self) -> bool:
        """Whether others may soon think that it is over."""
        return self._clock() >= self.note.expires - _MARGIN * self._ttl

    def _require_time(self) -> None:
        if self._is_due and not self.note.kernel:
            self.lost.set()
        if self.lost.is_set():
            raise LeaseLostError(
                f"the lease of {self.note.owner} on {self._notes.folder} was not renewed in time; run the same request "
                "again"
            )

    def _put_off(self) -> None:
        self._put(self.note.model_copy(update={"expires": self._clock() + self._ttl}))

    def _put(self, note: Note) -> None:
        """Makes a note the one that counts."""
        created = None
        while created != note:
            created = self._notes.create(self._number + 1, note)
            if created is None:
                raise self._taken_over()
            # An earlier try, whose answer did not come, may have created one; then the number after it is due.
            self._number, self.note = self._number + 1, created

    def _taken_over(self) -> LeaseLostError:
        self.lost.set()
        return LeaseLostError(f"the lease of {self.note.owner} on {self._notes.folder} was taken over")


@contextmanager
def lease(
    folder: str | Location,
    *,
    owner: str,
    ttl: float = 120,
    clock: Callable[[], float] = time.time,
    renews: bool = True,
) -> Iterator[Lease]:
    """Holds a lease while the block runs.

    Args:
        folder: what the lease is on: a folder or URL of its own, which is made.
        owner: who wants it, in words that tell another one whom to ask.
        ttl: seconds after which the lease of a holder that stopped without a word is free. One whose process is dead,
            on the machine that asks, is free at once; on a disk, one whose process is there is never free.
        clock: seconds since 1970.
        renews: whether a thread renews it; a test may do that by hand.

    Raises:
        LeaseHeldError: another one holds it; nobody waits.
        OutputError: the place cannot be used. A store must honour conditional writes (``If-None-Match: *``), as S3,
            GCS, Azure, R2 and MinIO do; a disk must know hard links.
    """
    notes = Notes(location(folder))
    with _lock_of(notes) as kernel:
        held = _acquire(notes, kernel, owner, ttl, clock)
        if renews:
            # A daemon: a process that ends in any other way must not wait for it.
            threading.Thread(target=held.keep, name="lease", daemon=True).start()
        try:
            yield held
        finally:
            held.release()


@contextmanager
def _lock_of(notes: Notes) -> Iterator[str]:
    """Holds the kernel lock, on a disk that has one, and says where it means something."""
    if is_remote(notes.folder):
        yield ""
        return
    lock = DiskLock(notes.folder)
    if not lock.acquire():
        raise LeaseHeldError(_locked_by(notes))
    try:
        yield lock.kernel
    finally:
        lock.release()


def _acquire(notes: Notes, kernel: str, owner: str, ttl: float, clock: Callable[[], float]) -> Lease:
    for _ in range(_ATTEMPTS):
        number, current = notes.highest()
        now = clock()
        # One of this kernel would have the lock, if it lived.
        is_dead = current is not None and bool(kernel) and current.kernel == kernel
        if current is not None and not (current.is_over(now) or is_dead):
            raise LeaseHeldError(_held_by(notes, current))
        note = notes.create(number + 1, Note.of_this_process(owner, kernel, now, ttl))
        if note is not None:
            return Lease(notes, number + 1, note, ttl, clock)
        # Another one was faster; who that is will be seen.
    raise LeaseHeldError(f"{notes.folder} changes hands faster than it can be taken; try again")


def _locked_by(notes: Notes) -> str:
    """Who has the kernel lock, as far as the notes tell."""
    with contextlib.suppress(OutputError):
        _, note = notes.highest()
        # Between taking the lock and creating a note, the note is still that of the last one.
        if note is not None and not note.released and not note.is_dead:
            return _held_by(notes, note)
    return f"{notes.folder} was taken a moment ago, by a process that has not said yet who it is; try again"


def _held_by(notes: Notes, note: Note) -> str:
    return f"{notes.folder} is held by {note}; wait for it, or stop it"
