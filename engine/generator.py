"""Windows in, targets out: the one boundary between the engine and whatever model a bundle holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from engine.bundle import Bundle
from engine.devices import parse_device
from engine.errors import ModelError
from engine.manifest import ENCODE, GENERATE, TOKENS

if TYPE_CHECKING:
    from engine.terramind import TerraMindGenerator


@dataclass(frozen=True)
class Needs:
    """The randomness that a target asks for: planes of noise, and whether a uniform number for each patch."""

    noise_channels: int
    uniform: bool


@dataclass(frozen=True)
class WindowRandomness:
    """Ground-anchored randomness of a batch of windows for one target.

    Attributes:
        noise: Standard normal, float32 (N, channels, 224, 224); None where the target needs none.
        uniform: In [0, 1), float32 (N, 14, 14), one number per patch; None where the target needs none.
    """

    noise: np.ndarray | None = None
    uniform: np.ndarray | None = None


@dataclass(frozen=True)
class GenerationOptions:
    """Choices of a run that a bundle leaves open; a model without diffusion or tokens has no use for them.

    Attributes:
        steps: denoising steps of diffusion targets.
        conditioning: ``chained``, where a target sees the tokens of those before it, or ``independent``.
        sampling: ``nucleus``, by the bundle's top-p and the window's uniforms, or ``greedy``.
        x0_clip: bound of the predicted sample in standard deviations; None for the bundle's own.
    """

    steps: int = 10
    conditioning: Literal["chained", "independent"] = "chained"
    sampling: Literal["nucleus", "greedy"] = "nucleus"
    x0_clip: float | None = None


class Generator(Protocol):
    """A model that is ready to run. ``generate`` may be called by several threads at once."""

    @property
    def targets(self) -> tuple[str, ...]:
        """What ``generate`` returns, in the order of generation."""

    @property
    def needs(self) -> Mapping[str, Needs]:
        """The randomness that each target asks for."""

    def generate(
        self, windows: np.ndarray, randomness: Mapping[str, WindowRandomness]
    ) -> dict[str, np.ndarray]:
        """Generates all targets for a batch of windows.

        Args:
            windows: float32 (N, bands, 224, 224), harmonised DN, no gaps.
            randomness: What ``needs`` asks for, by target; a target that needs none may be left out.

        Returns:
            By target, float32 (N, C, 224, 224): values in the target's unit, or class probabilities.

        Raises:
            ModelError: the model or its device failed, or returned numbers that are not finite.
        """


_terramind: dict[tuple[object, ...], TerraMindGenerator] = {}
_opening = Lock()


def open_generator(
    bundle: Bundle,
    targets: Sequence[str],
    device: str = "cpu",
    *,
    options: GenerationOptions | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
) -> Generator:
    """Opens a bundle's model, with sessions made once per process.

    Args:
        bundle: A loaded bundle.
        targets: What to generate, in this order.
        device: Where to run, such as ``cpu`` or ``cuda:1``. CUDA is strict: it never falls back to the CPU.
        options: The run's choices.
        batch_size: Windows in one pass of the model, whatever ``generate`` is given; by default 1 on the CPU,
            whose caches like it best, and 16 on a GPU, 32 with TerraMind.
        threads: CPU threads of a session; by default all that the process may use.

    Raises:
        RequestError: the bundle lacks a target, or there is no device of that name.
        ModelError: this engine cannot run the bundle, or the device cannot be used; with the reason.
    """
    bundle.require(targets)
    graphs = [bundle.targets[target].graphs for target in targets]
    threads = threads or available_cpus()
    if all(GENERATE in roles for roles in graphs):
        from engine.direct import DirectGenerator

        return DirectGenerator(bundle, targets, parse_device(device), batch_size=batch_size, threads=threads)
    if ENCODE not in bundle.manifest.graphs or not all(TOKENS in roles for roles in graphs):
        wrong = next(target for target, roles in zip(targets, graphs, strict=True) if TOKENS not in roles)
        raise ModelError(
            f"bundle {bundle.name!r}: targets.{wrong} is of kind {bundle.targets[wrong].kind!r} with graphs "
            f"{', '.join(bundle.targets[wrong].graphs)}, which this version of terramosaic cannot run; upgrade it"
        )
    from engine.terramind import TerraMindGenerator

    options = options or GenerationOptions()
    key = (bundle.fingerprint, bundle.folder, tuple(targets), device, options, batch_size, threads)
    with _opening:
        if key not in _terramind or _terramind[key].is_broken:
            # One model at a time: its weights and buffers fill a device.
            _terramind.clear()
            _terramind[key] = TerraMindGenerator(
                bundle, targets, parse_device(device), options, batch_size=batch_size, threads=threads
            )
        return _terramind[key]


def available_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # a container's share, where the platform tells
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
