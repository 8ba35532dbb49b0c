"""What an item says of itself, read in every provider's words: one function for each fact."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, TypeGuard
from urllib.parse import urlsplit

from terramosaic.errors import CatalogError, ForeignItemError, UnusableItemError, printable
from terramosaic.ground.grid import is_utm

Item = Mapping[str, Any]

_PRODUCT = re.compile(
    r"S2(?P<unit>[A-D])_MSIL(?:1C|2A)_\d{8}T\d{6}(_N(?P<baseline>\d{4}))?_R(?P<orbit>\d{3})_T(?P<tile>\d{2}[A-Z]{3})_(?P<made>\d{8}T\d{6})"
)
#: Levels as properties, collections and ids tell them: S2MSI1C, L1C, sentinel-2-l1c, S2B_27VWK_20240206_0_L1C.
_LEVEL = re.compile(r"(?:MSI|(?<![A-Z0-9])L|MSIL)(1C|2A)(?![A-Z0-9])", re.IGNORECASE)
_ORBIT = re.compile(r"([0-9]{1,3})(\.0)?")
#: ``05.09``, or as a number, 5.09 and 5.1; ``0509`` or ``N0509`` as in product names.
_BASELINE = re.compile(r"N?(?:(\d{1,2})(?:\.(\d{1,2}))?|(\d{2})(\d{2}))")
#: What products bear that were made outside ESA's baselines. It tells nothing.
_NO_BASELINE = "99.99"
_FLAGS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_COARSER_NAME = re.compile(r"_(\d{2})m$")
_DATASTRIP_START = re.compile(r"_S(\d{8}T\d{6})")
_CODE = re.compile(r"(\w{1,20}:)?(-?\d{1,20})(?:\.0)?")
_TILE = re.compile(r"T?(\d{1,2}[A-Z]{3})")
_TILE_IN_NAME = re.compile(r"(?:^|_)T?(\d{1,2}[C-HJ-NP-X][A-HJ-NP-Z][A-HJ-NP-V])(?=_|$)")

#: Relative orbits of Sentinel-2.
_ORBITS = 143
_SENTINEL_1_NAME = re.compile(r"S1[A-D]_")
_SENTINEL_2 = re.compile(r"s(entinel)?[-_ ]?2", re.IGNORECASE)
#: What our own items' properties begin with.
_OWN = "terramosaic:"
_HALF_LETTERS = re.compile(r"[\ud800-\udfff]")
#: How to go on where an item's metadata is broken.
_EXCLUDE = "exclude the item to go on without it"
#: Years that an item can be of.
_YEARS = 1970, 2200


def check_item(item: Any) -> None:
    """Makes sure that the other functions here can be asked.

    Raises:
        CatalogError: it is no STAC item.
    """
    if not isinstance(item, Mapping):
        raise CatalogError("what should be a STAC item is no JSON object")
    for part, kind in (("id", str), ("properties", Mapping), ("assets", Mapping)):
        if not isinstance(item.get(part), kind):
            raise CatalogError(f"item {name_of(item)} is no STAC item: it has no {part}")
    if not is_text(item["id"]):
        raise CatalogError(f"item {name_of(item)} is no STAC item: its id is no Unicode")


def check_assets(item: Item, names: Iterable[str]) -> None:
    """Makes sure that assets, those of these names that the item has, are what can be read.

    Raises:
        CatalogError: one is not; it may lack its href.
    """
    for name in names:
        asset = item["assets"].get(name, {})
        if not isinstance(asset, Mapping):
            raise wrong(item, f"asset {name}", asset, "an object")
        if "href" in asset and not is_href(asset["href"]):
            raise wrong(item, f"href of asset {name}", asset["href"], "a URL or a path")


def check_kind(item: Item, bands: Collection[str]) -> None:
    """Makes sure that an item can be a scene of Sentinel-2.

    Args:
        item: the item.
        bands: those of the wanted bands that it has.

    Raises:
        ForeignItemError: it is something else.
    """
    properties, told = item["properties"], item["properties"].get("platform")
    if any(name.startswith(_OWN) for name in properties) and not bands:
        raise ForeignItemError(f"item {name_of(item)} is a map that Terramosaic has made, no scene")
    if isinstance(told, str) and told and not _SENTINEL_2.match(told):
        raise ForeignItemError(f"item {name_of(item)} is of {printable(told)}, not of Sentinel-2")


def collection_of(item: Item) -> str:
    """The id of the item's collection; empty if it names none."""
    found = item.get("collection")
    return found if is_text(found) else ""


def links_of(document: Any) -> list[dict[str, Any]]:
    """The links of a STAC object that are links: with a relation and an address."""
    links = document.get("links") if isinstance(document, Mapping) else None
    return [
        link
        for link in (links if isinstance(links, list) else [])
        if isinstance(link, dict) and isinstance(link.get("rel"), str) and isinstance(link.get("href"), str)
    ]


def is_href(value: Any) -> TypeGuard[str]:
    """Whether it is a text that can name a file."""
    if not is_text(value) or not value.isprintable() or not value.strip():
        return False
    # Few texts are no URLs: those with brackets or letters that look like others in the host.
    if value.isascii() and "[" not in value and "]" not in value:
        return True
    try:
        return urlsplit(value) is not None
    except ValueError:
        return False


