"""How fast is the device? Whole batches, and each part alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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

#: Who asks for batches at once, as a run's blocks do: one's are copied while another's are computed.
_CALLERS = 3


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
    generate = partial(generator.generate, {"S2L2A": windows}, randomness)
    alone = median_seconds(generate, repeats)
    rate = _CALLERS * batch / _seconds_of_callers(generate, repeats)
    tflops = rate * work / 1000
    head = (
        "batch",
        "windows/s, one caller",
        f"{_CALLERS} callers",
        "ms a window",
        "TFLOP/s",
        share_of(device),
    )
    title = f"Ours, {', '.join(targets)}, {steps} steps, {work:,.0f} GFLOP a window"
    row = (generator.batch_size, batch / alone, rate, 1000 / rate, tflops, share(tflops, device), opened)
    results.row(title, (*head, "s to open"), row)
    measure_parts(results, generator, steps, repeats)


def _seconds_of_callers(generate: Callable[[], object], repeats: int) -> float:
    """Time of a batch of each caller, while all keep the device busy."""
    with ThreadPoolExecutor(_CALLERS) as pool:
        began = time.perf_counter()
        for done in [pool.submit(generate) for _ in range(_CALLERS * repeats)]:
            done.result()
        return (time.perf_counter() - began) / repeats


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
