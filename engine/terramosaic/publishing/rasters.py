"""The mosaics of runs as their items tell of them: what their numbers mean, where they lie, and of when they are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import ImageColor

from terramosaic.planning.layers import Category, Layer

logger = logging.getLogger(__name__)

#: Of types of numbers those that virtual rasters are made of: not the half precision of embeddings.
_TYPES = ("uint8", "int16", "uint16", "float32")


@dataclass(frozen=True)
class Raster:
    """A mosaic of a run in one zone.

    Attributes:
        layer: what its numbers mean.
        geobox: its pixels.
        folder: of the run, from the output folder on.
        file: its name there.
        style: that of its style for QGIS; empty where it has none.
        composite: whether the report's false colour of it lies beside it.
        start: of the imagery, ISO 8601.
        end: likewise.
        created: when the run was published, likewise.
        run_id: of the run.
        model: title of the run's model.
    """

    layer: Layer
    geobox: GeoBox
    folder: str
    file: str
    style: str
    composite: bool
    start: str
    end: str
    created: str
    run_id: str
    model: str

    @property
    def epsg(self) -> int:
        """Code of the zone's CRS."""
        return epsg_of(self.geobox)

    @property
    def order(self) -> tuple[str, ...]:
        """The later, the newer: by the last scene, then by the first one, then by when it was made."""
        return self.end, self.start, self.created, self.run_id


def epsg_of(geobox: GeoBox) -> int:
    """Code of a raster's CRS.

    Raises:
        ValueError: it has none.
    """
    code = geobox.crs.to_epsg() if geobox.crs else None
    if code is None:
        raise ValueError(f"{geobox.crs} is no CRS of EPSG")
    return code


def rasters_of(items: Mapping[str, Mapping[str, Any]]) -> list[Raster]:
    """All mosaics of runs, the oldest first; what an item does not tell as runs' items do is left out.

    Args:
        items: by the runs' folders from the output folder on.
    """
    found = list[Raster]()
    for folder, item in items.items():
        try:
            found += _of_item(folder, item)
        except (AttributeError, IndexError, KeyError, TypeError, ValueError):
            logger.warning("%s: its item is damaged; its mosaics are in no view", folder)
    return sorted(found, key=lambda raster: (raster.order, raster.epsg))


def _of_item(folder: str, item: Mapping[str, Any]) -> Iterator[Raster]:
    told, assets = item["properties"], item["assets"]
    moment = told.get("datetime") or ""
    for name, asset in assets.items():
        href = str(asset["href"])
        is_plain = href.startswith("./") and "/" not in href[2:]
        if asset.get("roles", [""])[0] != "data" or "proj:transform" not in asset or not is_plain:
            continue
        bands, code = asset["bands"], str(asset["proj:code"])
        if bands[0]["data_type"] not in _TYPES:
            continue
        style = str(assets.get(f"{name}_style", {}).get("href", ""))
        yield Raster(
            layer=_layer(name.removesuffix(f"_{code.removeprefix('EPSG:')}"), asset),
            geobox=GeoBox(tuple(asset["proj:shape"]), Affine(*asset["proj:transform"]), code),
            folder=folder,
            file=href[2:],
            style=style[2:] if style.startswith("./") and "/" not in style[2:] else "",
            composite=f"{name}_composite" in assets,
            start=str(told.get("start_datetime") or moment),
            end=str(told.get("end_datetime") or moment),
            created=str(told.get("created") or ""),
            run_id=str(told["terramosaic:run_id"]),
            model=str(told.get("terramosaic:model", {}).get("title", "")),
        )


def _layer(name: str, asset: Mapping[str, Any]) -> Layer:
    bands = asset["bands"]
    first = bands[0]
    classes, bits = asset.get("classification:classes"), asset.get("classification:bitfields")
    days = first.get("classification:classes")
    kind: Literal["value", "class", "flags", "days"] = "value"
    if classes:
        kind = "class"
    elif bits:
        kind = "flags"
    elif days:
        kind = "days"
    return Layer(
        name,
        kind,
        tuple(str(band["name"]) for band in bands),
        first["data_type"],
        int(first["nodata"]),
        unit=str(first.get("unit", "1")),
        scale=float(first.get("raster:scale", 1)),
        classes=tuple(_categories(classes or [one for one in days or () if one.get("percentage")])),
        flags=tuple(1 << int(field["offset"]) for field in bits or ()),
    )


def _categories(classes: Any) -> Iterator[Category]:
    for one in classes:
        if not one.get("nodata") and ("color_hint" in one):
            red, green, blue = ImageColor.getrgb(f"#{one['color_hint']}")[:3]
            yield Category(int(one["value"]), str(one.get("title") or one["name"]), (red, green, blue))