def with_hrefs(item: Any, absolute: Callable[[str], str]) -> Any:
    """An item with absolute hrefs; itself where they are: a country's catalog has hundreds of thousands of assets.

    Args:
        item: what a catalog gave, of whatever kind.
        absolute: makes an absolute href of one.
    """
    assets = item.get("assets") if isinstance(item, dict) else None
    if not isinstance(assets, dict):
        return item
    moved = {
        key: asset | {"href": href}
        for key, asset in assets.items()
        if isinstance(asset, dict)
        and is_href(asset.get("href"))
        and (href := absolute(asset["href"])) != asset["href"]
    }
    return item | {"assets": assets | moved} if moved else item


def name_of(item: Any) -> str:
    """An item's id for messages and records, whatever it is."""
    found = item.get("id") if isinstance(item, Mapping) else None
    return printable(found) if isinstance(found, str) else "without id"


def wrong(item: Item, field: str, value: Any, wanted: str) -> CatalogError:
    """That a field of an item is of the wrong type, which STAC does not allow."""
    return CatalogError(
        f"item {name_of(item)} has a wrong {field}: {wanted} is wanted, not {printable(value)}", hint=_EXCLUDE
    )


def is_text(value: Any) -> TypeGuard[str]:
    """Whether it is text that can be written: JSON also lets halves of letters through."""
    return isinstance(value, str) and (value.isascii() or not _HALF_LETTERS.search(value))


def item_datetime(item: Item) -> datetime:
    """When the item was sensed, in UTC: ``datetime``, or the start of its interval.

    Raises:
        CatalogError: it does not say, or not in RFC 3339.
    """
    properties = item["properties"]
    for name in ("datetime", "start_datetime"):
        if text := properties.get(name):
            found = _timestamp(text)
            if found is None or not _YEARS[0] <= found.year <= _YEARS[1]:
                raise CatalogError(
                    f"item {name_of(item)} has a {name} that is not RFC 3339, or of a year without satellites: "
                    f"{printable(text)}"
                )
            return found
    raise CatalogError(f"item {name_of(item)} has neither datetime nor start_datetime")


def sensing_start(item: Item) -> datetime:
    """When the item's datastrip began, to the second.

    An item that does not name its datastrip (Earth Search v0) gives its own datetime. There that is the
    granule's, which a reprocessing shares and another datastrip does not. The datatake's time in a product
    name will not do: the two halves of a tile that two datastrips of one datatake cover share it.
    """
    for name in ("s2:datastrip_id", "eopf:datastrip_id", "sentinel:datastrip_id"):
        found = _DATASTRIP_START.search(str(item["properties"].get(name, "")))
        if found and (start := _compact(found[1])):
            return start
    return item_datetime(item).replace(microsecond=0)


def relative_orbit(item: Item) -> int | None:
    """The relative orbit, 1 to 143, from a property or the product's name; None if nothing says it."""
    told = _ORBIT.fullmatch(str(item["properties"].get("sat:relative_orbit", "")))
    numbers = [told[1]] if told else [product["orbit"] for product in _products(item)]
    return next((int(number) for number in numbers if 1 <= int(number) <= _ORBITS), None)


def level(item: Item) -> Literal["L1C", "L2A"] | None:
    """Sentinel-2's level of processing; None if nothing says it."""
    properties = item["properties"]
    told = [properties.get(name) for name in ("s2:product_type", "product:type", "processing:level")]
    told += [properties.get("s2:product_uri"), properties.get("sentinel:product_id")]
    for text in (*told, collection_of(item), item["id"]):
        if found := _LEVEL.search(str(text).replace("_", "-")):
            return "L1C" if found[1].upper() == "1C" else "L2A"
    return None


def generation_time(item: Item) -> datetime | None:
    """When the product was made, in UTC; not a catalog's ``created``, which is when it took the item in."""
    properties = item["properties"]
    text = properties.get("s2:generation_time") or properties.get("processing:datetime")
    if text:
        return _timestamp(text)
    return next(filter(None, (_compact(product["made"]) for product in _products(item))), None)


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
    """The tile as ``33TWL``, also where the item says ``T33TWL``, as ESA's names do; None if nothing says it.

    ``grid:code`` comes late: Earth Search v0 computed it from the footprint's centre, which can lie in the
    next zone (tile 01CCV goes by ``MGRS-60CWE`` there).
    """
    for tile in _told_tiles(item):
        if found := _TILE.fullmatch(tile.upper()):
            return found[1].zfill(5)
    return None


def platform(item: Item) -> str:
    """``sentinel-2a``, however the catalog capitalises it; ``unknown`` if nothing says it."""
    name = item["properties"].get("platform")
    if name and is_text(name):
        return name.lower()
    found = re.match(r"S2([A-D])_", item["id"]) or next(_products(item), None)
    return f"sentinel-2{found[1].lower()}" if found else "unknown"


