"""TerraMind as terratorch builds and runs it: what is exported, and what an export is compared with."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from terratorch.models.backbones.terramind.model import terramind_register
from terratorch.models.backbones.terramind.model.terramind_generation import TerraMindGeneration
from terratorch.models.backbones.terramind.model.tm_utils import interpolate_pos_encoding

from terramosaic.ground.lattice import PATCH, WINDOW
from terramosaic.model.coordinates import Vocabulary
from terramosaic.model.export.checkpoints import Fetch, find_checkpoints, hash_of, load_weights
from terramosaic.model.export.random_weights import randomise
from terramosaic.model.export.variants import FACTORS
from terramosaic.model.export.vocabulary import made_up_tokenizer, read_tokenizer, vocabulary_of
from terramosaic.model.manifest import COORDINATES, EMBEDDING, NAMED_KINDS

logger = logging.getLogger(__name__)

#: The target that a model is built with if none is asked for: its tokenizer is the smallest.
UNASKED = "LULC"

#: Told what is being done, in words.
Echo = Callable[[str], None]


@dataclass(frozen=True)
class Reference:
    """A TerraMind of terratorch with its weights, ready to generate.

    Attributes:
        model: In evaluation mode; holds encoder embeddings of all targets, so that any order can be chained.
        variant: Such as ``terramind_v1_base``.
        targets: What it generates, in this order.
        embeds: Whether the encoder's patches are wanted, too.
        locates: Whether coordinates are generated, too, after all targets.
        placed: Whether it takes coordinates, too; then it generates none.
        inputs: What it takes as pixels.
        tokenised: What it takes as tokens.
        unchained: Targets without an encoder embedding, whose tokens no later target can see.
        checkpoints: Sha256 of each file that weights came from, by its name.
        origins: Repository and commit on the hub of those that came from there, by the same names.
        seed: Of the random weights; None where they were trained.
        window: Side of the windows that it is given, in pixels; shapes below are those of 224.
    """

    model: TerraMindGeneration
    variant: str
    targets: tuple[str, ...]
    inputs: tuple[str, ...] = ("S2L2A",)
    tokenised: tuple[str, ...] = ()
    unchained: tuple[str, ...] = ()
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    origins: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None
    embeds: bool = False
    locates: bool = False
    placed: bool = False
    window: int = WINDOW

    @property
    def side(self) -> int:
        """Patches to a side of a window, each a token."""
        return self.window // PATCH

    @property
    def vocabularies(self) -> tuple[str, ...]:
        """Modalities whose tokens it takes: targets, then other inputs."""
        return (*self.targets, *(name for name in self.tokenised if name not in self.targets))

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of coordinates."""
        return vocabulary_of(self.model.tokenizer[WORDS_KEY].text_tokenizer, "the model")

    @property
    def diffused(self) -> dict[str, int]:
        """Targets made by diffusion, with their channels."""
        tokenizers = {target: self.model.tokenizer[tokens_key(target)] for target in self.targets}
        return {
            name: each.n_channels for name, each in tokenizers.items() if hasattr(each, "noise_scheduler")
        }

    def key_of(self, name: str) -> str:
        """terratorch's name of an input as it is fed: as pixels where it is taken so, else as tokens."""
        if name == COORDINATES:
            return WORDS_KEY
        return pixels_key(name) if name in self.inputs else tokens_key(name)

    def statistics(self, name: str, bands: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation that an input's bands are standardised by: float64 (bands)."""
        model, key = self.model, self.key_of(name)
        mean, std = (
            # LULC's one number is for all its planes.
            numbers[key].flatten().double().expand(bands).numpy()
            for numbers in (model.pretraining_mean, model.pretraining_std)
        )
        return mean, std

    def embed(self, windows: Mapping[str, np.ndarray]) -> np.ndarray:
        """What the reference's backbone makes of windows of inputs as pixels: float32 (N, dimensions, 14, 14).

        The last layer, its mean over the inputs.
        """
        build = getattr(terramind_register, self.variant)
        backbone = build(modalities=[pixels_key(name) for name in windows], pretrained=False).eval()
        weights = self.model.sampler.model.state_dict()
        backbone.load_state_dict({name: weights[name] for name in backbone.state_dict()})
        given = {}
        for name, array in windows.items():
            mean, std = (numbers[:, None, None] for numbers in self.statistics(name, array.shape[1]))
            given[pixels_key(name)] = torch.from_numpy(((array - mean) / std).astype(np.float32))
        with torch.inference_mode():
            patches = backbone(given)[-1]
        side = math.isqrt(patches.shape[1])
        found: np.ndarray = patches.mT.unflatten(2, (side, side)).contiguous().numpy()
        return found

    @property
    def dimensions(self) -> int:
        """Of the encoder, and so of an embedding."""
        return int(self.model.sampler.model.encoder_norm.weight.shape[0])

    def tokenise(self, name: str, windows: np.ndarray) -> np.ndarray:
        """The reference's tokens of an input's windows: int64 (N, 196)."""
        key = tokens_key(name)
        mean, std = self.model.pretraining_mean[key], self.model.pretraining_std[key]
        with torch.inference_mode():
            ids = self.model.tokenizer[key].tokenize((torch.from_numpy(windows) - mean) / std)
        found: np.ndarray = ids.flatten(1).numpy().astype(np.int64)
        return found

    def generate(
        self,
        windows: Mapping[str, np.ndarray],
        noise: Mapping[str, np.ndarray],
        steps: int,
        *,
        greedy: bool = True,
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The reference's own forward pass, with the noise that is given instead of its own.

        Args:
            windows: by input float32 (N, bands, 224, 224), in the input's unit; as tokens where it is no pixel input.
                Of coordinates longitude and latitude in degrees, float32 (N, 2).
            noise: by diffusion target, float32 (N, channels, 224, 224).
            steps: denoising steps.
            greedy: takes the most probable tokens; else they are drawn, by torch's own generator.

        Returns:
            By target float32 (N, channels, 224, 224), values in the target's unit or class logits; and by target
            int64 (N, 196), the tokens. Of coordinates float32 (N, 2), latitude and longitude, and their words int64
            (N, 2).
        """
        model = self.model
        tokens: dict[str, np.ndarray] = {}
        in_order = iter([noise[target] for target in self.targets if target in noise])

        def given(size: Sequence[int], **_: Any) -> torch.Tensor:
            array = next(in_order)
            if array.shape != tuple(size):
                raise ValueError(f"the reference asked for noise {tuple(size)} and was given {array.shape}")
            return torch.from_numpy(array)

        names = {key: name for name, key in model.mod_name_mapping.items()}
        given_inputs = {names[self.key_of(name)]: torch.from_numpy(array) for name, array in windows.items()}
        temperature, model.temps = model.temps, 0.0 if greedy else model.temps
        try:
            with torch.inference_mode(), mock.patch("torch.randn", given), _tokens_kept(self, tokens):
                values = model(given_inputs, standardize=True, timesteps=steps)
        finally:
            model.temps = temperature
        places = {}
        if self.locates:
            lonlat = np.array(values[model.output_mod_name_mapping[WORDS_KEY]], np.float32)
            places[COORDINATES] = np.ascontiguousarray(lonlat[:, ::-1])
        made = {target: values[model.output_mod_name_mapping[tokens_key(target)]] for target in self.targets}
        return {
            target: array.numpy() * np.float32(FACTORS.get(target, 1)) for target, array in made.items()
        } | places, tokens


def positions_of(embedding: torch.nn.Module, side: int) -> torch.Tensor:
    """What tells the encoder or decoder where a patch lies, and of which modality it is: (1, side², width).

    Of windows that are not those of its training, terratorch stretches the positions; so this does.
    """
    positions: torch.Tensor = embedding.pos_emb
    if positions.shape[1] != side**2:
        pixels, width = side * PATCH, positions.shape[2]
        positions = interpolate_pos_encoding(positions, pixels, pixels, (PATCH, PATCH), width)
    return positions + embedding.mod_emb


#: terratorch's name of coordinates.
WORDS_KEY = "coords"


def pixels_key(name: str) -> str:
    """terratorch's name of an input as pixels, such as ``untok_sen1rtc@224``."""
    return f"untok_{_long(name)}@224"


def tokens_key(name: str) -> str:
    """terratorch's name of a target, or of an input as tokens, such as ``tok_sen1rtc@224``."""
    return f"tok_{_long(name)}@224"


def _long(name: str) -> str:
    """A modality's name as terratorch spells it inside, such as ``sen1rtc``."""
    return re.sub(r"^s(?=\d)", "sen", name.lower())


def load_reference(
    variant: str,
    targets: Sequence[str],
    *,
    inputs: Sequence[str] = ("S2L2A",),
    tokenised: Sequence[str] = (),
    checkpoint: Path | None = None,
    tokenizer_checkpoints: Mapping[str, Path] | None = None,
    seed: int | None = None,
    echo: Echo = lambda _: None,
    fetch: Fetch | None = None,
    revisions: Mapping[str, str] | None = None,
    window: int = WINDOW,
) -> Reference:
    """Builds TerraMind and loads its weights: from files, from the Hugging Face hub, or at random.

    Args:
        variant: One of `terramosaic.model.export.variants.VARIANTS`.
        targets: What to generate, in this order; the embedding among it.
        inputs: What to take as pixels.
        tokenised: What to take as tokens.
        checkpoint: TerraMind's weights; by default from the hub.
        tokenizer_checkpoints: By target or tokenised input, its tokenizer's weights; by default from the hub.
        seed: Of random weights, with which no checkpoint is read.
        echo: Told what is done.
        fetch: Where files of the hub come from; by default the hub, or its cache on this machine.
        revisions: Of repositories on the hub; see `find_checkpoints`.
        window: Side of the windows that it is to be given, in pixels.

    Raises:
        ModelError: a checkpoint cannot be had, or does not fit the model; names the file and what to do.
    """
    embeds, locates, placed = EMBEDDING in targets, COORDINATES in targets, COORDINATES in inputs
    inputs = [name for name in inputs if name != COORDINATES]
    targets = [target for target in targets if target not in NAMED_KINDS]
    tokenizers = list(dict.fromkeys((*targets, *tokenised)))
    worded = [COORDINATES] if locates or placed else []
    files = (
        {}
        if seed is not None
        else find_checkpoints(
            variant, [*tokenizers, *worded], checkpoint, tokenizer_checkpoints or {}, fetch, revisions
        )
    )
    echo(f"building {variant}")
    torch.manual_seed(seed or 0)
    model = build_model(variant, targets, inputs, tokenised, locates=locates, placed=placed)
    found = Reference(
        model,
        variant,
        tuple(targets),
        tuple(inputs),
        tuple(tokenised),
        seed=seed,
        embeds=embeds,
        locates=locates,
        placed=placed,
        window=window,
    )
    if seed is not None:
        echo("drawing random weights")
        randomise(model, seed)
        return found
    for name in tokenizers:
        echo(f"loading {files[name].path.name}")
        load_weights(model.tokenizer[tokens_key(name)], files[name].path)
    for name in worded:
        tokenizer = read_tokenizer(files[name].path)
        vocabulary_of(tokenizer, str(files[name].path))  # that it is one is said before weights are read
        model.tokenizer[WORDS_KEY].text_tokenizer = tokenizer
    own = files[variant].path
    echo(f"loading {own.name}")
    # terratorch itself does without the last target's encoder embedding, and a checkpoint of its own may.
    last = targets[-1] if targets else UNASKED
    spare = {f"encoder_embeddings.{tokens_key(last)}.token_emb.weight"} if last not in tokenised else set()
    if load_weights(model.sampler.model, own, spare):
        found = replace(found, unchained=(last,))
        logger.warning(
            "%s: has no encoder embedding of %s, so the bundle can only make it last of a chain",
            own,
            last,
        )
    return replace(
        found,
        checkpoints={file.path.name: hash_of(file.path) for file in files.values()},
        origins={file.path.name: file.origin for file in files.values() if file.origin},
    )


def build_model(
    variant: str,
    targets: Sequence[str],
    inputs: Sequence[str] = ("S2L2A",),
    tokenised: Sequence[str] = (),
    *,
    locates: bool = False,
    placed: bool = False,
) -> TerraMindGeneration:
    """TerraMind for these targets and inputs, with terratorch's own initial weights and made-up words."""
    build = getattr(terramind_register, f"{variant}_generate")
    # terratorch gives encoder embeddings to all targets but the last, which it never feeds back. Named twice, the last
    # one gets them as well, and a bundle can chain its targets in any order. Coordinates get none: where terratorch has
    # one, all targets see what they begin with.
    named = [*targets, targets[-1]] if targets else [UNASKED, UNASKED]
    named += [WORDS_KEY] if locates else []
    modalities = [*map(pixels_key, inputs), *map(tokens_key, tokenised), *([WORDS_KEY] if placed else [])]
    model = build(modalities=modalities, output_modalities=named, standardize=True, pretrained=False)
    if locates or placed:
        model.tokenizer[WORDS_KEY].text_tokenizer = made_up_tokenizer()
    images = set(model.tokenizer) - {WORDS_KEY}
    for key in images - set(map(tokens_key, tokenised)):
        # Tokenizers' encoders turn images into tokens; nothing here asks for that.
        for part in ("encoder", "quant_proj"):
            setattr(model.tokenizer[key], part, torch.nn.Identity())
    for key in images - set(map(tokens_key, targets)):
        model.tokenizer[key].decoder = torch.nn.Identity()  # nothing is made of what is only looked at
    model.eval().requires_grad_(False)
    return model


@contextmanager
def _tokens_kept(reference: Reference, tokens: dict[str, np.ndarray]) -> Iterator[None]:
    """Keeps the tokens that the reference decodes, by target."""
    tokenizers = {target: reference.model.tokenizer[tokens_key(target)] for target in reference.targets}

    def keeping(target: str) -> Callable[..., torch.Tensor]:
        decode = tokenizers[target].decode_tokens

        def decode_and_keep(ids: torch.Tensor, **options: Any) -> torch.Tensor:
            tokens[target] = ids.flatten(1).numpy().astype(np.int64)
            result: torch.Tensor = decode(ids, **options)
            return result

        return decode_and_keep

    def decode_words(mod_dict: Any, key: str = WORDS_KEY) -> Any:
        words = mod_dict[key]["tensor"][:, :2].numpy().astype(np.int64)
        # Of what is no word of coordinates there may be less than two.
        tokens[COORDINATES] = np.pad(words, ((0, 0), (0, 2 - words.shape[1])))
        return decode_text(mod_dict, key)

    with ExitStack() as patches:
        if reference.locates:
            words = reference.model.tokenizer[WORDS_KEY]
            decode_text = words.decode_text
            patches.enter_context(mock.patch.object(words, "decode_text", decode_words))
            patches.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")  # terratorch warns of each guess that is no place
        for target, tokenizer in tokenizers.items():
            patches.enter_context(mock.patch.object(tokenizer, "decode_tokens", keeping(target)))
        yield
