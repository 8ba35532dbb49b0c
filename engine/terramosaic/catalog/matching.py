"""Whether an item is what was searched for: servers ignore filters that they do not know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.footprint import footprint_of
from terramosaic.catalog.metadata import check_item, cloud_cover, collection_of, item_datetime
from terramosaic.catalog.unusable import Unusable
from terramosaic.errors import CatalogError


class Wanted:
    """A search's conditions.

    Args:
        geometry_parts: polygons in lon/lat degrees; a footprint must touch one.
        start: the earliest moment in UTC, inclusive; None if open.
        end: the latest, to the second, inclusive; None if open.
        max_cloud: the largest cloud cover in percent, or None. An item that does not tell its own passes.
        collection: id of the collection, or None for any.
    """

    def __init__(
        self,
        geometry_parts: Sequence[BaseGeometry],
        start: datetime | None,
        end: datetime | None,
        max_cloud: float | None,
        collection: str | None,
    ) -> None:
        self._region = shapely.union_all(list(geometry_parts))
        shapely.prepare(self._region)
        self._start, self._end, self._max_cloud, self._collection = start, end, max_cloud, collection

    def among(self, items: Iterable[Any], unusable: Unusable) -> list[dict[str, Any]]:
        """The items that meet all conditions.

        Args:
            items: of a catalog, as they come.
            unusable: where items go of which that cannot be told, or which makes them an error.

        Raises:
            CatalogError: an item's date or geometry cannot be read.
        """
        return [item for item in items if self.takes(item, unusable)]

    def takes(self, item: Any, unusable: Unusable) -> bool:
        """Whether an item meets all conditions; see `among`."""
        try:
            return self.matches(item)
        except CatalogError as error:
            unusable.put(item, error)
            return False

    def matches(self, item: Any) -> bool:
        """Whether an item meets all conditions.

        Raises:
            CatalogError: the item's date or geometry cannot be read, and all else matches.
        """
        check_item(item)
        if self._collection is not None and collection_of(item) not in ("", self._collection):
            return False
        cloud = cloud_cover(item)
        if self._max_cloud is not None and cloud is not None and cloud > self._max_cloud:
            return False
        wrong: CatalogError | None = None
        for condition in (self._is_in_period, self._is_in_region):
            try:
                if not condition(item):
                    return False
            except CatalogError as error:
                wrong = wrong or error
        if wrong is not None:
            raise wrong
        return True

    def _is_in_period(self, item: Mapping[str, Any]) -> bool:
        when = item_datetime(item).replace(microsecond=0)
        return not (
            (self._start and when < self._start.replace(microsecond=0)) or (self._end and when > self._end)
        )

    def _is_in_region(self, item: Mapping[str, Any]) -> bool:
        return bool(shapely.intersects(self._region, footprint_of(item)))
