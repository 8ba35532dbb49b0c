"""What a run is called and what it has come to, in the words of who looks for it: which region, which period, where.

A name is made before the request is checked, and stands in a list of many. What cannot be named so keeps the name that
Prefect gave it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any
from urllib.parse import unquote, urlsplit

from prefect import runtime
from prefect.context import FlowRunContext
from shapely.geometry import shape

from terramosaic.errors import one_line, printable
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan
from terramosaic.publishing.facts import PlanFacts
from terramosaic.publishing.numbers import THIN, UNBROKEN, counted, square_km
from terramosaic.publishing.served import on_the_map, served_at
from terramosaic.publishing.words import targets_in_words
from terramosaic.request.region import AnyRegion, BoundingBox, GeoJson, GeoJsonFile, MgrsTile
from terramosaic.request.request import RegionRequest
from terramosaic.storage.location import is_url
from terramosaic_flows.form import request_of_form

#: Letters of a name, and of a region's in it.
_MOST_LETTERS, _OF_REGION = 120, 60

#: What of a request its name follows from.
_NAMING = ("region", "datetime", "region_name")

#: Regions and folders that a message names.
_MOST_NAMED = 5


def name_of_map() -> str:
    """The name of a flow run of `map-region`: ``33TWL 2023-08``."""

    def name(sent: Mapping[str, Any]) -> str:
        request = _asked(sent["request"])
        return f"{region_name(request.region, request.region_name)} {period_in_words(*request.interval)}"

    return _named(name)


def name_of_watch() -> str:
    """The name of a flow run of `watch-region`: ``33TWL, 30 days until 2023-08-31``."""

    def name(sent: Mapping[str, Any]) -> str:
        request = _asked(sent["request"])
        region = region_name(request.region, request.region_name)
        until = sent.get("until") or datetime.now(UTC).date()
        return f"{region}, {counted(int(sent['look_back_days']), 'day')} until {until}"

    return _named(name)


def name_of_assessment() -> str:
    """The name of a flow run of `assess-map`: the end of the path of what is assessed."""
    return _named(lambda sent: _end_of(sent["run"]))


def name_of_check() -> str:
    """The name of a flow run of `check-model`: the bundle's folder and the device."""
    return _named(lambda sent: f"{_end_of(sent['model'])} on {sent.get('provider') or sent['device']}")


def name_of_export() -> str:
    """The name of a flow run of `export-model`: the TerraMind and the folder of its bundle."""

    def name(sent: Mapping[str, Any]) -> str:
        request = sent["request"]
        of = request if isinstance(request, Mapping) else request.model_dump()
        return f"{of.get('variant', 'bundle')} as {_end_of(of['out'])}"

    return _named(name)


def name_below(part: str) -> str:
    """The name of a flow run below this one, as a template of Prefect's."""
    name = f"{runtime.flow_run.name}: {part}" if runtime.flow_run.name else part
    return name.replace("{", "{{").replace("}", "}}")


def region_name(region: AnyRegion, property_name: str = "name") -> str:
    """A region in a few letters: its tile, its own name, its file, or its box in rounded degrees.

    Args:
        region: of a request.
        property_name: which property of a feature is its name.
    """
    match region:
        case MgrsTile(tile=tile):
            return tile.upper().removeprefix("MGRS-").removeprefix("T")
        case GeoJsonFile(path=path):
            return _end_of(path)
        case BoundingBox(west=west, south=south, east=east, north=north):
            return _box(west, south, east, north)
        case GeoJson(geojson=geojson):
            properties = geojson.get("properties")
            named = properties.get(property_name) if isinstance(properties, Mapping) else None
            if named not in (None, ""):
                return printable(one_line(named), _OF_REGION)
            return _box(*shape(geojson.get("geometry") or geojson).bounds)


def period_in_words(start: datetime | None, end: datetime | None) -> str:
    """A period as short as it can be written: a year, a month, a day, or the first and the last day."""
    first, last = start and start.date(), end and end.date()
    if first and last:
        after = last + timedelta(days=1)
        if first == last:
            return f"{first}"
        if (first.day, after.day) == (1, 1):
            if (first.month, after.month) == (1, 1) and after.year == first.year + 1:
                return f"{first:%Y}"
            if (after.year - first.year) * 12 + after.month - first.month == 1:
                return f"{first:%Y-%m}"
    return f"{first or '..'}/{last or '..'}"


def mapped_in_words(plans: Mapping[str, Plan]) -> str:
    """What runs have mapped, how much ground, of which days, and where it is.

    Args:
        plans: of published runs, by the regions' names; of one region without a name by ``""``.
    """
    first = next(iter(plans.values()))
    area = square_km(sum(made.figures.area_km2 for made in plans.values()))
    what = f"mapped: {targets_in_words(first.request.targets)}"
    days = _days_in_words(sorted({day for made in plans.values() for day in PlanFacts(plan=made).days}))
    if len(plans) == 1:
        (name,) = plans
        region = name or region_name(first.request.region, first.request.region_name)
        where = on_the_map(first) or RunFolder.of(first).location
        return _breakable(f"{what} of {region}, {area}, {days}: {where}")
    folder = first.request.out.rstrip("/").rpartition("/")[0]
    where = served_at(folder) or folder
    return _breakable(
        f"{what} of {counted(len(plans), 'region')} ({_some([*plans])}), {area}, {days}: {where}"
    )


def watched_in_words(request: RegionRequest) -> str:
    """Which region is watched, and where its maps are."""
    region = region_name(request.region, request.region_name)
    return f"{region} in {served_at(request.out) or request.out}"


def _breakable(line: str) -> str:
    """A line that the UI's narrow column can break anywhere."""
    return line.replace(UNBROKEN, " ").replace(THIN, " ")


def _days_in_words(days: Sequence[str]) -> str:
    return f"1 day, {days[0]}" if len(days) == 1 else f"{counted(len(days), 'day')} {days[0]} to {days[-1]}"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _named(name: Callable[[Mapping[str, Any]], str]) -> str:
    context = FlowRunContext.get()
    given = runtime.flow_run.name or "run"
    try:
        return printable(one_line(name((context and context.parameters) or {})), _MOST_LETTERS) or given
    except Exception:  # what is wrong with the parameters is said by the run itself
        return given


def _asked(sent: RegionRequest | Mapping[str, Any]) -> RegionRequest:
    """What decides the name of what was sent; what else may be wrong with it does not matter here."""
    if isinstance(sent, RegionRequest):
        return sent
    return request_of_form({name: sent[name] for name in _NAMING if name in sent})


def _end_of(place: str) -> str:
    """The last part of a path, or of a URL's path, in which no secret is."""
    path = unquote(urlsplit(place).path) if is_url(place) else place
    return printable(PurePath(path.rstrip("/")).name or place.partition("?")[0], _OF_REGION)


def _box(west: float, south: float, east: float, north: float) -> str:
    """``11.12E 46.05N to 11.3E 46.2N``: corners, rounded to about a kilometre."""
    return f"{_corner(west, south)} to {_corner(east, north)}"


def _corner(lon: float, lat: float) -> str:
    lon = (lon + 180) % 360 - 180
    return f"{abs(round(lon, 2)):g}{'W' if lon < 0 else 'E'} {abs(round(lat, 2)):g}{'S' if lat < 0 else 'N'}"
