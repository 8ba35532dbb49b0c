"""What an item says of itself, read in every provider's words: one function for each fact."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from terramosaic.errors import CatalogError
from terramosaic.ground.grid import is_utm

Item = Mapping[str, Any]

_PRODUCT = re.compile(
    r"S2(?P<unit>[A-D])_MSIL2A_\d{8}T\d{6}(_N(?P<baseline>\d{4}))?_R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})_(?P<made>\d{8}T\d{6})"
)
_ORBIT = re.compile(r"([0-9]{1,3})(\.0)?")
#: ``05.09``, or as a number, 5.09 and 5.1; ``0509`` or ``N0509`` as in product names.
_BASELINE = re.compile(r"N?(?:(\d{1,2})(?:\.(\d{1,2}))?|(\d{2})(\d{2}))")
#: What products bear that were made outside ESA's baselines. It tells nothing.
_NO_BASELINE = "99.99"
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_COARSER_NAME = re.compile(r"_(\d{2})m$")
_DATASTRIP_START = re.compile(r"_S(\d{8}T\d{6})")
_TILE_IN_NAME = re.compile(r"(?:^|_)T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?=_|$)")

#: Relative orbits of Sentinel-2.
_ORBITS = 143


def check_item(item: Any) -> None:
    """Makes sure that the other functions here can be asked.

    Raises:
        CatalogError: it is no STAC item.
    """
    if not isinstance(item, Mapping):
        raise CatalogError("what should be a STAC item is no JSON object")
    for part, kind in (("id", str), ("properties", Mapping), ("assets", Mapping)):
        if not isinstance(item.get(part), kind):
            raise CatalogError(f"item {item.get('id', 'without id')} is no STAC item: it has no {part}")


def item_datetime(item: Item) -> datetime:
    """When the item was sensed, in UTC: ``datetime``, or the start of its interval.

    Raises:
        CatalogError: it does not say, or not in RFC 3339.
    """
    properties = item["properties"]
    text = properties.get("datetime") or properties.get("start_datetime")
    if not text:
        raise CatalogError(f"item {item['id']} has neither datetime nor start_datetime")
    found = _timestamp(text)
    if found is None:
        raise CatalogError(f"item {item['id']} has a datetime that is not RFC 3339: {text!r}")
    return found


def sensing_start(item: Item) -> datetime:
    """When the item's datastrip began, to the second.

    An item that does not name its datastrip (Earth Search v0) gives its own datetime. There that is the
    granule's, which a reprocessing shares and another datastrip does not. The datatake's time in a product
    name will not do: the two halves of a tile that two datastrips of one datatake cover share it.
    """
    for name in ("s2:datastrip_id", "eopf:datastrip_id", "sentinel:datastrip_id"):
        found = _DATASTRIP_START.search(str(item["properties"].get(name, "")))
        if found:
            return _compact(found[1])
    return item_datetime(item).replace(microsecond=0)


def relative_orbit(item: Item) -> int | None:
    """The relative orbit, 1 to 143, from a property or the product's name; None if nothing says it."""
    told = _ORBIT.fullmatch(str(item["properties"].get("sat:relative_orbit", "")))
    numbers = [told[1]] if told else [product["orbit"] for product in _products(item)]
    return next((int(number) for number in numbers if 1 <= int(number) <= _ORBITS), None)


def generation_time(item: Item) -> datetime | None:
    """When the product was made, in UTC; not a catalog's ``created``, which is when it took the item in."""
    properties = item["properties"]
    text = properties.get("s2:generation_time") or properties.get("processing:datetime")
    if text:
        return _timestamp(text)
    return next((_compact(product["made"]) for product in _products(item)), None)


def processing_baseline(item: Item) -> str | None:
    """The baseline as ``05.11``, from a property or the product's name; None if nothing says it.

    Nothing does either where the item contradicts itself about what matters: whether it is before 04.00.
    """
    names = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
    told = [
        *(_baseline(item["properties"].get(name)) for name in names),
        *(_baseline(product["baseline"]) for product in _products(item)),
    ]
    known = [baseline for baseline in told if baseline and baseline != _NO_BASELINE]
    return known[0] if len({baseline < "04.00" for baseline in known}) == 1 else None


def _baseline(value: Any) -> str | None:
    """A baseline however it is written: 5.1 is 05.10."""
    found = None if isinstance(value, bool) else _BASELINE.fullmatch(str(value).strip())
    if found is None:
        return None
    return f"{int(found[1] or found[3]):02d}.{(found[2] or found[4] or '').ljust(2, '0')}"


def mgrs_tile(item: Item) -> str | None:
    """The tile as ``33TWL``, also where the item says ``T33TWL``, as ESA's names do.

    ``grid:code`` comes late: Earth Search v0 computed it from the footprint's centre, which can lie in the
    next zone (tile 01CCV goes by ``MGRS-60CWE`` there).
    """
    properties = item["properties"]
    for prefix in ("mgrs", "sentinel"):
        parts = [properties.get(f"{prefix}:{part}") for part in ("utm_zone", "latitude_band", "grid_square")]
        if all(parts):
            return "".join(map(str, parts)).zfill(5)
    tile = properties.get("s2:mgrs_tile") or next((product["tile"] for product in _products(item)), None)
    if not tile:
        tile = str(properties.get("grid:code", "")).removeprefix("MGRS-")
    if not tile:
        found = _TILE_IN_NAME.search(str(item["id"]))
        tile = found[1] if found else None
    return str(tile).upper().removeprefix("T").zfill(5) if tile else None


