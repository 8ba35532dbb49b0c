"""What making a target of a window takes, in GFLOP: counted for TerraMind, for other graphs taken from their size.

Counted with PyTorch's FlopCounterMode on the real modules, two operations to a multiplication with addition, of windows
of 224 pixels and one input. Terratorch chains: the encoder of the k-th target sees the image's patches and the tokens
of the k - 1 targets before it, so what comes later costs more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from terramosaic.model.bundle import Bundle
from terramosaic.model.manifest import CONTEXT, COORDINATES, EMBEDDING, NAMED_KINDS

#: Of TerraMind's encoder over the patches of one image, of its decoder of a target, and of the logits of one code.
_TRANSFORMERS = {
    "tiny": (2.4, 1.2, 1.16 / 15360),
    "small": (9.0, 6.3, 2.31 / 15360),
    "base": (34.7, 47.5, 4.62 / 15360),
    "large": (122.1, 165.8, 6.17 / 15360),
}

#: A pass of the diffusion decoder, which is the same for all sizes of TerraMind; and the decoder of land cover.
_UNET, _CLASSES = 189.5, 37.3

#: What each image or target beside the first adds to the encoder's work on a patch (34.7, 72.3, 112.6, 155.8 of base).
_ATTENTION = 0.041

#: What each target that a decoder sees before adds to its own work, as a share of it (47.5, 54.7, 61.8, 69.0 of base).
_DECODER_CHAIN = 0.15

#: Patches to a side of the window that was counted, and bytes of a weight.
_PATCHES, _WEIGHT = 14, {"fp16": 2, "bf16": 2}


@dataclass(frozen=True)
class Work:
    """What making a target of one window takes.

    Attributes:
        once: GFLOP whatever the number of diffusion steps.
        step: GFLOP of each of these.
    """

    once: float
    step: float = 0.0


def work_of(bundle: Bundle, target: str, *, seen: int = 0, inputs: int = 1) -> Work:
    """What making a target of one window takes, without waiting for memory.

    Args:
        bundle: the model.
        target: one of its targets.
        seen: targets of the chain before it, whose tokens it sees.
        inputs: images that it is made of.
    """
    spec, area = bundle.targets[target], (bundle.manifest.patches / _PATCHES) ** 2
    if CONTEXT not in bundle.manifest.graphs:
        return Work(_by_size(bundle, target))
    size = (bundle.manifest.variant or "").rpartition("_")[2]
    encoder, decoder, code = _TRANSFORMERS.get(size, _TRANSFORMERS["base"])
    images = inputs + seen
    once = encoder * images * (1 + _ATTENTION * (images - 1))
    if target not in NAMED_KINDS:
        once += decoder * (1 + _DECODER_CHAIN * (images - 1)) + code * prod(spec.codebook_levels)
    elif target == COORDINATES:
        once += decoder
    if spec.kind == "diffusion":
        return Work(once * area, _UNET * area)
    return Work((once + (_CLASSES if target not in NAMED_KINDS else 0)) * area)


def chain_of(targets: Sequence[str], conditioning: str) -> dict[str, int]:
    """Of how many targets before it each one sees the tokens."""
    drawn = [target for target in targets if target not in NAMED_KINDS]
    seen = {target: place if conditioning == "chained" else 0 for place, target in enumerate(drawn)}
    if COORDINATES in targets:
        seen[COORDINATES] = len(drawn) if conditioning == "chained" else 0
    if EMBEDDING in targets:
        seen[EMBEDDING] = 0
    return seen


def weights_of(bundle: Bundle, target: str) -> float:
    """Weights in a target's own graphs, in millions; those beside a graph's file, under its name, with it."""
    files, count = bundle.manifest.files, 0.0
    for name in set(bundle.targets[target].graphs.values()):
        beside = files.get(f"{name.removesuffix('.onnx')}.data")
        size = files[name].size + (beside.size if beside else 0)
        count += size / _WEIGHT.get(files[name].precision or "", 4)
    return count / 1e6


def _by_size(bundle: Bundle, target: str) -> float:
    """As a transformer works: each weight once for each patch."""
    return 2e-3 * weights_of(bundle, target) * bundle.manifest.patches**2
