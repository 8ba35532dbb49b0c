"""One window of TerraMind on the CPU, exported against terratorch's model called directly, in one run.

    python -m tests.benchmarks.terramind_cpu [--variant terramind_v1_base] [--targets S1GRD,NDVI,LULC] [--rounds 3]

Two processes with the same number of threads take turns at the same window, so that what else the machine does hits
both alike; the median of the rounds' ratios is told. Needs the extra `export`. The first run on a machine exports the
bundle (minutes) into ``--work`` and prepares its graphs.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.gpu.measure import gflop
from tests.benchmarks.gpu.models import a_batch, make_bundle, make_reference


def ours(folder: Path, variant: str, targets: tuple[str, ...], steps: int, threads: int) -> None:
    """Serves windows by the engine: a line in, seconds out."""
    from terramosaic.model.bundle import load_bundle
    from terramosaic.model.generator import GenerationOptions
    from terramosaic.model.opening import open_generator

    started = time.perf_counter()
    bundle = load_bundle(folder)
    generator = open_generator(
        bundle, targets, "cpu", options=GenerationOptions(steps=steps), threads=threads
    )
    opened = time.perf_counter() - started
    windows, randomness = a_batch(bundle, targets, 1)
    _serve(lambda: generator.generate({"S2L2A": windows}, randomness), {"opened": opened})


def theirs(folder: Path, variant: str, targets: tuple[str, ...], steps: int, threads: int) -> None:
    """Serves windows by terratorch's model, as a notebook calls it."""
    import torch

    from terramosaic.model.bundle import load_bundle
    from tests.benchmarks.gpu.rivals import name_of_sentinel_2

    torch.set_num_threads(threads)
    windows, _ = a_batch(load_bundle(folder), targets, 1)
    reference = make_reference(variant, targets)
    model, name = reference.model, name_of_sentinel_2(reference)
    image = torch.from_numpy(windows)

    def generate() -> None:
        with torch.inference_mode():
            model({name: image}, standardize=True, timesteps=steps)

    _serve(generate, {})


def _serve(generate: object, facts: dict[str, float]) -> None:
    assert callable(generate)
    generate()
    print(json.dumps(facts), flush=True)
    for _ in sys.stdin:
        started = time.perf_counter()
        generate()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak": peak}), flush=True)


def best_matrix_rate(threads: int) -> float:
    """GFLOP/s of this machine's best: large matrix products and a wide convolution, in ONNX Runtime."""
    import onnxruntime
    from onnx import TensorProto, helper

    rates = []
    for kind, a, b, flop in (
        ("MatMul", (2048, 2048), (2048, 2048), 2 * 2048**3),
        ("Conv", (1, 512, 56, 56), (512, 512, 3, 3), 2 * 9 * 512**2 * 56**2),
    ):
        attributes: dict[str, Any] = {"pads": [1, 1, 1, 1]} if kind == "Conv" else {}
        graph = helper.make_graph(
            [helper.make_node(kind, ["a", "b"], ["c"], **attributes)],
            kind,
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in (("a", a), ("b", b))
            ],
            [helper.make_tensor_value_info("c", TensorProto.FLOAT, None)],
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        rng = np.random.default_rng(0)
        feeds = {"a": rng.random(a, np.float32), "b": rng.random(b, np.float32)}
        for _ in range(8):
            started = time.perf_counter()
            session.run(None, feeds)
            rates.append(flop / (time.perf_counter() - started) / 1e9)
    return max(rates)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="terramind_v1_base")
    parser.add_argument("--targets", default="S1GRD,NDVI,LULC")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("out/bench"))
    parser.add_argument("--serve", choices=["ours", "theirs"])
    options = parser.parse_args()
    targets = tuple(options.targets.split(","))
    folder = options.work / f"{options.variant}-{'-'.join(targets)}"
    if options.serve:
        serve = ours if options.serve == "ours" else theirs
        return serve(folder, options.variant, targets, options.steps, options.threads)
    bundle, _ = make_bundle(folder, options.variant, targets)
    # Graphs are made ready in a process of its own: that takes memory which running them does not.
    one = [sys.executable, "-m", "tests.benchmarks.terramind_cpu", *sys.argv[1:], "--serve", "ours"]
    subprocess.run(one, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    processes = {}
    for name in ("ours", "theirs"):
        command = [sys.executable, "-m", "tests.benchmarks.terramind_cpu", *sys.argv[1:], "--serve", name]
        processes[name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    told = {name: _answer(process) for name, process in processes.items()}
    rounds: list[dict[str, float]] = []
    peaks: dict[str, float] = {}
    for _ in range(options.rounds):
        seconds = {}
        for name, process in processes.items():
            assert process.stdin
            process.stdin.write("\n")
            process.stdin.flush()
            answer = _answer(process)
            seconds[name], peaks[name] = answer["seconds"], answer["peak"]
        rounds.append(seconds)
        print("  ".join(f"{name} {value:.2f} s" for name, value in seconds.items()), flush=True)
    for process in processes.values():
        process.communicate()
    work = gflop(bundle, targets, options.steps)
    best = best_matrix_rate(options.threads)
    weights = sum(spec.size for name, spec in bundle.manifest.files.items() if name.endswith(".data"))
    ratio = statistics.median(round_["theirs"] / round_["ours"] for round_ in rounds)
    print("\n| | seconds a window | GFLOP/s | peak memory |\n| --- | --- | --- | --- |")
    for name, words in (("ours", "exported, ONNX Runtime"), ("theirs", "terratorch, torch eager")):
        median = statistics.median(round_[name] for round_ in rounds)
        print(f"| {words} | {median:.2f} | {work / median:.0f} | {peaks[name] / 1e9:.2f} GB |")
    ours_rate = work / statistics.median(round_["ours"] for round_ in rounds)
    print(
        f"\n{options.variant}, {options.targets}, {options.steps} steps, {options.threads} threads, {work:.0f} GFLOP a "
        f"window: {ratio:.2f} times as fast. The machine's best matrix rate is {best:.0f} GFLOP/s; ours counts as "
        f"{ours_rate / best:.0%} of it (multiplications that Winograd saves are counted). Weights of the bundle "
        f"{weights / 1e9:.2f} GB; opened in {told['ours']['opened']:.2f} s."
    )
    return None


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


if __name__ == "__main__":
    main()
