"""The table of faults: what becomes of a map when a server, a disk or a kill goes wrong.

python -m tests.faults.table --runs 4 --work out/table
python -m tests.faults.table --runs 20 --only "files: drip,block: flipped"

Right: the first try gives the unbroken run's pixels. Right after: it stopped with a clear error, and the same request
again, by a server without faults, gives them. Told: it says which scenes it left out, and has the pixels of an unbroken
run without them. Stop: it stopped so both times. Wrong: other pixels without an error or a word, an error without a
name, or no end. There must be no wrong one.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio

from terramosaic import map_region
from terramosaic.demo.world import write_world
from terramosaic.errors import TerramosaicError
from terramosaic.imagery.pool import READERS
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, mosaics_of
from terramosaic.planning.plan import Plan
from terramosaic.request.region import BoundingBox
from terramosaic.request.request import RegionRequest
from tests.faults.bad_server import KINDS, BadServer, serving_badly

#: Seconds after which a try has no end: a search and a few readings may each take their time.
_LIMIT = 900.0

_MAP_AND_DIE = """
import os, signal, sys
from terramosaic import RegionRequest, map_region
from terramosaic.run.mapping import Quiet
class Fuse(Quiet):
    def block_done(self, block, receipt):
        os.kill(os.getpid(), signal.SIGKILL)
