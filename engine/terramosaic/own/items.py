"""Scenes of STAC items of any collection, whose files lie on this machine or on servers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from terramosaic.bands import band_called
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.formats import SUFFIXES
from terramosaic.catalog.hrefs import SCHEMES
from terramosaic.catalog.metadata import check_assets, cloud_cover, item_datetime, level, name_of
from terramosaic.errors import NoScenesError, RequestError, printable
from terramosaic.own.scene import (
    DRIVERS,
    BandSource,
    OwnScene,
    Scaling,
    is_remote,
    name_of_file,
    require_surface,
    suffix_of,
)
from terramosaic.storage.documents import shown
from terramosaic.storage.roots import require_within_roots

#: Endings of files of items.
ITEM_SUFFIXES = (*SUFFIXES, ".parquet", ".geoparquet")

#: What is made for the eye, by an asset's roles: numbers of 8 bits under the names of bands.
_FOR_THE_EYE = {"visual", "overview", "thumbnail"}


@dataclass(frozen=True)
class Sought:
    """Which items of a file are wanted.

    Attributes:
        parts: of the region, in lon/lat degrees.
        start: the earliest moment, inclusive; None if open.
        end: the latest.
        max_cloud: the largest cloud cover in percent.
    """

    parts: Sequence[BaseGeometry]
    start: datetime | None
    end: datetime | None
    max_cloud: float


def is_of_items(place: str) -> bool:
    """Whether a place of imagery is a file of items, by its ending."""
    return Path(place).suffix.lower() in ITEM_SUFFIXES


def scenes_of_items(path: Path, said: Mapping[str, str], sought: Sought) -> Iterator[OwnScene]:
    """A scene for each item of a file that touches the region in the period.

    A band is the asset that the request names for it (``red``, or ``stack#3`` for the third band of one); else that of
    its name; else one whose ``bands`` (``eo:bands``) have its name.

    Args:
        path: an item, an ItemCollection, items on lines, stac-geoparquet, a static catalog.
        said: by band: an asset's name, with ``#`` and a number where it holds several bands.
        sought: which items are wanted.

    Raises:
        NoScenesError: none is.
        RequestError: an item is of L1C, names no band, or files that are not on this machine.
        CatalogError: the file is no STAC.
    """
    items = FileCatalog(path).search(sought.parts, sought.start, sought.end, sought.max_cloud)
    if not items:
        raise NoScenesError(
            f"imagery: no item of {printable(str(path))} touches the region in its period with at most "
            f"{sought.max_cloud:g} % of clouds"
        )
    for item in sorted(items, key=lambda item: str(item["id"])):
        yield _scene(item, said)


def _scene(item: Mapping[str, Any], said: Mapping[str, str]) -> OwnScene:
    name = name_of(item)
    require_surface(name, level(item) == "L1C")
    check_assets(item, item["assets"])
    scene = OwnScene(name, item_datetime(item), cloud=cloud_cover(item))
    for band, (key, index) in _places(item, said).items():
        scene.put(band, BandSource(_file(item, key), index, _scaling(item, key, index)))
    if not set(scene.bands) - {"SCL"}:
        raise RequestError(
            f"imagery: item {name} has no asset that is called as a band of Sentinel-2 is; say imagery_bands, such as "
            f"B04={next(iter(item['assets']), 'red')}"
        )
    return scene


def _places(item: Mapping[str, Any], said: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """By band: the asset that holds it, and its number there."""
    assets: Mapping[str, Mapping[str, Any]] = item["assets"]
    found: dict[str, tuple[str, int]] = {}
    for band, where in said.items():
        key, _, number = where.rpartition("#") if "#" in where else (where, "", "1")
        if key not in assets or not number.isdigit() or int(number) < 1:
            raise RequestError(
                f"imagery_bands: {band}={printable(where)}: item {name_of(item)} has no such asset; it has "
                f"{printable(', '.join(assets), 200)}"
            )
        found[band] = key, int(number)
    usable = {
        key: asset
        for key, asset in assets.items()
        if _suffix(asset) in DRIVERS
        and not _FOR_THE_EYE & set(_texts(asset.get("roles")))
        and key != "visual"
    }
    for key in usable:
        if named := band_called(key):
            found.setdefault(named, (key, 1))
    # Of assets that go by other names, those of one band before stacks.
    for key, asset in sorted(usable.items(), key=lambda one: len(_bands(one[1]))):
        for index, told in enumerate([] if band_called(key) else _bands(asset), start=1):
            names = _texts([told.get(field) for field in ("name", "eo:common_name", "common_name")])
            if named := next(filter(None, map(band_called, names)), None):
                found.setdefault(named, (key, index))
    return found


def _bands(asset: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _objects(asset, "bands") or _objects(asset, "eo:bands")


def _objects(asset: Mapping[str, Any], field: str) -> list[Mapping[str, Any]]:
    """The objects of a list, those that are none as if they were empty."""
    told = asset.get(field)
    return [one if isinstance(one, Mapping) else {} for one in told] if isinstance(told, list) else []


def _texts(value: Any) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


def _suffix(asset: Mapping[str, Any]) -> str:
    return suffix_of(str(asset.get("href", "")))


def _file(item: Mapping[str, Any], key: str) -> str:
    """The asset's file: a path here, or a URL.

    Raises:
        RequestError: it is no raster, is not there, or nothing that is opened.
    """
    href = str(item["assets"][key].get("href", ""))
    named = f"imagery: asset {printable(key)} of item {name_of(item)}"
    if not href:
        raise RequestError(f"{named} has no href")
    if suffix_of(href) not in DRIVERS:
        raise RequestError(
            f"{named} is no GeoTIFF (.tif) and no JPEG 2000 (.jp2): {printable(name_of_file(href))}"
        )
    if is_remote(href):
        if href.partition("://")[0].lower() not in SCHEMES:
            raise RequestError(
                f"{named} is {shown(href)}; files are read here, and by URLs of {', '.join(SCHEMES)}"
            )
        return href
    require_within_roots(("imagery", href))
    if not Path(href).is_file():
        raise RequestError(f"{named} is not there: {printable(href)}")
    return href


def _scaling(item: Mapping[str, Any], key: str, index: int) -> Scaling | None:
    """What the item says reflectance is of the numbers, in any version of STAC; None if it does not."""
    asset = item["assets"][key]
    stacked = (_objects(asset, field)[index - 1 : index] for field in ("bands", "raster:bands"))
    for source in (*chain.from_iterable(stacked), asset):
        scale, offset = (source.get(f"raster:{name}", source.get(name)) for name in ("scale", "offset"))
        if scale is None:
            continue
        try:
            told = Scaling(float(scale), float(offset or 0))
        except (TypeError, ValueError):
            told = Scaling(math.nan, math.nan)
        if not (math.isfinite(told.scale) and math.isfinite(told.offset) and told.scale > 0):
            raise RequestError(
                f"imagery: asset {printable(key)} of item {name_of(item)} has a scale of {printable(scale)} and an "
                f"offset of {printable(offset)}; say imagery_scale and imagery_offset"
            )
        return told if (told.scale, told.offset) != (1, 0) else None  # GDAL's defaults declare nothing
    return None
