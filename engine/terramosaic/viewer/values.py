"""What the layers of a run hold at a place: the stored numbers, in their unit, and in words."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import rasterio
from rasterio.warp import transform
from rasterio.windows import Window

from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan
from terramosaic.publishing.numbers import UNBROKEN, number
from terramosaic.publishing.reduced import told_if_broken
from terramosaic.storage.gdal import local_files
from terramosaic.viewer.layers import MapLayer

#: Bands that are told of an embedding, which has hundreds.
_DIMENSIONS = 3


def value_at(plan: Plan, layer: MapLayer, lon: float, lat: float) -> dict[str, Any]:
    """What a layer holds at a place, of the pixel that it lies in.

    Args:
        plan: the run's.
        layer: the layer.
        lon: degrees east, -180 to 180.
        lat: degrees north.

    Returns:
        ``bands``, each with its name, its ``stored`` number, its ``value`` in the layer's ``unit``, and a ``text`` that
        says it; and a ``text`` of all of them. Without data ``bands`` is empty.

    Raises:
        OutputError: a mosaic is damaged.
    """
    kind = layer.layer
    stored = _stored_at(layer, lon, lat)
    unit = "" if kind.unit == "1" or not kind.is_measured else kind.unit
    if stored is None:
        return {"layer": kind.name, "unit": unit, "bands": [], "text": "no data"}
    bands = [
        {"name": name, "stored": one, "value": _value(kind, one), "text": text}
        for name, one, text in zip(kind.bands, stored, _texts(plan, kind, stored), strict=False)
    ]
    if kind.kind in ("class", "flags", "days"):
        text = ", ".join(str(band["text"]) for band in bands if band["text"])
    elif len(bands) == 1:
        text = str(bands[0]["text"])
    else:
        text = ", ".join(f"{band['name']}{UNBROKEN}{band['text']}" for band in bands)
    return {"layer": kind.name, "unit": unit, "bands": bands, "text": text}


def _stored_at(layer: MapLayer, lon: float, lat: float) -> list[int | float] | None:
    """Stored numbers of the bands; None without data. Of zones the first that has some."""
    kind = layer.layer
    count = min(_DIMENSIONS, len(kind.bands)) if kind.kind == "embedding" else len(kind.bands)
    for file in layer.mosaics:
        if not file.extent.touches(lon, lat, lon, lat):
            continue
        with local_files(), told_if_broken(Path(file.name)), rasterio.open(file.path) as mosaic:
            (easting,), (northing,) = transform("EPSG:4326", mosaic.crs, [lon], [lat])
            row, col = mosaic.index(easting, northing)
            if not (0 <= row < mosaic.height and 0 <= col < mosaic.width):
                continue
            pixel = mosaic.read(list(range(1, count + 1)), window=Window(col, row, 1, 1))
        numbers: list[int | float] = pixel[:, 0, 0].tolist()
        if numbers[0] != kind.nodata:
            return numbers
    return None


def _value(layer: Layer, stored: int | float) -> int | float:
    """In the layer's unit. Digits beyond the tenth are those of a scale that no binary number holds."""
    return float(f"{stored * layer.scale:.10g}") if layer.is_measured else stored


def _texts(plan: Plan, layer: Layer, stored: list[int | float]) -> list[str]:
    first = int(stored[0])
    if layer.kind == "class":
        return [next((one.name for one in layer.classes if one.value == first), f"class {first}")]
    if layer.kind == "flags":
        words = [text.partition(":")[0] for bit, text in layer.bits.items() if first & bit]
        return [" + ".join(words) or "no flag"]
    if layer.kind == "days":
        day = date(1970, 1, 1) + timedelta(days=first)
        passes = {one.number: one.told_apart for one in plan.passes}
        return [day.isoformat(), *(passes.get(int(one), "") for one in stored[1:])]
    unit = f"{UNBROKEN}{layer.unit}" if layer.unit != "1" else ""
    digits = _digits(layer)
    return [number(one * layer.scale, digits) + unit for one in stored]


def _digits(layer: Layer) -> int:
    """As many as a step of its numbers has."""
    return max(0, min(6, math.ceil(-math.log10(layer.step) - 1e-9)))
