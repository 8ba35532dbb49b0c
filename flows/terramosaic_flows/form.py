"""The request as the Prefect UI's form shows it: region and period first, the rest in boxes with titles.

A box is a level of nesting in the parameters' JSON schema and nowhere else. Everything in it is `RegionRequest`'s own;
what a program sends flat, as `RegionRequest` is written, means the same.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema

from terramosaic.catalog.profiles import PROFILES
from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.model.manifest import Manifest
from terramosaic.request.request import RENAMED, RegionRequest, request_of
from terramosaic_flows.offered import offered_models, offering

logger = logging.getLogger("terramosaic.flows")


@dataclass(frozen=True)
class Box:
    """Fields of the request that the form shows together.

    Attributes:
        other: what it is to fill the box in; such a box is shown closed, as it says nothing. Empty: it is open.
        had: fields that earlier versions had in it, which stored parameters may still have there.
    """

    title: str
    description: str
    fields: tuple[str, ...]
    other: str = ""
    had: tuple[str, ...] = ()

    def has(self, field: str) -> bool:
        """Whether a field may be sent in this box, under any of its names."""
        return RENAMED.get(field, field) in (*self.fields, *self.had)


_SELECTION = (
    "every",
    "collection",
    "catalogs",
    "direction",
    "max_days_apart",
    "dates",
    "under_cloud",
    "strict",
    "exclude",
    "trust",
    "offset",
    "offset_conflict",
)
_OWN = ("imagery", "imagery_bands", "imagery_scale", "imagery_offset", "resample")
_DECODING = (
    "tokenised",
    "reconstruct",
    "conditioning",
    "consensus",
    "steps",
    "sampling",
    "precision",
    "x0_clip",
    "x0_clips",
    "seed",
)
_FILES = ("region_name", "extras", "keep_imagery", "dtype")

BOXES = {
    "scenes": Box(
        "Scenes",
        "From which catalog, and how they are put together",
        ("catalog", "max_cloud", "composite"),
        had=(*_SELECTION, *_OWN),
    ),
    "generation": Box(
        "Generation",
        "What is made of them, by which model, on which device",
        ("model", "targets", "inputs", "device"),
        had=_DECODING,
    ),
    "output": Box("Output", "Where the maps go", ("out",), had=_FILES),
    "selection": Box(
        "More about scenes",
        "Collections, orbits, dates, scenes to leave out, and the reflectance offset",
        _SELECTION,
        other="Other scenes",
    ),
    "own": Box("Own imagery", "Files to map from, in place of a catalog", _OWN, other="My own files"),
    "decoding": Box(
        "More about generation",
        "How tokens are drawn and decoded, and the seed",
        _DECODING,
        other="Other generation",
    ),
    "files": Box(
        "More about files", "Names of regions, layers beside the map, encoding", _FILES, other="Other files"
    ),
    "windows": Box(
        "Windows and blocks",
        "How the ground is cut up, and how windows are blended",
        (
            "stride",
            "strides",
            "blend",
            "block_size",
            "max_seam",
            "ndvi_limits",
            "max_area_km2",
            "max_minutes",
            "max_cost",
        ),
        other="Other windows",
    ),
}


class _InBoxes:
    """Puts the properties of `RegionRequest`'s schema into boxes."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        flat = handler.resolve_ref_schema(handler(core))
        own = flat["properties"]
        properties = offering(_as_form_takes_them(own), _offered())
        beside = {field: own[field] for box in BOXES.values() for field in box.fields}
        boxed = {
            name: _box(box, {field: properties.pop(field) for field in box.fields}, own)
            for name, box in BOXES.items()
        }
        return {
            **flat,
            "properties": properties | boxed,
            # The same fields beside the boxes: the form does not show these, the server checks them all the same.
            "patternProperties": {
                f"^{field}$": schema for field, schema in (beside | _by_old_name(own)).items()
            },
        }


def _box(box: Box, fields: dict[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """A box's schema: its fields, and, not shown, what it may be sent beside them."""
    beside = {field: own[field] for field in box.had}
    hidden = {f"^{name}$": schema for name, schema in (beside | _by_old_name(own, box)).items()}
    content = {
        "type": "object",
        "additionalProperties": False,
        "properties": fields,
        "patternProperties": hidden,
    }
    told = {"title": box.title, "description": box.description}
    if not box.other:
        return told | content
    # Of several choices the form shows one, at first the first.
    nothing = {"title": "As usual", "type": "object", "additionalProperties": False, "properties": {}}
    return told | {"anyOf": [nothing, {"title": box.other} | content]}


def _as_form_takes_them(own: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas of a request's fields with what a form needs: known catalogs to choose, a region as text.

    Without what only programs send: the server refuses that, and so it is no example there.
    """
    region, catalog = own["region"], own["catalog"]
    known = {"title": "Known catalog", "type": "string", "enum": list(PROFILES)}
    place = {"title": "URL or path", "type": "string", "minLength": 1}
    text = {
        "title": "As text",
        "type": "string",
        "description": "A tile, four numbers (west south east north), WKT, or the path or URL of a file",
        "minLength": 1,
    }
    return {
        **own,
        "region": {
            **region,
            "anyOf": [*region["anyOf"], text],
            "examples": [each for each in region["examples"] if isinstance(each, str)],
        },
        "catalog": {
            "anyOf": [known, place],
            **{name: value for name, value in catalog.items() if name not in ("type", "minLength")},
        },
    }


def _offered() -> dict[str, Manifest]:
    try:
        return offered_models()
    except TerramosaicError as error:  # who sets a deployment up is told; a run that has its model goes on
        logger.warning("%s; the form offers no models", error)
        return {}


def _by_old_name(schemas: Mapping[str, Any], box: Box | None = None) -> dict[str, Any]:
    """What deployments stored before a field was renamed, which a server must still let through."""
    return {old: schemas[new] for old, new in RENAMED.items() if box is None or box.has(new)}


#: The annotation of a flow's parameter: a request, or its fields as the form or a program sends them.
if TYPE_CHECKING:
    RequestForm = RegionRequest | Mapping[str, Any]
else:
    RequestForm = Annotated[RegionRequest, _InBoxes]


def request_of_form(sent: RegionRequest | Mapping[str, Any]) -> RegionRequest:
    """The request in what a flow run was sent: in boxes, flat, or both.

    Raises:
        RequestError: one line for each field that is wrong or said twice.
    """
    if isinstance(sent, RegionRequest):
        return sent
    if not isinstance(sent, Mapping):
        raise RequestError(f"request: an object with region and datetime is wanted, not {sent!r}")
    fields = {name: value for name, value in sent.items() if name not in BOXES}
    for name in BOXES.keys() & sent.keys():
        box = sent[name] or {}
        if not isinstance(box, Mapping):
            raise RequestError(
                f"{name}: an object with {', '.join(BOXES[name].fields)} is wanted, not {box!r}"
            )
        unknown = [field for field in box if not BOXES[name].has(field)]
        if unknown:
            raise RequestError(f"{name}: it has {', '.join(BOXES[name].fields)}, not {', '.join(unknown)}")
        for field, value in box.items():
            if fields.setdefault(field, value) != value:
                raise RequestError(f"{field}: {fields[field]!r} here and {value!r} in {name}; say it once")
    return request_of(**fields)
