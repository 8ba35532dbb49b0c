"""What does one more input cost? A window of a model with it beside one without, and reading it, in one run.

    python -m tests.benchmarks.inputs BUNDLE [--targets NDVI,LULC] [--steps 4] [--runs 5] [--side 1024]

BUNDLE takes several inputs. Prints the least processor time of several runs, taken in turns, and its ratio to that of
S2L2A alone: of a window through the model on one processor, and of reading a square of so many pixels from files of
the real layout on their own grid.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from shapely.geometry import box

from terramosaic.bands import INPUT_BANDS, S2L2A_BANDS
from terramosaic.catalog.backscatter import backscatter_from_item
from terramosaic.catalog.elevation import Elevation
from terramosaic.catalog.scene import scene_from_item
from terramosaic.ground.grid import Rect
from terramosaic.ground.noise import GroundNoise, GroundUniform
from terramosaic.ground.zones import lonlat_of
from terramosaic.imagery.backscatter import read_backscatter
from terramosaic.imagery.elevation import read_elevation
from terramosaic.imagery.pool import READERS
from terramosaic.imagery.stack import Imagery, StackReader
from terramosaic.model.bundle import load_bundle
from terramosaic.model.generator import GenerationOptions, Generator, WindowRandomness
from terramosaic.model.opening import open_generator
from tests.support.heights import write_tile
from tests.support.radar import write_rtc
from tests.support.scenes import AsPlanned, write_scene

_EPSG = 32633
_SETS = (
    ("S2L2A",), ("S2L2A", "DEM"), ("S2L2A", "S1RTC", "DEM"), ("S2L2A", "S2L1C", "S2RGB", "S1RTC", "DEM"),
    ("S1RTC",), ("S2L1C",), ("S2RGB",),
)  # fmt: skip
_SPREAD = {"S1RTC": (-12, 4), "S1GRD": (-12, 4), "DEM": (600, 300), "S2RGB": (80, 40)}


class UsesAll(AsPlanned):
    """As the items say; readers that inspect themselves do."""

    def decision(self, reader: Any) -> Any:
        return reader.inspect() if hasattr(reader, "inspect") else super().decision(reader)


def model_runs(folder: str, targets: tuple[str, ...], steps: int) -> dict[str, Callable[[], object]]:
    """A window through the model, by its inputs."""
    bundle, window = load_bundle(folder), Rect(490_000, 50_000, 224, 224)
    rng, pixels = np.random.default_rng(1), {}
    runs: dict[str, Callable[[], object]] = {}
    for name, bands in INPUT_BANDS.items():
        mean, std = _SPREAD.get(name, (1500, 800))
        pixels[name] = rng.normal(mean, std, (1, len(bands), 224, 224)).astype(np.float32)
    for inputs in _SETS:
        if set(inputs) <= set(bundle.inputs):
            options = GenerationOptions(steps=steps, inputs=inputs)
            model = open_generator(bundle, targets, "cpu", options=options, threads=1)
            windows = {name: pixels[name] for name in inputs}
            runs["+".join(inputs)] = partial(_generate, model, windows, window)
    return runs


def _generate(model: Generator, windows: Mapping[str, np.ndarray], window: Rect) -> object:
    randomness = {
        name: WindowRandomness(
            GroundNoise(1, name, _EPSG, need.noise_channels).cut(window)[None]
            if need.noise_channels
            else None,
            GroundUniform(1, name, _EPSG).cut(window)[None] if need.uniform else None,
        )
        for name, need in model.needs.items()
    }
    return model.generate(windows, randomness)


def reading_runs(folder: Path, side: int) -> dict[str, Callable[[], object]]:
    """A square of each input read from its files."""
    rect = Rect(490_002, 50_004, math.ceil(side / 6) * 6, math.ceil(side / 6) * 6)
    square = Rect(rect.row, rect.col, side, side)
    l2a = scene_from_item(write_scene(folder / "l2a", rect))
    l1c = scene_from_item(
        write_scene(folder / "l1c", rect, name="S2A_33TWL_20230815_0_L1C", l1c=True),
        bands=INPUT_BANDS["S2L1C"],
        level="L1C",
    )
    radar = backscatter_from_item(write_rtc(folder / "rtc", rect))
    lon, lat = (float(at) for at in lonlat_of(box(*rect.bounds).centroid, _EPSG).coords[0])
    tile = write_tile(folder / "dem", math.floor(lat), math.floor(lon), around=(lon, lat))
    decisions: Any = UsesAll()  # typed for scenes of Sentinel-2 alone

    def optical(*bands: str, scene: Any = l2a) -> object:
        imagery = Imagery(_EPSG, bands, ((scene,),), "best", decisions)
        with StackReader(imagery, square, np.ones(square.shape, bool)) as stack:
            return [strip.valid.sum() for strip in stack.strips()]

    return {
        "S2L2A": partial(optical, *S2L2A_BANDS),
        "S2RGB": partial(optical, "B02", "B03", "B04"),
        "S2L1C": partial(optical, *INPUT_BANDS["S2L1C"], scene=l1c),
        "S1RTC": partial(read_backscatter, (radar,), square, _EPSG, decisions),
        "DEM": partial(read_elevation, Elevation(tiles=(tile,), coarse=(), sea=()), square, _EPSG, decisions),
    }


def show(title: str, runs: Mapping[str, Callable[[], object]], times: int) -> None:
    """Prints the least processor seconds of each, and their ratio to the first one's."""
    least = dict.fromkeys(runs, math.inf)
    for run in runs.values():
        run()
    for _ in range(times):
        for name, run in runs.items():
            READERS.close_idle()
            started = time.process_time()
            run()
            least[name] = min(least[name], time.process_time() - started)
    first = next(iter(least.values()))
    print(title)
    for name, seconds in least.items():
        print(f"  {name:36} {seconds:8.3f} s {seconds / first:7.3f}")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle")
    parser.add_argument("--targets", default="NDVI,LULC")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=1024)
    asked = parser.parse_args()
    targets = tuple(asked.targets.split(","))
    show("a window through the model", model_runs(asked.bundle, targets, asked.steps), asked.runs)
    with TemporaryDirectory() as folder:
        show(
            f"reading {asked.side} x {asked.side} pixels", reading_runs(Path(folder), asked.side), asked.runs
        )


if __name__ == "__main__":
    main()
