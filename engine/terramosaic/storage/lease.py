"""A lock that ends by itself: one holder at a time, named, on disk and in object stores, free again when it dies.

All that is asked of the place is that a file can be created exclusively and that files can be listed. A lease is a
folder of numbered notes, ``000007.json``, each saying who holds it and until when; the highest counts. To take it over,
to renew it and to release it is to create the next number, which of several that try at once succeeds for one. Only the
holder removes notes, only lower ones, so numbers never fall.

    000006.json  {"owner": "a", "expires": 12:02}    a holds it
    000007.json  {"owner": "a", "expires": 12:03}    a renewed it, and removes 6
    000008.json  {"owner": "b", "expires": 12:07}    at 12:05 b found it expired; a, should it wake up, cannot create 8

One who was slow may create a number below the highest, since removed: so the folder is listed again afterwards, and
what is not the highest counts for nothing. Expiry is told by the clocks of different machines: a holder gives up a
sixth of the time to live before its note ends, and that is by how much clocks may differ.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from terramosaic.errors import LeaseHeldError, LeaseLostError, OutputError
from terramosaic.storage.files import create_text, is_alive, list_facts, read_text, remove
from terramosaic.storage.location import Location, location

logger = logging.getLogger(__name__)

#: How often a holder renews its lease within the time to live, and how often it tries once that has failed.
_RENEWALS, _TRIES = 3, 12

#: The share of the time to live by which a holder gives up before others may take over.
_MARGIN = 1 / 6

#: Notes that may vanish under a reader's eyes, because the holder renews, before it takes that for an answer.
_LOOKS = 50


class Note(BaseModel):
    """One generation of a lease.

    Attributes:
        owner: who holds it, in words for a person.
        host: its machine's name.
        machine: where its process number means something; see `_machine`.
        token: told by nobody else, so that a holder knows its own note again.
        since: when it took the lease, in seconds since 1970.
        expires: when the lease ends unless a higher note follows.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    owner: str
    host: str
    machine: str
    pid: int
    token: str
    since: float
    expires: float
    released: bool = False


