"""Checkpoints of TerraMind and of its tokenizers: where they come from, and how their weights come into a model."""

from __future__ import annotations

import logging
import pickle
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from terratorch.models.backbones.terramind.model import terramind_register
from terratorch.models.backbones.terramind.tokenizer import tokenizer_register

from terramosaic.errors import ModelError, one_line
from terramosaic.model.manifest import COORDINATES
from terramosaic.storage.hashes import sha256_of

logger = logging.getLogger(__name__)

#: Gives the path of a checkpoint's file in a Hugging Face repository: fetch(repository, file, revision).
Fetch = Callable[[str, str, str | None], str]

#: The revision of all repositories that have none of their own, in place of a name.
ALL = ""

_COMMIT = re.compile(r"[0-9a-f]{40}")

#: What training tools put weights under, the outermost first; and where they put running averages of them.
_WRAPPERS = ("state_dict", "model", "model_state_dict")
_AVERAGES = ("model_ema", "ema_model", "ema", "state_dict_ema", "ema_state_dict")

#: Sha256 of published files, as far as it is known, by the file's name on the hub.
PUBLISHED: Mapping[str, str] = {
    "TerraMind_Tokenizer_S2L2A.pt": "fbec7e8fb689b28482e19a0b727f6adcef7ca4f229aa8bd3f2b3e9da66cf0263",
}


@dataclass(frozen=True)
class Checkpoint:
    """A file of weights.

    Attributes:
        origin: ``repository@commit`` on the Hugging Face hub; None of a user's file.
    """

    path: Path
    origin: str | None = None


def find_checkpoints(
    variant: str,
    tokenizers: Sequence[str],
    checkpoint: Path | None,
    tokenizer_checkpoints: Mapping[str, Path],
    fetch: Fetch | None,
    revisions: Mapping[str, str] | None = None,
) -> dict[str, Checkpoint]:
    """Files of weights, by variant for TerraMind itself and by modality for its tokenizers.

    Args:
        variant: one of TerraMind's sizes.
        tokenizers: modalities, and coordinates.
        checkpoint: TerraMind's own, where a user has it.
        tokenizer_checkpoints: the same of tokenizers, by modality.
        fetch: where files of the hub come from; by default the hub, or its cache on this machine.
        revisions: a commit, tag or branch of a repository on the hub, by variant or modality, or of `ALL`; by default
            the newest.

    Raises:
        ModelError: one cannot be had; says where to get it, and how to give it.
    """
    sources = {variant: terramind_register.pretrained_weights[variant]}
    sources |= {name: tokenizer_register.pretrained_weights[_tokenizer_of(name)] for name in tokenizers}
    own = {variant: checkpoint, **tokenizer_checkpoints}
    given = revisions or {}
    found = {}
    for name, source in sources.items():
        if path := own.get(name):
            found[name] = Checkpoint(path)
            continue
        option = "--checkpoint FILE" if name == variant else f"--tokenizer-checkpoint {name}=FILE"
        found[name] = _fetched(source, given.get(name) or given.get(ALL), option, fetch)
    return found


def hash_of(path: Path) -> str:
    """A checkpoint's sha256; what differs from the published file of that name is logged."""
    found = sha256_of(path)
    if (published := PUBLISHED.get(path.name)) and published != found:
        logger.warning(
            "%s: is not the published file of this name (sha256 %s…, published %s…); is it meant?",
            path,
            found[:12],
            published[:12],
        )
    return found


