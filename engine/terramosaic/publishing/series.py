"""One page over the runs of a series: small pictures beside each other under one legend, figures by period, links.

All of it is in the runs' items and quicklooks. What the page shows is in the page; the runs' reports lie beside it.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

from PIL import Image
from shapely.geometry import shape

from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan
from terramosaic.publishing.markup import render
from terramosaic.publishing.numbers import number
from terramosaic.publishing.pictures import embedded
from terramosaic.publishing.quicklook import BACKSCATTER, NDVI_SCALE, Quicklook, Scale, Swatch
from terramosaic.publishing.words import attribution
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import exists, read_bytes, read_json, write_text
from terramosaic.storage.location import Location, location

#: Pixels of the longest side of a picture, from the largest to try, and bytes of all together.
_SIDES, _BUDGET = (420, 320, 240, 160), 6_000_000

#: Hectares of a pixel.
_PIXEL_HA = 0.01


@dataclass(frozen=True)
class Period:
    """A period of a series.

    Attributes:
        name: what it is called: ``2023-08``, ``2023-JJA``, ``2023``.
        interval: the period that was asked for, as a request has it.
        plan: of its run; None where there is none.
        reason: why there is none.
    """

    name: str
    interval: str
    plan: Plan | None = None
    reason: str = ""


@dataclass(frozen=True)
class _Told:
    """A period as its item tells it."""

    period: Period
    plan: Plan
    folder: RunFolder
    item: Mapping[str, Any] = field(repr=False)

    @property
    def report(self) -> str:
        """Where its report is, from the page on."""
        return quote(f"{self.folder.path.name}/{self.folder.report_file.name}")

    @cached_property
    def days(self) -> str:
        """Of its imagery."""
        properties = self.item["properties"]
        moments = [
            properties.get("start_datetime") or properties.get("datetime"),
            properties.get("end_datetime"),
        ]
        return " to ".join(dict.fromkeys(str(moment)[:10] for moment in moments if moment))

    def assets(self, layer: Layer) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Those of a layer, one for each zone."""
        for name, asset in self.item["assets"].items():
            if re.sub(r"_\d{5}$", "", name) == layer.name and "data" in asset.get("roles", ()):
                yield name, asset

    def picture(self, layer: Layer) -> Quicklook | None:
        """Its picture: of a run in several zones that of the zone with the most data."""
        names = sorted(self.assets(layer), key=lambda pair: -_pixels(pair[1]))
        for name, _ in names:
            path = self.folder.quicklooks / f"{name}.png"
            if exists(path):
                with Image.open(io.BytesIO(read_bytes(path))) as image:
                    image.load()
                    return Quicklook(image, "")
        return None

    def hectares(self, layer: Layer) -> dict[int, float]:
        """Of classes, by value."""
        found: dict[int, float] = {}
        for _, asset in self.assets(layer):
            for one in asset.get("classification:classes", ()):
                share = one.get("percentage", 0) / 100
                found[one["value"]] = found.get(one["value"], 0) + share * _pixels(asset) * _PIXEL_HA
        return found

    def mean(self, layer: Layer, band: int) -> float | None:
        """Of values, over all pixels with data; None where there are none."""
        pairs = [
            (_pixels(asset), asset["bands"][band]["statistics"]["mean"])
            for _, asset in self.assets(layer)
            if "mean" in asset["bands"][band].get("statistics", {})
        ]
        weight = sum(pixels for pixels, _ in pairs)
        return sum(pixels * mean for pixels, mean in pairs) / weight if weight else None


def _pixels(asset: Mapping[str, Any]) -> float:
    """How many have data."""
    height, width = asset.get("proj:shape", (0, 0))
    statistics = asset.get("bands", [{}])[0].get("statistics", {})
    return float(height * width * statistics.get("valid_percent", 0) / 100)


