"""A bundle's self-test: windows of made-up ground, and what the reference makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from terramosaic.bands import INPUT_BANDS
from terramosaic.model.export.reference import Reference
from terramosaic.model.manifest import COORDINATES, EMBEDDING, LULC_CLASSES

_WINDOWS, _STEPS, _SEED = 2, 2, 20251


def write_selftest(reference: Reference, path: Path) -> None:
    """Runs the reference on two windows, greedy, with two denoising steps, and stores what came in and out.

    Args:
        reference: the model.
        path: the ``.npz`` file to write; `terramosaic.model.selftest` says which arrays are in it.
    """
    rng = np.random.default_rng(_SEED)
    windows = {name: _made_up_windows(reference, name, rng) for name in reference.inputs}
    images = dict(windows)
    if reference.placed:
        # Places that are not on the grid of their words.
        windows[COORDINATES] = rng.uniform((-179, -89), (179, 89), (_WINDOWS, 2)).astype(np.float32)
    noise = {
        target: rng.standard_normal((_WINDOWS, channels, reference.window, reference.window), np.float32)
        for target, channels in reference.diffused.items()
    }
    outputs, tokens = (
        reference.generate(windows, noise, _STEPS) if reference.targets or reference.locates else ({}, {})
    )
    stored: dict[str, Any] = {f"{target}.noise": array for target, array in noise.items()}
    if reference.embeds:
        stored[f"{EMBEDDING}.values"] = reference.embed(images)
    if reference.locates:
        stored[f"{COORDINATES}.ids"], stored[f"{COORDINATES}.values"] = (
            tokens[COORDINATES],
            outputs[COORDINATES],
        )
    for name in reference.tokenised:
        if name not in windows:
            windows[name] = _made_up_windows(reference, name, rng)
        stored[f"tokens.{name}"] = reference.tokenise(name, windows[name])
    stored |= {f"windows.{name}": array for name, array in windows.items()}
    for target in reference.targets:
        stored[f"{target}.ids"] = tokens[target]
        if target in noise:
            stored[f"{target}.values"] = outputs[target]
        else:
            logits = torch.from_numpy(outputs[target])
            stored[f"{target}.probabilities"] = torch.softmax(logits, dim=1).numpy()
    np.savez_compressed(path, steps=np.int64(_STEPS), **stored)


def _made_up_windows(reference: Reference, name: str, rng: np.random.Generator) -> np.ndarray:
    """An input's windows, float32 (2, bands, side, side): soft patches of differing spectra, with some grain."""
    bands = len(INPUT_BANDS.get(name, LULC_CLASSES))
    mean, std = reference.statistics(name, bands)
    cover = rng.standard_normal((_WINDOWS, 4, reference.window, reference.window))
    cover = np.exp(40 * gaussian_filter(cover, (0, 0, 12, 12)))
    cover /= cover.sum(1, keepdims=True)
    windows = np.einsum("nkhw,kb->nbhw", cover, mean + std * rng.standard_normal((4, bands)))
    windows += 0.05 * std[:, None, None] * rng.standard_normal(windows.shape)
    if name == "LULC":  # a plane for each class, and one class a pixel
        windows = np.moveaxis(np.eye(bands)[windows.argmax(1)], -1, 1)
    elif name.startswith("S2"):
        windows = np.rint(np.maximum(windows, 1))
    made: np.ndarray = windows.astype(np.float32)
    return made
