"""Is the device right? Against the same bundle in single precision on the CPU, and against its stored self-test."""

from __future__ import annotations

from typing import Any

import numpy as np

from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import parse_device
from terramosaic.model.diffusion import ddim_steps
from terramosaic.model.generator import GenerationOptions
from terramosaic.model.manifest import STEP
from terramosaic.model.opening import open_generator
from terramosaic.model.runtime import graph_session, session_options
from terramosaic.model.selftest import check_bundle
from terramosaic.model.sessions import open_session
from terramosaic.model.terramind import TerraMindGenerator
from tests.benchmarks.gpu.measure import relative
from tests.benchmarks.gpu.models import a_batch
from tests.benchmarks.gpu.table import Results

#: Largest relative difference of a target that passes.
LIMIT = 1e-2


def open_as_exported(bundle: Bundle, file: str) -> Any:
    """A graph in single precision on all processors, without anything that the engine does to graphs."""
    return graph_session(bundle.folder / file, session_options(threads=0))


def check_denoising(
    results: Results, bundle: Bundle, targets: tuple[str, ...], device: str, steps: int
) -> bool:
    """Each U-Net alone, beside the exported graph, from the same noise and code: what flipped tokens cannot excuse."""
    rows: list[tuple[object, ...]] = []
    passed = True
    for target in targets:
        spec, window, side = bundle.targets[target], bundle.manifest.window, bundle.manifest.patches
        if spec.schedule is None:
            continue
        rng = np.random.default_rng(5)
        x = rng.standard_normal((2, spec.noise_channels, window, window), np.float32)
        levels = np.array(spec.codebook_levels)[:, None, None]
        code = (rng.integers(0, levels, (2, len(levels), side, side)) / (levels - 1)).astype(np.float32)
        walks = []
        on_device = open_session(bundle, STEP, spec.graphs[STEP], parse_device(device), threads=0, batch=2)
        for session in (open_as_exported(bundle, spec.graphs[STEP]), on_device):
            walks.append(_walk(session, x, code, ddim_steps(spec.schedule, steps), spec.x0_clip or 1))
        (_, wanted), (_, found) = walks
        first = relative(walks[1][0], walks[0][0])
        last = relative(found, wanted)
        passed &= last <= LIMIT
        rows.append(
            (target, first, last, float(np.abs(found - wanted).max()), "yes" if last <= LIMIT else "NO")
        )
    head = ("target", "after 1 step", f"after {steps}", "largest, in std", f"within {LIMIT:g}")
    results.table("Denoised sample against the exported graph on the CPU, relative L2", head, rows)
    return passed


def _walk(
    session: Any, x: np.ndarray, code: np.ndarray, steps: Any, clip: float
) -> tuple[np.ndarray, np.ndarray]:
    first = None
    for step in steps:
        feeds = {
            "x": x,
            "code": code,
            "t": np.array([step.t], np.float32),
            "coefficients": np.array([step.a, step.b, step.c, clip], np.float32),
        }
        binding = session.io_binding()
        for name, array in feeds.items():
            binding.bind_cpu_input(name, array)
        for output in ("next", "values"):
            binding.bind_output(output)
        options = _without_capture()
        session.run_with_iobinding(binding, options)
        x = binding.copy_outputs_to_cpu()[0]
        first = x if first is None else first
    assert first is not None
    return first, x


def _without_capture() -> Any:
    """Inputs on the CPU have no fixed place on the device."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("gpu_graph_id", "-1")
    return options


def check_whole(results: Results, bundle: Bundle, targets: tuple[str, ...], device: str, steps: int) -> bool:
    """The chain, greedy: tokens and targets of two windows."""
    windows, randomness = a_batch(bundle, targets, 2)
    options = GenerationOptions(steps=steps, sampling="greedy")
    made: list[tuple[Any, Any]] = []
    for where in ("cpu", device):
        generator = open_generator(
            bundle, targets, where, options=options, batch_size=1 if where == "cpu" else 2
        )
        assert isinstance(generator, TerraMindGenerator)
        # The second sees the first one's tokens: one that flips would change a patch and all targets after it.
        chain = made[0][1] if made else None
        made.append(generator.generate_with_tokens({"S2L2A": windows}, randomness, chain))
    (wanted, wanted_tokens), (found, found_tokens) = made
    rows: list[tuple[object, ...]] = []
    passed = True
    for target in targets:
        agree = float((found_tokens[target] == wanted_tokens[target]).mean())
        error = relative(found[target], wanted[target])
        fine = agree >= 0.99 and error <= LIMIT
        passed &= fine
        kinds = len(np.unique(wanted_tokens[target]))
        rows.append((target, f"{agree:.2%}", kinds, error, "yes" if fine else "NO"))
    results.table(
        "The chain against single precision on the CPU",
        ("target", "tokens agree", "kinds", "relative L2", "passes"),
        rows,
    )
    return passed


def check_selftest(results: Results, bundle: Bundle, device: str) -> bool:
    """Against what was stored with the bundle when it was exported; one whose weights were drawn has nothing stored."""
    if bundle.manifest.selftest is None:
        results.note(
            "No self-test: the weights were drawn, so the CPU's single precision is what is compared with."
        )
        return True
    check = check_bundle(bundle, device)
    rows = [
        (part.target, "" if part.tokens is None else f"{part.tokens:.2%}", part.relative, part.largest)
        for part in check.targets
    ]
    results.table(
        "Against terratorch's self-test", ("target", "tokens agree", "relative L2", "largest"), rows
    )
    return not check.failures


def check_repeats(
    results: Results, bundle: Bundle, targets: tuple[str, ...], device: str, batch: int, steps: int
) -> None:
    """Does a window come out the same twice, and in another place of the batch? Rule 2 asks for it, bit for bit."""
    windows, randomness = a_batch(bundle, targets, batch)
    turned = {
        target: type(given)(
            None if given.noise is None else given.noise[::-1].copy(),
            None if given.uniform is None else given.uniform[::-1].copy(),
        )
        for target, given in randomness.items()
    }
    generator = open_generator(
        bundle, targets, device, options=GenerationOptions(steps=steps), batch_size=batch
    )
    first = generator.generate({"S2L2A": windows}, randomness)
    again = generator.generate({"S2L2A": windows}, randomness)
    moved = generator.generate({"S2L2A": windows[::-1].copy()}, turned)
    rows = []
    for target in targets:
        there = moved[target][::-1]
        rows.append(
            (
                target,
                f"{(again[target] == first[target]).mean():.3%}",
                relative(again[target], first[target]),
                f"{(there == first[target]).mean():.3%}",
                relative(there, first[target]),
            )
        )
    head = ("target", "equal when repeated", "relative L2", "equal in another place", "relative L2")
    results.table(f"Repeatability, batch {batch}", head, rows)
