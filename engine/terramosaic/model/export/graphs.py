"""TerraMind cut into the graphs of a bundle: terratorch's own modules, without what generation does not need.

All of a target's tokens come from one pass, so masks, sorting and gathering fall away: attention does not mind the
order of tokens. Randomness is an input. See `terramosaic.model.pipeline` for how the graphs follow one another. Shapes
are those of a window of 224 pixels, 14 x 14 patches; another one has more or fewer.
"""

from __future__ import annotations

import torch
from torch import nn

from terramosaic.model.coordinates import TOKENS_OF_A_PLACE
from terramosaic.model.export.nucleus import draw
from terramosaic.model.export.reference import (
    UNASKED,
    WORDS_KEY,
    Reference,
    pixels_key,
    positions_of,
    tokens_key,
)
from terramosaic.model.export.variants import FACTORS

#: Words that stand before the last one that is drawn, and more than that.
_MOST_WORDS = 4


class Embed(nn.Module):
    """Windows of one input to its embedded patches."""

    def __init__(self, reference: Reference, name: str) -> None:
        super().__init__()
        model, key = reference.model, pixels_key(name)
        self.register_buffer("mean", model.pretraining_mean[key].clone())
        self.register_buffer("std", model.pretraining_std[key].clone())
        self.project = model.sampler.model.encoder_embeddings[key]

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """windows (N, bands, 224, 224) in the input's unit → patches (N, 196, width)."""
        patches: torch.Tensor = self.project({"tensor": (windows - self.mean) / self.std})["x"]
        return patches


class EmbedPlaces(nn.Module):
    """Places on the grid of coordinates to their three embedded tokens."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        words, vocabulary = reference.model.sampler.model.encoder_embeddings[WORDS_KEY], reference.vocabulary
        # Of 30 000 words the 2 163 that coordinates are put in by.
        for name in ("latitudes", "longitudes"):
            numbers = list(getattr(vocabulary, name))
            self.register_buffer(name, words.token_emb.weight[numbers].clone())
        self.register_buffer("end", words.token_emb.weight[[vocabulary.end]].clone())

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        """places (N, 2), indices of latitude and longitude → sequence (N, 3, width)."""
        latitude, longitude = places.unbind(1)
        end = self.end.expand(places.shape[0], -1)
        return torch.stack([self.latitudes[latitude], self.longitudes[longitude], end], dim=1)


class Tokenise(nn.Module):
    """Windows of one input to its tokens."""

    def __init__(self, reference: Reference, name: str) -> None:
        super().__init__()
        model, key = reference.model, tokens_key(name)
        self.register_buffer("mean", model.pretraining_mean[key].clone())
        self.register_buffer("std", model.pretraining_std[key].clone())
        tokenizer = model.tokenizer[key]
        self.encoder, self.project, self.quantize = (
            tokenizer.encoder,
            tokenizer.quant_proj,
            tokenizer.quantize,
        )

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """windows (N, bands, 224, 224) in the input's unit → ids (N, 196)."""
        latent = self.project(self.encoder((windows - self.mean) / self.std))
        ids: torch.Tensor = self.quantize(latent)[-1].flatten(1).long()
        return ids


