"""Opening a catalog by its name, URL or path, and what to say when it has nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import unquote, urlsplit

from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.api import ApiCatalog
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.footprint import footprint_of
from terramosaic.catalog.hrefs import Origin
from terramosaic.catalog.metadata import cloud_cover, item_datetime
from terramosaic.catalog.metadata import level as level_of
from terramosaic.catalog.profiles import GENERIC, PROFILES, Profile
from terramosaic.catalog.scene import is_of_sentinel_2
from terramosaic.catalog.unusable import NONE_TOLERATED, Unusable
from terramosaic.errors import CatalogError, RequestError, printable

#: How far from the period an API is asked for the nearest scenes, in days, one after the other.
HINT_DAYS = (16, 64, 366)


class Catalog(Protocol):
    """Where scenes are found."""

    @property
    def profile(self) -> Profile:
        """The profile of its items; `GENERIC` if each item's own marks decide."""
        ...

    @property
    def origin(self) -> Origin:
        """What its items may name follows from it."""
        ...

    def describe(self) -> str:
        """Names the catalog in messages."""
        ...

    def search(
        self,
        geometry_parts: Sequence[BaseGeometry],
        start: datetime | None,
        end: datetime | None,
        max_cloud: float | None,
        unusable: Unusable = NONE_TOLERATED,
    ) -> list[dict[str, Any]]:
        """Finds items.

        Args:
            geometry_parts: polygons in lon/lat degrees (EPSG:4326), none of which crosses the antimeridian.
            start: the earliest moment in UTC, inclusive; None if open.
            end: the latest, inclusive; None if open.
            max_cloud: the largest cloud cover in percent, or None. Items that do not tell theirs match.
            unusable: where items go that may match and cannot be used; by default they are an error.

        Returns:
            STAC items as dicts, with absolute hrefs.

        Raises:
            CatalogError: the catalog could not be searched, or an item not be read.
        """
        ...

    def stream(
        self,
        geometry_parts: Sequence[BaseGeometry],
        start: datetime | None,
        end: datetime | None,
        max_cloud: float | None,
        unusable: Unusable = NONE_TOLERATED,
    ) -> Iterator[dict[str, Any]]:
        """As `search`, item by item, as they are read: whoever keeps none of them needs no memory for all.

        What is wrong is raised, and goes to ``unusable``, when its turn comes.
        """
        ...


def open_catalog(catalog: str, collection: str | None = None) -> Catalog:
    """Opens a catalog; nothing is read before it is searched.

    Args:
        catalog: a provider's name, a STAC API's URL, or a path: an ItemCollection, an item, a static catalog
            or collection, or a folder of items.
        collection: id of the collection; None for the provider's Sentinel-2 L2A, or on disk for all.

    Raises:
        RequestError: no provider has that name.
        CatalogError: nothing exists at that path.
    """
    profile = profile_of_catalog(catalog)
    if profile is not None:
        url = profile.url if catalog in PROFILES else catalog
        return ApiCatalog(url, collection or profile.collection, profile)
    path = Path(unquote(urlsplit(catalog).path) if catalog.startswith("file://") else catalog).expanduser()
    if _exists(path):
        return FileCatalog(path, collection)
    if "/" in catalog or path.suffix:
        raise CatalogError(f"catalog {printable(catalog)} does not exist")
    raise RequestError(
        f"catalog: {catalog!r} is not known; take {', '.join(PROFILES)}, "
        "a STAC API's URL, or a path that exists"
    )


def profile_of_catalog(catalog: str) -> Profile | None:
    """The profile of a provider's name or URL, `GENERIC` of any other URL; None of what is no API."""
    if catalog in PROFILES:
        return PROFILES[catalog]
    if not catalog.lower().startswith(("http://", "https://")):
        return None
    return next((one for one in PROFILES.values() if catalog.rstrip("/") == one.url), GENERIC)


def known_collection(
    catalog: str, of: Callable[[Profile], str | None], lacking: str, instead: str
) -> str | None:
    """The collection that a provider is known for; None on disk, where all are looked through.

    Args:
        catalog: as `open_catalog` takes it.
        of: the collection's id in a profile; nothing where the provider has none.
        lacking: what a provider has not that has none, in words.
        instead: what else can be done then, in words.

    Raises:
        RequestError: the provider has none; names those that have.
    """
    profile = profile_of_catalog(catalog)
    if profile is None:
        return None
    if found := of(profile):
        return found
    having = ", ".join(one.name for one in PROFILES.values() if of(one))
    raise RequestError(f"inputs: {profile.title} has no {lacking}; take {having}, or {instead}")


