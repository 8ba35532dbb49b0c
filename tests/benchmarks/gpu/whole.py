"""Whole windows of one target, from arrays to arrays: ours beside torch, which needs terratorch's sources."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.gpu.machine import share, share_of
from tests.benchmarks.gpu.measure import gflop, median_seconds
from tests.benchmarks.gpu.models import a_batch, make_reference
from tests.benchmarks.gpu.table import Results

if TYPE_CHECKING:
    from terramosaic.model.bundle import Bundle
    from terramosaic.model.generator import WindowRandomness

#: By name, how it is called in the table.
WAYS = {
    "ours": "ours",
    "eager": "terratorch, eager, float32",
    "compiled": "torch, half precision, channels last, compiled",
}


def measure_whole(
    results: Results,
    bundle: Bundle,
    target: str,
    device: str,
    steps: int,
    batch: int,
    repeats: int,
    mode: str,
    name: str,
) -> None:
    """Windows a second of a target, one batch at a time; ``mode`` is of ``torch.compile``."""
    windows, randomness = a_batch(bundle, (target,), batch)
    began = time.perf_counter()
    if name == "ours":
        run = _ours(bundle, target, device, steps, batch, randomness)
    else:
        run = _by_torch(str(bundle.manifest.variant), target, device, steps, mode, name)
    run(windows)
    started = time.perf_counter() - began
    seconds = median_seconds(partial(run, windows), repeats)
    tflops = batch * gflop(bundle, (target,), steps) / seconds / 1000
    head = ("way", "batch", "windows/s", "TFLOP/s", share_of(device), "s to the first batch")
    row = (WAYS[name], batch, batch / seconds, tflops, share(tflops, device), started)
    results.row(f"Whole windows of {target}, {steps} steps", head, row)


def _ours(
    bundle: Bundle,
    target: str,
    device: str,
    steps: int,
    batch: int,
    randomness: dict[str, WindowRandomness],
) -> Callable[[np.ndarray], object]:
    from terramosaic.model.generator import GenerationOptions
    from terramosaic.model.opening import open_generator

    options = GenerationOptions(steps=steps)
    generator = open_generator(bundle, (target,), device, options=options, batch_size=batch)
    return lambda windows: generator.generate({"S2L2A": windows}, randomness)


def _by_torch(
    variant: str, target: str, device: str, steps: int, mode: str, name: str
) -> Callable[[np.ndarray], object]:
    from tests.benchmarks.gpu import rivals

    reference = make_reference(variant, (target,))
    if name == "eager":
        made = rivals.eager(reference, device, steps)
    else:
        made = rivals.strongest(reference, device, steps, mode)

    def run(windows: np.ndarray) -> object:
        found = made(windows)
        rivals.wait(device)
        return found

    return run