def publish_series(
    requests: Mapping[str, RegionRequest], plans: Mapping[str, Plan], reasons: Mapping[str, str]
) -> list[Location]:
    """Writes the page of a series, of several regions that of each, into the output folder.

    Args:
        requests: for each period of each region, by name, the oldest first.
        plans: of the runs that are complete, by the same names.
        reasons: why others are missing.

    Returns:
        The pages; of a region without any run there is none.

    Raises:
        OutputError: a page could not be written.
    """
    by_out: dict[str, list[Period]] = {}
    for name, request in requests.items():
        plan = plans.get(name)
        # Of several regions each has a folder, and names begin with the region's.
        period = Period(
            name.rpartition(" ")[2], request.datetime, plan, "" if plan else reasons.get(name, "")
        )
        by_out.setdefault(request.out, []).append(period)
    first = {request.out: request for request in reversed(list(requests.values()))}
    pages = []
    for out, periods in by_out.items():
        if any(period.plan for period in periods):
            page = location(out) / f"series-{_id(first[out], periods)}.html"
            write_text(page, render_series(periods))
            pages.append(page)
    return pages


def _id(request: RegionRequest, periods: Sequence[Period]) -> str:
    """Of a series: the same for the same request, so that its page is written over when it goes on."""
    said = request.model_dump(mode="json", exclude={"datetime", "out", "every"})
    told = json.dumps([said, [period.interval for period in periods]], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def render_series(periods: Sequence[Period]) -> str:
    """The page as HTML text.

    Args:
        periods: of one region, at least one with a run.
    """
    told = [
        _Told(period, period.plan, RunFolder.of(period.plan), item)
        for period in periods
        if period.plan is not None and (item := read_json(RunFolder.of(period.plan).item_file)) is not None
    ]
    plan = told[0].plan
    layers = [layer for layer in plan.layers if layer.is_estimate]
    pictures = {
        f"{layer.name}-{one.period.name}": picture
        for layer in layers
        for one in told
        if (picture := one.picture(layer)) is not None
    }
    areas = {layer.name: _areas(layer, told) for layer in layers if layer.kind == "class"}
    middle = shape(plan.region).centroid
    return render(
        "series.html",
        plan=plan,
        periods=periods,
        told={one.period.name: one for one in told},
        layers=layers,
        pictures=embedded(pictures, _BUDGET, _SIDES),
        legends={layer.name: _legend(layer, areas.get(layer.name, [])) for layer in layers},
        areas=areas,
        means={layer.name: _means(layer, told) for layer in layers if layer.kind == "value"},
        place=f"{abs(middle.y):.2f}° {'NS'[middle.y < 0]}, {abs(middle.x):.2f}° {'EW'[middle.x < 0]}",
        attribution=attribution(plan),
        made=f"{datetime.now(UTC):%Y-%m-%d}",
    )


@dataclass(frozen=True)
class _Legend:
    """What colours of a layer's pictures mean: the same in all of them, or nothing."""

    scales: tuple[Scale, ...] = ()
    swatches: tuple[Swatch, ...] = ()


def _legend(layer: Layer, areas: Sequence[tuple[str, list[str]]]) -> _Legend:
    """That of a layer; of classes those that have areas."""
    if layer.kind == "class":
        there = {name for name, _ in areas}
        swatches = (
            Swatch(item.value, item.name, f"#{bytes(item.colour).hex()}")
            for item in layer.classes
            if item.name in there
        )
        return _Legend(swatches=tuple(swatches))
    if layer.name == "NDVI":
        return _Legend(scales=(NDVI_SCALE,))
    if layer.bands == ("VV", "VH"):
        return _Legend(
            scales=tuple(
                Scale(name, low, high, layer.unit, ("#000000", colour))
                for name, low, high, colour in BACKSCATTER
            )
        )
    return _Legend()


def _areas(layer: Layer, told: Sequence[_Told]) -> list[tuple[str, list[str]]]:
    """Rows of hectares by class, of those that any period has."""
    by_period = [one.hectares(layer) for one in told]
    return [
        (item.name, [number(own.get(item.value, 0.0), 1) for own in by_period])
        for item in layer.classes
        if any(own.get(item.value) for own in by_period)
    ]


def _means(layer: Layer, told: Sequence[_Told]) -> list[tuple[str, list[str]]]:
    """Rows of means by band."""
    digits = {"1": 3, "m": 0}.get(layer.unit, 2)
    rows = []
    for band, name in enumerate(layer.bands):
        means = (one.mean(layer, band) for one in told)
        rows.append((name, ["none" if mean is None else number(mean, digits) for mean in means]))
    return rows