def load_weights(module: torch.nn.Module, path: Path, spare: Collection[str] = ()) -> list[str]:
    """Loads weights, all of them: for one that is missing or misshapen, terratorch would take a random one.

    Args:
        module: takes them.
        path: of the checkpoint; its weights may stand under wrappers and prefixes of training tools.
        spare: names of weights that may be missing.

    Returns:
        Those of ``spare`` that are missing.

    Raises:
        ModelError: it is no checkpoint, or of another model.
    """
    content = _weights_in(_read(path), path)
    wanted = module.state_dict()
    prefix = _prefix_of(wanted, content)
    found = {name: content[prefix + name] for name in wanted if prefix + name in content}
    lacking = [name for name in wanted if name not in found]
    if missing := sorted(set(lacking) - set(spare)):
        raise ModelError(
            f"{path}: lacks {len(missing)} of {len(wanted)} weights, the first is {missing[0]}; is it a checkpoint of "
            "another model? Of TerraMind, it is version 1.0 that can be exported"
        )
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise ModelError(
                f"{path}: {name} has shape {list(tensor.shape)}, the model's has {list(wanted[name].shape)}; take its "
                "own checkpoint"
            )
    module.load_state_dict(found, strict=not lacking)
    return lacking


def _read(path: Path) -> Any:
    try:
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except RuntimeError:  # files of torch before 1.6 cannot be mapped
            return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError) as error:
        reason = one_line(error)[:200]
        raise ModelError(f"{path}: is no checkpoint that torch reads: {reason}") from error


def _weights_in(content: Any, path: Path) -> dict[str, torch.Tensor]:
    """The weights themselves, of a running average where the file holds nothing else; which it is is logged."""
    weights = _unwrapped(content)
    averages = {
        name: found
        for name in _AVERAGES
        if isinstance(content, dict) and (found := _unwrapped(content.get(name)))
    }
    if averages:
        name = next(iter(averages))
        taken = "the weights themselves are taken" if weights else "that is taken, for it holds no others"
        logger.warning("%s: holds a running average of weights (%s); %s", path, name, taken)
        weights = weights or averages[name]
    if not weights:
        raise ModelError(f"{path}: is no checkpoint that torch reads: it holds no weights by name")
    return weights


def _unwrapped(content: Any) -> dict[str, torch.Tensor]:
    for wrapper in _WRAPPERS:
        content = content.get(wrapper, content) if isinstance(content, dict) else None
    return {name: each for name, each in (content or {}).items() if isinstance(each, torch.Tensor)}


def _prefix_of(wanted: Collection[str], content: Collection[str]) -> str:
    """What stands before the names of a model's weights where it was a part of another: that which most have.

    Such as ``module.``, ``sampler.model.``, ``model.encoder.``; of copies (an average of weights beside them) the one
    with the shortest is taken.
    """
    counts: dict[str, int] = {"": 0}
    for name in content:
        parts = name.split(".")
        for depth in range(len(parts)):
            if ".".join(parts[depth:]) in wanted:
                prefix = "".join(f"{part}." for part in parts[:depth])
                counts[prefix] = counts.get(prefix, 0) + 1
    return min(counts, key=lambda prefix: (-counts[prefix], len(prefix), prefix))


def _tokenizer_of(name: str) -> str:
    """What terratorch calls a modality's tokenizer."""
    return f"terramind_v1_{'coords_tokenizer' if name == COORDINATES else f'tokenizer_{name.lower()}'}"


def _fetched(source: Mapping[str, str], revision: str | None, option: str, fetch: Fetch | None) -> Checkpoint:
    repository, file = source["hf_hub_id"], source["hf_hub_filename"]
    try:
        path = Path((fetch or _from_hub)(repository, file, revision))
    except Exception as error:  # the hub's client has many, without a common base
        reason = one_line(error).partition(". ")[0][:160]
        raise ModelError(
            f"{file} cannot be had from huggingface.co/{repository}{f' at {revision}' if revision else ''} ({reason}); "
            f"download it where there is a way to the hub and give it as {option}, or try the whole line with "
            "--random-weights 0"
        ) from error

    # The hub's client keeps what it has of a commit in a folder of that name.
    commit = next((part for part in path.parts if _COMMIT.fullmatch(part)), revision)
    return Checkpoint(path, f"{repository}@{commit or 'unknown'}")


def _from_hub(repository: str, file: str, revision: str | None) -> str:
    from huggingface_hub import hf_hub_download  # of the extra `export`; files at hand need no hub

    return str(hf_hub_download(repo_id=repository, filename=file, revision=revision))
