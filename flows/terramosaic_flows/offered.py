"""The models that a form offers, and what they take and make.

``TERRAMOSAIC_MODELS`` holds bundles and folders of bundles, separated by commas: ``/models,/data/water``; ``demo`` may
be one of them. A form cannot ask which model was chosen, so it offers what any of them has, and says which has what.
Without the setting it takes every name.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.model.bundle import DEMO, read_manifest
from terramosaic.model.manifest import TOKENISE, Manifest
from terramosaic.settings import MODELS


def offered_models() -> dict[str, Manifest]:
    """The bundles of the setting by what a request's `model` says, in the order of the setting and of their names.

    Raises:
        TerramosaicError: what the setting names is no bundle, or holds none.
    """
    models = [model for each in MODELS.names for model in _bundles_at(each)]
    try:
        return {model: read_manifest(model) for model in models}
    except TerramosaicError as error:
        raise RequestError(f"{MODELS}: {error}") from error


def first_model() -> str:
    """What a form begins with: the first model that is offered.

    Raises:
        TerramosaicError: as `offered_models`.
    """
    return next(iter(offered_models()), DEMO)


def offering(schemas: Mapping[str, Any], models: Mapping[str, Manifest]) -> dict[str, Any]:
    """The schemas of a request's fields with the models and with what they have as choices, where there are some."""
    if not models:
        return dict(schemas)
    targets = {model: list(manifest.targets) for model, manifest in models.items()}
    inputs = {model: list(manifest.inputs) for model, manifest in models.items()}
    tokenised = {
        model: [name for name, spec in manifest.inputs.items() if TOKENISE in spec.graphs]
        for model, manifest in models.items()
    }
    model = {**schemas["model"], "default": next(iter(models)), "enum": list(models)}
    return {
        **schemas,
        "model": {name: value for name, value in model.items() if name != "minLength"},
        "targets": _one_or_several(schemas["targets"], targets),
        "inputs": _one_or_several(schemas["inputs"], inputs),
        "tokenised": _one_or_several(schemas["tokenised"], tokenised),
    }


def _one_or_several(schema: Mapping[str, Any], by_model: Mapping[str, list[str]]) -> dict[str, Any]:
    """The schema of a field with several names, of which the form's choices are what any model has."""
    names = list(dict.fromkeys(name for each in by_model.values() for name in each))
    usual = schema.get("default", [])
    first = next(iter(by_model.values()))
    default = usual if set(usual) <= set(first) else first
    told = "; ".join(f"{model}: {', '.join(each) or 'none'}" for model, each in by_model.items())
    return {
        **schema,
        "default": default,
        "description": f"{schema['description']}. {told}",
        "items": {"type": "string", "enum": names},
    }


def _bundles_at(place: str) -> list[str]:
    if place == DEMO or (Path(place).expanduser() / "bundle.json").is_file():
        return [place]
    found = sorted(str(path.parent) for path in Path(place).expanduser().glob("*/bundle.json"))
    if not found:
        raise RequestError(
            f"{MODELS}: {place} is no bundle, nor a folder with some; name folders that hold a bundle.json"
        )
    return found
