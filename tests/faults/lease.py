"""Leases under stress: threads, and processes that are killed. Never two holders, and free at once when one dies.

python -m tests.faults.lease --rounds 2000 --busy 2
python -m tests.faults.lease --rounds 500 --places disk-without-locks,memory,s3
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import IO

from terramosaic.errors import LeaseHeldError
from terramosaic.storage.lease import lease
from tests.support.leases import each_on_its_own_machine, without_locks

#: Seconds after which threads take turns at the interpreter, in every other round. With the usual 5 ms a listing on a
#: disk was seen to come too late more often, and a creation in memory with this.
_SWITCH = 1e-5

_PATIENCE = 60.0


@dataclass
class Tally:
    """What was seen.

    Attributes:
        rounds: how many rounds there were.
        broken: of those, in how many two held the lease at once.
        taken: turns in which somebody got the lease.
        refused: turns in which another one had it.
        killed: holders that were killed.
        kept_out: how many of those kept out the only one who asked after them.
        failures: errors of any other kind.
    """

    rounds: int = 0
    broken: int = 0
    taken: int = 0
    refused: int = 0
    killed: int = 0
    kept_out: int = 0
    failures: list[str] = field(default_factory=list)

    HEAD = (
        "| who | where | rounds | two holders | taken | refused | killed | kept out | errors | s |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )

    def row(self, who: str, where: str, seconds: float) -> str:
        """A line of the table."""
        numbers = (self.rounds, self.broken, self.taken, self.refused, self.killed, self.kept_out)
        return f"| {who} | {where} | {' | '.join(map(str, numbers))} | {len(self.failures)} | {seconds:.0f} |"


def race_threads(tally: Tally, folder: str, threads: int = 16, turns: int = 15) -> None:
    """One round of threads, each of which wants the lease several times; they count those who hold it."""
    inside, most = 0, 0
    counting = threading.Lock()

    def work(number: int) -> None:
        nonlocal inside, most
        for _ in range(turns):
            try:
                with lease(folder, owner=f"thread {number}", ttl=300):
                    with counting:
                        inside += 1
                        most = max(most, inside)
                        tally.taken += 1
                    time.sleep(0.001)
                    with counting:
                        inside -= 1
            except LeaseHeldError:
                with counting:
                    tally.refused += 1
            except Exception as error:
                tally.failures.append(repr(error))

    started = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH if tally.rounds % 2 else interval)
    try:
        for thread in started:
            thread.start()
        for thread in started:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    tally.rounds += 1
    tally.broken += most > 1


def race_processes(tally: Tally, folder: str, processes: int = 4, turns: int = 10, kills: int = 2) -> None:
    """One round of processes, each of which wants the lease several times; some are killed while they hold it.

    In the end one is killed with whom nobody competes.
    """
    with tempfile.TemporaryFile(mode="a+b", buffering=0) as diary:
        started = [_fork(lambda: _take_turns(folder, turns, diary)) for _ in range(processes)]
        ends = _kill_holders(diary, set(started), kills)
        spells = _spells(diary, ends)
        tally.killed += len(ends)
        tally.taken += len(spells)
        tally.refused += _lines(diary).count(["refused"])
        tally.failures += [" ".join(words[1:]) for words in _lines(diary) if words[0] == "failed"]
    with tempfile.TemporaryFile(mode="a+b", buffering=0) as diary:
        last = _fork(lambda: _take_turns(folder, 1, diary, seconds=_PATIENCE))
        tally.killed += len(_kill_holders(diary, {last}, 1))
        try:
            with lease(folder, owner="the next one"):
                tally.taken += 1
        except LeaseHeldError:
            tally.kept_out += 1
    tally.rounds += 1
    tally.broken += any(end > start for (_, end), (start, _) in pairwise(sorted(spells)))


def _take_turns(folder: str, turns: int, diary: IO[bytes], seconds: float = 0.002) -> None:
    """What a process does: it writes down when it takes the lease and when it gives it back."""

    def note(*words: object) -> None:
        # One write to a file that is open for appending: lines of several processes do not mix.
        os.write(diary.fileno(), (" ".join(map(str, words)) + "\n").encode())

    for _ in range(turns):
        try:
            with lease(folder, owner=f"process {os.getpid()}", ttl=300):
                note("in", os.getpid(), time.monotonic_ns())
                time.sleep(seconds)
                note("out", os.getpid(), time.monotonic_ns())
        except LeaseHeldError:
            note("refused")
            time.sleep(seconds / 2)
        except Exception as error:
            note("failed", repr(error))


def _kill_holders(diary: IO[bytes], running: set[int], kills: int) -> dict[int, int]:
    """Kills whoever holds the lease, some times, and waits until all have ended.

    Returns:
        When each was killed that held it, by process: a moment just before.
    """
    ends: dict[int, int] = {}
    deadline = time.monotonic() + _PATIENCE
    while running:
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {running} did not end")
        holder = _holder(diary)
        if len(ends) < kills and holder in running:
            moment = time.monotonic_ns()
            os.kill(holder, signal.SIGKILL)
            os.waitpid(holder, 0)
            running.remove(holder)
            # It may just have given it back.
            if [words[0] for words in _lines(diary) if words[1:2] == [str(holder)]][-1] == "in":
                ends[holder] = moment
        running -= {pid for pid in running if os.waitpid(pid, os.WNOHANG)[0]}
        time.sleep(0.0005)
    return ends


def _holder(diary: IO[bytes]) -> int | None:
    """The process that took the lease last, unless it has given it back."""
    told = [words for words in _lines(diary) if words[0] in ("in", "out")]
    return int(told[-1][1]) if told and told[-1][0] == "in" else None


def _spells(diary: IO[bytes], ends: dict[int, int]) -> list[tuple[int, int]]:
    """From when to when the lease was held, each time."""
    spells, since = [], {}
    for kind, pid, moment in (words for words in _lines(diary) if words[0] in ("in", "out")):
        if kind == "in":
            since[pid] = int(moment)
        else:
            spells.append((since.pop(pid), int(moment)))
    return spells + [(start, max(start, ends[int(pid)])) for pid, start in since.items()]


def _lines(diary: IO[bytes]) -> list[list[str]]:
    text = os.pread(diary.fileno(), os.fstat(diary.fileno()).st_size, 0).decode()
    return [line.split() for line in text.splitlines()]


def _fork(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        work()
    finally:
        os._exit(0)


@contextmanager
def _busy(number: int) -> Iterator[None]:
    """Beside processes that do nothing, as fast as they can."""
    loops = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(number)]
    for loop in loops:
        loop.start()
    try:
        yield
    finally:
        for loop in loops:
            loop.terminate()


def _spin() -> None:
    while True:
        pass


def _folders(stack: ExitStack, place: str) -> Callable[[], str]:
    """Makes the place ready; each call gives a new folder in it."""
    if place in ("memory", "s3"):
        stack.enter_context(each_on_its_own_machine())
    if place == "memory":
        return lambda: f"memory://locks/{uuid.uuid4().hex}"
    if place == "s3":
        from tests.support.s3 import s3_server

        server = stack.enter_context(s3_server())
        return lambda: server.url(f"locks/{uuid.uuid4().hex}")
    if place == "disk-without-locks":
        stack.enter_context(without_locks())
    work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="leases-")))
    return lambda: str(work / uuid.uuid4().hex)


def main() -> None:
    """Runs the rounds, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2000, help="of threads")
    parser.add_argument("--process-rounds", type=int, help="of processes, on disks; a tenth of the others")
    parser.add_argument("--busy", type=int, default=0, help="processes that take the processors away")
    parser.add_argument("--places", default="disk,memory")
    arguments = parser.parse_args()
    of_processes = arguments.process_rounds
    of_processes = arguments.rounds // 10 if of_processes is None else of_processes
    # Processes first: they are forked, which is no good beside threads.
    races: dict[str, tuple[Callable[[Tally, str], None], int]] = {
        "processes": (race_processes, of_processes),
        "threads": (race_threads, arguments.rounds),
    }
    print(Tally.HEAD, flush=True)
    with _busy(arguments.busy):
        for place in arguments.places.split(","):
            for who, (race, rounds) in races.items():
                if who == "processes" and not place.startswith("disk"):
                    continue
                with ExitStack() as stack:
                    folder = _folders(stack, place)
                    tally, start = Tally(), time.monotonic()
                    for number in range(rounds):
                        race(tally, folder())
                        if number % 100 == 99:
                            print(
                                f"... {place}, {who}: {number + 1} rounds, {tally.broken} with two holders, "
                                f"{len(tally.failures)} errors {tally.failures[:1]}",
                                file=sys.stderr,
                                flush=True,
                            )
                print(tally.row(who, place, time.monotonic() - start), flush=True)


if __name__ == "__main__":
    main()
