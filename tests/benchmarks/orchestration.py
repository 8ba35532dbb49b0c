"""What orchestration costs: a thousand block tasks in one flow run, on threads, Dask and Ray, against the engine alone.

    python -m tests.benchmarks.orchestration --tasks 1000 --runner threads:2 --runner dask:2 --runner ray:2

The region is a small square in each of the blocks, and each band of the imagery one value, so that a block is some ten
milliseconds of work and the rest shows. Each runner has a server and a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any, cast

import numpy as np
import rasterio
import shapely
from rasterio.windows import Window
from shapely.geometry import box

from terramosaic import map_region
from terramosaic.bands import GSD, S2L2A_BANDS
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.request.request import RegionRequest
from terramosaic.settings import RUNNER, TASK_SECONDS
from terramosaic_flows.service.own_origin import server_command
from terramosaic_flows.service.processes import ManagedProcess
from terramosaic_flows.service.settings import api_url, service_environment
from tests.support.services import free_port

_BLOCK = 512
_SQUARE = 20
_ORIGIN = 480 * 1024, 50 * 1024  # row and column, multiples of the block


def main() -> None:
    """Measures, and prints a line for each runner."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--runner", action="append")
    parser.add_argument("--work", type=Path, default=Path("out/orchestration"))
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    if arguments.child:
        _flow(RegionRequest.model_validate_json(Path(arguments.child).read_text()))
        return
    stamp = f"{int(time.time())}"
    request = _request(work, arguments.tasks)
    started = time.monotonic()
    alone = map_region(_into(request, work / stamp / "alone"), workers=2)
    engine = time.monotonic() - started
    blocks = len(alone.plan.blocks)
    print(f"engine alone, 2 threads: {engine:.1f} s for {blocks} blocks", flush=True)
    for runner in arguments.runner or ["threads:2", "dask:2", "ray:2"]:
        told = _measure(work / stamp / runner.replace(":", "-"), request, runner)
        told["overhead of a task, ms"] = round(1000 * (told["seconds"] - engine) / blocks, 1)
        print(f"{runner}: {json.dumps(told)}", flush=True)


def _measure(folder: Path, request: RegionRequest, runner: str) -> dict[str, Any]:
    """One runner: seconds of the flow, memory of its process, and how far the server lags behind."""
    folder.mkdir(parents=True)
    port = free_port()
    environment = service_environment(folder / "home", port, login=None)
    (folder / "home").mkdir()
    server = ManagedProcess("server", server_command(port), environment, folder / "server.log")
    try:
        _wait_for(f"{api_url(port)}/health")
        file = folder / "request.json"
        file.write_text(_into(request, folder / "maps").model_dump_json())
        child = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.orchestration", "--child", str(file)],
            env=environment | {RUNNER.name: runner, TASK_SECONDS.name: "0", "PREFECT_LOGGING_LEVEL": "ERROR"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        told: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
        ended = time.monotonic()
        while _count(port) < told["tasks"] and time.monotonic() - ended < 180:
            time.sleep(0.5)
        told["task runs that the server has"] = _count(port)
        told["seconds until it had them"] = round(time.monotonic() - ended, 1)
        return told
    finally:
        server.stop(15)


def _flow(request: RegionRequest) -> None:
    from terramosaic.planning.folder import read_plan
    from terramosaic_flows.map_region import map_region as flow

    memory: list[float] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            memory.append(_resident())

    threading.Thread(target=watch, daemon=True).start()
    started = time.monotonic()
    (folder,) = cast(list[str], flow(request))  # a flow that returns a state gives what is in it
    seconds = time.monotonic() - started
    over.set()
    quarter = max(1, len(memory) // 4)
    print(
        json.dumps(
            {
                "tasks": len(read_plan(folder).blocks),
                "seconds": round(seconds, 1),
                "MB in the second quarter": round(max(memory[quarter : 2 * quarter], default=0)),
                "MB in the third": round(max(memory[2 * quarter : 3 * quarter], default=0)),
                "MB at most": round(max(memory, default=0)),
            }
        )
    )


def _request(work: Path, tasks: int) -> RegionRequest:
    side = math.ceil(math.sqrt(tasks))
    rect = Rect(*_ORIGIN, side * _BLOCK, side * _BLOCK)
    catalog = work / f"catalog-{side}"
    if not catalog.exists():
        _write_scene(catalog, rect)
    squares = []
    for number in range(tasks):
        row = rect.row + number // side * _BLOCK + _BLOCK // 2
        col = rect.col + number % side * _BLOCK + _BLOCK // 2
        squares.append(lonlat_of(box(*Rect(row, col, _SQUARE, _SQUARE).bounds), 32633))
    return RegionRequest(
        region={"geojson": as_geojson(shapely.MultiPolygon(squares))},
        datetime="2023-08",
        catalog=str(catalog),
        targets=("NDVI",),
        block_size=_BLOCK,
        stride=224,
    )


def _into(request: RegionRequest, out: Path) -> RegionRequest:
    return request.model_copy(update={"out": str(out)})


def _write_scene(folder: Path, rect: Rect) -> None:
    """A scene over all of it, in each band the same few broad stripes, so that its tiles are next to nothing."""
    folder.mkdir(parents=True)
    assets = {}
    for index, band in enumerate((*S2L2A_BANDS, "SCL")):
        factor = GSD[band] // 10
        href = folder / f"{band}.tif"
        with rasterio.open(
            href,
            "w",
            driver="GTiff",
            width=rect.width // factor,
            height=rect.height // factor,
            count=1,
            dtype="uint8" if band == "SCL" else "uint16",
            crs="EPSG:32633",
            transform=rect.transform @ rasterio.Affine.scale(factor),
            nodata=0,
            tiled=True,
            compress="deflate",
        ) as dataset:
            value = 4 if band == "SCL" else 400 + 100 * index
            # A band of one value would be held implausible.
            stripes = (
                np.zeros(dataset.width)
                if band == "SCL"
                else np.arange(dataset.width) * factor // 256 % 8 * 100
            )
            for row in range(0, dataset.height, 256):
                strip = Window(0, row, dataset.width, min(256, dataset.height - row))
                pixels = np.broadcast_to(value + stripes, (strip.height, strip.width))
                dataset.write(pixels.astype(dataset.dtypes[0]), 1, window=strip)
        assets[band] = {"href": str(href), "type": "image/tiff", "gsd": GSD[band], "roles": ["data"]}
    outline = lonlat_of(box(*rect.bounds), 32633)
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "S2A_33TWL_20230815", "collection": "sentinel-2-l2a",
        "links": [], "geometry": as_geojson(outline), "bbox": list(outline.bounds), "assets": assets,
        "properties": {
            "datetime": "2023-08-15T10:00:00Z", "platform": "sentinel-2a", "eo:cloud_cover": 1, "proj:epsg": 32633,
            "s2:mgrs_tile": "33TWL", "s2:processing_baseline": "02.14",
        },
    }  # fmt: skip
    (folder / "item.json").write_text(json.dumps(item))


def _wait_for(url: str) -> None:
    for _ in range(600):
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)


def _count(port: int) -> int:
    request = urllib.request.Request(
        f"{api_url(port)}/task_runs/count", b'{"task_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}',
        {"Content-Type": "application/json"},
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            # Planning, assembling and publishing are tasks too.
            return int(json.load(answer)) - 3
    except OSError:
        return 0


def _resident() -> float:
    """MB of memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
