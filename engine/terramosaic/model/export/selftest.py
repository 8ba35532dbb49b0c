"""A bundle's self-test: windows of made-up ground, and what the reference makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from terramosaic.bands import S2L2A_BANDS
from terramosaic.ground.lattice import WINDOW
from terramosaic.model.export.reference import Reference

_WINDOWS, _STEPS, _SEED = 2, 2, 20251


def write_selftest(reference: Reference, path: Path) -> None:
    """Runs the reference on two windows, greedy, with two denoising steps, and stores what came in and out.

    Args:
        reference: the model.
        path: the ``.npz`` file to write; `terramosaic.model.selftest` says which arrays are in it.
    """
    rng = np.random.default_rng(_SEED)
    windows = _made_up_windows(rng)
    noise = {
        target: rng.standard_normal((_WINDOWS, tokenizer.n_channels, WINDOW, WINDOW), np.float32)
        for target in reference.targets
        if hasattr(tokenizer := reference.model.tokenizer[reference.key(target)], "noise_scheduler")
    }
    outputs, tokens = reference.generate(windows, noise, _STEPS)
    stored: dict[str, Any] = {f"{target}.noise": array for target, array in noise.items()}
    for target in reference.targets:
        stored[f"{target}.ids"] = tokens[target]
        if target in noise:
            stored[f"{target}.values"] = outputs[target]
        else:
            logits = torch.from_numpy(outputs[target])
            stored[f"{target}.probabilities"] = torch.softmax(logits, dim=1).numpy()
    np.savez_compressed(path, windows=windows, steps=np.int64(_STEPS), **stored)


def _made_up_windows(rng: np.random.Generator) -> np.ndarray:
    """Whole digital numbers as float32 (2, 12, 224, 224): soft patches of differing spectra."""
    spectra = rng.uniform(300, 4500, (4, len(S2L2A_BANDS)))
    cover = rng.standard_normal((_WINDOWS, 4, WINDOW, WINDOW))
    cover = np.exp(40 * gaussian_filter(cover, (0, 0, 12, 12)))
    cover /= cover.sum(1, keepdims=True)
    windows = np.einsum("nkhw,kb->nbhw", cover, spectra)
    windows *= 1 + 0.05 * rng.standard_normal(windows.shape)
    whole: np.ndarray = np.rint(np.maximum(windows, 1)).astype(np.float32)
    return whole
