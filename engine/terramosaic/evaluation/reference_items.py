"""Which items of a reference's catalog, or files of its folder, a part of a map is compared with. Reads no pixels."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import rasterio
import shapely
from rasterio.errors import RasterioError
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import PASS_GAP, Unusable, open_catalog
from terramosaic.catalog.backscatter_passes import covered_share
from terramosaic.catalog.footprint import footprint_of
from terramosaic.catalog.hrefs import Origin, refusal
from terramosaic.catalog.metadata import check_item, is_href, item_datetime, name_of
from terramosaic.catalog.profiles import PLANETARY_COMPUTER
from terramosaic.errors import CatalogError, one_line, printable
from terramosaic.evaluation.reference import RASTERS, Reference
from terramosaic.planning.plan import Plan
from terramosaic.request.crs import in_degrees
from terramosaic.storage.gdal import local_files

#: A time for what has none: files of a folder.
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)

#: Names, reasons and days that a note tells.
_MOST_NAMED = 3


@dataclass(frozen=True)
class ReferenceItem:
    """An item that can be compared with.

    Attributes:
        hrefs: of its assets, by name and without the number of a band; secrets in them stay in this process.
        bands: of its files, where they hold several.
        footprint: in lon/lat degrees.
        moment: when it was sensed, or began.
        flight: which pass of a satellite it is of, where that matters.
        direction: of that pass; empty where it is not told.
    """

    id: str
    hrefs: Mapping[str, str]
    footprint: BaseGeometry
    moment: datetime
    bands: int = 1
    flight: str = ""
    direction: str = ""


@dataclass
class Found:
    """What there is of a reference over a run.

    Attributes:
        items: those that can be used.
        signed_by: the provider whose signatures open their files.
        notes: what was left out or chosen, in a line each.
        missing: why there is none, in a line.
    """

    items: list[ReferenceItem] = field(default_factory=list)
    signed_by: str = ""
    notes: list[str] = field(default_factory=list)
    missing: str = ""


def find(reference: Reference, plan: Plan, assets: Sequence[str]) -> Found:
    """What there is of a reference over a run's region, and in its time.

    Args:
        reference: of a catalog or of files.
        plan: the run's.
        assets: that an item must have.

    Raises:
        CatalogError: the catalog could not be searched.
        RequestError: there is no such catalog or collection.
    """
    region = shape(plan.region)
    if reference.path:
        return _of_files(Path(reference.path), region)
    days = sorted({scene.solar_day for scene in plan.leading.values()})
    catalog = open_catalog(reference.catalog, reference.collection)
    # Saved items of Planetary Computer say nowhere whose they are but in their hrefs, which alone are signed.
    signed_by = PLANETARY_COMPUTER if catalog.origin == "disk" else catalog.profile
    found = Found(signed_by=signed_by.name)
    parts = list(shapely.get_parts(region))
    unusable = Unusable(CatalogError)
    period = _period(reference, days)
    documents = catalog.search(parts, *period, None, unusable)
    found.items = _usable(reference, documents, assets, catalog.origin, found.notes)
    found.items = [one for one in found.items if one.footprint.intersection(region).area > 0]
    if unusable.items:
        one = unusable.items[0]
        found.notes.append(f"{len(unusable.items)} items were left out, such as {one.id}: {one.error.text}")
    if not found.items:
        found.missing = f"{catalog.describe()} has nothing there" + _when(reference, period)
        if period[0] is not None:
            others = catalog.search(parts, None, None, None, Unusable(CatalogError))
            found.missing += _other_times(reference, days, others)
    elif reference.one_direction:
        _keep_one_direction(found, region, days)
    return found


def choose(
    reference: Reference, items: Sequence[ReferenceItem], part: BaseGeometry, day: date
) -> tuple[list[ReferenceItem], int]:
    """The items that a part of a map is compared with, and how many days or years they are from its imagery.

    Args:
        reference: says which may be used.
        items: that there are.
        part: where, in lon/lat degrees.
        day: the imagery's.

    Returns:
        None of them where there is nothing of the right time. Of a reference of passes those of a single one: that
        which covers the part best, and of such the nearest in time.
    """
    there = [one for one in items if one.footprint.intersects(part)]
    if reference.when == "any" or not there:
        return there, 0
    if reference.when == "days":
        there = [one for one in there if _days_between(one, day) <= reference.days]
        if not reference.one_direction:
            return there, max((_days_between(one, day) for one in there), default=0)
        flights: dict[str, list[ReferenceItem]] = defaultdict(list)
        for one in there:
            flights[one.flight].append(one)
        if not flights:
            return [], 0

        def rank(flight: list[ReferenceItem]) -> tuple[float, int, str]:
            covered = covered_share((one.footprint for one in flight), part)
            return -round(covered, 2), _days_between(flight[0], day), flight[0].flight

        best = min(flights.values(), key=rank)
        return best, _days_between(best[0], day)
    away = {one.id: abs(one.moment.year - day.year) for one in there}
    nearest = 0 if reference.when == "year" else min(away.values())
    return [one for one in there if away[one.id] == nearest], nearest


def _period(reference: Reference, days: Sequence[date]) -> tuple[datetime | None, datetime | None]:
    if reference.when == "days":
        reach = timedelta(reference.days)
        return _midnight(days[0]) - reach, _midnight(days[-1]) + timedelta(days=1, seconds=-1) + reach
    if reference.when == "year":
        return datetime(days[0].year, 1, 1, tzinfo=UTC), datetime(
            days[-1].year, 12, 31, 23, 59, 59, tzinfo=UTC
        )
    return None, None


def _when(reference: Reference, period: tuple[datetime | None, datetime | None]) -> str:
    start, end = period
    if start is None or end is None:
        return ""
    if reference.when == "year":
        return f" of {_years({start.year, end.year})}"
    return f" within {reference.days:g} days of the imagery"


def _other_times(reference: Reference, days: Sequence[date], others: Iterable[Mapping[str, Any]]) -> str:
    moments = sorted({item_datetime(item) for item in others})
    if not moments:
        return ", nor of any other time"
    if reference.when == "year":
        return f"; there is of {_years({moment.year for moment in moments})}, which is not compared"
    nearest = min(moments, key=lambda moment: min(abs(moment - _midnight(day)) for day in days))
    return f"; the nearest is of {nearest:%Y-%m-%d}"


def _usable(
    reference: Reference,
    documents: Iterable[Mapping[str, Any]],
    assets: Sequence[str],
    origin: Origin,
    notes: list[str],
) -> list[ReferenceItem]:
    """Items that have all assets, where they may lie; others are left out by name."""
    found, left_out = [], defaultdict[str, list[str]](list)
    names = {asset.partition(".")[0] for asset in assets}
    for document in documents:
        check_item(document)
        held = {name: document["assets"].get(name) for name in names}
        hrefs = {
            name: asset["href"]
            for name, asset in held.items()
            if isinstance(asset, Mapping) and is_href(asset.get("href"))
        }
        refused = next(filter(None, (refusal(href, origin) for href in hrefs.values())), "")
        if lacking := sorted(names - hrefs.keys()):
            left_out[f"without asset {', '.join(lacking)}"].append(name_of(document))
        elif refused:
            left_out[refused].append(name_of(document))
        else:
            flight, direction = _flight_of(document) if reference.one_direction else ("", "")
            found.append(
                ReferenceItem(
                    document["id"], hrefs, footprint_of(document), item_datetime(document), _most_bands(assets),
                    flight, direction,
                )
            )  # fmt: skip
    for reason, items in left_out.items():
        notes.append(f"left out: {_some(items)}: {reason}")
    return found


def _flight_of(document: Mapping[str, Any]) -> tuple[str, str]:
    """Which pass an item is of, and its direction: two passes of a day, or two directions, are never mixed."""
    properties = document["properties"]
    platform, moment = str(properties.get("platform", "")).lower(), item_datetime(document)
    orbit = properties.get("sat:absolute_orbit") or f"{moment.timestamp() // PASS_GAP.total_seconds():.0f}"
    return f"{platform} {orbit}", str(properties.get("sat:orbit_state") or "")


def _keep_one_direction(found: Found, region: BaseGeometry, days: Sequence[date]) -> None:
    """Keeps the passes of the direction that covers more of the region; of two that do, of the nearer one in time."""
    by_direction: dict[str, list[ReferenceItem]] = defaultdict(list)
    for one in found.items:
        by_direction[one.direction].append(one)

    def rank(direction: str) -> tuple[float, int, str]:
        items = by_direction[direction]
        covered = covered_share((one.footprint for one in items), region)
        return -round(covered, 2), min(_days_between(one, day) for one in items for day in days), direction

    best = min(by_direction, key=rank)
    found.items = by_direction[best]
    others = sum(map(len, by_direction.values())) - len(found.items)
    found.notes.append(
        f"passes are {best or 'of a direction that is not told'}"
        + (f"; {others} items of the other direction were left out" if others else "")
    )


def _of_files(path: Path, region: BaseGeometry) -> Found:
    """GeoTIFFs of a folder that touch a region."""
    found, broken = Found(), Counter[str]()
    files = (
        [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.suffix.lower() in RASTERS)
    )
    with local_files():
        for file in files:
            try:
                with rasterio.open(file) as dataset:
                    if dataset.crs is None:
                        raise ValueError("it has no coordinate system")
                    footprint = in_degrees(box(*dataset.bounds), dataset.crs.to_wkt())
                    bands = dataset.count
            except (RasterioError, ValueError) as error:
                broken[f"{file.name}: {one_line(error)}"] += 1
                continue
            if footprint.intersects(region):
                found.items.append(ReferenceItem(file.stem, {"data": str(file)}, footprint, _NO_TIME, bands))
    found.notes += [f"left out: {line}" for line in broken]
    if not found.items:
        found.missing = f"none of {len(files)} GeoTIFFs in {path} lies there"
    return found


def _most_bands(assets: Iterable[str]) -> int:
    return max(int(asset.partition(".")[2] or 1) for asset in assets)


def _days_between(one: ReferenceItem, day: date) -> int:
    return abs((one.moment.date() - day).days)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def _years(years: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(set(years))))


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return printable(", ".join(names[:_MOST_NAMED])) + more


def by_time(items: Iterable[ReferenceItem]) -> str:
    """The days of some items, in words."""
    days = [f"{day}" for day, _ in groupby(sorted(one.moment.date() for one in items))]
    return ", ".join(days[:_MOST_NAMED]) + (f" to {days[-1]}" if len(days) > _MOST_NAMED else "")
