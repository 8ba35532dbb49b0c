"""How long polygons of classes take, and how much memory, by the size of the map.

    python -m tests.benchmarks.polygons [--smooth 6] [--least 1] SIDE [SIDE ...]

The map is made up, strip by strip: nine classes in patches, of which all are traced; SIDE x SIDE pixels of 10 m.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import numpy as np
from affine import Affine
from scipy import ndimage

from terramosaic.vectors.components import Components

_ROWS = 512


def main() -> None:
    """Each size in a process of its own, so that peaks are its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sides", type=int, nargs="+")
    parser.add_argument("--smooth", type=float, default=6, help="pixels: patches grow with it")
    parser.add_argument("--least", type=int, default=1, help="pixels of the smallest polygon")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    for side in given.sides:
        if given.here:
            print(measured(side, given.smooth, given.least))
        else:
            how = ["--smooth", str(given.smooth), "--least", str(given.least), "--here", str(side)]
            subprocess.run([sys.executable, "-m", "tests.benchmarks.polygons", *how], check=True)


def measured(side: int, smooth: float, least: int) -> str:
    """A line of figures; making the map up is not counted."""
    rng, finder = np.random.default_rng(0), Components(tuple(range(1, 10)), least)
    count = 0
    seconds = 0.0
    for top in range(0, side, _ROWS):
        strip = np.zeros((_ROWS, side), np.uint8)
        best = np.full(strip.shape, -np.inf, np.float32)
        for value in range(1, 10):
            # Patches go on over the seam as far as they are the same at every row.
            noise = ndimage.gaussian_filter(
                rng.normal(size=strip.shape).astype(np.float32), smooth, mode="wrap"
            )
            strip[noise > best] = value
            best = np.maximum(best, noise)
        begun = time.process_time()
        count += sum(1 for _ in finder.feed(strip, Affine(10, 0, 0, 0, -10, -10 * top)))
        seconds += time.process_time() - begun
    begun = time.process_time()
    count += sum(1 for _ in finder.end())
    seconds += time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    million = side * side / 1e6
    return (
        f"{side} x {side}: {count} polygons, {seconds:.1f} s of processor time, "
        f"{million / seconds:.1f} Mpx/s, peak {peak:.2f} GB"
    )


if __name__ == "__main__":
    main()
