"""Seeded random weights that behave: nothing is zero, and tokens depend on the image and on each other.

terratorch starts models for training. Its zeros (last layers of U-Net blocks) would make a U-Net return zeros, and its
small embeddings tokens that hardly know the image: any comparison made on them would be empty.
"""

from __future__ import annotations

import math

import torch
from torch import nn

#: Factors on terratorch's initial weights, found by trying: attention looks at few places instead of everywhere alike,
#: what it finds counts, and embedded tokens are as large as the image's patches.
_ATTENTION, _FOUND, _EMBEDDED, _LOGITS = 3.0, 2.0, 50.0, 4.0


def randomise(model: nn.Module, seed: int) -> None:
    """Gives a model of `engine.export.reference.build_model` random weights, in place.

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
    transformer = model.sampler.model
    for name, parameter in transformer.named_parameters():
        if name.endswith(("qkv.weight", "q.weight", "kv.weight")):
            parameter.mul_(_ATTENTION)
        elif name.endswith("cross_attn.proj.weight"):
            parameter.mul_(_FOUND)
        elif name.startswith("encoder_embeddings") and name.endswith("token_emb.weight"):
            parameter.mul_(_EMBEDDED)
        elif name.endswith("to_logits.weight"):
            parameter.mul_(_LOGITS)
