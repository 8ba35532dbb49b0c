"""Thinking in modalities: terratorch's fine-tunes that first generate a modality's tokens, then see them as an input.

terratorch draws these tokens at random, of a seed that nobody can set. Here what they are drawn with is an input of the
graph, so that the map's is the ground's own; what is made of the tokens is terratorch's unchanged code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from terramosaic.errors import RequestError, printable
from terramosaic.model.export.nucleus import draw


class Thought(nn.Module):
    """Stands in for terratorch's ``GenerationSampler``: all tokens of one image modality from one pass.

    Args:
        model: of terratorch, ``TerraMindTiM``; its sampler becomes this.
        dates: how many of a window it sees, one after the other in a batch; each is thought about with the same draw.

    Raises:
        RequestError: it thinks of several modalities, of none that is an image, in several steps or by another rule.
    """

    def __init__(self, model: Any, dates: int = 1) -> None:
        super().__init__()
        names = list(model.tim_modalities)
        keys = [model.mod_name_mapping[name] for name in names]
        if len(keys) != 1 or not keys[0].startswith("tok_"):
            raise RequestError(
                f"config: the model thinks in {printable(', '.join(names))}; one modality of images can be exported"
            )
        if model.tim_decoding_steps != 1 or model.tim_top_k:
            raise RequestError(
                f"config: tokens are drawn in {model.tim_decoding_steps} steps with top_k {model.tim_top_k}; "
                "1 and 0, as is terratorch's default, can be exported"
            )
        # As terratorch has it, so that weights go by the same names.
        self.model = model.sampler.model
        self._dates = dates
        self._target, self._temperature = keys[0], float(model.tim_temps)
        self._top_p = float(model.tim_top_p) or 1.0  # 0 keeps all tokens there
        self._given: list[
            torch.Tensor
        ] = []  # in a list, for exporting takes no tensor that becomes an attribute
        model.sampler = self

    @property
    def top_p(self) -> float:
        """Mass of the nucleus that tokens are drawn from."""
        return self._top_p

    def put(self, uniform: torch.Tensor, top_p: float | None = None) -> None:
        """What the next pass draws with: uniform (N, patches, patches); a ``top_p`` of 0 takes the likeliest."""
        self._given[:] = [uniform, torch.full((1,), self._top_p if top_p is None else top_p)]

    def generate(
        self, mod_dict: Mapping[str, Any], schedule: Any, **_: Any
    ) -> dict[str, dict[str, torch.Tensor]]:
        """As the sampler's own: the target's tokens, (N, tokens)."""
        transformer = self.model
        embedded = [
            transformer.encoder_embeddings[key](given["tensor"])
            for key, given in mod_dict.items()
            if key != self._target
        ]
        emb = torch.cat([each["emb"] for each in embedded], dim=1)
        x = torch.cat([each["x"] for each in embedded], dim=1) + emb
        for block in transformer.encoder:
            x = block(x)
        context = transformer.decoder_proj_context(transformer.encoder_norm(x)) + emb
        embedding = transformer.decoder_embeddings[self._target]
        # Before decoding all tokens are the mask token: only their places tell them apart.
        y = (transformer.mask_token + embedding.pos_emb + embedding.mod_emb).expand(x.shape[0], -1, -1)
        for block in transformer.decoder:
            y = block(y, context)
        logits = embedding.to_logits(transformer.decoder_norm(y)) / self._temperature
        uniform, top_p = self._given
        uniform = uniform[:, None].expand(-1, self._dates, -1, -1).flatten(0, 1)
        return {self._target: {"tensor": draw(logits, uniform.flatten(1), top_p)}}


def thought_of(network: nn.Module, dates: int = 1) -> Thought | None:
    """Makes a network's thinking ours, wherever in it its backbone is; None where it does not think."""
    from terratorch.models.backbones.terramind.model.terramind_tim import TerraMindTiM

    found = [module for module in network.modules() if isinstance(module, TerraMindTiM)]
    return Thought(found[0], dates) if found else None
