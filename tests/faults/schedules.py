"""Schedules of faults, each drawn by its number, and what became of the maps that were made through them.

python -m tests.faults.schedules --count 200 --first 0 --work out/schedules

Kills, the server of the scenes lost for a while, a store whose answers come late, twice or not, workers of one run at
the same time, clocks that are off. In the end the same request is run once more, with nothing going wrong; then
`verify` computes windows in every block again, and the mosaics are held against those of an unbroken run. What came of
each schedule is a line in ``results.jsonl`` in the work folder; one that has its line is not run again, so that 200
take as many sittings as they like. ``--only 17,23`` runs these, whatever stands there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import re
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile
from scipy import ndimage
from shapely.geometry import box

from terramosaic import verify
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.imagery.pool import READERS
from terramosaic.planning.folder import mosaics_of, read_plan
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import list_facts, read_bytes, remove_folder
from terramosaic.storage.location import Location, location
from tests.faults.bad_server import BadServer, serving_badly
from tests.faults.bad_store import BadStore
from tests.faults.schedule import Round, Schedule, Worker
from tests.faults.worker import work
from tests.support.s3 import known
from tests.support.scenes import write_scene
from tools.make_demo_bundle import make_bundle

#: A corner of four blocks, the pixels that are mapped around it, and two scenes over them.
_CORNER = 490_496, 50_176
_RECT = Rect(_CORNER[0] - 100, _CORNER[1] - 120, 200, 230)
_LAND = Rect(_CORNER[0] - 302, _CORNER[1] - 304, 606, 606)

#: What the model takes of them: fewer files to read than all twelve.
_BANDS = ("B02", "B03", "B04", "B08", "B11")

#: Windows that are computed again with all that overlap them: every block gets its share.
_WINDOWS = 6

#: Seconds after which a round, or a run without faults, has no end; and tries of that run.
_LIMIT, _TRIES = 150.0, 2

_FAULTLESS = Round((Worker(),))

#: What each variant of the request says besides.
_VARIANTS: dict[str, dict[str, Any]] = {
    "best": {"targets": ("NDVI", "LULC")},
    "median": {"targets": ("NDVI",), "composite": "median", "keep_imagery": True},
    "noise": {"targets": ("S1GRD", "LULC"), "stride": 224, "seed": 5},
}


@dataclass
class Result:
    """What came of a schedule.

    Attributes:
        ends: of the workers of each round: done, killed, or what stopped them; of the last the run without faults.
        twice: blocks that were computed more than once, each time counted; several workers know nothing of each other.
        redone: of these computations those of blocks that had been finished before the round began.
        verified: windows that were computed again.
        differing: pixels that are not those of the unbroken run.
        wrong: what should not be; empty if nothing.
    """

    schedule: int
    kinds: list[str]
    ends: list[list[str]] = field(default_factory=list)
    twice: int = 0
    redone: int = 0
    verified: int = 0
    differing: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0


class Range:
    """Where schedules are run: a made-up world behind a bad server, a bad store, and a server of warm processes."""

    def __init__(self, work_folder: Path, server: BadServer, store: BadStore) -> None:
        self._work, self._server, self._store = work_folder, server, store
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload(["tests.faults.warm"])
        self._model = make_bundle(work_folder / "model", targets=["S1GRD", "NDVI", "LULC"], bands=_BANDS)
        self._unbroken: dict[str, dict[str, bytes]] = {}

    def run(self, schedule: Schedule) -> Result:
        """Runs a schedule to its end, and judges what is there then."""
        started = time.monotonic()
        result = Result(schedule.number, schedule.kinds)
        out = (
            self._store.url(f"{schedule.number}") if schedule.in_store else str(self._work / "runs" / "maps")
        )
        request = self.request(schedule.variant, out)
        remove_folder(location(out))
        counts: Counter[str] = Counter()
        for each in schedule.rounds:
            counts += self._carried_out(each, request, result)
        for _ in range(_TRIES):
            counts += self._carried_out(_FAULTLESS, request, result)
            if result.ends[-1] == ["done"]:
                break
        result.twice = counts.total() - len(counts)
        if result.ends[-1] == ["done"]:
            self.judge(schedule, location(out), result)
        else:
            result.wrong.append(f"not completed by {_TRIES} runs without faults")
        if not result.wrong:
            remove_folder(location(out))
        result.seconds = round(time.monotonic() - started, 1)
        return result

    def _carried_out(self, each: Round, request: RegionRequest, result: Result) -> Counter[str]:
        """A round; how often each block was computed in it."""
        finished = _finished(location(request.out))
        ends, computed = self._round(each, request)
        result.ends.append(ends)
        result.wrong += [end for end in ends if end.startswith("wrong")]
        result.redone += sum(computed[block] for block in finished)
        return computed

    def judge(self, schedule: Schedule, out: Location, result: Result) -> None:
        """Looks at what is there in the end, and adds what it finds to a result."""
        folder = next(out / name.split("/")[0] for name in list_facts(out) if name.endswith("/item.json"))
        READERS.close_idle()
        found = verify(folder, windows=_WINDOWS, whole=True, seed=schedule.number, write=False)
        result.verified = found.verified
        if found.failure:
            result.wrong.append(f"verify: {found.failure}")
        elif found.verified < found.drawn or found.blocks_seen < found.blocks:
            result.wrong.append(f"verify: {found.verified} of {found.drawn} windows: {found.details}")
        for name, content in self._mosaics(folder).items():
            unbroken = self._of_unbroken(schedule.variant)[name]
            if hashlib.sha256(content).digest() != hashlib.sha256(unbroken).digest():
                pixels = _differing(content, unbroken)
                result.differing += pixels
                result.wrong.append(
                    f"{name} has other bytes than that of an unbroken run, and {pixels} pixels"
                )

    def _of_unbroken(self, variant: str) -> dict[str, bytes]:
        if variant not in self._unbroken:
            out = self._work / "unbroken" / variant
            shutil.rmtree(out, ignore_errors=True)
            ends, _ = self._round(_FAULTLESS, self.request(variant, str(out)))
            assert ends == ["done"], ends
            self._unbroken[variant] = self._mosaics((out / "latest").resolve())
        return self._unbroken[variant]

    def _mosaics(self, folder: Location) -> dict[str, bytes]:
        return {name: read_bytes(path) for name, path in mosaics_of(read_plan(folder)).items()}

    def _round(self, each: Round, request: RegionRequest) -> tuple[list[str], Counter[str]]:
        """Has workers work, with faults; says how each ended, and which blocks were computed how often."""
        diary = self._work / "diary.jsonl"
        diary.write_text("")
        environment = self._store.env | {
            "TERRAMOSAIC_SCRATCH": str(self._work / "scratch"),
            "TERRAMOSAIC_CACHE": str(self._work / "cache"),
        }
        if each.outage:
            self._server.lose(each.outage.how, each.outage.after, each.outage.seconds)
        self._store.fail(each.store)
        processes = [
            self._processes.Process(
                target=work,
                args=(request.model_dump_json(), worker, number, diary, environment),
                kwargs={"hasty": each is not _FAULTLESS},
                daemon=True,
            )
            for number, worker in enumerate(each.workers)
        ]
        for process in processes:
            process.start()
        ends = _ends(processes, diary)
        self._server.lose("", 0, 0)
        self._store.fail(())
        return ends, Counter(line["block"] for line in _lines(diary) if "block" in line)

    def request(self, variant: str, out: str) -> RegionRequest:
        """The request of a variant, into a folder or a bucket."""
        left, bottom, right, top = _RECT.bounds
        return RegionRequest(
            region=as_geojson(lonlat_of(box(left + 4, bottom + 4, right - 4, top - 4), 32633)),
            datetime="2023-08",
            catalog=self._server.url,
            model=str(self._model),
            block_size=512,
            out=out,
            **_VARIANTS[variant],
        )


def _ends(processes: list[ForkServerProcess], diary: Path) -> list[str]:
    deadline = time.monotonic() + _LIMIT
    late = []
    for number, process in enumerate(processes):
        process.join(max(0.0, deadline - time.monotonic()))
        if process.exitcode is None:
            process.kill()
            process.join()
            late.append(number)
    told = {line["worker"]: line["end"] for line in _lines(diary) if "end" in line}
    return [
        "wrong: no end" if number in late else told.get(number, f"killed ({process.exitcode})")
        for number, process in enumerate(processes)
    ]


def _lines(diary: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in diary.read_text().splitlines()]


def _finished(out: Location) -> set[str]:
    """Blocks that have a receipt."""
    return {name.split("/")[-2] for name in list_facts(out) if name.endswith("/block.json")}


def _differing(one: bytes, other: bytes) -> int:
    """Pixels in which two rasters differ in any band; all, where the first cannot be read or is of another shape."""
    with MemoryFile(other) as file, file.open() as unbroken:
        theirs = unbroken.read()
    try:
        with MemoryFile(one) as file, file.open() as dataset:
            ours = dataset.read()
    except RasterioError:
        ours = theirs[:0]
    return int((ours != theirs).any(axis=0).sum()) if ours.shape == theirs.shape else theirs[0].size


def _write_land(folder: Path) -> None:
    """Two scenes, clouds in both, where `BadServer` looks for them."""
    if (folder / "whole").exists():
        return
    rng = np.random.default_rng(5)
    side = _LAND.height // 2
    clouds = ndimage.gaussian_filter(rng.normal(size=(side, side)), 12)
    for day, offset, shift in (("2023-08-15", 0, 0), ("2023-08-20", 1000, 90)):
        moved = ndimage.shift(clouds, shift, mode="wrap")
        scl = np.where(moved > np.quantile(clouds, 0.8), 9, 4)
        name = f"S2A_33TWL_{day.replace('-', '')}"
        at = folder / "sentinel-2-l2a" / name
        item = write_scene(
            at, _LAND, name=name, day=day, offset=offset, scl=scl, level=offset // 4, cloud=1.0 + shift
        )
        for band, asset in item["assets"].items():
            Path(asset["href"]).rename(at / f"{band}.tif")
        (at / "item.json").write_text(json.dumps(item))
    (folder / "whole").touch()


@contextmanager
def shooting_range(work_folder: Path) -> Iterator[Range]:
    """A range that leaves no server behind."""
    land = work_folder / "land"
    land.mkdir(parents=True, exist_ok=True)
    _write_land(land)
    with ExitStack() as stack:
        server = stack.enter_context(serving_badly(land))
        yield Range(work_folder, server, stack.enter_context(known(BadStore())))


def table(results: Iterable[Mapping[str, Any]]) -> str:
    """What came of schedules, by the kinds of their faults; a schedule counts in each of its own."""
    rows: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    results = list(results)
    for result in results:
        for kind in result["kinds"]:
            rows[kind].append(result)
    lines = [
        "| fault | schedules | workers killed | stopped | blocks computed twice | finished ones redone "
        "| windows verified | differing pixels | wrong |",
        "| --- " * 9 + "|",
    ]
    for kind, own in (*sorted(rows.items()), ("all", results)):
        ends = [end for result in own for ends in result["ends"] for end in ends]
        numbers = [
            len(own),
            sum(end.startswith("killed") for end in ends),
            sum(end.startswith("stop") for end in ends),
            *(sum(result[name] for result in own) for name in ("twice", "redone", "verified", "differing")),
            sum(bool(result["wrong"]) for result in own),
        ]
        lines.append(f"| {kind} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def main() -> None:
    """Runs schedules that have no line yet, and prints the table of all; ends with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", help="numbers, separated by commas")
    parser.add_argument("--work", type=Path, default=Path("out/schedules"))
    arguments = parser.parse_args()
    folder = arguments.work.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "results.jsonl"
    lines = kept.read_text().splitlines() if kept.exists() else []
    results = {result["schedule"]: result for result in map(json.loads, lines)}
    numbers = range(arguments.first, arguments.first + arguments.count)
    wanted = [number for number in numbers if number not in results]
    if arguments.only:
        wanted = [int(number) for number in re.findall(r"\d+", arguments.only)]
    with shooting_range(folder) as place:
        for number in wanted:
            result = asdict(place.run(Schedule.of(number)))
            results[number] = result
            with kept.open("a") as file:
                file.write(json.dumps(result) + "\n")
            print(f"{number}: {result['seconds']} s, {'; '.join(result['wrong']) or 'right'}", flush=True)
    print(table(results.values()))
    sys.exit(any(result["wrong"] for result in results.values()))


if __name__ == "__main__":
    main()
