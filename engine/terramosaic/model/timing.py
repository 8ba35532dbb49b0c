"""Measures how fast a device of this machine makes a bundle's targets, each alone."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from terramosaic.model.bundle import DEMO, Bundle, load_bundle
from terramosaic.model.devices import (
    Device,
    Precision,
    available_cpus,
    blocks_at_once,
    device_name,
    is_own_precision,
    parse_device,
)
from terramosaic.model.generator import (
    BATCH_SIZES,
    GenerationOptions,
    Generator,
    WindowRandomness,
    Windows,
)
from terramosaic.model.manifest import COORDINATES, EMBED
from terramosaic.model.opening import is_of_single_graphs, open_generator, threads_for
from terramosaic.model.speed import DEMO_SECONDS, Speed, TargetSpeed, keep_speed, now

#: Steps of diffusion at which its targets are timed: what each step takes is the difference by the steps between.
_STEPS = (1, 4)

#: Seconds over which calls of a fast model are timed, and most calls.
_LEAST, _MOST_CALLS = 0.3, 200

#: Times that the pace is taken.
_PACES = 9


def measure_speed(bundle: Bundle, device: str, precision: Precision = "auto") -> Speed:
    """Times each target of a bundle on made-up windows of one input, and keeps what it finds for who plans here.

    What it finds of a precision that is not the device's own is not kept: plans go by the table then.

    On the CPU processor time is taken, with as many threads as a block of a run has: what other processes do beside it
    counts little.

    Args:
        bundle: a loaded bundle.
        device: where to run, such as ``cpu`` or ``cuda:1``.
        precision: that a GPU computes in.

    Raises:
        ModelError: the model or its device failed.
    """
    where = parse_device(device)
    targets = tuple(bundle.targets)
    is_single = is_of_single_graphs(bundle, targets)
    threads = threads_for(bundle, targets, where, processors=available_cpus(), blocks=blocks_at_once())
    inputs = tuple(bundle.inputs) if is_single else _one_input(bundle)
    diffused = [name for name, spec in bundle.targets.items() if spec.kind == "diffusion"]
    opening, batch = 0.0, None
    seconds: dict[int, dict[str, float]] = {}
    for steps in _STEPS if diffused else _STEPS[:1]:
        options = GenerationOptions(
            steps=steps,
            conditioning="independent",
            inputs=inputs,
            tokenised=tuple(
                name for name in inputs if not is_single and EMBED not in bundle.inputs[name].graphs
            ),
            precision=precision,
        )
        opened = time.process_time()
        generator = open_generator(bundle, targets, device, options=options, threads=threads)
        opening = time.process_time() - opened  # of the last, whose graphs were prepared for the first
        batch = getattr(generator, "batch_size", None)
        windows, randomness = _made_up(bundle, generator, inputs, where)
        for target in bundle.targets if steps == _STEPS[0] else diffused:
            found = _seconds(generator, windows, randomness, target, where)
            seconds.setdefault(steps, {})[target] = found
        del generator  # the next one, with other options, would find its memory taken
    first, last = _STEPS
    speeds = {}
    for target, once in seconds[first].items():
        step = max(0.0, (seconds[last][target] - once) / (last - first)) if target in diffused else 0.0
        speeds[target] = TargetSpeed(once=max(0.0, once - first * step), step=step)
    speed = Speed(
        device=device_name(where),
        targets=speeds,
        opening=opening,
        batch=batch,
        pace=_pace(),
        measured=now(),
    )
    if is_own_precision(precision, where):
        keep_speed(bundle, where, speed)
    return speed


def _pace() -> float:
    """How long this machine's processors take, by the table's: of the demo bundle, the best of a few times."""
    demo, cpu = load_bundle(DEMO), Device("cpu")
    options = GenerationOptions(inputs=tuple(demo.inputs))
    generator = open_generator(demo, tuple(DEMO_SECONDS), "cpu", options=options, threads=1)
    windows, randomness = _made_up(demo, generator, options.inputs, cpu)
    best = (
        min(_seconds(generator, windows, randomness, target, cpu, 0.1) for _ in range(_PACES))
        for target in DEMO_SECONDS
    )
    return sum(best) / sum(DEMO_SECONDS.values())


def _one_input(bundle: Bundle) -> tuple[str, ...]:
    """The input that is timed: the first that is an image, as patches if it can be."""
    images = [name for name in bundle.inputs if name != COORDINATES]
    return (*[name for name in images if EMBED in bundle.inputs[name].graphs], *images)[:1]


def _made_up(
    bundle: Bundle, generator: Generator, inputs: tuple[str, ...], device: Device
) -> tuple[Windows, Mapping[str, WindowRandomness]]:
    """A batch of windows with ordinary numbers, and what targets want beside it."""
    side, patches = bundle.manifest.window, bundle.manifest.patches
    count = BATCH_SIZES[device.kind].call
    rng = np.random.default_rng(0)
    windows = {}
    for name in inputs:
        spec = bundle.inputs[name]
        noise = rng.standard_normal((count, *spec.shape(side)), np.float32)
        mean, std = spec.mean or [1500.0] * len(spec.bands), spec.std or [300.0] * len(spec.bands)
        shape = (len(spec.bands), *[1] * (noise.ndim - 2))
        windows[name] = noise * np.reshape(std, shape).astype(np.float32) + np.reshape(mean, shape).astype(
            np.float32
        )
    randomness = {
        target: WindowRandomness(
            noise=rng.standard_normal((count, need.noise_channels, side, side), np.float32)
            if need.noise_channels
            else None,
            uniform=rng.random((count, patches, patches), np.float32) if need.uniform else None,
        )
        for target, need in generator.needs.items()
    }
    return windows, randomness


def _seconds(
    generator: Generator,
    windows: Windows,
    randomness: Mapping[str, WindowRandomness],
    target: str,
    device: Device,
    least: float = _LEAST,
) -> float:
    """Seconds of the device for a window, by calls that take so many seconds at least."""
    clock = time.process_time if device.kind == "cpu" else time.perf_counter
    count = len(next(iter(windows.values())))
    generator.generate(windows, randomness, (target,))  # buffers are made, graphs captured
    calls, started = 0, clock()
    while calls == 0 or (clock() - started < least and calls < _MOST_CALLS):
        generator.generate(windows, randomness, (target,))
        calls += 1
    return (clock() - started) / (calls * count)
