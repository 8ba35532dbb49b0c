"""TerraMind cut into the graphs of a bundle: terratorch's own modules, without what generation does not need.

All of a target's tokens come from one pass, so masks, sorting and gathering fall away: attention does not mind the
order of tokens. Randomness is an input. See `terramosaic.model.pipeline` for how the graphs follow one another.
"""

from __future__ import annotations

import torch
from torch import nn

from terramosaic.ground.lattice import PATCH, WINDOW
from terramosaic.model.export.nucleus import draw
from terramosaic.model.export.reference import Reference

_SIDE = WINDOW // PATCH
_TOKENS = _SIDE * _SIDE


class Encode(nn.Module):
    """Windows and the tokens of earlier targets to the decoder's context."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        model, transformer = reference.model, reference.model.sampler.model
        image = model.mod_name_mapping["S2L2A"]
        self.register_buffer("mean", model.pretraining_mean[image].clone())
        self.register_buffer("std", model.pretraining_std[image].clone())
        self.image = transformer.encoder_embeddings[image]
        embeddings = [transformer.encoder_embeddings[reference.key(target)] for target in reference.targets]
        # One table for all targets' tokens, so that any chain is one look-up.
        self.table = nn.Parameter(torch.cat([embedding.token_emb.weight for embedding in embeddings]), False)
        sizes = [len(embedding.token_emb.weight) for embedding in embeddings]
        self.register_buffer("start", torch.tensor([0, *sizes[:-1]]).cumsum(0))
        self.register_buffer(
            "place", torch.cat([embedding.pos_emb + embedding.mod_emb for embedding in embeddings])
        )
        self.encoder, self.norm = transformer.encoder, transformer.encoder_norm
        self.context = transformer.decoder_proj_context

    def forward(self, windows: torch.Tensor, ids: torch.Tensor, modality: torch.Tensor) -> torch.Tensor:
        """windows (N, 12, 224, 224) in DN, ids (N, 196 k), modality (k,) → context (N, 196 (1 + k), width)."""
        image = self.image({"tensor": (windows - self.mean) / self.std})
        offsets = self.start[modality].repeat_interleave(_TOKENS)
        embedded = self.table[ids + offsets]
        place = self.place[modality].flatten(0, 1).expand(windows.shape[0], -1, -1)
        emb = torch.cat([image["emb"], place], dim=1)
        x = torch.cat([image["x"], embedded], dim=1) + emb
        for block in self.encoder:
            x = block(x)
        context: torch.Tensor = self.context(self.norm(x)) + emb
        return context


class Decode(nn.Module):
    """Context to the hidden state of one target's 196 tokens."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        transformer = reference.model.sampler.model
        embeddings = [transformer.decoder_embeddings[reference.key(target)] for target in reference.targets]
        # Before decoding all tokens are the mask token: only place and target tell them apart.
        start = [transformer.mask_token + embedding.pos_emb + embedding.mod_emb for embedding in embeddings]
        self.register_buffer("start", torch.cat(start))
        self.decoder, self.norm = transformer.decoder, transformer.decoder_norm

    def forward(self, context: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """context (N, length, width), target (1,) → hidden (N, 196, width)."""
        y = self.start[target].expand(context.shape[0], -1, -1)
        for block in self.decoder:
            y = block(y, context)
        hidden: torch.Tensor = self.norm(y)
        return hidden


class Tokens(nn.Module):
    """Hidden state to tokens, drawn or greedy, and to their code."""

    def __init__(self, reference: Reference, target: str) -> None:
        super().__init__()
        key = reference.key(target)
        self.logits = reference.model.sampler.model.decoder_embeddings[key].to_logits
        quantizer = reference.model.tokenizer[key].quantize
        levels, basis = quantizer._levels.long(), quantizer._basis.long()
        self.register_buffer("levels", levels[None, :, None])
        self.register_buffer("basis", basis[None, :, None])
        self.register_buffer("largest", (levels - 1).float()[None, :, None])

    def forward(
        self, hidden: torch.Tensor, uniform: torch.Tensor, top_p: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """hidden (N, 196, width), uniform (N, 14, 14), top_p (1,) → ids (N, 196), code (N, levels, 14, 14)."""
        ids = draw(self.logits(hidden), uniform.flatten(1), top_p)
        digits = (ids[:, None] // self.basis) % self.levels
        code = digits.float() / self.largest
        return ids, code.unflatten(2, (_SIDE, _SIDE))


class Step(nn.Module):
    """One denoising step: the U-Net's x0, DDIM's update, and the values that it would be in physical units."""

    def __init__(self, reference: Reference, target: str) -> None:
        super().__init__()
        model, key = reference.model, reference.key(target)
        self.unet = model.tokenizer[key].decoder
        self.register_buffer("mean", model.pretraining_mean[key].clone())
        self.register_buffer("std", model.pretraining_std[key].clone())

    def forward(
        self, x: torch.Tensor, code: torch.Tensor, t: torch.Tensor, coefficients: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """x (N, C, 224, 224), code (N, levels, 14, 14), t (1,), coefficients a, b, c, clip (4,) → next x, values."""
        a, b, c, clip = coefficients.unbind(0)
        x0 = self.unet(x, t, code)
        # The reference's threshold of x0 is a plain bound: its `sample_max_value` is 1. The noise, though, is what the
        # unbounded x0 leaves of x.
        following = a * torch.minimum(torch.maximum(x0, -clip), clip) + b * x - c * x0
        return following, following * self.std + self.mean


class Classes(nn.Module):
    """Code to class probabilities, and the logits that they come from."""

    def __init__(self, reference: Reference, target: str) -> None:
        super().__init__()
        tokenizer = reference.model.tokenizer[reference.key(target)]
        self.project, self.decoder = tokenizer.post_quant_proj, tokenizer.decoder

    def forward(self, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """code (N, levels, 14, 14) → probabilities (N, classes, 224, 224), logits of the same shape."""
        logits = self.decoder(self.project(code))
        return torch.softmax(logits, dim=1), logits
