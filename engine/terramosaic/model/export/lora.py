"""Low-rank adapters (LoRA) merged into the weights that they adapt: a map needs nothing of them at run time.

Source: Hu et al., LoRA (https://arxiv.org/abs/2106.09685): W + scale x B A, where scale is alpha / rank; names are
those of ``peft``, by which terratorch's ``peft_config`` adds them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch

from terramosaic.errors import RequestError, printable

#: What peft puts between the names of a model and its layers.
_WRAPPER, _BASE = "base_model.model.", ".base_layer"


def merged(state: Mapping[str, torch.Tensor], config: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of the model without adapters, of those of the model with them.

    Where terratorch has cut ``qkv`` into three layers, it is one again.

    Args:
        state: names and weights, as Lightning's checkpoint holds them.
        config: terratorch's ``peft_config``.

    Raises:
        RequestError: the weights hold no adapters, or half of one.
    """
    options = config.get("peft_config_kwargs") or {}
    alpha, is_by_root = float(options.get("lora_alpha", 8)), bool(options.get("use_rslora"))
    plain: dict[str, torch.Tensor] = {}
    down: dict[str, torch.Tensor] = {}
    up: dict[str, torch.Tensor] = {}
    for name, weights in state.items():
        bare = name.replace(_WRAPPER, "")
        if found := re.fullmatch(r"(.+)\.lora_([AB])\.[^.]+\.weight", bare):
            (down if found[2] == "A" else up)[f"{found[1]}.weight"] = weights
        elif ".lora_" in bare or ".modules_to_save." in bare:
            raise RequestError(
                f"checkpoint: {printable(name)} is no adapter that can be merged; merge it in peft, and leave "
                "peft_config out"
            )
        else:
            plain[bare.replace(_BASE, "")] = weights
    if not down or down.keys() != up.keys() or not down.keys() <= plain.keys():
        raise RequestError("checkpoint: it holds no adapters, or parts of them, though peft_config says LoRA")
    for name, first in down.items():
        rank = first.shape[0]
        scale = alpha / (math.sqrt(rank) if is_by_root else rank)
        whole = plain[name].double() + scale * up[name].double() @ first.double()
        plain[name] = whole.to(plain[name].dtype)
    return _joined(plain)


def _joined(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With what stands as three layers, ``qkv.q_linear`` and so on, as the one that it was."""
    whole: dict[str, torch.Tensor] = {}
    for name, weights in state.items():
        if (found := re.fullmatch(r"(.+)\.([qkv])_linear\.(weight|bias)", name)) is None:
            whole[name] = weights
        elif found[2] == "q":
            parts = [state.get(f"{found[1]}.{part}_linear.{found[3]}") for part in "qkv"]
            there = [part for part in parts if part is not None]
            if len(there) < len(parts):
                raise RequestError(f"checkpoint: of {printable(found[1])} a part of q, k and v is missing")
            whole[f"{found[1]}.{found[3]}"] = torch.cat(there)
    return whole
