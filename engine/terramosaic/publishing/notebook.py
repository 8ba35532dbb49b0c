"""What a notebook shows of requests, plans, mosaics and results: small, complete in itself, without a script.

Importing this registers what draws which value, as using the face of the package does. Pictures come from overviews,
never from whole mosaics. Nothing fails for a file that is gone: then it says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import shapely

from terramosaic.errors import OutputError, TerramosaicError
from terramosaic.ground.grid import zone_name
from terramosaic.mosaic.result import MapResult, Mosaic
from terramosaic.mosaic.statistics import counts_of
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan
from terramosaic.publishing.facts import PlanFacts
from terramosaic.publishing.item import told_warnings
from terramosaic.publishing.locator import plan_map, region_map
from terramosaic.publishing.markup import render
from terramosaic.publishing.numbers import number, size, square_km
from terramosaic.publishing.pictures import embedded
from terramosaic.publishing.quicklook import Quicklook, Swatch, draw
from terramosaic.publishing.record import legend_of, shares_of
from terramosaic.publishing.reduced import BandStatistics, ReducedMosaic, read_reduced
from terramosaic.publishing.words import Code, region_in_words, targets_in_words, title_of
from terramosaic.request.region import BoundingBox, GeoJson, GeoJsonFile, MgrsTile
from terramosaic.request.request import RegionRequest
from terramosaic.shown import draw_html
from terramosaic.storage.files import facts_of
from terramosaic.storage.location import Location
from terramosaic.storage.scratch import LocalCopy

#: Acquisitions of a plan and pictures of a result; bytes of all pictures together, and the sides that are tried.
_ACQUISITIONS, _PICTURES, _PICTURE_BYTES = 8, 8, 100_000
_SMALL_SIDES, _LARGE_SIDES = (330, 260, 200, 150, 110, 80), (520, 440, 360, 280, 200, 140)
#: Bands of a mosaic that are named one by one.
_BANDS = 16
#: Fields of a request that a reader looks for also where they are the defaults.
_TOLD_ANYWAY = ("catalog", "model", "out")


@dataclass(frozen=True)
class _ShownMosaic:
    """A mosaic from afar, and its picture."""

    mosaic: Mosaic
    reduced: ReducedMosaic
    picture: Quicklook

    @classmethod
    def of(cls, mosaic: Mosaic, side: int) -> _ShownMosaic:
        """A mosaic about ``side`` pixels long."""
        longest = max(mosaic.zone.rect.shape)
        with LocalCopy(mosaic.path) as path:
            factor = 1 << max(0, (longest // side).bit_length() - 1)
            reduced = read_reduced(path, mosaic.layer, factor, mosaic.zone.rect)
        return cls(mosaic, reduced, draw(reduced))

    @cached_property
    def legend(self) -> list[tuple[Swatch, float]]:
        """Colours of the classes or flags that there are, with their shares."""
        if not self.picture.swatches:
            return []
        counts = counts_of(self.reduced.stored[0])
        legend = legend_of(self.mosaic.layer, self.picture, shares_of(self.mosaic.layer, counts))
        return [(swatch, share) for swatch, share in legend if share]

    @cached_property
    def statistics(self) -> tuple[BandStatistics, ...]:
        """Figures of each band of values; only nearly those of all pixels."""
        layer = self.mosaic.layer
        return self.reduced.statistics() if layer.is_measured and layer.kind != "embedding" else ()


@draw_html.register
def request_html(request: RegionRequest) -> str:
    """A request: the region's outline, and the fields that are not the defaults."""
    rows: dict[str, str] = {}
    drawn = None
    try:
        area = request.area()
        drawn = region_map(area.outline, region_in_words(request.region, area.square_kilometres))
        rows["Region"] = _region(request)
    except TerramosaicError as error:  # a region in a file is read here
        rows["Region"] = f"{_region(request)} ({error})"
    rows["Period"] = request.datetime
    usual = []
    for name, field in RegionRequest.model_fields.items():
        value = getattr(request, name)
        title, text = field.title or name, _value(value)
        if name in ("region", "datetime"):
            continue
        if value != field.default:
            rows[title] = text
        elif name in _TOLD_ANYWAY:
            usual.append(f"{title.lower()} {text}")
    title = targets_in_words(request.targets) if request.targets else "What the model makes"
    return _card("request", "Request", title, "", map=drawn, rows=rows, usual=usual)


@draw_html.register
def plan_html(plan: Plan) -> str:
    """A plan: a map of region, scenes and blocks, the figures, the best acquisitions, the warnings."""
    facts, drawn = PlanFacts(plan=plan), plan_map(plan)
    return _card(
        "plan", "Plan", facts.headline, Code(plan.run_id), facts=facts, map=drawn, most=_ACQUISITIONS
    )