def hint_for_nothing(
    catalog: Catalog,
    geometry_parts: Sequence[BaseGeometry],
    start: datetime | None,
    end: datetime | None,
    max_cloud: float | None,
    level: Literal["L1C", "L2A"] = "L2A",
) -> str:
    """Says what would have been found where a search found nothing, in a line; of Sentinel-2 at a level.

    Raises:
        CatalogError: the catalog could not be searched.
    """
    there = list(scenes_there(catalog, geometry_parts, start, end, level))
    if there:
        silent = [item for item in there if cloud_cover(item) is None]
        if max_cloud is not None and any(_overlaps(item, geometry_parts) for item in silent):
            return "what lies there in that period does not tell its cloud cover: use --max-cloud 100"
        above = [] if max_cloud is None else list(clouds_above(max_cloud, there))
        if len(above) < len(there):
            return "what lies there in that period touches the region only at its edge"
        return above_the_limit([cloud for _, cloud in above])
    before = _nearest(catalog, geometry_parts, level, before=start) if start else None
    after = _nearest(catalog, geometry_parts, level, after=end) if end else None
    near = []
    if before and start:
        near.append(_dated(before, start - item_datetime(before), "before"))
    if after and end:
        near.append(_dated(after, item_datetime(after) - end, "after"))
    if near:
        return f"the nearest there {'is' if len(near) == 1 else 'are'} of {' and of '.join(near)}"
    reach = "" if isinstance(catalog, FileCatalog) else " within a year of that period"
    return f"{catalog.describe()} has nothing there{reach}: check the region and the collection"


def scenes_there(
    catalog: Catalog,
    parts: Sequence[BaseGeometry],
    start: datetime | None,
    end: datetime | None,
    level: Literal["L1C", "L2A"] = "L2A",
) -> Iterator[dict[str, Any]]:
    """Items of a catalog that would be scenes of a level there, whatever their clouds and whatever they lack.

    Raises:
        CatalogError: the catalog could not be searched.
    """
    found = catalog.stream(parts, start, end, None, Unusable(CatalogError))
    return (item for item in of_level(found, level) if is_of_sentinel_2(item, catalog.profile))


def of_level(items: Iterable[dict[str, Any]], level: Literal["L1C", "L2A"]) -> Iterator[dict[str, Any]]:
    """Items that are not of Sentinel-2's other level: a folder may hold both."""
    return (item for item in items if level_of(item) in (None, level))


def clouds_above(max_cloud: float, items: Iterable[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], float]]:
    """Those of some items that have more cloud than a limit, each with its cloud cover, in percent."""
    for item in items:
        cloud = cloud_cover(item)
        if cloud is not None and cloud > max_cloud:
            yield item, cloud


def above_the_limit(clouds: Sequence[float]) -> str:
    """What the cloud limit keeps out, and which limit would not, in a line; of scenes' cloud cover, in percent."""
    scenes = "the only scene" if len(clouds) == 1 else f"the clearest of {len(clouds)} scenes"
    clearest = min(clouds)
    return f"{scenes} there in that period has {clearest:.0f} % cloud: use --max-cloud {math.ceil(clearest)}"


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long for a name
        return False


def _nearest(
    catalog: Catalog,
    parts: Sequence[BaseGeometry],
    level: Literal["L1C", "L2A"],
    *,
    before: datetime | None = None,
    after: datetime | None = None,
) -> dict[str, Any] | None:
    """The last item before a moment, or the first after it."""
    # Files are at hand, so there the first look goes as far as they do.
    for days in (None,) if isinstance(catalog, FileCatalog) else HINT_DAYS:
        if before:
            items = scenes_there(catalog, parts, moved(before, days and -days), before, level)
            nearest = max(items, key=item_datetime, default=None)
        else:
            items = scenes_there(catalog, parts, after, moved(after, days), level)
            nearest = min(items, key=item_datetime, default=None)
        if nearest is not None:
            return nearest
    return None


def _overlaps(item: dict[str, Any], parts: Sequence[BaseGeometry]) -> bool:
    footprint = footprint_of(item)
    return any(footprint.intersection(part).area > 0 for part in parts)


def moved(moment: datetime | None, days: int | None) -> datetime | None:
    """A moment so many days later; None, which is open, where there is none or the calendar ends before."""
    try:
        return moment + timedelta(days) if moment and days is not None else None
    except OverflowError:
        return None


def _dated(item: dict[str, Any], away: timedelta, side: str) -> str:
    days = math.ceil(away / timedelta(days=1))
    cloud = cloud_cover(item)
    sky = "" if cloud is None else f", {cloud:.0f} % cloud"
    return f"{item_datetime(item):%Y-%m-%d} ({days} day{'' if days == 1 else 's'} {side}{sky})"
