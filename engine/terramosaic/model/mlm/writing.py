"""A bundle as a STAC item: what it takes and makes in the words of the MLM extension, and its files as assets.

The item lies in the bundle's folder and names its files beside it, so that the folder can be published as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from terramosaic.model.bundle import Bundle
from terramosaic.model.manifest import PLACE, FileSpec, InputSpec, Manifest, TargetSpec
from terramosaic.storage.files import write_text
from terramosaic.storage.hashes import as_multihash, sha256_of

_EXTENSIONS = [
    "https://stac-extensions.github.io/classification/v1.1.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
    "https://stac-extensions.github.io/mlm/v1.5.2/schema.json",
]

#: The role of the asset that makes an item's files a bundle.
BUNDLE_ROLE = "terramosaic:bundle"

#: Name of the item in a bundle's folder.
ITEM_NAME = "item.json"

_ONNX = "application/octet-stream; application=onnx"

#: The extension asks for a place; a bundle has none of its own.
_EARTH = (-180.0, -90.0, 180.0, 90.0)
_ALWAYS = ("1900-01-01T00:00:00Z", "9999-12-31T23:59:59Z")


def write_item(bundle: Bundle) -> Path:
    """Writes a bundle's item into its folder.

    Raises:
        OutputError: the folder cannot be written.
    """
    path = bundle.folder / ITEM_NAME
    write_text(path, json.dumps(item_of(bundle), indent=1) + "\n")
    return path


def item_of(bundle: Bundle) -> dict[str, Any]:
    """A bundle as a STAC item; its files are named as they lie beside the item."""
    manifest = bundle.manifest
    written = bundle.folder / "bundle.json"
    files = {
        "bundle.json": FileSpec(sha256=sha256_of(written), size=written.stat().st_size),
        **manifest.files,
    }
    bands = list(dict.fromkeys(band for spec in manifest.inputs.values() for band in spec.bands))
    west, south, east, north = _EARTH
    begin, end = _ALWAYS
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": _EXTENSIONS,
        "id": manifest.name,
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "bbox": list(_EARTH),
        "properties": {
            "title": manifest.title,
            "description": f"{manifest.title}. Source: {manifest.source}",
            "license": manifest.licence,
            "datetime": None,
            "start_datetime": begin,
            "end_datetime": end,
            "bands": [{"name": band} for band in bands],
            "mlm:name": manifest.name,
            "mlm:architecture": "TerraMind" if bundle.is_terramind else "unknown",
            "mlm:framework": "ONNX",
            "mlm:tasks": sorted({task for spec in manifest.targets.values() for task in _tasks(spec)}),
            "mlm:pretrained": manifest.random_weights is None,
            "mlm:pretrained_source": manifest.source if manifest.random_weights is None else None,
            "mlm:hyperparameters": {
                "window": manifest.window,
                "patch": manifest.patch,
                "stride": manifest.default_stride,
            },
            "mlm:input": [_input(name, spec, manifest) for name, spec in manifest.inputs.items()],
            "mlm:output": [_output(name, spec, manifest) for name, spec in manifest.targets.items()],
        },
        "assets": {name: _asset(name, spec, bands) for name, spec in files.items()},
        "links": [],
    }


def _input(name: str, spec: InputSpec, manifest: Manifest) -> dict[str, Any]:
    of_dates = ["time"] if spec.dates > 1 else []
    dates = f"; {spec.dates} acquisitions, the oldest first" if of_dates else ""
    unit = f", in {spec.unit}" if spec.unit else ""
    sides = [] if spec.bands == PLACE else ["height", "width"]
    return {
        "name": name,
        "description": f"{spec.convention}{unit}{dates}; the graph standardises it itself",
        "bands": list(spec.bands),
        "input": {
            "shape": [manifest.batch or -1, *spec.shape(manifest.window)],
            "dim_order": ["batch", "bands", *of_dates, *sides],
            "data_type": "float32",
        },
    }


def _output(name: str, spec: TargetSpec, manifest: Manifest) -> dict[str, Any]:
    side = manifest.patches if spec.kind == "embedding" else manifest.window
    # Coordinates are a pair of numbers for a window.
    sides, axes = ([], []) if spec.kind == "coordinates" else ([side, side], ["height", "width"])
    made: dict[str, Any] = {
        "name": name,
        "tasks": _tasks(spec),
        "result": {
            "shape": [manifest.batch or -1, spec.planes, *sides],
            "dim_order": ["batch", "class" if spec.classes else "channel", *axes],
            "data_type": "float32",
        },
    }
    if spec.classes:
        made["description"] = "The probability of each class, in this order"
        made["classification:classes"] = [
            {
                "value": item.value,
                "name": re.sub(r"[^0-9A-Za-z_-]+", "_", item.name),
                "title": item.name,
                "color_hint": item.colour.lstrip("#").upper(),
            }
            for item in spec.classes
        ]
    else:
        made["description"] = ", ".join(spec.channels) + (f", in {spec.unit}" if spec.unit else "")
    return made


def _tasks(spec: TargetSpec) -> list[str]:
    if spec.kind == "embedding":
        return ["similarity-search"]
    tasks = ["semantic-segmentation"] if spec.classes else ["regression"]
    return tasks if spec.kind == "direct" else [*tasks, "generative"]


def _asset(name: str, spec: FileSpec, bands: Sequence[str]) -> dict[str, Any]:
    asset: dict[str, Any] = {
        "href": f"./{name}",
        "file:size": spec.size,
        "file:checksum": as_multihash(spec.sha256),
    }
    if name == "bundle.json":
        return asset | {"type": "application/json", "roles": ["metadata", BUNDLE_ROLE]}
    if name.endswith(".onnx"):
        # MLM asks for an item's bands, which STAC takes where assets have them, too.
        described = [{"name": band} for band in bands]
        return asset | {
            "type": _ONNX,
            "roles": ["mlm:model"],
            "mlm:artifact_type": "onnx",
            "bands": described,
        }
    return asset | {"type": "application/octet-stream", "roles": ["data"]}
