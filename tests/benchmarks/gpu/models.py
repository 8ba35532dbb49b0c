"""The model that is measured: TerraMind with seeded random weights, as a bundle and as the modules it was made from."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.gpu.machine import CARRIED
from tests.benchmarks.gpu.skeleton import draw

if TYPE_CHECKING:
    from terramosaic.model.bundle import Bundle
    from terramosaic.model.export.reference import Reference
    from terramosaic.model.generator import WindowRandomness

SEED = 7


def make_bundle(
    folder: Path, variant: str, targets: tuple[str, ...], carried: Path = CARRIED
) -> tuple[Bundle, str]:
    """The bundle and how it came about: found there; else its weights drawn for carried graphs; else exported now.

    Raises:
        ModelError: it cannot be made here, or what is there is broken.
    """
    from terramosaic.errors import ModelError
    from terramosaic.model.bundle import load_bundle

    graphs = carried / "models" / variant
    if (folder / "bundle.json").exists():
        return load_bundle(folder), f"found in {folder}"
    if graphs.is_dir():
        draw(graphs, folder, SEED)
        return load_bundle(folder), f"carried graphs, weights drawn from seed {SEED}"
    if not find_spec("torch") or not find_spec("terratorch"):
        raise ModelError(
            "there is nothing to measure; run carry.sh where terramosaic[export] is installed, and bring .gpu along: "
            f"no bundle in {folder}, no graphs in {graphs}, no terratorch to export one"
        )
    from terramosaic.model.export import export_bundle

    export_bundle(variant, folder, targets=targets, random_weights=SEED)
    return load_bundle(folder), f"exported now, weights drawn from seed {SEED}"


def open_bundle(folder: Path) -> Bundle:
    """The bundle that `make_bundle` has checked, without hashing gigabytes again in each step's process."""
    from terramosaic.model.bundle import Bundle, read_manifest
    from terramosaic.storage.hashes import sha256_of

    fingerprint = sha256_of(folder / "bundle.json")
    return Bundle(folder.resolve(), read_manifest(folder), fingerprint)


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
    window, side = bundle.manifest.window, bundle.manifest.patches
    spectra = rng.uniform(300, 4500, (4, len(bundle.bands)))
    cover = np.exp(40 * gaussian_filter(rng.standard_normal((count, 4, window, window)), (0, 0, 12, 12)))
    cover /= cover.sum(1, keepdims=True)
    windows = np.rint(np.einsum("nkhw,kb->nbhw", cover, spectra)).astype(np.float32)
    randomness = {}
    for target in targets:
        channels = bundle.targets[target].noise_channels
        noise = rng.standard_normal((count, channels, window, window), np.float32) if channels else None
        randomness[target] = WindowRandomness(noise, rng.random((count, side, side), np.float32))
    return windows, randomness
