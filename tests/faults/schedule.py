"""A schedule of faults: what goes wrong while a map is made, and when; all of it drawn by the schedule's number."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

#: When a worker is killed: at so many blocks that were done, batches of windows, or files begun, named or removed; and
#: the last number that is drawn. A map of four blocks has a few more of each.
_MOMENTS = {"block": 4, "windows": 6, "file": 150}

#: What a server of files does while it is lost.
_OUTAGES = ("503", "reset", "hang")

#: What becomes of a request to a store; see `tests.faults.bad_store`.
STORE_FAULTS = ("slow", "late", "unheard", "failed after all", "twice", "lost", "busy")

#: Those that cost the client its patience: so many seconds each.
_PATIENT = ("late", "unheard")

#: Requests that they may begin at, of each method; a map has a few more of each.
_REQUESTS = {"GET": 150, "PUT": 60, "HEAD": 25, "POST": 8}

#: Requests that are made, by name.
VARIANTS = ("best", "median", "noise")


@dataclass(frozen=True)
class Kill:
    """A SIGKILL.

    Attributes:
        moment: of what there must be so many.
        count: how many.
        victim: the worker itself, or a process of its own that computes blocks.
    """

    moment: str
    count: int
    victim: str = "worker"


@dataclass(frozen=True)
class Worker:
    """A process that is asked for the whole map.

    Attributes:
        kill: what ends it; it may be done before.
        minutes: by which its clock is off; if at all, it is on a machine of its own.
        verifies: whether it adds a verification to the finished run, under the run's lease.
        processes: that compute its blocks; of none, its threads do.
    """

    kill: Kill | None = None
    minutes: int = 0
    verifies: bool = False
    processes: int = 0


@dataclass(frozen=True)
class Outage:
    """The server of the scenes, and of the search, is lost for so many seconds, from a request on."""

    how: str
    after: int
    seconds: float


@dataclass(frozen=True)
class StoreFault:
    """What becomes of so many requests of a method to the store, from one on."""

    how: str
    method: str
    after: int
    times: int


@dataclass(frozen=True)
class Round:
    """Workers that begin at the same time, and what goes wrong meanwhile."""

    workers: tuple[Worker, ...]
    outage: Outage | None = None
    store: tuple[StoreFault, ...] = ()


@dataclass(frozen=True)
class Schedule:
    """All that goes wrong until the same request is run once more, with nothing going wrong.

    Attributes:
        number: which it is, and what it is drawn by.
        in_store: whether the output is in an object store.
        variant: the request, of `VARIANTS`.
    """

    number: int
    in_store: bool
    variant: str
    rounds: tuple[Round, ...]

    @classmethod
    def of(cls, number: int) -> Schedule:
        """The schedule of a number, the same for ever; nothing else is asked."""
        lots = random.Random(f"terramosaic schedule {number}")
        while True:
            in_store = lots.random() < 0.5
            variant = lots.choice(VARIANTS)
            rounds = tuple(_round(lots, in_store) for _ in range(lots.choice((1, 1, 2))))
            schedule = cls(number, in_store, variant, rounds)
            if schedule.kinds:
                return schedule

    @property
    def kinds(self) -> list[str]:
        """The kinds of its faults, each once."""
        return sorted({kind for each in self.rounds for kind in _kinds(each)})


def _kinds(each: Round) -> Iterator[str]:
    if len(each.workers) > 1:
        yield "several at once"
    for worker in each.workers:
        if worker.kill:
            yield f"{worker.kill.victim} killed at a {worker.kill.moment}".removesuffix("s")
        if worker.minutes:
            yield "clock off by minutes"
        if worker.verifies:
            yield "verified meanwhile"
    if each.outage:
        yield f"server lost: {each.outage.how}"
    for fault in each.store:
        yield f"store: {fault.how}"


def _round(lots: random.Random, in_store: bool) -> Round:
    count = lots.choices((1, 2, 3), (5, 3, 2))[0]
    if lots.random() < 0.15:
        workers: tuple[Worker, ...] = (_worker(lots, processes=2),)
    else:
        workers = tuple(_worker(lots) for _ in range(count))
    outage = None
    if lots.random() < 0.4:
        outage = Outage(lots.choice(_OUTAGES), lots.randint(1, 80), round(lots.uniform(0.2, 5), 1))
    faults = lots.choice((0, 1, 1, 2, 3)) if in_store else 0
    return Round(workers, outage, tuple(_store_fault(lots) for _ in range(faults)))


def _worker(lots: random.Random, processes: int = 0) -> Worker:
    kill = None
    if lots.random() < 0.6:
        moment = lots.choice(sorted(_MOMENTS))
        victim = lots.choice(("worker", "block process")) if processes else "worker"
        kill = Kill(moment, lots.randint(1, _MOMENTS[moment]), victim)
    minutes = lots.choice((-90, -7, 7, 90)) if lots.random() < 0.25 else 0
    return Worker(kill, minutes, verifies=lots.random() < 0.2, processes=processes)


def _store_fault(lots: random.Random) -> StoreFault:
    how = lots.choice(STORE_FAULTS)
    method = lots.choices(sorted(_REQUESTS), (3, 1, 1, 5))[0]
    # More in a row than a client tries are the end of an attempt.
    times = lots.randint(1, 2) if how in _PATIENT else lots.choice((1, 1, 2, 3, 8))
    return StoreFault(how, method, lots.randint(1, _REQUESTS[method]), times)
