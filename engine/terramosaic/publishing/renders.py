"""How tilers show a run's mosaics in the report's colours: STAC's render extension, in the terms of titiler.

Only what is the same for all runs: ramps that are stretched by a map's own values belong to that map.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from PIL import ImageColor

from terramosaic.publishing.quicklook import BACKSCATTER, CONFIDENCE_SCALE, NDVI_SCALE, Scale, ramp_table

EXTENSION = "https://stac-extensions.github.io/render/v2.0.0/schema.json"

#: Bands of Sentinel-1 as the false colour wants them.
_POLARISATIONS = ["VV", "VH"]


def renders_of(assets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The renders of assets by the assets' names; of those that have none of their own nothing.

    Args:
        assets: of an item or, without what is a single item's, of its collection.
    """
    found = {}
    for name, asset in assets.items():
        if "data" in asset.get("roles", ()) and (how := _render(name, asset)):
            title = {"title": asset["title"]} if "title" in asset else {}
            found[name] = {"assets": [name], **title, **how}
    return found


def _render(name: str, asset: Mapping[str, Any]) -> dict[str, Any]:
    bands = asset.get("bands", [{}])
    if classes := asset.get("classification:classes"):
        return {"colormap": _colours_of(classes), "resampling": "nearest"}
    if [band.get("name") for band in bands] == _POLARISATIONS and "std" not in asset["roles"]:
        step = bands[0].get("raster:scale", 1)
        ranges = [[round(end / step, 6) for end in (low, high)] for _, low, high, _ in BACKSCATTER]
        return {"expression": "b1;b2;b1-b2", "rescale": ranges}
    if "confidence" in asset["roles"]:
        return _ramp(CONFIDENCE_SCALE, 1)
    # Where there are several zones, the name ends with the zone.
    if re.sub(r"_\d{5}$", "", name) == "NDVI":
        return _ramp(NDVI_SCALE, bands[0].get("raster:scale", 1))
    return {}


def _ramp(scale: Scale, step: float) -> dict[str, Any]:
    table = ramp_table(scale.colours).tolist()
    colours = {str(index): [*colour, 255] for index, colour in enumerate(table)}
    return {"rescale": [[round(scale.low / step, 6), round(scale.high / step, 6)]], "colormap": colours}


def _colours_of(classes: list[dict[str, Any]]) -> dict[str, list[int]]:
    return {
        str(one["value"]): [*ImageColor.getrgb(f"#{one['color_hint']}")[:3], 255]
        for one in classes
        if "color_hint" in one
    }
