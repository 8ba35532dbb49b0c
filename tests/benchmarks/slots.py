"""How much of what a GPU computes is wanted: places in its batches over the windows that a region needs.

    python -m tests.benchmarks.slots --work DIR [--area 60000] [--workers 4]

Plans a Sentinel-2 tile and a made-up country in blocks of several sizes, and counts: windows that the region needs,
each once; windows that its blocks compute, where those at their edges count for each; and places in batches of 32 and
64, where each block pads its own last batch, and where blocks share them. For the last, the blocks of the plan hand
their numbers of windows to the engine's own queue, from threads as in a run, with a model that only takes its time.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from terramosaic.block.windows import region_mask, windows_by_row
from terramosaic.ground.zones import as_geojson
from terramosaic.model.generator import Needs, WindowRandomness, Windows
from terramosaic.model.shared_batches import BatchQueue, SharedBatches
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan
from terramosaic.request.area import area_from_tile
from terramosaic.request.request import RegionRequest
from tests.support.country import country, plain_template, write_country

#: Seconds of a batch, a thirtieth of a GPU's, and of a block's imagery before its first batch.
_BATCH_SECONDS, _READ_SECONDS = 0.02, 0.05


class Clock:
    """A model that makes nothing of windows, and counts."""

    targets: tuple[str, ...] = ("S1GRD",)
    needs: Mapping[str, Needs] = {}

    def __init__(self, batch: int) -> None:
        self.batch_size, self.runs = batch, 0

    def generate_with_tokens(
        self, windows: Windows, *_: Any
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """One run, whatever it is given."""
        self.runs += 1
        time.sleep(_BATCH_SECONDS)
        return {"S1GRD": windows["S2L2A"]}, {}

    def generate(self, windows: Windows, *_: Any) -> dict[str, np.ndarray]:
        """The same."""
        return self.generate_with_tokens(windows)[0]


def shared_slots(blocks: Sequence[int], batch: int, workers: int) -> int:
    """Places in the batches that blocks of so many windows fill together."""
    model, queue = Clock(batch), BatchQueue()

    def compute(windows: int) -> None:
        shared = SharedBatches(model, queue)
        with shared.taking_part():
            time.sleep(_READ_SECONDS)
            for start in range(0, windows, batch):
                given = {"S2L2A": np.empty(min(batch, windows - start))}
                shared.generate(given, dict[str, WindowRandomness]())

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(compute, blocks))
    return model.runs * batch


def wanted(made: Plan) -> int:
    """Windows that a plan's region needs, each once."""
    found: set[tuple[int, int, int]] = set()
    lattices = [each.lattice for each in made.lattices]
    for block in made.blocks:
        for row in windows_by_row(lattices, block.rect, region_mask(made, block)):
            found |= {(block.epsg, row.i, j) for j in row.columns}
    return len(found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for the catalogs")
    parser.add_argument("--area", type=float, default=60_000, help="of the country, in km²")
    parser.add_argument("--workers", type=int, default=4, help="blocks at the same time")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    outline = country(options.area)
    for name, region, ground in (
        ("tile 33TWL", {"tile": "33TWL"}, shapely.union_all(area_from_tile("33TWL").parts)),
        (f"country of {options.area:,.0f} km²", as_geojson(outline), outline),
    ):
        catalog = options.work / f"catalog-{name.split()[0]}.json"
        write_country(catalog, ground, days=12, template=plain_template())
        for size in (2048, 4096, 8192):
            request = RegionRequest(
                region=region, datetime="2023-06", catalog=str(catalog), out=str(options.work / "out"),
                block_size=size, max_cloud=100, max_area_km2=1e6,
            )  # fmt: skip
            made = plan(request)
            needed, blocks = wanted(made), [block.windows for block in made.blocks]
            told = []
            for batch in (32, 64):
                alone = sum(math.ceil(windows / batch) * batch for windows in blocks)
                together = shared_slots(blocks, batch, options.workers)
                told.append(f"batches of {batch}: {alone / needed:.3f} alone, {together / needed:.3f} shared")
            print(
                f"{name}, {len(blocks)} blocks of {size}: {needed} windows, {sum(blocks) / needed:.3f} computed; "
                + "; ".join(told),
                flush=True,
            )


if __name__ == "__main__":
    main()
