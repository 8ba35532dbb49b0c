"""How fast is the device? Whole batches, and each part alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np

from terramosaic.model.bundle import Bundle
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.opening import open_generator
from terramosaic.model.terramind import TerraMindGenerator
from tests.benchmarks.gpu.machine import share, share_of
from tests.benchmarks.gpu.measure import gflop, median_seconds
from tests.benchmarks.gpu.models import a_batch
from tests.benchmarks.gpu.table import Results


def measure_batch(
    results: Results,
    bundle: Bundle,
    targets: tuple[str, ...],
    device: str,
    steps: int,
    batch: int,
    repeats: int,
) -> None:
    """Windows a second from arrays in memory to arrays in memory, for one size of batch, and the time of each part."""
    work = gflop(bundle, targets, steps)
    windows, randomness = a_batch(bundle, targets, batch)
    began = time.perf_counter()
    generator = open_generator(
        bundle, targets, device, options=GenerationOptions(steps=steps), batch_size=batch
    )
    opened = time.perf_counter() - began
    assert isinstance(generator, TerraMindGenerator)
    seconds = median_seconds(partial(generator.generate, {"S2L2A": windows}, randomness), repeats)
    tflops = batch / seconds * work / 1000
    head = ("batch", "windows/s", "ms a window", "TFLOP/s", share_of(device), "s to open")
    title = f"Ours, {', '.join(targets)}, {steps} steps, {work:,.0f} GFLOP a window"
    row = (
        generator.batch_size,
        batch / seconds,
        1000 * seconds / batch,
        tflops,
        share(tflops, device),
        opened,
    )
    results.row(title, head, row)
    measure_parts(results, generator, steps, repeats)


def measure_parts(results: Results, generator: TerraMindGenerator, steps: int, repeats: int) -> None:
    """The time of each graph of a pipeline, with what the last batch left in its tensors."""
    pipeline = generator._pipeline
    parts: list[tuple[str, Callable[[], object]]] = []
    with pipeline.buffers() as buffers:
        parts += [(f"{name} as input", graph.run) for name, graph in buffers.inputs.items()]
        parts += [(f"context, {length} before", graph.run) for length, graph in pipeline._contexts.items()]
        parts += [(f"decode {target}", graph.run) for target, graph in pipeline._decode.items()]
        parts += [(f"tokens {target}", graph.run) for target, graph in buffers.tokens.items()]
        parts += [(f"classes {target}", graph.run) for target, graph in pipeline._classes.items()]
        for target, denoiser in pipeline._denoisers.items():
            parts.append((f"{steps} steps {target}", partial(denoiser.denoise, buffers.first_step[target])))
        read = next(iter(pipeline._values.values()))
        parts.append(("copy a target back", read.read))
        for name, tensor in buffers.windows.items():
            parts.append((f"copy {name} there", partial(tensor.write, np.zeros(tensor.shape, np.float32))))
        rows = []
        for name, run in parts:
            milliseconds = 1000 * median_seconds(run, repeats)
            rows.append((name, milliseconds, milliseconds / pipeline.batch))
    results.table(f"Parts, batch {pipeline.batch}", ("part", "ms a batch", "ms a window"), rows)
