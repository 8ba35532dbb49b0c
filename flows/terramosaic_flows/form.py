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

from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.model.manifest import Manifest
from terramosaic.request.request import RENAMED, RegionRequest, request_of
from terramosaic_flows.offered import offered_models, offering

logger = logging.getLogger("terramosaic.flows")


@dataclass(frozen=True)
class Box:
    """Fields of the request that the form shows together."""

    title: str
    description: str
    fields: tuple[str, ...]


BOXES = {
    "scenes": Box(
        "Scenes",
        "Which scenes, and how they are put together",
        (
            "catalog",
            "collection",
            "catalogs",
            "max_cloud",
            "direction",
            "max_days_apart",
            "imagery",
            "imagery_bands",
            "imagery_scale",
            "imagery_offset",
            "resample",
            "strict",
            "exclude",
            "trust",
            "composite",
            "dates",
            "offset",
            "offset_conflict",
        ),
    ),
    "generation": Box(
        "Generation",
        "What is made of them, by which model, on which device",
        (
            "inputs",
            "tokenised",
            "reconstruct",
            "targets",
            "model",
            "device",
            "conditioning",
            "consensus",
            "steps",
            "sampling",
            "x0_clip",
            "x0_clips",
            "seed",
        ),
    ),
    "output": Box(
        "Output", "Which files, and where", ("out", "region_name", "extras", "keep_imagery", "dtype")
    ),
    "windows": Box(
        "Windows and blocks",
        "How the ground is cut up, and how windows are blended",
        ("stride", "strides", "blend", "block_size", "max_seam", "ndvi_limits", "max_area_km2"),
    ),
}


class _InBoxes:
    """Puts the properties of `RegionRequest`'s schema into boxes."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        flat = handler.resolve_ref_schema(handler(core))
        own = flat["properties"]
        properties = offering(own, _offered())
        beside = {field: own[field] for box in BOXES.values() for field in box.fields}
        boxed: dict[str, Any] = {
            name: {
                "title": box.title,
                "description": box.description,
                "type": "object",
                "additionalProperties": False,
                "properties": {field: properties.pop(field) for field in box.fields},
            }
            for name, box in BOXES.items()
        }
        for box in boxed.values():
            box["patternProperties"] = {
                f"^{old}$": schema for old, schema in _by_old_name(box["properties"]).items()
            }
        return {
            **flat,
            "properties": properties | boxed,
            # The same fields beside the boxes: the form does not show these, the server checks them all the same.
            "patternProperties": {
                f"^{field}$": schema for field, schema in (beside | _by_old_name(beside)).items()
            },
        }


def _offered() -> dict[str, Manifest]:
    try:
        return offered_models()
    except TerramosaicError as error:  # who sets a deployment up is told; a run that has its model goes on
        logger.warning("%s; the form offers no models", error)
        return {}


def _by_old_name(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """What deployments stored before a field was renamed, which a server must still let through."""
    return {old: schemas[new] for old, new in RENAMED.items() if new in schemas}


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
        unknown = [field for field in box if RENAMED.get(field, field) not in BOXES[name].fields]
        if unknown:
            raise RequestError(f"{name}: it has {', '.join(BOXES[name].fields)}, not {', '.join(unknown)}")
        for field, value in box.items():
            if fields.setdefault(field, value) != value:
                raise RequestError(f"{field}: {fields[field]!r} here and {value!r} in {name}; say it once")
    return request_of(**fields)
