"""How to make a run again: its command line."""

from __future__ import annotations

import shlex
from typing import Any

from terramosaic.request.region import BoundingBox, GeoJsonFile, MgrsTile
from terramosaic.request.request import RegionRequest


def map_command(request: RegionRequest, folder: str) -> str:
    """The command line of a request; what has its default is left out.

    Args:
        request: the request.
        folder: its run folder. A polygon that was written out is found again there: the item is GeoJSON.
    """
    match request.region:
        case BoundingBox() as box:
            region = ["--bbox", *(_argument(value) for value in (box.west, box.south, box.east, box.north))]
        case MgrsTile(tile=tile):
            region = ["--mgrs", tile]
        case GeoJsonFile(path=path):
            region = ["--region", path]
        case _:
            region = ["--region", f"{folder}/item.json"]
    words = ["terramosaic", "map", *region, "--datetime", request.datetime]
    for name, field in RegionRequest.model_fields.items():
        value = getattr(request, name)
        if name not in ("region", "datetime") and value != field.default:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [_argument(value)])]
    return shlex.join(words)


def _argument(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, dict):
        return ",".join(f"{name}={each}" for name, each in value.items())
    # repr is the shortest text that gives the same float again.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
