"""What runs are quoted and what they take, of different sizes, targets and strides: processor seconds, and gigabytes.

    python -m tests.benchmarks.quote --work DIR [--runs 10] [--model demo] [--size 5496]

Times the model first (`terramosaic model check`), into a cache of its own. Each run is a process of its own, over a
part of a made-up scene of full resolution (see `tests.benchmarks.throughput`), from files to report; the processor time
of planning and of starting Python is left out, as it is of the quote. Processor time also depends on what else the
machine does: on two threads of one core a run takes up to a third more of it than alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from shapely.geometry import box

from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.publishing.numbers import size
from terramosaic.request.area import area_from_tile
from tests.benchmarks.throughput import TILE, make_scene

#: What is quoted in gigabytes, each taken of quoted in a column of its own.
GIGABYTES = ("read", "blocks", "mosaics")

#: Side of the region in pixels, and fields of the request: from a hamlet to a fifth of a tile.
DEMO_RUNS: tuple[tuple[int, dict[str, Any]], ...] = (
    (1500, {}),
    (3000, {}),
    (800, {}),
    (4400, {}),
    (2000, {"targets": ("NDVI",)}),
    (2600, {"targets": ("LULC",)}),
    (2200, {"targets": ("S1GRD", "S1RTC", "NDVI", "LULC")}),
    (1800, {"stride": 112}),
    (2400, {"strides": {"LULC": 112}}),
    (3600, {"dtype": "float32", "targets": ("S1GRD", "NDVI")}),
)
#: Of TerraMind, whose window takes seconds.
TERRAMIND_RUNS: tuple[tuple[int, dict[str, Any]], ...] = tuple(
    (side, {"targets": targets, "steps": steps})
    for side, targets, steps in (
        (200, ("NDVI",), 1), (420, ("NDVI", "LULC"), 1), (600, ("LULC",), 1), (300, ("NDVI",), 4),
        (420, ("NDVI",), 2), (250, ("NDVI", "LULC"), 2), (800, ("LULC",), 1), (380, ("NDVI",), 1),
        (600, ("NDVI", "LULC"), 1), (200, ("NDVI",), 10),
    )
)  # fmt: skip


def run_once(catalog: Path, out: Path, model: str, side: int, fields: dict[str, Any]) -> dict[str, Any]:
    """Plans and carries out a run in this process.

    Args:
        catalog: of the scene.
        out: output folder.
        model: a bundle.
        side: of the region, in pixels.
        fields: of the request, beside these.
    """
    from terramosaic import map_region, plan
    from terramosaic.planning.folder import RunFolder
    from terramosaic.publishing.record import gather
    from terramosaic.publishing.taken import quote_and_taken

    _, tile = area_from_tile(TILE).tile or (0, Rect(0, 0, 0, 0))
    # Not where blocks begin; one metre inside, so that reprojecting to degrees and back adds no row of pixels.
    left, bottom, right, top = Rect(tile.row + 37, tile.col + 51, side, side).bounds
    outline = lonlat_of(box(left + 1, bottom + 1, right - 1, top - 1), 32633)
    asked = {
        "region": as_geojson(outline),
        "datetime": "2023-08-15",
        "catalog": str(catalog),
        "out": str(out),
        "model": model,
        **fields,
    }
    figures = plan(asked).figures
    before, started = time.process_time(), time.perf_counter()
    result = map_region(asked)
    taken, wall = time.process_time() - before, time.perf_counter() - started
    run = gather(result.plan)
    quote = figures.quote
    assert quote is not None
    found = {
        "windows": figures.windows,
        "quoted": 60 * figures.minutes,
        "taken": taken,
        "wall": wall,
        "quoted blocks": 60 * (sum(figures.device_minutes.values()) + quote.processor_minutes),
        "taken blocks": run.processor_seconds,
        "gigabytes": quote_and_taken(run),
        "basis": quote.basis,
    }
    shutil.rmtree(str(RunFolder.of(result.plan).path))
    return found


def gigabytes_in_words(told: dict[str, dict[str, Any]]) -> Iterator[str]:
    """What of imagery, block rasters and mosaics a run took, what it was quoted, and how the quote is to that.

    Args:
        told: from `terramosaic.publishing.taken.quote_and_taken`.
    """
    for what in GIGABYTES:
        quoted, taken = (told[when][f"{what}_gigabytes"] for when in ("quoted", "taken"))
        yield f"{size(taken * 1e9)} of {size(quoted * 1e9)} ({quoted / taken:.2f})"


def _in_process(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    return done.stdout


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the scene and the outputs")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--model", default="demo", help="a bundle's folder, or demo")
    parser.add_argument("--size", type=int, default=5496, help="side of the scene in pixels")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    catalog, out = make_scene(options.work, options.size), options.work / "out"
    if options.one:
        side, fields = options.one
        print(json.dumps(run_once(catalog, out, options.model, side, fields)))
        return
    environment = {**os.environ, "TERRAMOSAIC_CACHE": str(options.work / "cache")}
    print(_in_process(environment, "-m", "terramosaic", "model", "check", options.model))
    common = ["-m", "tests.benchmarks.quote", "--work", str(options.work), "--size", str(options.size)]
    runs = DEMO_RUNS if options.model == "demo" else TERRAMIND_RUNS
    print(
        f"| pixels | request | windows | quoted s | taken s | ratio | of blocks | {' | '.join(GIGABYTES)} | wall s |"
    )
    print(f"|{' --- |' * (8 + len(GIGABYTES))}")
    ratios = []
    for side, fields in (runs * (1 + options.runs // len(runs)))[: options.runs]:
        told = _in_process(
            environment, *common, "--model", options.model, "--one", json.dumps([side, fields])
        )
        found = json.loads(told.splitlines()[-1])
        ratios.append(found["quoted"] / found["taken"])
        words = "; ".join(
            f"{name} {'+'.join(value) if isinstance(value, tuple) else value}"
            for name, value in fields.items()
        )
        print(
            f"| {side} x {side} | {words} | {found['windows']} | {found['quoted']:.1f} | {found['taken']:.1f} "
            f"| {ratios[-1]:.2f} | {found['quoted blocks'] / found['taken blocks']:.2f} "
            f"| {' | '.join(gigabytes_in_words(found['gigabytes']))} | {found['wall']:.1f} |",
            flush=True,
        )
    within = sum(abs(ratio - 1) <= 0.15 for ratio in ratios)
    print(
        f"{within} of {len(ratios)} within 15 %; in all {statistics.geometric_mean(ratios):.2f}; {found['basis']}"
    )


if __name__ == "__main__":
    main()
