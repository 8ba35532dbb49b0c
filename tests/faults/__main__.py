"""``python -m tests.faults``: at least 20 kills, from one seed, and the table of what they cost.

python -m tests.faults --kills 20 --seed 1 --work out/faults
python -m tests.faults --kills 4 --runner dask:2      (blocks in a flow run of their own below the run)
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from terramosaic.demo.world import write_world
from terramosaic.request.region import BoundingBox
from terramosaic.request.request import RegionRequest
from tests.faults.shooting import Shot, same_pixels, shoot, shooting_range, targets_of

#: Kills in one run. It may be started ten times, and each kill but a block process's costs a start.
_A_RUN = 4


def main() -> None:
    """Shoots, and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runner", default="processes:cpu,cpu")
    parser.add_argument("--work", type=Path, default=Path("out/faults"))
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    rng = random.Random(arguments.seed)
    world = write_world(work / "world")
    shots: list[Shot] = []
    runs: dict[int, tuple[str, bool]] = {}
    with shooting_range(work / "home", arguments.runner) as place:
        while len(shots) < arguments.kills:
            number = len(runs) + 1
            request = request_of_run(world, work / f"run-{number}", seed=number)
            # All four kinds in each run, in an order of its own.
            targets = rng.sample(sorted(targets_of(arguments.runner)), _A_RUN)
            fired, ended = shoot(place, number, request, targets, rng, lambda line: print(line, flush=True))
            equal = ended["state_type"] == "COMPLETED" and same_pixels(request, work / "unbroken")
            runs[number] = ended["id"], equal
            shots += fired
            print(
                f"run {number}: {ended['state_name']}; pixels {'equal' if equal else 'DIFFERENT'}", flush=True
            )
        # Not as each run ended, but as it is now: nothing that was left behind may have told the server otherwise.
        ends = {number: place.end_of(run) for number, (run, _) in runs.items()}
    print(
        "\n| run | killed | moment, s | blocks done | in flight | finished blocks redone | pixels | the run's end |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for shot in shots:
        pixels = "equal" if runs[shot.run][1] else "DIFFERENT"
        print(
            f"| {shot.run} | {shot.target} | {shot.moment:.1f} | {shot.done} | {shot.in_flight} | {shot.redone} "
            f"| {pixels} | {ends[shot.run]} |"
        )


def request_of_run(catalog: Path, out: Path, seed: int) -> RegionRequest:
    """Some twenty-five blocks of a few seconds each, over the seam of the made-up world's tiles."""
    return RegionRequest(
        region=BoundingBox(west=8.9, south=43.645, east=9.22, north=43.8),
        datetime="2020-04",
        catalog=str(catalog),
        targets=("NDVI", "LULC"),
        stride=32,
        block_size=512,
        seed=seed,
        out=str(out),
    )


if __name__ == "__main__":
    main()
