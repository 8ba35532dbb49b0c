"""TerraMind of terratorch with seeded random weights, and bundles of it; skipped without the extra `export`."""

from __future__ import annotations

import ctypes
import gc
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

pytest.importorskip("terratorch", reason="needs the extra `export`; run `make test-export`")

import torch
from terratorch.models.backbones.terramind.model import terramind_register
from terratorch.models.backbones.terramind.tokenizer.models.unet.unet import PatchedUNetCondCat

import terramosaic.model.opening
import terramosaic.model.single_graph
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.export.bundle import write_bundle
from terramosaic.model.export.random_weights import randomise
from terramosaic.model.export.reference import Reference, build_model, tokens_key
from terramosaic.model.export.variants import INPUTS

VARIANT = "terramind_v1_tiny"
TARGETS = ("S1GRD", "S1RTC", "NDVI", "LULC", "DEM")
PATCHES = ("38D_378R_2_3", "637U_59R_1_3", "433D_629L_3_1")

# torch traces its exports into the log, which pytest would keep.
logging.getLogger("torch").setLevel(logging.WARNING)
logging.getLogger("torch.__trace").setLevel(logging.WARNING)


def narrow_decoder(tokenizer: Any) -> None:
    """Gives a tokenizer a U-Net of the same class and depth with an eighth of the channels: 3 million parameters."""
    tokenizer.decoder = PatchedUNetCondCat(
        in_channels=tokenizer.n_channels,
        out_channels=tokenizer.n_channels,
        cond_channels=tokenizer.latent_dim,
        image_size=256,
        patch_size=4,
        model_channels=32,
        num_res_blocks=3,
        attention_resolutions=[4, 8],
        channel_mult=(1, 2, 2, 2),
    ).eval()


def narrow_reference(
    targets: Sequence[str],
    inputs: Sequence[str] = tuple(INPUTS),
    tokenised: Sequence[str] = (),
    window: int = 224,
    locates: bool = False,
    placed: bool = False,
) -> Reference:
    """TerraMind with narrow U-Nets, and shallow encoders of all tokenised inputs but the first; else full size.

    It embeds, too.
    """
    torch.manual_seed(0)
    model = build_model(VARIANT, targets, inputs, tokenised, locates=locates, placed=placed)
    for key in model.tokenizer:
        if hasattr(model.tokenizer[key], "noise_scheduler"):
            narrow_decoder(model.tokenizer[key])
    for name in tokenised[1:]:
        # One is of full depth.
        encoder = model.tokenizer[tokens_key(name)].encoder
        encoder.blocks = encoder.blocks[:2]
    model.requires_grad_(False)
    randomise(model, 0)
    return Reference(
        model,
        VARIANT,
        tuple(targets),
        tuple(inputs),
        tuple(tokenised),
        seed=0,
        embeds=True,
        locates=locates,
        placed=placed,
        window=window,
    )


@pytest.fixture(scope="session")
def narrow() -> Reference:
    """Five targets, and all inputs as pixels."""
    return narrow_reference(TARGETS)


@pytest.fixture(scope="session")
def narrow_bundle(narrow: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(narrow, tmp_path_factory.mktemp("narrow") / "bundle")


@pytest.fixture(scope="session")
def bundle(narrow_bundle: Path) -> Bundle:
    return load_bundle(narrow_bundle)


@pytest.fixture(scope="session")
def windows(shared_data: Path) -> np.ndarray:
    """Real Sentinel-2 windows of TerraMesh, float32 (3, 12, 224, 224)."""
    return read_patches(shared_data, "S2L2A")


def read_patches(shared_data: Path, modality: str) -> np.ndarray:
    """A modality's windows of TerraMesh, float32 (3, bands, 224, 224)."""
    found = []
    for name in PATCHES:
        with rasterio.open(shared_data / "terramesh-examples" / modality / f"{name}.tif") as file:
            found.append(file.read().astype(np.float32))
    return np.stack(found)


@pytest.fixture(scope="session")
def reference_for(narrow: Reference) -> Any:
    """reference_for(targets): the model that terratorch builds for just these, in this order, with the same weights."""

    def build(targets: Sequence[str]) -> Reference:
        with pytest.MonkeyPatch.context() as patch:
            # Tokenizers are large and the same in every model.
            shared = {key: lambda key=key, **_: narrow.model.tokenizer[key] for key in narrow.model.tokenizer}
            patch.setitem(terramind_register.tokenizer_dict, "v1", shared)
            build = getattr(terramind_register, f"{VARIANT}_generate")
            model = build(
                modalities=["S2L2A"], output_modalities=list(targets), standardize=True, pretrained=False
            )
        weights = narrow.model.sampler.model.state_dict()
        wanted = model.sampler.model.state_dict()
        model.sampler.model.load_state_dict({name: weights[name] for name in wanted})
        return Reference(model.eval().requires_grad_(False), VARIANT, tuple(targets), seed=0)

    return build


@pytest.fixture(scope="module", autouse=True)
def memory_returned() -> Iterator[None]:
    """What models and exports leave goes back to the system after each module: all of them in a process took 16 GB."""
    yield
    terramosaic.model.opening._terramind.clear()
    terramosaic.model.single_graph._sessions.clear()
    torch._dynamo.reset()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)