def epsg(item: Item, asset: Mapping[str, Any]) -> int:
    """The UTM zone that the item's pixels come in: its own word, its asset's, or its tile's.

    Raises:
        UnusableItemError: it does not say, or they come in no UTM zone.
    """
    for source in (item["properties"], asset):
        for name in ("proj:epsg", "proj:code"):
            # STAC lets both be null: of no code, or not told. What is neither number nor text says as little.
            code = source.get(name)
            found = _CODE.fullmatch(str(code)) if isinstance(code, int | float | str) else None
            if found is None:
                continue
            if not is_utm(found[2]) or found[1] not in (None, "EPSG:"):
                raise UnusableItemError(
                    f"item {name_of(item)} is in {found[1] or 'EPSG:'}{found[2]}; "
                    "scenes in their own UTM zone are wanted"
                )
            return int(found[2])
    tile = mgrs_tile(item)
    if tile is None or not 1 <= int(tile[:2]) <= 60:
        raise UnusableItemError(
            f"item {name_of(item)} says neither its CRS (proj:code, proj:epsg) nor its MGRS tile"
        )
    return (32600 if tile[2] >= "N" else 32700) + int(tile[:2])


def cloud_cover(item: Item) -> float | None:
    """Cloud cover of the whole scene in percent; None if the item does not say, or nothing that can be."""
    value = item["properties"].get("eo:cloud_cover")
    try:
        cloud = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        return None
    return cloud if 0 <= cloud <= 100 else None


def bounds(item: Item, asset: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """(left, bottom, right, top) of an asset in metres of its zone, if the item tells."""
    properties = item["properties"]
    transform, shape, box = (
        _numbers(asset.get(f"proj:{name}")) or _numbers(properties.get(f"proj:{name}"))
        for name in ("transform", "shape", "bbox")
    )
    if len(transform) >= 6 and len(shape) == 2 and not (transform[1] or transform[3]):
        width, left, height, top = transform[0], transform[2], transform[4], transform[5]
        return left, top + height * shape[0], left + width * shape[1], top
    if len(box) == 4:
        left, bottom, right, top = box
        return left, bottom, right, top
    return None


def checksum(asset: Mapping[str, Any]) -> str | None:
    """An asset's checksum, a multihash; None if the item does not tell it."""
    value = asset.get("file:checksum")
    return value if is_text(value) else None


def declared_offset(item: Item, key: str) -> int | None:
    """What an asset asks to have subtracted: -offset / scale of its raster metadata, in any STAC version.

    Raises:
        CatalogError: the asset declares an offset that is neither 0 nor Sentinel-2's 1000.
    """
    asset = item["assets"][key]
    for source in (asset, *_objects(asset.get("raster:bands")), *_objects(asset.get("bands"))):
        offset, scale = (source.get(f"raster:{name}", source.get(name)) for name in ("offset", "scale"))
        for name, value in (("offset", offset), ("scale", scale)):
            if value is not None and not _numbers([value]):
                raise wrong(item, f"{name} of asset {key}", value, "a number")
        # GDAL's defaults, which tools copy into items, declare nothing.
        if offset is None or not scale or (offset, scale) == (0, 1):
            continue
        numbers: int = round(-offset / scale)
        if numbers not in (0, 1000):
            raise CatalogError(
                f"asset {key} of {name_of(item)} declares offset {offset:g} at scale {scale:g}, "
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
        *(transform[:1] if isinstance(transform, list | tuple) else ()),
        asset.get("gsd"),
        *(band.get("spatial_resolution") for band in _objects(asset.get("raster:bands"))),
    ]
    return float(max(filter(_is_number, told)))


def _told_tiles(item: Item) -> Iterator[str]:
    """What may be the tile, the best source first."""
    properties = item["properties"]
    for prefix in ("mgrs", "sentinel"):
        parts = [properties.get(f"{prefix}:{part}") for part in ("utm_zone", "latitude_band", "grid_square")]
        if all(parts):
            yield "".join(map(str, parts))
    yield str(properties.get("s2:mgrs_tile"))
    yield from (product["tile"] for product in _products(item))
    yield str(properties.get("grid:code")).removeprefix("MGRS-")
    # The mode in Sentinel-1's names, 1SDV, would be a tile.
    if (found := _TILE_IN_NAME.search(item["id"])) and not _SENTINEL_1_NAME.match(item["id"]):
        yield found[1]


def _products(item: Item) -> Iterator[re.Match[str]]:
    """The names of the ESA product that an item carries, taken apart."""
    properties = item["properties"]
    for name in (properties.get("s2:product_uri"), properties.get("sentinel:product_id"), item["id"]):
        found = _PRODUCT.match(str(name))
        if found:
            yield found


def _timestamp(text: Any) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None


def _compact(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None


def _numbers(value: Any) -> tuple[float, ...]:
    """The finite numbers of a list of nothing else; none if it is something else."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple(map(float, value)) if all(map(_is_number, value)) else ()


def _is_number(value: Any) -> bool:
    """Whether it is one, and finite as a float."""
    is_one = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_one and -sys.float_info.max <= value <= sys.float_info.max


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """The objects in a list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list | tuple) else []
