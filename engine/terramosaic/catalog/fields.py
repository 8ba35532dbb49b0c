"""Fields of an item that it may leave out, and that are of one type where they are told: strict, for radar and heights.

`terramosaic.catalog.metadata` reads what providers of Sentinel-2 write in many ways, and takes what it does not
understand as not told. Of radar and heights there are few providers yet: what is odd there is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from terramosaic.catalog.metadata import Item, is_text, wrong
from terramosaic.errors import CatalogError

#: Numbers that are no sizes or orbits of anything.
_LARGEST = 2**53


def text(item: Item, name: str) -> str:
    """A property that is text; empty if it is not told.

    Raises:
        CatalogError: it is something else.
    """
    value = item["properties"].get(name)
    if value is None:
        return ""
    if not is_text(value):
        raise wrong(item, name, value, "text")
    return value


def whole(item: Item, name: str, source: Mapping[str, Any] | None = None) -> int | None:
    """A number that counts something, as a number or in digits; None if it is not told.

    Args:
        item: the item.
        name: of the field.
        source: the part of the item that has it; its properties by default.

    Raises:
        CatalogError: it is something else.
    """
    value = (item["properties"] if source is None else source).get(name)
    if value is None:
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= len(str(_LARGEST)):
        value = int(value)
    is_whole = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _LARGEST
    if not is_whole or value != int(value):
        raise wrong(item, name, value, "a whole number")
    return int(value)


def numbers(item: Item, name: str, asset: Mapping[str, Any], *lengths: int) -> tuple[float, ...]:
    """A list of numbers, of an asset or else of the item; empty if neither tells it.

    Args:
        item: the item.
        name: of the field.
        asset: one of its assets.
        lengths: how many numbers it may have.

    Raises:
        CatalogError: it is something else.
    """
    value = asset.get(name, item["properties"].get(name))
    if value is None:
        return ()
    is_list = isinstance(value, list | tuple) and len(value) in lengths
    if not is_list or not all(_is_number(one) for one in value):
        raise wrong(item, name, value, f"a list of {' or '.join(map(str, lengths))} numbers")
    return tuple(map(float, value))


def moment(item: Item, name: str) -> datetime | None:
    """A time in UTC, written with a T or, as Planetary Computer does of Sentinel-1, with a space; None if not told.

    Raises:
        CatalogError: it is something else.
    """
    value = item["properties"].get(name)
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise wrong(item, name, value, "a time") from None


def asset_size(item: Item, key: str) -> int | None:
    """Bytes of an asset's file; None if the item does not tell them.

    Raises:
        CatalogError: it tells something else.
    """
    try:
        return whole(item, "file:size", item["assets"][key])
    except CatalogError:
        raise wrong(
            item, f"file:size of asset {key}", item["assets"][key]["file:size"], "a whole number"
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST <= value <= _LARGEST
