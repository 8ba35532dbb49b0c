"""What a STAC item of the MLM extension says of a model: its files, and the fields of a spec as far as it tells them.

The extension does not tell everything that a map needs. What it leaves open is asked for in a line, and a spec says it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from terramosaic.bands import INPUT_BANDS, band_called
from terramosaic.errors import RequestError, printable
from terramosaic.model.mlm.writing import BUNDLE_ROLE
from terramosaic.model.packing.spec import UNITS, unit_of
from terramosaic.storage.documents import read_document, shown
from terramosaic.storage.location import is_url

#: Bytes of an item; the largest that was seen has 40 kB.
_LARGEST_ITEM = 10_000_000

#: What items call the axes of a tensor.
_BANDS = ("bands", "band", "channel", "channels", "c")
_HEIGHT = ("height", "h", "y")
_TIME = ("time", "times", "temporal", "date", "dates", "t")

#: Links by which an item says where its model comes from.
_ORIGINS = ("cite-as", "about", "via")


@dataclass(frozen=True)
class ModelItem:
    """A model's item, and where it was read: links without a host are meant from there."""

    location: str
    content: Mapping[str, Any]

    @property
    def bundle_files(self) -> dict[str, str]:
        """The files of the bundle that the item was written of, by their names in its folder; none of other models."""
        assets = self._assets()
        if not any(BUNDLE_ROLE in asset.get("roles", ()) for asset in assets.values()):
            return {}
        return {name: self._resolved(asset["href"]) for name, asset in assets.items()}

    @property
    def graph(self) -> str:
        """The path or URL of the ONNX file.

        Raises:
            RequestError: there is none, or more than one.
        """
        models = {
            name: asset for name, asset in self._assets().items() if "mlm:model" in asset.get("roles", ())
        }
        graphs = [asset["href"] for asset in models.values() if _is_onnx(asset)]
        if len(graphs) != 1:
            kinds = ", ".join(str(asset.get("mlm:artifact_type", name)) for name, asset in models.items())
            raise RequestError(
                f"item: {shown(self.location)} has {len(graphs) or 'no'} ONNX models among its assets "
                f"({printable(kinds) or 'none of a model'}); one is wanted"
            )
        return self._resolved(graphs[0])

    @property
    def weights(self) -> tuple[str, ...]:
        """Files of weights that may lie beside the graph."""
        hrefs = (str(asset["href"]) for asset in self._assets().values())
        return tuple(self._resolved(href) for href in hrefs if urlsplit(href).path.endswith(".data"))

    def spec(self, said: Mapping[str, Any]) -> dict[str, Any]:
        """The content of a spec: what the item tells, and what ``said`` says in its place or beside.

        Raises:
            RequestError: neither tells what a map needs; names the field of a spec that does.
        """
        properties = self.content["properties"]
        inputs: dict[str, Any] = {}
        sizes: dict[str, Any] = {}
        for each in properties["mlm:input"]:
            name, told, shape = _input(each, said.get("inputs") or {})
            inputs[name] = told
            sizes |= shape
        targets = dict(_target(each, said.get("targets") or {}) for each in properties["mlm:output"])
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", str(properties.get("mlm:name") or self.content["id"]))
        origins = [link["href"] for link in self.content.get("links", ()) if link.get("rel") in _ORIGINS]
        told = {
            "name": name.strip("-._"),
            "title": str(properties.get("title") or properties.get("mlm:name") or ""),
            "source": origins[0] if origins else shown(self.location),
            "licence": str(properties.get("license") or "unknown"),
            **sizes,
            "inputs": inputs,
            "targets": targets,
        }
        return _over(told, said)

    def _assets(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            name: asset
            for name, asset in (self.content.get("assets") or {}).items()
            if isinstance(asset, Mapping) and isinstance(asset.get("href"), str)
        }

    def _resolved(self, href: str) -> str:
        if is_url(href) or Path(href).is_absolute():
            return href
        if is_url(self.location):
            return urljoin(self.location, href)
        return str(Path(self.location).parent / href)


def read_item(location: str) -> ModelItem:
    """Reads a model's item from a path or URL.

    Raises:
        RequestError: it cannot be read, or is no STAC item with `mlm:input` and `mlm:output`.
    """
    try:
        content = json.loads(read_document(location, _LARGEST_ITEM))
    except (OSError, ValueError) as error:
        raise RequestError(f"item: {shown(location)} cannot be read: {error}") from error
    properties = content.get("properties") if isinstance(content, dict) else None
    if not isinstance(properties, dict) or not all(
        isinstance(properties.get(field), list) and properties[field] for field in ("mlm:input", "mlm:output")
    ):
        raise RequestError(
            f"item: {shown(location)} is no STAC item of a model: it has no mlm:input or no mlm:output"
        )
    return ModelItem(location, content)