class Context(nn.Module):
    """Embedded patches of inputs, and tokens of inputs and earlier targets, to the decoder's context."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        transformer = reference.model.sampler.model
        images = [transformer.encoder_embeddings[pixels_key(name)] for name in reference.inputs]
        side = reference.side
        self.register_buffer("image_place", torch.cat([positions_of(image, side) for image in images]))
        # Of a bundle that looks nothing up, the table is that of the target that the model was built with.
        names = reference.vocabularies or (UNASKED,)
        embeddings = [transformer.encoder_embeddings[tokens_key(name)] for name in names]
        # One table for the tokens of all modalities, so that any chain is one look-up.
        self.table = nn.Parameter(torch.cat([embedding.token_emb.weight for embedding in embeddings]), False)
        sizes = [len(embedding.token_emb.weight) for embedding in embeddings]
        self.register_buffer("start", torch.tensor([0, *sizes[:-1]]).cumsum(0))
        self.register_buffer("place", torch.cat([positions_of(embedding, side) for embedding in embeddings]))
        self.encoder, self.norm = transformer.encoder, transformer.encoder_norm
        self.context = transformer.decoder_proj_context
        if reference.placed:
            words = transformer.encoder_embeddings[WORDS_KEY]
            self.register_buffer("sequence_place", words.pos_emb[:, :TOKENS_OF_A_PLACE] + words.mod_emb)
        self.embeds, self.side = reference.embeds, side

    def forward(
        self,
        patches: torch.Tensor,
        image: torch.Tensor,
        ids: torch.Tensor,
        modality: torch.Tensor,
        sequence: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """patches (i, N, 196, width) of inputs image (i,), ids (N, 196 k) of modality (k,) → context, embedding.

        Where the reference takes coordinates, sequence (N, 3 or 0, width) are theirs. The context is
        (N, 196 (i + k), width), and as much longer; the embedding (N, width, 14, 14): what the encoder makes of each
        patch, its mean over all that was seen of it, as terratorch's backbone merges modalities; only where the
        reference embeds. Inputs and modalities are numbers in the order of the tables.
        """
        offsets = self.start[modality].repeat_interleave(self.side**2)
        place = torch.cat([self.image_place[image], self.place[modality]]).flatten(0, 1)
        parts = [patches.transpose(0, 1).flatten(1, 2), self.table[ids + offsets]]
        images = parts[0].shape[1] + parts[1].shape[1]
        if sequence is not None:
            parts.append(sequence)
            # By number, for of a slice torch would not know that it is as long as the sequence.
            numbers = torch.arange(sequence.shape[1], device=sequence.device)
            place = torch.cat([place, self.sequence_place[0][numbers]])
        emb = place.expand(patches.shape[1], -1, -1)
        x = torch.cat(parts, dim=1) + emb
        for block in self.encoder:
            x = block(x)
        encoded = self.norm(x)
        context: torch.Tensor = self.context(encoded) + emb
        if not self.embeds:
            return (context,)
        embedding = encoded[:, :images].unflatten(1, (-1, self.side**2)).mean(1)
        return context, embedding.mT.unflatten(2, (self.side, self.side))


class Decode(nn.Module):
    """Context to the hidden state of one target's 196 tokens."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        transformer = reference.model.sampler.model
        embeddings = [transformer.decoder_embeddings[tokens_key(target)] for target in reference.targets]
        # Before decoding all tokens are the mask token: only place and target tell them apart.
        start = [transformer.mask_token + positions_of(embedding, reference.side) for embedding in embeddings]
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
        key, self.side = tokens_key(target), reference.side
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
        return ids, code.unflatten(2, (self.side, self.side))


class Logits(nn.Module):
    """Hidden state to what tokens are drawn from."""

    def __init__(self, reference: Reference, target: str) -> None:
        super().__init__()
        self.logits = reference.model.sampler.model.decoder_embeddings[tokens_key(target)].to_logits

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden (N, 196, width) → logits (N, 196, codes)."""
        logits: torch.Tensor = self.logits(hidden)
        return logits


class Draw(nn.Module):
    """Logits of any target to tokens, drawn or greedy."""

    def forward(self, logits: torch.Tensor, uniform: torch.Tensor, top_p: torch.Tensor) -> torch.Tensor:
        """logits (tokens, codes), uniform (tokens,), top_p (1,) → ids (tokens,)."""
        return draw(logits, uniform, top_p)


class Words(nn.Module):
    """Context and the words of coordinates so far to what the next word is drawn from."""

    def __init__(self, reference: Reference) -> None:
        super().__init__()
        transformer = reference.model.sampler.model
        embedding = transformer.decoder_embeddings[WORDS_KEY]
        self.table, self.logits = embedding.token_emb, embedding.to_logits
        self.register_buffer("place", embedding.pos_emb[:, :_MOST_WORDS] + embedding.mod_emb)
        self.decoder, self.norm = transformer.decoder, transformer.decoder_norm

    def forward(self, context: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """context (N, length, width), ids (N, k) → logits (N, words)."""
        count = ids.shape[1]
        y = self.table(ids) + self.place[:, :count]
        # No word sees those behind it.
        behind = torch.ones(count, count, dtype=torch.bool, device=ids.device).triu(1)
        for block in self.decoder:
            y = block(y, context, sa_mask=behind[None])
        logits: torch.Tensor = self.logits(self.norm(y[:, -1]))
        return logits


class Step(nn.Module):
    """One denoising step: the U-Net's x0, DDIM's update, and the values that it would be in physical units."""

    def __init__(self, reference: Reference, target: str) -> None:
        super().__init__()
        model, key = reference.model, tokens_key(target)
        self.unet = model.tokenizer[key].decoder
        factor = FACTORS.get(target, 1)
        self.register_buffer("mean", model.pretraining_mean[key] * factor)
        self.register_buffer("std", model.pretraining_std[key] * factor)

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
        tokenizer = reference.model.tokenizer[tokens_key(target)]
        self.project, self.decoder = tokenizer.post_quant_proj, tokenizer.decoder

    def forward(self, code: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """code (N, levels, 14, 14) → probabilities (N, classes, 224, 224), logits of the same shape."""
        logits = self.decoder(self.project(code))
        return torch.softmax(logits, dim=1), logits