def platform(item: Item) -> str:
    """``sentinel-2a``, however the catalog capitalises it; ``unknown`` if nothing says it."""
    name = item["properties"].get("platform")
    if name:
        return str(name).lower()
    found = re.match(r"S2([A-D])_", str(item["id"])) or next(_products(item), None)
    return f"sentinel-2{found[1].lower()}" if found else "unknown"


def epsg(item: Item, asset: Mapping[str, Any]) -> int:
    """The UTM zone that the item's pixels come in: its own word, its asset's, or its tile's.

    Raises:
        CatalogError: it does not say, or they come in no UTM zone.
    """
    for source in (item["properties"], asset):
        code = source.get("proj:epsg") or str(source.get("proj:code", "")).removeprefix("EPSG:")
        if code:
            if not is_utm(code):
                raise CatalogError(
                    f"item {item['id']} is in EPSG:{code}; scenes in their own UTM zone are wanted"
                )
            return int(code)
    tile = mgrs_tile(item)
    if tile is None:
        raise CatalogError(f"item {item['id']} says neither its CRS (proj:code, proj:epsg) nor its MGRS tile")
    return (32600 if tile[2] >= "N" else 32700) + int(tile[:2])


def cloud_cover(item: Item) -> float | None:
    """Cloud cover of the whole scene in percent; None if the item does not say."""
    value = item["properties"].get("eo:cloud_cover")
    return None if value is None else float(value)


def bounds(item: Item, asset: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """(left, bottom, right, top) of an asset in metres of its zone, if the item tells."""
    properties = item["properties"]
    transform, shape, box = (
        asset.get(f"proj:{name}") or properties.get(f"proj:{name}") for name in ("transform", "shape", "bbox")
    )
    if transform and shape and not (transform[1] or transform[3]):
        width, left, height, top = transform[0], transform[2], transform[4], transform[5]
        return float(left), float(top + height * shape[0]), float(left + width * shape[1]), float(top)
    if box and len(box) == 4:
        left, bottom, right, top = map(float, box)
        return left, bottom, right, top
    return None


def checksum(asset: Mapping[str, Any]) -> str | None:
    """An asset's checksum, a multihash; None if the item does not tell it."""
    value = asset.get("file:checksum")
    return None if value is None else str(value)


def declared_offset(item: Item, key: str) -> int | None:
    """What an asset asks to have subtracted: -offset / scale of its raster metadata, in any STAC version.

    Raises:
        CatalogError: the asset declares an offset that is neither 0 nor Sentinel-2's 1000.
    """
    asset = item["assets"][key]
    for source in (asset, *(asset.get("raster:bands") or ()), *(asset.get("bands") or ())):
        offset, scale = (source.get(f"raster:{name}", source.get(name)) for name in ("offset", "scale"))
        # GDAL's defaults, which tools copy into items, declare nothing.
        if offset is None or not scale or (offset, scale) == (0, 1):
            continue
        numbers: int = round(-offset / scale)
        if numbers not in (0, 1000):
            raise CatalogError(
                f"asset {key} of {item['id']} declares offset {offset:g} at scale {scale:g}, "
                "which is neither 0 nor 1000 digital numbers"
            )
        return numbers
    return None


def offset_applied(item: Item) -> bool | None:
    """Earth Search's flag that its COGs have the offset taken off, also as text; None if it is absent or no flag."""
    properties = item["properties"]
    for prefix in ("earthsearch", "sentinel"):
        flag = _FLAGS.get(str(properties.get(f"{prefix}:boa_offset_applied")).strip().lower())
        if flag is not None:
            return flag
    return None


def pixel_size(item: Item, key: str) -> float:
    """Metres of a pixel of an asset, the most that the item says: by its transform, its bands, or its name's end."""
    asset = item["assets"][key]
    named = _COARSER_NAME.search(key)
    transform = asset.get("proj:transform")
    told = [
        int(named[1]) if named else 0,
        transform[0] if isinstance(transform, list) and transform else 0,
        asset.get("gsd"),
        *(
            band.get("spatial_resolution")
            for band in asset.get("raster:bands") or ()
            if isinstance(band, Mapping)
        ),
    ]
    return max(float(size) for size in told if isinstance(size, int | float) and not isinstance(size, bool))


def _products(item: Item) -> Iterator[re.Match[str]]:
    """The names of the ESA product that an item carries, taken apart."""
    properties = item["properties"]
    for name in (properties.get("s2:product_uri"), properties.get("sentinel:product_id"), item["id"]):
        found = _PRODUCT.match(str(name))
        if found:
            yield found


def _timestamp(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _compact(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
