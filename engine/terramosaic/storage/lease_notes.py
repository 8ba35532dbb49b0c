"""Numbered notes: who holds a lease and until when, wherever a file can be created exclusively and files be listed.

A lease is a folder of notes, ``000007.json``; the highest counts. To take the lease over, to renew it and to release it
is to create the next number, which of several that try at once succeeds for one. Only who has done so removes notes,
only lower ones, so numbers never fall.

    000006.json  {"owner": "a", "expires": 12:02}    a holds it
    000007.json  {"owner": "a", "expires": 12:03}    a renewed it, and removes 6
    000008.json  {"owner": "b", "expires": 12:07}    at 12:05 b found it expired; a, should it wake up, cannot create 8

One who was slow may create a number below the highest, since removed. And a listing is not of one moment: while it is
made, 7 may be created where it has been already, and 6 be removed before it gets there. Who sees neither, takes the
lease for a new one:

    000001.json  {"owner": "b", "expires": 12:04}    b is mistaken, and must learn it

So a note counts only once a further listing has shown nothing higher *and it is still there afterwards*. Any listing
shows what was there from its beginning to its end. So it can miss the highest note, 7, only if that was removed
meanwhile: by one who had created 8, then listed what was lower, and removed the lowest first, 1 before 7.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from terramosaic.errors import OutputError
from terramosaic.storage.files import create_text, exists, is_alive, list_facts, read_text, remove
from terramosaic.storage.location import Location

#: Notes that may vanish under a reader's eyes, because the holder renews, before it takes that for an answer.
_LOOKS = 50


class Note(BaseModel):
    """One generation of a lease.

    Attributes:
        owner: who holds it, in words for a person.
        host: its machine's name.
        machine: where its process number means something; see `this_machine`.
        kernel: where its kernel lock means something, see `terramosaic.storage.lease_disk`; empty if it has none,
            as in a store, and in notes of version 0.1.0.
        token: told by nobody else, so that a holder knows its own note again.
        since: when it took the lease, in seconds since 1970.
        expires: when the lease ends unless a higher note follows.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    owner: str
    host: str
    machine: str
    kernel: str = ""
    pid: int
    token: str
    since: float
    expires: float
    released: bool = False

    @classmethod
    def of_this_process(cls, owner: str, kernel: str, since: float, ttl: float) -> Note:
        """A note of a holder that begins now."""
        return cls(
            owner=owner,
            host=socket.gethostname(),
            machine=this_machine(),
            kernel=kernel,
            pid=os.getpid(),
            token=uuid.uuid4().hex,
            since=since,
            expires=since + ttl,
        )

    @property
    def is_dead(self) -> bool:
        """Whether its process is known to be dead: it was one of this machine."""
        return self.machine == this_machine() and not is_alive(str(self.pid))

    def is_over(self, now: float) -> bool:
        """Whether it keeps nobody out any more."""
        return self.released or self.expires <= now or self.is_dead

    def __str__(self) -> str:
        since, until = (
            f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M:%S}"
            for moment in (self.since, self.expires)
        )
        whom = f"{self.owner} (process {self.pid} on {self.host})"
        return f"{whom} since {since} UTC, until {until} UTC unless it goes on"


class Notes:
    """The notes of one lease.

    Args:
        folder: where they are; it is made with the first.
    """

    def __init__(self, folder: Location) -> None:
        self.folder = folder

    def highest(self) -> tuple[int, Note | None]:
        """The note that counts, and its number; 0 and none if there is nothing.

        Of a moment at which notes change it may be an earlier one, or none: good for a refusal, and for a try.

        Raises:
            OutputError: it cannot be read, or the place does not answer.
        """
        with self._output_errors():
            for _ in range(_LOOKS):
                number = max(self._numbers(), default=0)
                if not number:
                    return 0, None
                note = self._read(number)
                if note is not None:
                    return number, note
        raise OutputError(f"{self.folder} holds no lease that can be read; remove the folder if nothing runs")

    def create(self, number: int, note: Note) -> Note | None:
        """Makes a note the highest; returns what is there under its number, or None if it does not count.

        What is there differs from what was to be created if an earlier try of the same holder got there after all.

        Raises:
            OutputError: the place does not answer; whether there is such a note now, is not known.
        """
        with self._output_errors():
            try:
                create_text(self._place(number), note.model_dump_json())
            except FileExistsError:
                # An answer that was lost on its way is asked for again, and then the note that is there is our own.
                found = self._read(number)
                if found is None or found.token != note.token:
                    return None
                note = found
            seen = self._numbers()
            # After the listing, never before: see above.
            if self._read(number) != note:
                return None
        if max(seen) != number:
            self._remove([number])
            return None
        self._remove(lower for lower in seen if lower < number)
        return note

    def is_highest(self, number: int, note: Note) -> bool:
        """Whether a note that counted still does, without a listing: the next one goes only after this one went."""
        with self._output_errors():
            return not exists(self._place(number + 1)) and self._read(number) == note

    def _remove(self, numbers: Iterable[int]) -> None:
        """Removes notes that no longer count, the lowest first, and none above one that would not go.

        Those that stay do no harm.
        """
        with contextlib.suppress(OutputError, OSError):
            for number in sorted(numbers):
                remove(self._place(number))

    @contextmanager
    def _output_errors(self) -> Iterator[None]:
        """Raises what a disk has to say as one of ours; stores do so themselves."""
        try:
            yield
        except OSError as error:
            raise OutputError(
                f"{self.folder} could not be used: {error.strerror or error}; choose another folder"
            ) from error

    def _read(self, number: int) -> Note | None:
        try:
            return Note.model_validate_json(read_text(self._place(number)))
        except (FileNotFoundError, ValidationError):
            return None

    def _numbers(self) -> list[int]:
        names = (name.removesuffix(".json") for name in list_facts(self.folder))
        return [int(name) for name in names if name.isdecimal()]

    def _place(self, number: int) -> Location:
        return self.folder / f"{number:06d}.json"


@cache
def this_machine() -> str:
    """Names what a process number belongs to: this start of this kernel, and this container's view of it."""
    parts = [this_boot()]
    with contextlib.suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]


@cache
def this_boot() -> str:
    """Names this start of this kernel.

    A host's name alone would not do: two machines, or two containers, may share one.
    """
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{socket.gethostname()}/{uuid.getnode()}"
