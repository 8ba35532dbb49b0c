"""One diffusion target's denoising on the CPU: Winograd's share of it, and what OpenVINO would make of the same graph.

    python -m tests.benchmarks.cpu_step --bundle DIR [--target NDVI] [--steps 10] [--rounds 5] [--threads 2]

Runs the bundle's step graph by ONNX Runtime as it was exported, by ONNX Runtime as the engine prepares it (Winograd's
products in place of wide convolutions), and, where OpenVINO is installed, by that in float32 and, on processors that
have it, bfloat16. They take turns at the same window, so that what else the machine does hits all alike. Prints the
seconds of all steps (median), how many times as fast as the graph as exported (median of the rounds' ratios), and how
far the last step's values are from its (relative L2).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime

from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.devices import Device
from terramosaic.model.diffusion import ddim_steps
from terramosaic.model.manifest import STEP
from terramosaic.model.runtime import graph_session, session_options
from terramosaic.model.sessions import open_session

Feeds = dict[str, np.ndarray]
#: Takes a step: its inputs to ``next`` and ``values``.
Step = Callable[[Feeds], tuple[np.ndarray, np.ndarray]]

AS_EXPORTED = "ONNX Runtime, as exported"


def by_onnxruntime(session: onnxruntime.InferenceSession) -> Step:
    """A step by a session."""

    def step(feeds: Feeds) -> tuple[np.ndarray, np.ndarray]:
        following, values = session.run(["next", "values"], feeds)
        return following, values

    return step


def by_openvino(graph: Path, precision: str, threads: int) -> Step:
    """A step by OpenVINO, of one window.

    Args:
        graph: as exported.
        precision: that it is asked to compute in, ``f32`` or ``bf16``.
        threads: processors.
    """
    import openvino

    core = openvino.Core()
    model = core.read_model(graph)
    fixed = {
        port: [1 if side.is_dynamic else side.get_length() for side in port.partial_shape]
        for port in model.inputs
    }
    model.reshape(fixed)
    wanted = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
    request = core.compile_model(model, "CPU", wanted).create_infer_request()

    def step(feeds: Feeds) -> tuple[np.ndarray, np.ndarray]:
        found = request.infer(feeds)
        return found["next"].copy(), found["values"].copy()

    return step


def contenders(bundle: Bundle, target: str, threads: int) -> Iterator[tuple[str, Step]]:
    """All that take turns, the graph as exported first."""
    file = bundle.targets[target].graphs[STEP]
    graph = bundle.folder / file
    yield AS_EXPORTED, by_onnxruntime(graph_session(graph, session_options(threads)))
    prepared = open_session(bundle, STEP, file, Device("cpu"), threads=threads, batch=1)
    yield "ONNX Runtime, as the engine prepares it", by_onnxruntime(prepared)
    if find_spec("openvino"):
        import openvino

        yield "OpenVINO, float32", by_openvino(graph, "f32", threads)
        if "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            yield "OpenVINO, bfloat16", by_openvino(graph, "bf16", threads)


def denoised(
    step: Step, bundle: Bundle, target: str, count: int, code: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """The values after so many steps from noise, float32 (1, channels, 224, 224)."""
    spec = bundle.targets[target]
    assert spec.schedule  # a diffusion target
    values = x = noise
    for each in ddim_steps(spec.schedule, count):
        coefficients = np.array([each.a, each.b, each.c, spec.x0_clip], np.float32)
        x, values = step(
            {"x": x, "code": code, "t": np.array([each.t], np.float32), "coefficients": coefficients}
        )
    return values


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True, help="of TerraMind, with a diffusion target")
    parser.add_argument("--target", default="NDVI")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(arguments)
    bundle, target = load_bundle(options.bundle), options.target
    steps = dict(contenders(bundle, target, options.threads))
    rng = np.random.default_rng(0)
    spec, manifest = bundle.targets[target], bundle.manifest
    levels = spec.codebook_levels
    assert levels
    shape = (1, len(levels), manifest.patches, manifest.patches)
    # A code is on the levels of its codebook, scaled to -1 to 1.
    code = np.stack([rng.integers(0, level, shape[2:]) / (level - 1) * 2 - 1 for level in levels]).astype(
        np.float32
    )[None]
    noise = rng.standard_normal((1, spec.noise_channels, manifest.window, manifest.window), np.float32)
    found: dict[str, np.ndarray] = {}
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            found[name] = denoised(step, bundle, target, options.steps, code, noise)
            seconds[name].append(time.perf_counter() - started)
    true = found[AS_EXPORTED]
    print(
        f"| {target}, {options.steps} steps, {options.threads} threads | seconds | times as fast | relative L2 |"
    )
    print("| --- | --- | --- | --- |")
    for name, taken in seconds.items():
        ratios = [whole / part for whole, part in zip(seconds[AS_EXPORTED][1:], taken[1:], strict=True)]
        far = np.linalg.norm(found[name] - true) / np.linalg.norm(true)
        print(
            f"| {name} | {statistics.median(taken[1:]):.2f} | {statistics.median(ratios):.2f} | {far:.1e} |"
        )


if __name__ == "__main__":
    main()
