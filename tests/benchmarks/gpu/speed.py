"""How fast is the device? Whole batches, each part alone, and a U-Net with one choice changed at a time."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from terramosaic.model.bundle import Bundle
from terramosaic.model.denoiser import Denoiser
from terramosaic.model.devices import parse_device
from terramosaic.model.diffusion import ddim_steps
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.io_binding import Tensor
from terramosaic.model.manifest import STEP
from terramosaic.model.opening import open_generator
from terramosaic.model.terramind import TerraMindGenerator
from tests.benchmarks.gpu.machine import PEAK_TFLOPS
from tests.benchmarks.gpu.models import UNET_STEP, a_batch, gflop
from tests.benchmarks.gpu.table import Results


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median time of a call that returns when its work is done, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure_batches(
    results: Results,
    bundle: Bundle,
    targets: tuple[str, ...],
    device: str,
    *,
    steps: int,
    batches: list[int],
    repeats: int,
) -> None:
    """Windows a second from arrays in memory to arrays in memory, by size of batch."""
    rows = []
    work = gflop(str(bundle.manifest.variant), targets, steps)
    for batch in batches:
        windows, randomness = a_batch(bundle, targets, batch)
        generator = open_generator(
            bundle, targets, device, options=GenerationOptions(steps=steps), batch_size=batch
        )
        assert isinstance(generator, TerraMindGenerator)
        seconds = median_seconds(partial(generator.generate, {"S2L2A": windows}, randomness), repeats)
        tflops = batch / seconds * work / 1000
        share = f"{tflops / PEAK_TFLOPS:.1%}"
        rows.append((generator.batch_size, batch / seconds, 1000 * seconds / batch, tflops, share))
        measure_parts(results, generator, steps, repeats)
    head = ("batch", "windows/s", "ms a window", "TFLOP/s", f"of {PEAK_TFLOPS:g} TFLOP/s")
    results.table(f"Ours, {', '.join(targets)}, {steps} steps, {work:,.0f} GFLOP a window", head, rows)


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


def measure_choices(
    results: Results, bundle: Bundle, target: str, device: str, steps: int, batch: int, repeats: int
) -> None:
    """One target's U-Net with one choice changed at a time. Needs CUDA."""
    from terramosaic.model.cuda import prepare_step, sessions

    choices: list[tuple[str, Any, dict[str, str], bool]] = [
        ("as it is", prepare_step, {}, True),
        ("as it is, once more", prepare_step, {}, True),
        ("no CUDA graph", prepare_step, {}, False),
        ("prefer_nhwc=1", prepare_step, {"prefer_nhwc": "1"}, True),
        ("fuse_conv_bias=0", prepare_step, {"fuse_conv_bias": "0"}, True),
        ("cudnn_conv_algo_search=EXHAUSTIVE", prepare_step, {"cudnn_conv_algo_search": "EXHAUSTIVE"}, True),
        ("cudnn_conv_use_max_workspace=0", prepare_step, {"cudnn_conv_use_max_workspace": "0"}, True),
        ("operators as exported, half", _half_alone, {}, True),
        ("operators as exported, half, prefer_nhwc=1", _half_alone, {"prefer_nhwc": "1"}, True),
    ]
    spec = bundle.targets[target]
    assert spec.schedule is not None
    where, schedule = parse_device(device), ddim_steps(spec.schedule, steps)
    rows: list[tuple[object, ...]] = []
    base = sessions.CUDA_OPTIONS
    with tempfile.TemporaryDirectory() as folder:
        graphs: dict[Any, Path] = {}
        for name, prepare, options, capture in choices:
            try:
                if prepare not in graphs:
                    graphs[prepare] = Path(folder, f"{len(graphs)}.onnx")
                    prepare(bundle.folder / spec.graphs[STEP], graphs[prepare])
                sessions.CUDA_OPTIONS = {**base, **options}
                session = sessions.open_on_cuda(
                    graphs[prepare], device_index=where.index, batch=batch, threads=1, capture=capture
                )
                code = Tensor((batch, len(spec.codebook_levels), 14, 14), np.float32, where)
                values = Tensor((batch, spec.planes, 224, 224), np.float32, where)
                noise = Tensor((batch, spec.noise_channels, 224, 224), np.float32, where)
                noise.write(np.random.default_rng(0).standard_normal(noise.shape, np.float32))
                denoiser = Denoiser(session, schedule, 1.0, where, code, values)
                first = denoiser.from_noise(noise, 0)
                seconds = median_seconds(partial(denoiser.denoise, first), repeats)
                tflops = batch * steps * UNET_STEP / seconds / 1000
                rows.append((name, 1000 * seconds / steps / batch, tflops, f"{tflops / PEAK_TFLOPS:.1%}"))
            except Exception as error:  # a choice that does not work is a result too
                rows.append((name, "failed", " ".join(str(error).split())[:120], ""))
            finally:
                sessions.CUDA_OPTIONS = base
    head = ("choice", "ms a step and window", "TFLOP/s", f"of {PEAK_TFLOPS:g}")
    results.table(f"{target}'s U-Net, batch {batch}, {steps} steps", head, rows)


def _half_alone(source: Path, target: Path) -> None:
    """Half precision without any fusing: what ONNX Runtime makes of the exporter's operators by itself."""
    from terramosaic.model.cuda import step
    from terramosaic.model.cuda.graph import load_graph
    from terramosaic.model.cuda.half import to_half

    graph = load_graph(source)
    to_half(graph, step._half_part(graph))
    graph.save(target)