def _input(each: Mapping[str, Any], said: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """An input's name and fields in a spec, and the window and layout that its tensor tells."""
    called = str(each.get("name", ""))
    names = [str(band.get("name") if isinstance(band, Mapping) else band) for band in each.get("bands") or ()]
    bands = [band_called(name) or name.upper() for name in names]
    name = _modality(called, bands)
    if name is None:
        raise RequestError(
            f"item: input {printable(called)}: {printable(', '.join(names)) or 'no bands'} belongs to no input that "
            f"imagery is read for; {', '.join(UNITS)} are"
        )
    told: dict[str, Any] = {"bands": bands} if bands else {}
    own = said.get(name) or {}
    told |= _dates(each.get("input") or {}, name, called, own)
    if each.get("pre_processing_function") and not own:
        raise RequestError(
            f"item: input {printable(called)}: its pre_processing_function is not run here; say in a spec what the "
            f"graph wants instead, as inputs.{name}: unit, mean and std"
        )
    if not own.get("unit"):
        mean, std = _scaling(each.get("value_scaling"), len(bands) or len(INPUT_BANDS[name]), called)
        if not mean and len(UNITS[name]) > 1:
            raise RequestError(
                f"item: input {printable(called)}: it tells no scaling, and so not what its numbers are; say in a "
                f"spec, as inputs.{name}.unit, whether {' or '.join(UNITS[name])}"
            )
        if mean:
            told |= {"mean": mean, "std": std, "unit": unit_of(name, mean, std)}
    return name, told, _sizes(each.get("input") or {})


def _modality(called: str, bands: Sequence[str]) -> str | None:
    """Which of our inputs it is: by its name, else by its bands."""
    fits = [name for name in UNITS if set(bands) <= set(INPUT_BANDS[name])]
    if called in fits:
        return called
    return next(iter(fits), None) if bands else None


def _scaling(told: Any, count: int, called: str) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each band; none where numbers are taken as they are."""
    steps = [told] if isinstance(told, Mapping) else [step for step in told or () if step]
    if not steps:
        return [], []
    if len(steps) == 1:
        steps *= count
    pairs = []
    for step in steps:
        kind = step.get("type")
        if kind == "z-score":
            pairs.append((float(step["mean"]), float(step["stddev"])))
        elif kind == "min-max":
            pairs.append((float(step["minimum"]), float(step["maximum"]) - float(step["minimum"])))
        elif kind == "scale":
            pairs.append((0.0, float(step["value"])))
        elif kind == "offset":
            pairs.append((float(step["value"]), 1.0))
        else:
            raise RequestError(
                f"item: input {printable(called)}: value_scaling {printable(kind)} is not done here; say in a spec "
                "what the graph wants instead: unit, mean and std"
            )
    return [mean for mean, _ in pairs], [std for _, std in pairs]


def _sizes(tensor: Mapping[str, Any]) -> dict[str, Any]:
    axes = [str(axis).lower() for axis in tensor.get("dim_order") or ()]
    sizes: dict[str, Any] = {}
    for axis, size in zip(axes, tensor.get("shape") or (), strict=False):
        if axis in _HEIGHT and size > 0:
            sizes["window"] = size
    if axes and axes[-1] in _BANDS:
        sizes["layout"] = "NHWC"
    return sizes


def _dates(tensor: Mapping[str, Any], name: str, called: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """How many dates a tensor has, and the order of its axes, where one is of time."""
    axes = [str(axis).lower() for axis in tensor.get("dim_order") or ()]
    if not set(_TIME) & set(axes):
        return {}
    sizes = dict(zip(axes, tensor.get("shape") or (), strict=False))
    count = next((size for axis, size in sizes.items() if axis in _TIME), 0)
    if count < 1 and not own.get("dates"):
        raise RequestError(
            f"item: input {printable(called)}: it leaves open how many dates it takes; say in a spec, as "
            f"inputs.{name}.dates"
        )
    letters = {**dict.fromkeys(_TIME, "T"), **dict.fromkeys(_BANDS, "C")}
    order = "".join(letters.get(axis, axis[:1].upper().replace("B", "N")) for axis in axes)
    return {"axes": order} | ({"dates": count} if count > 0 else {})


def _target(each: Mapping[str, Any], said: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """An output's name and fields in a spec."""
    called = str(each.get("name", ""))
    words = re.findall(r"[A-Za-z0-9]+", called)
    name = "".join(words[:1] + [word[:1].upper() + word[1:] for word in words[1:]]) or "target"
    classes = each.get("classification:classes") or each.get("classification_classes") or ()
    if not classes:
        return name, {"output": "values"}
    told: dict[str, Any] = {"classes": _classes(classes)}
    after = json.dumps(each.get("post_processing_function") or "")
    if "softmax" in after or "sigmoid" in after or "argmax" in after:
        told["output"] = "logits"
    elif not (said.get(name) or {}).get("output"):
        raise RequestError(
            f"item: output {printable(called)}: it does not tell what its planes are; say in a spec, as "
            f"targets.{name}.output, whether logits or probabilities"
        )
    return name, told


def _classes(classes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Classes in the order of their planes. Values are kept where none is 0, which a mosaic has for no data."""
    ordered = sorted(classes, key=lambda item: int(item["value"]))
    keeps = int(ordered[0]["value"]) > 0
    told = []
    for item in ordered:
        described = {"name": str(item.get("title") or item.get("name") or item["value"])}
        hint = item.get("color_hint")
        if isinstance(hint, str) and re.fullmatch("#?[0-9a-fA-F]{6}", hint):
            described["colour"] = f"#{hint.lstrip('#').lower()}"
        told.append(described | ({"value": int(item["value"])} if keeps else {}))
    return told


def _is_onnx(asset: Mapping[str, Any]) -> bool:
    told = f"{asset.get('mlm:artifact_type', '')} {asset.get('type', '')}".lower()
    return "onnx" in told or urlsplit(asset["href"]).path.lower().endswith(".onnx")


def _over(told: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said goes before what was told, field by field."""
    merged = dict(told)
    for field, value in said.items():
        below = merged.get(field)
        merged[field] = (
            _over(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged
