"""Seeded random weights that behave: nothing is zero, and tokens depend on the image and on each other.

terratorch starts models for training. Its zeros (last layers of U-Net blocks) would make a U-Net return zeros, and its
small embeddings tokens that hardly know the image: any comparison made on them would be empty.
"""

from __future__ import annotations

import math

import torch
from torch import nn

#: Factors on terratorch's initial weights, found by trying. Attention looks at some places more than at others, what
#: the decoder finds there counts, embedded tokens are as large as the image's patches, and nuclei are tens of tokens,
#: neither one nor all. With attention much sharper than this, layer upon layer makes rounding errors into other tokens.
_ATTENTION, _FOUND, _EMBEDDED, _LOGITS = 2.0, 3.0, 50.0, 30.0


def randomise(model: nn.Module, seed: int) -> None:
    """Gives a model of `terramosaic.model.export.reference.build_model` random weights, in place.

    Args:
        model: built after ``torch.manual_seed``, so that its other weights follow the seed as well.
        seed: of the weights drawn here.
    """
    draw = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if not parameter.any():
            # So large that a layer keeps the size of what it is given; biases small.
            deviation = 0.05 if parameter.ndim < 2 else 1 / math.sqrt(parameter[0].numel())
            parameter.normal_(0, deviation, generator=draw)
    for name, parameter in model.sampler.model.named_parameters():
        layer = name.split(".")[-2:-1]
        if layer in (["qkv"], ["kv"], ["q"]) and parameter.ndim == 2:
            # Queries and keys, without the values that come last.
            values = len(parameter) - parameter.shape[1] if layer != ["q"] else None
            parameter[:values].mul_(_ATTENTION)
        elif name.endswith("cross_attn.proj.weight"):
            parameter.mul_(_FOUND)
        elif layer == ["token_emb"]:
            # The decoder's table of tokens is its layer of logits too.
            parameter.mul_(_EMBEDDED if name.startswith("encoder_embeddings") else _LOGITS)
