"""Finding Sentinel-1 RTC over a region: what there is, what was left out and why, and what there is nearby."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import shapely
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.backscatter import BackscatterScene, Direction, backscatter_from_item, require_rtc
from terramosaic.catalog.backscatter_passes import BackscatterPass, drop_reprocessed, group_by_orbit
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.scene import tell_apart
from terramosaic.catalog.search import HINT_DAYS, Catalog, known_collection, moved, open_catalog
from terramosaic.catalog.unusable import Unusable, UnusableItem
from terramosaic.errors import CatalogError, ForeignItemError, MissingBandError, printable

#: Why a scene is left out that the request names.
EXCLUDED = "excluded by the request"

#: Items and reasons that a line names.
_MOST_NAMED = 3


@dataclass
class FoundBackscatter:
    """What a search found.

    Attributes:
        passes: in the order of time, of both directions.
        dropped: scenes that are not used, each with the reason.
        unusable: items of which no scene could be made; without those of other satellites.
    """

    passes: list[BackscatterPass]
    dropped: list[tuple[BackscatterScene, str]] = field(default_factory=list)
    unusable: list[UnusableItem] = field(default_factory=list)

    def notes(self) -> list[str]:
        """What was left out, in a line for each reason."""
        lines = []
        one_alone = [item.id for item in self.unusable if isinstance(item.error, MissingBandError)]
        if one_alone:
            lines.append(f"Sentinel-1: {_counted(one_alone)} without both VV and VH left out")
        others = [item for item in self.unusable if not isinstance(item.error, MissingBandError)]
        lines += [f"Sentinel-1: left out: {item.error}" for item in others[:_MOST_NAMED]]
        if len(others) > _MOST_NAMED:
            lines.append(f"Sentinel-1: {len(others) - _MOST_NAMED} more items left out that cannot be used")
        lines += [
            f"Sentinel-1: {scene.key} left out: {reason}" for scene, reason in self.dropped[:_MOST_NAMED]
        ]
        if len(self.dropped) > _MOST_NAMED:
            lines.append(f"Sentinel-1: {len(self.dropped) - _MOST_NAMED} more scenes left out")
        return lines


def open_backscatter(catalog: str, collection: str | None = None) -> Catalog:
    """Opens a catalog for its Sentinel-1 RTC; nothing is read before it is searched.

    Args:
        catalog: as `terramosaic.catalog.search.open_catalog` takes it.
        collection: id of the collection; None for the one that the provider is known for, or on disk for all.

    Raises:
        RequestError: no provider has that name, this one has no RTC, or the collection is one of GRD.
        CatalogError: nothing exists at that path.
    """
    if collection is None:
        lacking = "terrain-corrected Sentinel-1 with files vv and vh"
        instead = "name the catalog and collection that has it"
        collection = known_collection(catalog, lambda one: one.backscatter, lacking, instead)
    if collection:
        require_rtc(collection)
    return open_catalog(catalog, collection)


def find_backscatter(
    catalog: Catalog,
    parts: Sequence[BaseGeometry],
    start: datetime | None,
    end: datetime | None,
    unusable: Unusable | None = None,
    *,
    platforms: Collection[str] = (),
) -> FoundBackscatter:
    """The passes over a region in a period.

    Args:
        catalog: see `open_backscatter`.
        parts: of the region, polygons in lon/lat degrees, none of which crosses the antimeridian.
        start: the earliest moment in UTC, inclusive; None if open.
        end: the latest, inclusive; None if open.
        unusable: where items go that cannot be used; by default those that are broken are an error.
        platforms: ``sentinel-1a`` and so on, if only these are wanted.

    Raises:
        CatalogError: the catalog could not be searched, or an item is broken.
    """
    # Not `or`: one that has taken none yet is a value, too.
    left_out = Unusable() if unusable is None else unusable
    region, scenes, broken = shapely.union_all(list(parts)), [], left_out.beside()
    for item in catalog.stream(parts, start, end, None, left_out):
        try:
            scene = backscatter_from_item(item, catalog.profile, origin=catalog.origin)
        except CatalogError as error:
            broken.put(item, error)
        else:
            # By the scene's own footprint: what a catalog draws around the world meets every region.
            if shapely.intersects(scene.geometry, region):
                scenes.append(scene)
    left_out.items.extend(broken.items)
    wanted = {name.lower() for name in platforms}
    reasons = [
        EXCLUDED
        if left_out.excludes(scene)
        else f"of {scene.platform}, which the request does not take"
        if wanted and scene.platform not in wanted
        else ""
        for scene in scenes
    ]
    kept, dropped = drop_reprocessed(
        scene for scene, reason in zip(scenes, reasons, strict=True) if not reason
    )
    dropped += [(scene, reason) for scene, reason in zip(scenes, reasons, strict=True) if reason]
    return FoundBackscatter(
        group_by_orbit(tell_apart(kept)),
        dropped,
        [one for one in left_out.items if not isinstance(one.error, ForeignItemError)],
    )


def hint_for_no_backscatter(
    catalog: Catalog,
    parts: Sequence[BaseGeometry],
    start: datetime | None,
    end: datetime | None,
    *,
    direction: Direction = "",
) -> str:
    """Says where a search found nothing what there is nearby: which days and directions, in a line.

    Args:
        catalog: that was searched.
        parts: of the region.
        start: the earliest moment that was asked for; None if open.
        end: the latest.
        direction: the one that was wanted; empty for any.

    Raises:
        CatalogError: the catalog could not be searched.
    """
    there = _passes_there(catalog, parts, start, end)
    if direction and there.passes:
        return f"all passes there in that period are {_directions(there.passes)}: ask for that direction, or for best"
    if there.unusable:
        return f"nothing there in that period can be used: {'; '.join(there.notes())}"
    known: dict[tuple[Direction, bool], BackscatterPass] = {}
    is_at_hand = isinstance(catalog, FileCatalog)
    for days in (None,) if is_at_hand else HINT_DAYS:
        found = _passes_there(catalog, parts, moved(start, days and -days), moved(end, days))
        for one in found.passes:
            is_before = start is not None and one.start < start
            seen = known.get((one.direction, is_before))
            if seen is None or _away(one, start, end) < _away(seen, start, end):
                known[one.direction, is_before] = one
        if known:
            break
    if known:
        near = sorted(known.values(), key=lambda one: (one.start, one.direction))
        return "the nearest there are " + " and ".join(
            f"{one.direction or 'a pass'} of {one.start:%Y-%m-%d} ({_told_away(one, start, end)})"
            for one in near
        )
    reach = "" if is_at_hand else " within a year of that period"
    return f"{catalog.describe()} has no Sentinel-1 there{reach}: check the region and the collection"


def _passes_there(
    catalog: Catalog, parts: Sequence[BaseGeometry], start: datetime | None, end: datetime | None
) -> FoundBackscatter:
    return find_backscatter(catalog, parts, start, end, Unusable(CatalogError))


def _away(one: BackscatterPass, start: datetime | None, end: datetime | None) -> timedelta:
    if start is not None and one.start < start:
        return start - one.start
    return one.start - end if end is not None else timedelta(0)


def _told_away(one: BackscatterPass, start: datetime | None, end: datetime | None) -> str:
    days = math.ceil(_away(one, start, end) / timedelta(days=1))
    side = "before" if start is not None and one.start < start else "after"
    return f"{days} day{'' if days == 1 else 's'} {side}"


def _directions(passes: Iterable[BackscatterPass]) -> str:
    return " and ".join(sorted({one.direction or "of a direction that is not told" for one in passes}))


def _counted(names: Sequence[str]) -> str:
    some = printable(", ".join(names[:_MOST_NAMED])) + (", ..." if len(names) > _MOST_NAMED else "")
    return f"{len(names)} item{'' if len(names) == 1 else 's'} ({some})"