class Held:
    """A lease that is held, and renewed by a thread, until it is released or lost.

    Attributes:
        note: the note that counts.
        lost: set when the lease could not be renewed in time; its holder must stop then.
    """

    def __init__(
        self, folder: Location, number: int, note: Note, ttl: float, clock: Callable[[], float]
    ) -> None:
        self.note, self.lost = note, threading.Event()
        self._folder, self._number, self._ttl, self._clock = folder, number, ttl, clock
        self._ended = threading.Event()
        self._turn = threading.Lock()

    def check(self) -> None:
        """Asks before a step that only a holder may take.

        Raises:
            LeaseLostError: it is not held any more.
        """
        if self._clock() >= self.note.expires - _MARGIN * self._ttl:
            self.lost.set()
        if self.lost.is_set():
            raise LeaseLostError(
                f"the lease of {self.note.owner} on {self._folder} was not renewed in time; run the same request again"
            )

    def renew(self) -> None:
        """Puts the end of the lease off by the time to live.

        Raises:
            LeaseLostError: another one has taken it over, or its time is up.
            OutputError: the place does not answer; the lease is held until it expires all the same.
        """
        with self._turn:
            # The thread may have been waiting for its turn while the lease was released.
            if self._ended.is_set():
                return
            self.check()
            self._put(self.note.model_copy(update={"expires": self._clock() + self._ttl}))

    def release(self) -> None:
        """Gives it back, unless it is lost; what the place has against it is logged, and then it expires."""
        self._ended.set()
        with self._turn, contextlib.suppress(LeaseLostError):
            try:
                self.check()
                self._put(self.note.model_copy(update={"released": True, "expires": self._clock()}))
            except LeaseLostError:
                raise
            except OutputError as error:
                logger.warning(
                    "the lease on %s could not be released and will expire: %s", self._folder, error
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
            except (OutputError, OSError) as error:
                logger.warning("the lease on %s could not be renewed, trying again: %s", self._folder, error)
                pause = self._ttl / _TRIES

    def _put(self, note: Note) -> None:
        """Makes a note the one that counts."""
        if not _create(self._folder, self._number + 1, note):
            self.lost.set()
            raise LeaseLostError(f"the lease of {note.owner} on {self._folder} was taken over")
        self._number += 1
        self.note = note
        _clean(self._folder, self._number)


@contextmanager
def lease(
    folder: str | Location,
    *,
    owner: str,
    ttl: float = 120,
    clock: Callable[[], float] = time.time,
    renews: bool = True,
) -> Iterator[Held]:
    """Holds a lease while the block runs.

    Args:
        folder: what the lease is on: a folder or URL of its own, which is made.
        owner: who wants it, in words that tell another one whom to ask.
        ttl: seconds after which the lease of a holder that stopped without a word is free. One whose process is dead,
            on the machine that asks, is free at once.
        clock: seconds since 1970.
        renews: whether a thread renews it; a test may do that by hand.

    Raises:
        LeaseHeldError: another one holds it.
        OutputError: the place cannot be used. A store must honour conditional writes (``If-None-Match: *``), as S3,
            GCS, Azure, R2 and MinIO do; a disk must know hard links.
    """
    place = location(folder)
    held = _acquire(place, owner, ttl, clock)
    if renews:
        # A daemon: a process that ends in any other way must not wait for it.
        threading.Thread(target=held.keep, name="lease", daemon=True).start()
    try:
        yield held
    finally:
        held.release()


def _acquire(folder: Location, owner: str, ttl: float, clock: Callable[[], float]) -> Held:
    for _ in range(_LOOKS):
        number, current = _highest(folder)
        now = clock()
        if current is not None and not _is_free(current, now):
            raise LeaseHeldError(_held_by(folder, current))
        note = Note(
            owner=owner,
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            token=uuid.uuid4().hex,
            since=now,
            expires=now + ttl,
        )
        if _create(folder, number + 1, note):
            _clean(folder, number + 1)
            return Held(folder, number + 1, note, ttl, clock)
        # Another one was faster; who that is will be seen.
    raise LeaseHeldError(f"{folder} changes hands faster than it can be taken; try again")


def _create(folder: Location, number: int, note: Note) -> bool:
    """Whether a note of this number could be made, and counts."""
    place = folder / _name(number)
    try:
        create_text(place, note.model_dump_json())
    except FileExistsError:
        # An answer that was lost on its way is asked for again, and then the note that is there is our own.
        if _read(place) != note:
            return False
    if max(_numbers(folder), default=0) == number:
        return True
    remove(place)
    return False


def _clean(folder: Location, number: int) -> None:
    """Removes notes that no longer count. Those that stay do no harm."""
    with contextlib.suppress(OutputError, OSError):
        for lower in _numbers(folder):
            if lower < number:
                remove(folder / _name(lower))


def _highest(folder: Location) -> tuple[int, Note | None]:
    """The note that counts, and its number; 0 and none if nobody ever held the lease."""
    for _ in range(_LOOKS):
        number = max(_numbers(folder), default=0)
        if not number:
            return 0, None
        note = _read(folder / _name(number))
        if note is not None:
            return number, note
    raise OutputError(f"{folder} holds no lease that can be read; remove the folder if nothing runs")


def _read(place: Location) -> Note | None:
    try:
        return Note.model_validate_json(read_text(place))
    except (FileNotFoundError, ValidationError):
        return None


def _numbers(folder: Location) -> list[int]:
    names = (name.removesuffix(".json") for name in list_facts(folder))
    return [int(name) for name in names if name.isdecimal()]


def _name(number: int) -> str:
    return f"{number:06d}.json"


def _is_free(note: Note, now: float) -> bool:
    is_dead = note.machine == _machine() and not is_alive(str(note.pid))
    return note.released or note.expires <= now or is_dead


def _held_by(folder: Location, note: Note) -> str:
    since, until = (
        f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}" for moment in (note.since, note.expires)
    )
    return (
        f"{folder} is held by {note.owner} (process {note.pid} on {note.host}) since {since} UTC, until {until} UTC "
        "unless it goes on; wait for it, or stop it"
    )


@cache
def _machine() -> str:
    """Names what a process number belongs to: this start of this kernel, and this container's view of it.

    A host's name alone would not do: two machines, or two containers, may share one.
    """
    parts = [socket.gethostname(), str(uuid.getnode())]
    with contextlib.suppress(OSError):
        parts = [Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()]
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]