map_region(RegionRequest.model_validate_json(sys.argv[1]), progress=Fuse())
"""


@dataclass
class Row:
    """What was seen of a kind of fault."""

    ends: Counter[str] = field(default_factory=Counter)
    worst: float = 0.0
    lines: list[str] = field(default_factory=list)

    def text(self, kind: str) -> str:
        """A line of the table."""
        numbers = [
            sum(self.ends.values()),
            *(self.ends[end] for end in ("right", "right after", "told", "stop", "wrong")),
        ]
        return f"| {kind} | {' | '.join(map(str, numbers))} | {self.worst:.0f} |"


class Bench:
    """A made-up world, the unbroken run over it, and copies of that to spoil."""

    def __init__(self, work: Path, server: BadServer) -> None:
        self._work, self._server, self._count = work, server, 0
        self.unbroken = map_region(self.request(work / "unbroken"))

    def request(self, out: Path, *, over_http: bool = False) -> RegionRequest:
        """Four blocks over the seam of two tiles."""
        return RegionRequest(
            region=BoundingBox(west=9.03, south=43.69, east=9.11, north=43.735),
            datetime="2020-04",
            catalog=self._server.url if over_http else str(self._server.folder / "catalog.json"),
            targets=("NDVI",),
            block_size=512,
            stride=224,
            out=str(out),
        )

    def fresh(self) -> Path:
        """An output folder of its own."""
        self._count += 1
        return self._work / f"out-{self._count}"

    def copy(self, *, finished: bool) -> tuple[RegionRequest, RunFolder, Plan]:
        """The unbroken run in a folder of its own; or as it was before its mosaics were made."""
        out = self.fresh()
        shutil.copytree(self._work / "unbroken", out, symlinks=True)
        request = self.request(out)
        made = self.unbroken.plan.model_copy(update={"request": request})
        folder = RunFolder.of(made)
        if not finished:
            for path in (*mosaics_of(made).values(), folder.item_file, folder.report_file):
                Path(str(path)).unlink()
        return request, folder, made

    def end_of(self, request: RegionRequest, row: Row, **how: Any) -> str:
        """How a try ends: right, wrong, or, in words, what stopped it."""
        outcome: list[str] = []

        def attempt() -> None:
            try:
                result = map_region(request, **how)
                outcome.append(self._judged(result))
            except TerramosaicError as error:
                outcome.append(f"stop: {error}")
            except Exception as error:
                outcome.append(f"wrong: {type(error).__name__}: {error}")

        started = time.monotonic()
        thread = threading.Thread(target=attempt, daemon=True)
        thread.start()
        thread.join(_LIMIT)
        row.worst = max(row.worst, time.monotonic() - started)
        return outcome[0] if outcome else "wrong: no end"

    def _judged(self, result: MapResult) -> str:
        if self._is_same(self.unbroken, result.mosaics):
            return "right"
        decisions = SceneRecords(RunFolder.of(result.plan)).read_all(result.plan)
        left_out = sorted(key for key, decision in decisions.items() if not decision.is_used)
        if not left_out:
            return "wrong: other pixels"
        without = self.request(self.fresh()).model_copy(update={"exclude": tuple(left_out)})
        is_told = self._is_same(map_region(without), result.mosaics)
        return "told" if is_told else f"wrong: other pixels than without {', '.join(left_out)}"

    def _is_same(self, unbroken: MapResult, mosaics: dict[str, Any]) -> bool:
        for name, path in unbroken.mosaics.items():
            with rasterio.open(str(path)) as ours, rasterio.open(str(mosaics[name])) as theirs:
                if not np.array_equal(ours.read(), theirs.read()):
                    return False
        return True


def flipped(path: Path, lots: random.Random) -> None:
    """One bit is another."""
    content = bytearray(path.read_bytes())
    content[lots.randrange(len(content))] ^= 1 << lots.randrange(8)
    path.write_bytes(content)


def truncated(path: Path, lots: random.Random) -> None:
    """The end is missing."""
    content = path.read_bytes()
    path.write_bytes(content[: lots.randrange(len(content))])


def zeroed(path: Path, _: random.Random) -> None:
    """A disk gave zeros."""
    path.write_bytes(bytes(path.stat().st_size))


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (flipped, truncated, zeroed)


def _server_faults(bench: Bench, server: BadServer) -> Iterator[tuple[str, Callable[[int, Row], str]]]:
    """Faults of the server of files, and of the search."""
    for at_api in (False, True):
        for kind in KINDS:

            def once(number: int, row: Row, kind: str = kind, at_api: bool = at_api) -> str:
                request = bench.request(bench.fresh(), over_http=True)
                server.fail(kind, 0.2 if not at_api else 0.6, number, at_api=at_api)
                first = bench.end_of(request, row)
                server.fail("", 0, 0)
                READERS.close_idle()
                return _end(first, lambda: bench.end_of(request, row), row)

            yield f"{'search' if at_api else 'files'}: {kind}", once


def _disk_faults(bench: Bench) -> Iterator[tuple[str, Callable[[int, Row], str]]]:
    """Damaged files of a run, before its mosaics were made and after."""
    names: dict[str, tuple[bool, Callable[[RunFolder, Plan], Path]]] = {
        "block": (False, lambda folder, made: Path(str(folder.block_raster(made.blocks[0], "NDVI")))),
        "receipt": (False, lambda folder, made: Path(str(folder.receipt_file(made.blocks[0])))),
        "plan": (False, lambda folder, made: Path(str(folder.plan_file))),
        "mosaic": (True, lambda folder, made: Path(str(mosaics_of(made)["NDVI"]))),
        "item": (True, lambda folder, made: Path(str(folder.item_file))),
        "report": (True, lambda folder, made: Path(str(folder.report_file))),
    }
    for name, (finished, where) in names.items():
        for damage in DAMAGES:

            def once(
                number: int,
                row: Row,
                finished: bool = finished,
                where: Callable[[RunFolder, Plan], Path] = where,
                damage: Callable[[Path, random.Random], None] = damage,
            ) -> str:
                request, folder, made = bench.copy(finished=finished)
                damage(where(folder, made), random.Random(number))
                first = bench.end_of(request, row, check_files=True)
                return _end(first, lambda: bench.end_of(request, row), row)

            yield f"{name}: {damage.__name__}", once


def _killed(bench: Bench) -> Callable[[int, Row], str]:
    def once(number: int, row: Row) -> str:
        request = bench.request(bench.fresh())
        command = [sys.executable, "-c", _MAP_AND_DIE, request.model_dump_json()]
        code = subprocess.run(command, check=False, capture_output=True).returncode
        assert code == -signal.SIGKILL, code
        return _end("stop: killed", lambda: bench.end_of(request, row), row)

    return once


def _end(first: str, again: Callable[[], str], row: Row) -> str:
    """The end of a run by its first try, and by the same request again where that was stopped."""
    if not first.startswith("stop"):
        kind = first.partition(":")[0]
        row.lines += [first] if kind == "wrong" else []
        return kind
    second = again()
    kind = second.partition(":")[0]
    row.lines += [f"{first} / {second}"] if kind != "right" else []
    return "right after" if kind == "right" else kind


def main() -> None:
    """Makes the faults, and prints the table; ends with 1 if any run was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=4, help="of each kind")
    parser.add_argument("--only", default="", help="kinds, separated by commas; all that begin so")
    parser.add_argument("--work", type=Path, default=Path("out/table"))
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    for folder in (*work.glob("out-*"), *work.glob("unbroken")):
        shutil.rmtree(folder)
    rows: dict[str, Row] = {}
    with ExitStack() as stack:
        server = stack.enter_context(serving_badly(write_world(work / "world").parent))
        bench = Bench(work, server)
        kinds = {**dict(_server_faults(bench, server)), **dict(_disk_faults(bench)), "killed": _killed(bench)}
        print(
            "| fault | runs | right | right after | told | stop | wrong | worst, s |\n" + "| --- " * 8 + "|"
        )
        for kind, once in kinds.items():
            if kind.startswith(tuple(arguments.only.split(","))):
                row = rows[kind] = Row()
                row.ends.update(once(number, row) for number in range(arguments.runs))
                print(row.text(kind), *row.lines, sep="\n    ", flush=True)
    wrong = sum(row.ends["wrong"] for row in rows.values())
    print(f"{sum(sum(row.ends.values()) for row in rows.values())} runs, {wrong} wrong")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
