"""TerraMind as terratorch builds and runs it: what is exported, and what an export is compared with."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from terratorch.models.backbones.terramind.model import terramind_register
from terratorch.models.backbones.terramind.model.terramind_generation import TerraMindGeneration
from terratorch.models.backbones.terramind.tokenizer import tokenizer_register

from terramosaic.errors import ModelError, one_line
from terramosaic.model.export.random_weights import randomise
from terramosaic.storage.hashes import sha256_of

#: Told what is being done, in words.
Echo = Callable[[str], None]

#: Gives the path of a checkpoint's file in a Hugging Face repository: fetch(repository, file).
Fetch = Callable[[str, str], str]


@dataclass(frozen=True)
class Reference:
    """A TerraMind of terratorch with its weights, ready to generate.

    Attributes:
        model: In evaluation mode; holds encoder embeddings of all targets, so that any order can be chained.
        variant: Such as ``terramind_v1_base``.
        targets: What it generates, in this order.
        checkpoints: Sha256 of each file that weights came from, by its name.
        seed: Of the random weights; None where they were trained.
    """

    model: TerraMindGeneration
    variant: str
    targets: tuple[str, ...]
    checkpoints: Mapping[str, str] = field(default_factory=dict)
    seed: int | None = None

    def key(self, target: str) -> str:
        """The reference's name of a target, such as ``tok_sen1grd@224``."""
        return str(self.model.mod_name_mapping[target])

    def generate(
        self, windows: np.ndarray, noise: Mapping[str, np.ndarray], steps: int, *, greedy: bool = True
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The reference's own forward pass, with the noise that is given instead of its own.

        Args:
            windows: float32 (N, 12, 224, 224), harmonised DN.
            noise: by diffusion target, float32 (N, channels, 224, 224).
            steps: denoising steps.
            greedy: takes the most probable tokens; else they are drawn, by torch's own generator.

        Returns:
            By target float32 (N, channels, 224, 224), values in the target's unit or class logits; and by target
            int64 (N, 196), the tokens.
        """
        model = self.model
        tokens: dict[str, np.ndarray] = {}
        in_order = iter([noise[target] for target in self.targets if target in noise])

        def given(size: Sequence[int], **_: Any) -> torch.Tensor:
            array = next(in_order)
            if array.shape != tuple(size):
                raise ValueError(f"the reference asked for noise {tuple(size)} and was given {array.shape}")
            return torch.from_numpy(array)

        temperature, model.temps = model.temps, 0.0 if greedy else model.temps
        try:
            with torch.inference_mode(), mock.patch("torch.randn", given), _tokens_kept(self, tokens):
                values = model({"S2L2A": torch.from_numpy(windows)}, standardize=True, timesteps=steps)
        finally:
            model.temps = temperature
        return {target: values[target].numpy() for target in self.targets}, tokens


def load_reference(
    variant: str,
    targets: Sequence[str],
    *,
    checkpoint: Path | None = None,
    tokenizer_checkpoints: Mapping[str, Path] | None = None,
    seed: int | None = None,
    echo: Echo = lambda _: None,
    fetch: Fetch | None = None,
) -> Reference:
    """Builds TerraMind and loads its weights: from files, from the Hugging Face hub, or at random.

    Args:
        variant: One of `terramosaic.model.export.variants.VARIANTS`.
        targets: What to generate, in this order.
        checkpoint: TerraMind's weights; by default from the hub.
        tokenizer_checkpoints: By target, its tokenizer's weights; by default from the hub.
        seed: Of random weights, with which no checkpoint is read.
        echo: Told what is done.
        fetch: Where files of the hub come from; by default the hub, or its cache on this machine.

    Raises:
        ModelError: a checkpoint cannot be had, or does not fit the model; names the file and what to do.
    """
    files = (
        {}
        if seed is not None
        else _checkpoints(variant, targets, checkpoint, tokenizer_checkpoints or {}, fetch)
    )
    echo(f"building {variant}")
    torch.manual_seed(seed or 0)
    model = build_model(variant, targets)
    if seed is not None:
        echo("drawing random weights")
        randomise(model, seed)
        return Reference(model, variant, tuple(targets), seed=seed)
    for part, path in files.items():
        echo(f"loading {path.name}")
        _load(model.sampler.model if part == variant else model.tokenizer[model.mod_name_mapping[part]], path)
    return Reference(model, variant, tuple(targets), {path.name: sha256_of(path) for path in files.values()})


def _checkpoints(
    variant: str,
    targets: Sequence[str],
    checkpoint: Path | None,
    tokenizer_checkpoints: Mapping[str, Path],
    fetch: Fetch | None,
) -> dict[str, Path]:
    """Files of weights, by variant for TerraMind itself and by target for its tokenizers."""
    source = terramind_register.pretrained_weights[variant]
    files = {variant: checkpoint or _fetched(source, "--checkpoint FILE", fetch)}
    for target in targets:
        source = tokenizer_register.pretrained_weights[f"terramind_v1_tokenizer_{target.lower()}"]
        option = f"--tokenizer-checkpoint {target}=FILE"
        files[target] = tokenizer_checkpoints.get(target) or _fetched(source, option, fetch)
    return files


def build_model(variant: str, targets: Sequence[str]) -> TerraMindGeneration:
    """TerraMind for S2L2A and these targets, with terratorch's own initial weights."""
    build = getattr(terramind_register, f"{variant}_generate")
    # terratorch gives encoder embeddings to all targets but the last, which it never feeds back. Named twice, the last
    # one gets them as well, and a bundle can chain its targets in any order.
    named = [*targets, targets[-1]]
    model = build(modalities=["S2L2A"], output_modalities=named, standardize=True, pretrained=False)
    for key in model.tokenizer:
        # Tokenizers' encoders turn images into tokens; nothing here asks for that.
        for part in ("encoder", "quant_proj"):
            setattr(model.tokenizer[key], part, torch.nn.Identity())
    model.eval().requires_grad_(False)
    return model


def _load(module: torch.nn.Module, path: Path) -> None:
    """Loads weights, all of them: for one that is missing or misshapen, terratorch would take a random one."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = one_line(error)[:200]
        raise ModelError(f"{path}: is no checkpoint that torch reads: {reason}") from error
    for wrapper in ("model", "state_dict"):
        content = content.get(wrapper, content) if isinstance(content, dict) else None
    if content is None or not all(isinstance(tensor, torch.Tensor) for tensor in content.values()):
        raise ModelError(f"{path}: is no checkpoint that torch reads: it holds no weights by name")
    wanted = module.state_dict()
    missing = sorted(name for name in wanted if name not in content)
    if missing:
        raise ModelError(
            f"{path}: lacks {len(missing)} of {len(wanted)} weights, the first is {missing[0]}; is it a checkpoint of "
            "another model?"
        )
    for name, tensor in wanted.items():
        if content[name].shape != tensor.shape:
            found, expected = list(content[name].shape), list(tensor.shape)
            raise ModelError(
                f"{path}: {name} has shape {found}, the model's has {expected}; take its own checkpoint"
            )
    module.load_state_dict({name: content[name] for name in wanted})


def _fetched(source: Mapping[str, str], option: str, fetch: Fetch | None) -> Path:
    repository, file = source["hf_hub_id"], source["hf_hub_filename"]
    try:
        return Path((fetch or _from_hub)(repository, file))
    except Exception as error:  # the hub's client has many, without a common base
        reason = one_line(error).partition(". ")[0][:160]
        raise ModelError(
            f"{file} cannot be had from huggingface.co/{repository} ({reason}); download it where there is a way "
            f"to the hub and give it as {option}, or try the whole line with --random-weights 0"
        ) from error


def _from_hub(repository: str, file: str) -> str:
    from huggingface_hub import hf_hub_download  # of the extra `export`; files at hand need no hub

    return str(hf_hub_download(repo_id=repository, filename=file))


@contextmanager
def _tokens_kept(reference: Reference, tokens: dict[str, np.ndarray]) -> Iterator[None]:
    """Keeps the tokens that the reference decodes, by target."""
    tokenizers = {target: reference.model.tokenizer[reference.key(target)] for target in reference.targets}

    def keeping(target: str) -> Callable[..., torch.Tensor]:
        decode = tokenizers[target].decode_tokens

        def decode_and_keep(ids: torch.Tensor, **options: Any) -> torch.Tensor:
            tokens[target] = ids.flatten(1).numpy().astype(np.int64)
            result: torch.Tensor = decode(ids, **options)
            return result

        return decode_and_keep

    with ExitStack() as patches:
        for target, tokenizer in tokenizers.items():
            patches.enter_context(mock.patch.object(tokenizer, "decode_tokens", keeping(target)))
        yield
