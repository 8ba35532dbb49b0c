"""A worker process of a schedule: it is asked for the whole map, writes a diary, and is killed when its time has come.

It comes from a fork server that has imported everything: to start an interpreter takes longer than its work.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from terramosaic import map_region, verify
from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import CheckFailedError, TerramosaicError
from terramosaic.planning.plan import Block
from terramosaic.request.request import RegionRequest
from terramosaic.run.mapping import Quiet
from terramosaic.storage import locks, retries
from tests.faults.bad_store import PATIENCE
from tests.faults.schedule import Kill, Worker

#: How often is tried stays as it is; pauses are a twentieth, and nobody waits long for an answer.
_HASTE = {
    "ASSET": dataclasses.replace(retries.ASSET, pause=0.05, silence=1, within=8),
    "MISSING": dataclasses.replace(retries.MISSING, pause=0.05),
    "HTTP": dataclasses.replace(retries.HTTP, pause=0.05, silence=PATIENCE, within=6),
    "UNANSWERED": dataclasses.replace(retries.UNANSWERED, pause=0.05, silence=PATIENCE, within=6),
    "STORE": dataclasses.replace(retries.STORE, pause=0.05, silence=PATIENCE),
}

#: What the engine's log says of a block that was computed.
_COMPUTED = re.compile(r"block (\S+): \d+ windows in ")


class Diary:
    """What a worker tells of itself, a line each; it outlives the worker."""

    def __init__(self, path: Path, worker: int) -> None:
        self._worker = worker
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(self, **what: str) -> None:
        """One write to a file that is open for appending: lines of several processes do not mix."""
        os.write(self._file, (json.dumps({"worker": self._worker, **what}) + "\n").encode())


def work(
    request: str, worker: Worker, number: int, diary: Path, environment: Mapping[str, str], *, hasty: bool
) -> None:
    """What the process does; it ends with a line in its diary, unless it is killed.

    Args:
        request: a request as JSON.
        worker: how it works.
        number: which one of a round it is.
        diary: a file that all of the round write to.
        environment: what it has in its environment.
        hasty: whether it waits between tries and for answers for as long as a test can.
    """
    os.environ.update(environment)
    told = Diary(diary, number)
    _listen(told)
    if worker.minutes:
        _be_elsewhere(number, worker.minutes)
    for name, limit in _HASTE.items() if hasty else ():
        _replace(name, getattr(retries, name), limit)
    progress = Fuse(worker.kill) if worker.kill else Quiet()
    try:
        result = map_region(
            RegionRequest.model_validate_json(request),
            progress=progress,
            workers=2 if not worker.processes else None,
            devices=("cpu",) * worker.processes or None,
        )
        if worker.verifies:
            found = verify(result, windows=3)
            if isinstance(found.failure, CheckFailedError):
                raise found.failure
    except CheckFailedError as error:
        told.note(end=f"wrong: {error}")
    except TerramosaicError as error:
        told.note(end=f"stop: {type(error).__name__}: {error}")
    except BaseException as error:
        told.note(end=f"wrong: {type(error).__name__}: {error}", traceback=traceback.format_exc())
    else:
        told.note(end="done")
    finally:
        # Threads that hang in a request need not be waited for.
        os._exit(0)


class Fuse(Quiet):
    """Kills when there are so many of what it counts."""

    def __init__(self, kill: Kill) -> None:
        self._kill, self._counts = kill, Counter[str]()
        if kill.moment == "file":
            sys.addaudithook(self._sees)

    def windows(self, count: int) -> None:
        self._burn("windows")

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        self._burn("block")

    def _sees(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Files get their names from half-written ones; the locks beside these tell when they are begun."""
        if event in ("open", "os.rename", "os.remove") and ".partial" in str(arguments[0]):
            self._burn("file")

    def _burn(self, moment: str) -> None:
        self._counts[moment] += 1
        if moment == self._kill.moment and self._counts[moment] == self._kill.count:
            victims = _children() if self._kill.victim != "worker" else []
            os.kill(victims[0] if victims else os.getpid(), signal.SIGKILL)


def _children() -> list[int]:
    """Processes that this one has started."""
    lists = Path("/proc/self/task").glob("*/children")
    return sorted(int(pid) for listed in lists for pid in listed.read_text().split())


def _listen(diary: Diary) -> None:
    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if computed := _COMPUTED.match(record.getMessage()):
                diary.note(block=computed[1])

    log = logging.getLogger("terramosaic")
    log.addHandler(Handler())
    log.setLevel(logging.INFO)
    log.propagate = False


def _be_elsewhere(number: int, minutes: int) -> None:
    """Works as on another machine, whose clock is off and whose locks and scratch are its own."""
    off, real = timedelta(minutes=minutes), time.time

    class Clock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + off

    time.time = lambda: real() + off.total_seconds()
    _replace("datetime", datetime, Clock)
    _replace("this_boot", locks.this_boot, lambda: f"machine {number}")
    os.environ["TERRAMOSAIC_SCRATCH"] += f"-{number}"


def _replace(name: str, before: Any, after: Any) -> None:
    """Gives a name another meaning wherever the engine has imported it."""
    for module in list(sys.modules.values()):
        if module.__name__.startswith("terramosaic") and getattr(module, name, None) is before:
            setattr(module, name, after)
