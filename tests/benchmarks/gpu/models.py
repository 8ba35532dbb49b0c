"""The model that is measured: TerraMind with seeded random weights, as a bundle and as the modules it was made from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from terramosaic.model.bundle import Bundle
    from terramosaic.model.export.reference import Reference
    from terramosaic.model.generator import WindowRandomness

SEED = 7

#: GFLOP of one window, by part: a U-Net's step, LULC's decoder, and by variant all encoders, decoders and logits of
#: S1GRD, S1RTC, NDVI and LULC in a chain. Counted with torch's FlopCounterMode on terratorch 1.2.13's modules.
UNET_STEP, LULC_DECODER = 189.7, 37.3
TOKEN_PART = {"tiny": 42.3, "small": 145.8, "base": 627.3, "large": 2128.7}


def gflop(variant: str, targets: tuple[str, ...], steps: int) -> float:
    """GFLOP of a window. The token part is counted for the four targets, and taken in proportion for fewer."""
    diffusion = sum(target != "LULC" for target in targets)
    tokens = TOKEN_PART[variant.rsplit("_", maxsplit=1)[-1]] * len(targets) / 4
    return diffusion * steps * UNET_STEP + ("LULC" in targets) * LULC_DECODER + tokens


def make_bundle(folder: Path, variant: str, targets: tuple[str, ...]) -> Bundle:
    """The bundle, exported now unless it is there already."""
    from terramosaic.model.bundle import load_bundle
    from terramosaic.model.export import export_bundle

    if not (folder / "bundle.json").exists():
        export_bundle(variant, folder, targets=targets, random_weights=SEED)
    return load_bundle(folder)


def make_reference(variant: str, targets: tuple[str, ...]) -> Reference:
    """terratorch's model with the same weights as the bundle's."""
    from terramosaic.model.export.reference import load_reference

    return load_reference(variant, targets, seed=SEED)


def a_batch(
    bundle: Bundle, targets: tuple[str, ...], count: int
) -> tuple[np.ndarray, dict[str, WindowRandomness]]:
    """Windows of soft patches of differing spectra, whole DN, and the randomness that the targets ask for."""
    from scipy.ndimage import gaussian_filter

    from terramosaic.model.generator import WindowRandomness

    rng = np.random.default_rng(count)
    spectra = rng.uniform(300, 4500, (4, 12))
    cover = np.exp(40 * gaussian_filter(rng.standard_normal((count, 4, 224, 224)), (0, 0, 12, 12)))
    cover /= cover.sum(1, keepdims=True)
    windows = np.rint(np.einsum("nkhw,kb->nbhw", cover, spectra)).astype(np.float32)
    randomness = {}
    for target in targets:
        channels = bundle.targets[target].noise_channels
        noise = rng.standard_normal((count, channels, 224, 224), np.float32) if channels else None
        randomness[target] = WindowRandomness(noise, rng.random((count, 14, 14), np.float32))
    return windows, randomness
