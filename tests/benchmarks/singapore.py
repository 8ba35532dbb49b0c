"""The large tile of TerraMind's paper (Singapore, 35.5 x 69.5 km, its Figures 19 to 23): quoted, and run with the demo.

    python -m tests.benchmarks.singapore --work DIR [--quotes-only]

Prints what the five targets take there with the demo model, and by the table with TerraMind tiny and base, on the CPU
and on GPUs. Then it makes a scene of that ground (about 0.5 GB, made up) and maps it with the demo model, from files to
report. The runs of TerraMind are quoted by the table: no weights are needed.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from terramosaic import load_bundle, map_region, plan
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import zone_areas
from terramosaic.model.bundle import Bundle
from terramosaic.model.speed import table_speed
from terramosaic.model.work import chain_of
from terramosaic.planning.plan import Plan
from terramosaic.publishing.numbers import duration
from terramosaic.publishing.record import gather
from terramosaic.publishing.taken import quote_and_taken
from terramosaic.request.request import RegionRequest
from tests.benchmarks.quote import GIGABYTES, gigabytes_in_words
from tests.benchmarks.throughput import make_scene_of

#: West, south, east, north.
REGION = (103.51, 1.16, 104.1345, 1.4809)

_TARGETS = ("S1GRD", "S1RTC", "NDVI", "LULC", "DEM")
_DEMO_TARGETS = ("S1GRD", "S1RTC", "NDVI", "LULC")
_DEVICES = ("cpu", "NVIDIA T4", "NVIDIA A100", "NVIDIA H100", "NVIDIA H200")
#: What blocks are by default, which decides how many windows are computed twice.
_BLOCKS = {"cpu": 2048, "cuda": 8192}


def scene(work: Path) -> Path:
    """The made-up scene, which lies around the region by a window and more."""
    rect = zone_areas(RegionRequest(region=REGION, datetime="2023").area())[0].rect.pad(300)
    tidy = Rect(rect.row, rect.col, -(-rect.height // 12) * 12, -(-rect.width // 12) * 12)
    return make_scene_of(work / "scene-singapore", tidy, 32648, "48NUG")


def terramind(variant: str) -> Bundle:
    """A bundle of a variant as far as its work is counted: sizes, codebooks, kinds; there are no graphs."""
    demo = load_bundle("demo")
    long, short = (8, 8, 8, 6, 5), (7, 5, 5, 5, 5)
    some = demo.targets["NDVI"]
    targets = {
        name: some.model_copy(
            update={"kind": "direct", "codebook_levels": short}
            if name == "LULC"
            else {"kind": "diffusion", "codebook_levels": long}
        )
        for name in _TARGETS
    }
    changes = {"variant": variant, "family": "terramind", "targets": targets, "graphs": {"context": "none"}}
    return replace(demo, manifest=demo.manifest.model_copy(update=changes))


def quotes(made: dict[str, Plan]) -> Iterator[tuple[str, str, float, float]]:
    """Model, device, seconds of the device for windows' targets, and of a processor for all else."""
    for name, steps in (("tiny", 1), ("tiny", 10), ("base", 10)):
        bundle = terramind(f"terramind_v1_{name}")
        for device in _DEVICES:
            kind = "cpu" if device == "cpu" else "cuda"
            speed, seen = table_speed(bundle, device), chain_of(_TARGETS, "chained")
            seconds = sum(
                speed.seconds(bundle, target, steps=steps, seen=seen[target]) for target in _TARGETS
            )
            quote = made[kind].figures.quote
            assert quote is not None
            yield (
                f"{name}, {steps} step{'s' * (steps > 1)}",
                device,
                seconds * made[kind].figures.windows,
                60 * quote.beside_minutes * len(_TARGETS) / len(_DEMO_TARGETS),
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the quotes, and what the run took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the scene and the outputs")
    parser.add_argument("--quotes-only", action="store_true", help="do not run the demo")
    options = parser.parse_args(arguments)
    fields: dict[str, Any] = {
        "region": REGION,
        "datetime": "2023-08-15",
        "catalog": str(scene(options.work)),
        "out": str(options.work / "out"),
        "targets": _DEMO_TARGETS,
    }
    made = {kind: plan(fields, block_size=side) for kind, side in _BLOCKS.items()}
    figures = made["cpu"].figures
    quote = figures.quote
    assert quote is not None
    print(
        f"{figures.area_km2:.0f} km²; windows: { ({kind: each.figures.windows for kind, each in made.items()}) }"
    )
    print("| model | device | of the device | all else, of one processor |\n| --- | --- | --- | --- |")
    model = 60 * sum(figures.device_minutes.values())
    print(f"| demo | cpu | {duration(model)} | {duration(60 * quote.beside_minutes)} |")
    for name, device, seconds, beside in quotes(made):
        print(f"| {name} | {device} | {duration(seconds)} | {duration(beside)} |")
    if options.quotes_only:
        return
    before, started = time.process_time(), time.perf_counter()
    result = map_region(fields)
    taken, wall = time.process_time() - before, time.perf_counter() - started
    told = zip(GIGABYTES, gigabytes_in_words(quote_and_taken(gather(result.plan))), strict=True)
    print(
        f"demo, run: {duration(taken)} of processors, quoted {duration(60 * figures.minutes)} "
        f"({60 * figures.minutes / taken:.2f}); {duration(wall)} by the clock; {quote.basis}; "
        f"taken of quoted: {', '.join(f'{name} {words}' for name, words in told)}"
    )
    shutil.rmtree(str(result.folder))


if __name__ == "__main__":
    main()
