"""Sums of logits for a consensus of windows: on the host, as until 0.2, against where the model computes, in one run.

    python -m tests.benchmarks.consensus_sums [--device cpu|cuda] [--codes 15360] [--windows 24] [--rounds 5]

Both add the same logits of a row of windows at stride 192, two rows of tiles one after the other, and take the mean of
each tile that is done. On the host that is the way that logits took before: copied from the device, added by numpy, the
means copied back. The two take turns; the median of the rounds' ratios is told. What draws tokens is the same in both.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from terramosaic.model.devices import Device, available_cpus, parse_device
from terramosaic.model.ground_sums import GroundSums, parts_of
from terramosaic.model.io_binding import Tensor

SIDE, STEP = 14, 12
PATCHES = np.arange(STEP * STEP)
ONES = np.ones(STEP * STEP, np.float32)


def tiles_under(j: int) -> list[tuple[int, int]]:
    return [(row // STEP, j + col // STEP) for row, col, _, _ in parts_of(SIDE, STEP)]


def on_the_host(logits: Tensor, count: int, means: Tensor) -> None:
    """The way of logits from the device into tiles of numpy's, and of means back."""
    codes = logits.shape[-1]
    sums: dict[tuple[int, int], np.ndarray] = {}
    for j in range(count):
        read = np.concatenate([logits.read().copy()])[0].reshape(SIDE, SIDE, codes)
        for key, (row, col, height, width) in zip(tiles_under(j), parts_of(SIDE, STEP), strict=True):
            tile = sums.setdefault(key, np.zeros((STEP, STEP, codes), np.float32))
            tile[:height, :width] += read[row : row + height, col : col + width]
        done = sums.pop((0, j)).reshape(-1, codes)[PATCHES]
        done /= ONES[:, None]
        means.write(done[None])


def on_the_device(sums: GroundSums, logits: Tensor, count: int) -> None:
    for j in range(count):
        sums.add(logits.place(0), tiles_under(j))
        sums.mean((0, j), PATCHES, ONES)
    for j in range(count + 1):
        sums.forget((1, j))
    sums.forget((0, count))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--codes", type=int, default=15_360)
    parser.add_argument("--windows", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device: Device = parse_device(given.device)
    logits = Tensor((1, SIDE * SIDE, given.codes), np.float32, device)
    logits.write(np.random.default_rng(1).standard_normal(logits.shape, np.float32))
    means = Tensor((1, STEP * STEP, given.codes), np.float32, device)
    sums = GroundSums(SIDE, STEP, given.codes, device, threads=available_cpus())
    taken: dict[str, list[float]] = {"host": [], "device": []}
    for number in range(given.rounds + 1):
        for name, run in (
            ("host", lambda: on_the_host(logits, given.windows, means)),
            ("device", lambda: on_the_device(sums, logits, given.windows)),
        ):
            started = time.perf_counter()
            run()
            if number:  # the first round warms up
                taken[name].append((time.perf_counter() - started) / given.windows * 1000)
    ratios = [one / other for one, other in zip(taken["host"], taken["device"], strict=True)]
    for name, times in taken.items():
        print(
            f"{name}: {statistics.median(times):.1f} ms a window and target ({min(times):.1f} to {max(times):.1f})"
        )
    print(
        f"host / device: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}), on {device}"
    )


if __name__ == "__main__":
    main()
