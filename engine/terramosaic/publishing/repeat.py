"""How to make a run again, here or on another machine: its command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import shapely
from shapely.geometry import shape

from terramosaic.request.region import BoundingBox, MgrsTile
from terramosaic.request.request import RegionRequest
from terramosaic.storage.location import is_url

#: Characters of a polygon that is written out in the command; a larger one is taken from the item, which is GeoJSON.
_LONGEST = 1500

#: The item, as it is called beside the report.
ITEM = "item.json"

#: Fields that may name a folder or a file of one machine.
_PLACES = ("catalog", "model", "imagery", "catalogs")


def map_command(request: RegionRequest, outline: Mapping[str, Any]) -> str:
    """The command line of a request; what has its default is left out, and so is the folder that the maps go to.

    Args:
        request: the request.
        outline: its region, as GeoJSON: a file that it was read from may be elsewhere, or hold another one by now.
    """
    match request.region:
        case BoundingBox() as box:
            region = ["--bbox", *(_argument(value) for value in (box.west, box.south, box.east, box.north))]
        case MgrsTile(tile=tile):
            region = ["--mgrs", tile]
        case _:
            region = ["--region", _written_out(outline)]
    words = ["terramosaic", "map", *region, "--datetime", request.datetime]
    for name, value in _set(request):
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [_argument(value)])]
    return shlex.join(words)


def takes_item(request: RegionRequest, outline: Mapping[str, Any]) -> bool:
    """Whether the command takes the region from the item, and so is to be said in the run's folder."""
    return not isinstance(request.region, BoundingBox | MgrsTile) and _written_out(outline) == ITEM


def of_one_machine(request: RegionRequest) -> list[str]:
    """Options of the command that name folders or files of the machine that the run was made on."""
    found = []
    for name, value in _set(request):
        parts = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else (value,)
        if name in _PLACES and any("/" in part and not is_url(part) for part in map(str, parts)):
            found.append(f"--{name.replace('_', '-')}")
    return found


def _set(request: RegionRequest) -> Iterator[tuple[str, Any]]:
    for name, field in RegionRequest.model_fields.items():
        value = getattr(request, name)
        if name not in ("region", "datetime", "out") and value != field.default:
            yield name, value


def _written_out(outline: Mapping[str, Any]) -> str:
    # All digits: a mask of pixels hangs on them.
    text = shapely.to_wkt(shape(outline), rounding_precision=-1)
    return text if len(text) <= _LONGEST else ITEM


def _argument(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, dict):
        return ",".join(f"{name}={each}" for name, each in value.items())
    # repr is the shortest text that gives the same float again.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
