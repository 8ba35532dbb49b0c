"""A run on a real server and worker, and processes that are killed at moments that a seed decides."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from terramosaic import map_region
from terramosaic.request.request import RegionRequest
from tests.support.services import Service, pids_of, wait_for

#: What is killed: the words in its command line, and the signal.
TARGETS = {
    "flow process, SIGKILL": ("prefect.engine", signal.SIGKILL),
    "block process, SIGKILL": ("terramosaic.run.process", signal.SIGKILL),
    "worker, SIGKILL": ("prefect worker start", signal.SIGKILL),
    "worker, SIGTERM": ("prefect worker start", signal.SIGTERM),
}

#: Words of the processes that compute blocks, where they are not ours.
_BLOCK_PROCESSES = {"dask": "spawn_main", "ray": "ray::"}

_PATIENCE = 240.0


@dataclass(frozen=True)
class Shot:
    """One kill, and what it cost.

    Attributes:
        run: number of the run.
        target: a key of `TARGETS`.
        moment: seconds since the run was started or resumed.
        done: blocks that were finished by then, of all.
        in_flight: blocks that were half-written by then, and so had to be done again.
        redone: blocks that were finished by then and were computed again all the same.
    """

    run: int
    target: str
    moment: float
    done: str
    in_flight: int
    redone: int


def targets_of(runner: str) -> dict[str, tuple[str, signal.Signals]]:
    """What can be killed of a run on a runner."""
    words = _BLOCK_PROCESSES.get(runner.partition(":")[0])
    return TARGETS | ({"block process, SIGKILL": (words, signal.SIGKILL)} if words else {})


class Range:
    """A service with one run at a time, which comes back whenever it was shot down.

    Args:
        home: Prefect's home.
        runner: the setting TERRAMOSAIC_RUNNER.
    """

    def __init__(self, home: Path, runner: str) -> None:
        self._home, self.runner = home, runner
        self.service = Service(home, runner=runner)

    def revive(self) -> None:
        """Starts it again, if it ended with its worker."""
        self.service.process.wait(60)
        # At the same port: what was orphaned by the shot reports there.
        self.service = Service(self._home, runner=self.runner, port=self.service.port)

    def stop(self) -> None:
        """Stops it."""
        if self.service.process.poll() is None:
            self.service.process.send_signal(signal.SIGTERM)
            self.service.process.wait(60)

    def victims(self, words: str) -> list[int]:
        """Processes with these words in their command line."""
        return [pid for pid, line in pids_of(self._home).items() if words in line]

    def end_of(self, run: str) -> str:
        """What the server says of a flow run."""
        found = self.service.call(f"/flow_runs/{run}")
        return f"{found['state_name']}, started {found['run_count']} times"


@contextmanager
def shooting_range(home: Path, runner: str) -> Iterator[Range]:
    """A range that leaves no process behind."""
    opened = Range(home, runner)
    try:
        yield opened
    finally:
        opened.stop()


def shoot(
    place: Range,
    number: int,
    request: RegionRequest,
    targets: list[str],
    rng: random.Random,
    say: Callable[[str], None],
) -> tuple[list[Shot], dict[str, Any]]:
    """Starts a run, kills one target after the other in the middle of its blocks, and sees it end.

    Returns:
        The shots, and the flow run as the server knows it in the end.
    """
    run = place.service.trigger(request.model_dump(mode="json"))
    folder = Path(request.out)
    shots: list[tuple[Shot, dict[Path, int]]] = []
    for target in targets:
        words, number_of_signal = targets_of(place.runner)[target]
        before = set(receipts(folder))
        # In the middle of blocks: at least one came to an end since the last shot, and others are being written.
        wait_for("a further block", partial(_further, folder, before), _PATIENCE)
        started = time.monotonic()
        time.sleep(rng.uniform(0, 4))
        victims = wait_for(target, partial(place.victims, words), _PATIENCE)
        if (folder / "latest" / "item.json").exists():
            say(f"run {number} was over before {target}")
            break
        victim = rng.choice(sorted(victims))
        os.kill(victim, number_of_signal)
        moment = time.monotonic() - started
        held = receipts(folder)
        flying = {path.parent for path in folder.glob("*/blocks/*/.*.partial")}
        total = len(list(folder.glob("*/plan.json"))) and _blocks(folder)
        shots.append((Shot(number, target, moment, f"{len(held)} of {total}", len(flying), 0), held))
        say(
            f"run {number}: {target} after {moment:.1f} s, {len(held)} of {total} blocks done, {len(flying)} in flight"
        )
        if words == "prefect worker start":
            place.revive()
    while not (ended := _ended(place.service, run)):
        # On a busy machine the rest takes its time; as long as blocks go on being done, nothing is wrong.
        further = partial(_over_or_further, place.service, run, folder, set(receipts(folder)))
        wait_for("the end, or a further block", further, _PATIENCE)
    last = receipts(folder)
    told = [
        Shot(**{**vars(shot), "redone": sum(last.get(path) != stamp for path, stamp in held.items())})
        for shot, held in shots
    ]
    return told, ended


def _over_or_further(service: Service, run: str, folder: Path, before: set[Path]) -> bool:
    return bool(_ended(service, run) or _further(folder, before))


def _further(folder: Path, before: set[Path]) -> set[Path]:
    return set(receipts(folder)) - before


def receipts(folder: Path) -> dict[Path, int]:
    """Receipts of finished blocks, with when they were written."""
    found = {}
    for path in folder.glob("*/blocks/*/block.json"):
        try:
            found[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def same_pixels(request: RegionRequest, folder: Path) -> bool:
    """Whether the run's mosaics are, pixel for pixel, those of an unbroken run in one process."""
    unbroken = map_region(request.model_copy(update={"out": str(folder)}))
    for path in unbroken.mosaics.values():
        with (
            rasterio.open(Path(str(path))) as ours,
            rasterio.open(Path(request.out) / unbroken.plan.run_id / path.name) as theirs,
        ):
            if not np.array_equal(ours.read(), theirs.read()):
                return False
    return True


def _ended(service: Service, run: str) -> dict[str, Any] | None:
    """The run if it came to its end; a crash is none, for the server starts it again."""
    found = service.ended(run)
    return found if found and found["state_type"] != "CRASHED" else None


def _blocks(folder: Path) -> int:
    from terramosaic.planning.folder import read_plan

    return len(read_plan(next(folder.glob("*/plan.json"))).blocks)