@draw_html.register
def mosaic_html(mosaic: Mosaic) -> str:
    """A mosaic: its picture, how to read it, what opening it gives, figures."""
    layer, zone = mosaic.layer, mosaic.zone
    unit = "" if layer.unit == "1" else f" in {layer.unit}"
    weight, own = _file_size(mosaic.path), layer.rect(zone.rect)
    named = ", ".join(layer.bands) if len(layer.bands) <= _BANDS else f"{layer.bands[0]} to {layer.bands[-1]}"
    rows = {
        "File": Code(mosaic.path),
        "Zone": f"UTM {zone_name(zone.epsg)} (EPSG:{zone.epsg})",
        "Size": f"{number(own.width)} × {number(own.height)} pixels of {layer.resolution} m{weight and f', {weight}'}",
        "Bands": named,
        "Opens as": f"{layer.dtype}, as stored"
        if not layer.is_measured
        else f"float32{unit}, NaN where there is no data",
        "Made by": mosaic.made_by,
    }
    shown, troubles = _looked_at([mosaic], _LARGE_SIDES[0])
    content = {
        "rows": rows,
        "troubles": troubles,
        "shown": shown[0] if shown else None,
        "uri": "".join(_uris(shown, _LARGE_SIDES).values()),
    }
    return _card("mosaic", "Mosaic", title_of(layer), Code(mosaic.name), **content)


@draw_html.register
def result_html(result: MapResult) -> str:
    """A result: pictures of its targets, and where the files are."""
    plan, facts = result.plan, PlanFacts(plan=result.plan)
    targets = [mosaic for mosaic in result.values() if mosaic.layer.name in plan.request.targets]
    pictures, troubles = _looked_at(targets[:_PICTURES], _SMALL_SIDES[0])
    try:
        warnings = told_warnings(plan, RunFolder(result.folder))
    except TerramosaicError as error:
        warnings, troubles = facts.warnings, [*troubles, str(error)]
    files: list[tuple[str, str, str, str]] = [
        (Code(f'result["{name}"]'), title_of(one.layer), Code(one.path.name), _file_size(one.path))
        for name, one in result.items()
    ]
    files += [
        ("", "Report page", Code(result.report.name), ""),
        ("", "STAC item", Code(result.item.name), ""),
    ]
    where = f"{facts.headline}, {square_km(plan.figures.area_km2)} around {facts.place}"
    return _card(
        "result",
        "Mapped",
        where,
        Code(plan.run_id),
        troubles=troubles,
        warnings=warnings,
        pictures=pictures,
        uris=_uris(pictures, _SMALL_SIDES),
        zones=len(plan.zones),
        left=len(targets) - _PICTURES,
        files=files,
        folder=Code(result.folder),
    )


def _card(template: str, kind: str, title: str, name: str, **content: object) -> str:
    return render(f"notebook/{template}.html", kind=kind, title=title, name=name, **content)


def _looked_at(mosaics: Sequence[Mosaic], side: int) -> tuple[list[_ShownMosaic], list[str]]:
    """The mosaics from afar, and what is wrong with the others."""
    shown, troubles = [], []
    for mosaic in mosaics:
        try:
            shown.append(_ShownMosaic.of(mosaic, side))
        except TerramosaicError as error:
            troubles.append(str(error))
    return shown, troubles


def _uris(shown: Sequence[_ShownMosaic], sides: Sequence[int]) -> dict[str, str]:
    return embedded({one.mosaic.name: one.picture for one in shown}, _PICTURE_BYTES, sides)


def _file_size(path: Location) -> str:
    facts = None
    with contextlib.suppress(OutputError):
        facts = facts_of(path)
    return size(facts.size) if facts else ""


def _region(request: RegionRequest) -> str:
    match request.region:
        case BoundingBox(west=west, south=south, east=east, north=north):
            return f"west {west:g}, south {south:g}, east {east:g}, north {north:g}"
        case MgrsTile(tile=tile):
            return f"MGRS tile {tile}"
        case GeoJsonFile(path=path):
            return f"GeoJSON file {path}"
        case GeoJson(geojson=document):
            kind = document.get("type", "GeoJSON")
            return f"GeoJSON {kind}, {number(shapely.get_num_coordinates(request.region.area().outline))} vertices"


def _value(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}: {each}" for name, each in value.items()) or "none"
    return f"{value:,.10g}" if isinstance(value, float) else str(value)
