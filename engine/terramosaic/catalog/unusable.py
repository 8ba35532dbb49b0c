"""Items that cannot be used: what is wrong with each, so that a search goes on without them and nobody misses them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from terramosaic.catalog.assets import Source
from terramosaic.catalog.metadata import check_item, item_datetime, name_of
from terramosaic.errors import CatalogError, ForeignItemError, UnusableItemError


@dataclass(frozen=True)
class UnusableItem:
    """One of them.

    Attributes:
        id: its id for messages, or that it has none.
        error: what is wrong with it.
        datetime: when it was sensed, if it is a scene and says so.
    """

    id: str
    error: CatalogError
    datetime: datetime | None


@dataclass(frozen=True)
class Unusable:
    """Those of a search.

    Args:
        takes: the errors of items that a search goes on without; others stop it, as metadata that is broken does.
        excluded: ids of items that nobody asks for, whatever is wrong with them.
    """

    takes: type[CatalogError] | tuple[()] = UnusableItemError
    excluded: frozenset[str] = frozenset()
    items: list[UnusableItem] = field(default_factory=list)

    def excludes(self, item: Source) -> bool:
        """Whether nobody asks for an item: by its id alone, or with its collection."""
        return not self.excluded.isdisjoint(names_of(item))

    def beside(self) -> Unusable:
        """Of another look at the same items as they come: what it takes is told after what this one takes."""
        return Unusable(self.takes, self.excluded)

    def put(self, item: Any, error: CatalogError) -> None:
        """Takes an item, or raises what is wrong with it where a search cannot go on."""
        name = item.get("id") if isinstance(item, Mapping) else None
        if isinstance(name, str) and name in self.excluded:
            return
        if not isinstance(error, self.takes):
            raise error
        self.items.append(UnusableItem(name_of(item), error, _datetime_of(item, error)))


def names_of(item: Source) -> set[str]:
    """What a request may call an item: its id, also with the collection, or the name that a plan gives it."""
    return {item.id, item.key, f"{item.collection}/{item.id}"}


#: Takes none: the first item that cannot be used stops a search.
NONE_TOLERATED = Unusable(())


def _datetime_of(item: Any, error: CatalogError) -> datetime | None:
    if isinstance(error, ForeignItemError):
        return None
    with suppress(CatalogError):
        check_item(item)
        return item_datetime(item)
    return None
