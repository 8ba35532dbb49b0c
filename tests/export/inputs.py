"""Randomness for bundles and references alike, and how far two arrays are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from terramosaic.model.bundle import Bundle
from terramosaic.model.coordinates import places_on_grid
from terramosaic.model.generator import WindowRandomness
from terramosaic.model.manifest import COORDINATES


def noise_for(bundle: Bundle, targets: Sequence[str], count: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Standard normal noise by diffusion target, float32 (count, channels, side, side)."""
    rng, side = np.random.default_rng(seed), bundle.manifest.window
    channels = {target: bundle.targets[target].noise_channels for target in targets}
    return {
        target: rng.standard_normal((count, planes, side, side), np.float32)
        for target, planes in channels.items()
        if planes
    }


def randomness(
    targets: Sequence[str],
    noise: dict[str, np.ndarray],
    uniform: dict[str, np.ndarray] | None,
    count: int,
    patches: int = 14,
) -> dict[str, WindowRandomness]:
    """What a generator is given; without ``uniform``, as for greedy tokens, zeros."""
    zeros = np.zeros((count, patches, patches), np.float32)
    return {
        target: WindowRandomness(noise.get(target), zeros if uniform is None else uniform[target])
        for target in targets
    }


def forced_tokens(
    bundle: Bundle,
    open_graph: Callable[[str], Any],
    windows: dict[str, np.ndarray],
    chain: dict[str, np.ndarray],
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Greedy tokens of each target in a chain, where those before it are given: a flip is counted once.

    Args:
        bundle: names the graphs.
        open_graph: opens one by its file.
        windows: by input, as pixels.
        chain: by target, in order, the tokens that those after it are to see, int64 (N, 196).

    Returns:
        The tokens, and the hidden states that they are made of.
    """
    context_of, decode = open_graph("context.onnx"), open_graph("decode.onnx")
    number = {target: index for index, target in enumerate(bundle.targets)}
    seen = [name for name in bundle.manifest.embedded if name in windows]
    patches = np.stack(
        [open_graph(f"{name}.embed.onnx").run(["patches"], {"windows": windows[name]})[0] for name in seen]
    )
    image = np.array([bundle.manifest.embedded.index(name) for name in seen])
    count = patches.shape[1]
    before: list[str] = []
    side = bundle.manifest.patches
    found, states = {}, {}
    for target in chain:
        ids = np.concatenate([np.zeros((count, 0), np.int64), *(chain[name] for name in before)], axis=1)
        modality = np.array([number[name] for name in before], np.int64)
        feeds = {"patches": patches, "image": image, "ids": ids, "modality": modality}
        if COORDINATES in bundle.inputs:
            feeds["sequence"] = _sequence(bundle, open_graph, windows, patches)
        context = context_of.run(["context"], feeds)[0]
        hidden = decode.run(["hidden"], {"context": context, "target": np.array([number[target]])})[0]
        states[target] = hidden
        feeds = {"hidden": hidden, "uniform": np.zeros((count, side, side), np.float32)}
        feeds["top_p"] = np.zeros(1, np.float32)
        found[target] = open_graph(bundle.targets[target].graphs["tokens"]).run(["ids"], feeds)[0]
        before.append(target)
    return found, states


def _sequence(
    bundle: Bundle, open_graph: Callable[[str], Any], windows: dict[str, np.ndarray], patches: np.ndarray
) -> np.ndarray:
    """Embedded coordinates of windows, of length 0 where they are not put in."""
    if COORDINATES not in windows:
        return np.zeros((patches.shape[1], 0, patches.shape[3]), np.float32)
    places = places_on_grid(windows[COORDINATES])
    embed = open_graph(bundle.inputs[COORDINATES].graphs["embed"])
    found: np.ndarray = embed.run(["sequence"], {"places": places})[0]
    return found


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """L2 norm of the difference by that of what is wanted."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def standardised(bundle: Bundle, target: str, values: np.ndarray) -> np.ndarray:
    """Values as the model makes them: an offset of -12 dB would make differences look small."""
    spec = bundle.targets[target]
    mean, std = (np.array(numbers, np.float32)[:, None, None] for numbers in (spec.mean, spec.std))
    return (values - mean) / std
