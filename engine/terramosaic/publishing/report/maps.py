"""The report's maps: each mosaic beside Sentinel-2's true colour, with the legend that its picture needs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Literal

from PIL import Image, features

from terramosaic.ground.grid import zone_name
from terramosaic.publishing.markup import (
    THIN,
    UNBROKEN,
    Html,
    figure,
    fill,
    join,
    number,
    percent,
    read_template,
    size,
    stacked,
    table,
)
from terramosaic.publishing.quicklook import Quicklook, Scale
from terramosaic.publishing.record import LayerRecord, RunRecord
from terramosaic.publishing.words import title_of

#: Bytes of all pictures together; base64 adds a third, so the page stays below 8 MB.
_BUDGET = 5_500_000
_SIDES = (1400, 1000, 700, 500, 350)
_WEBP_QUALITY = 86


def picture_styles(record: RunRecord) -> Html:
    """A style that holds each picture: the true colour is in the page once, however often it is shown."""
    rules = []
    for name, content in embedded(record.pictures).items():
        rules.append(f'.p-{name}{{background-image:url("{content}")}}')
    return Html("\n".join(rules))


def embedded(
    pictures: Mapping[str, Quicklook], budget: int = _BUDGET, sides: Sequence[int] = _SIDES
) -> dict[str, str]:
    """Pictures as data URIs, made smaller together until they fit: by default a page that can be sent by mail.

    Args:
        pictures: by name.
        budget: bytes of all together, before base64 adds a third.
        sides: pixels of the longest side, from the largest to try; the last is taken whatever it weighs.
    """
    encoded: dict[str, tuple[str, bytes]] = {}
    for side in sides:
        encoded = {name: _as_picture_file(picture.image, side) for name, picture in pictures.items()}
        if sum(len(content) for _, content in encoded.values()) <= budget:
            break
    return {
        name: f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        for name, (kind, content) in encoded.items()
    }


def target_maps(record: RunRecord) -> Html:
    """A section for each target."""
    return join(
        fill(
            '<section class="target" id="map-$name"><h2>$title</h2>$figures</section>',
            name=name,
            title=title_of(of_target[0].layer),
            figures=join(comparison(record, mosaic) for mosaic in of_target),
        )
        for name in record.plan.request.targets
        if (of_target := [mosaic for mosaic in record.layers if mosaic.layer.name == name])
    )


def extra_maps(record: RunRecord) -> Html:
    """The layers that say how far to trust the others: quality flags large, deviation and confidence small."""
    others = [mosaic for mosaic in record.layers if mosaic.layer.name not in record.plan.request.targets]
    flags = [mosaic for mosaic in others if mosaic.layer.kind == "flags"]
    small = [
        fill(
            "<div><h3>$title</h3>$figure</div>",
            title=title_of(mosaic.layer),
            figure=comparison(record, mosaic, start="swipe"),
        )
        for mosaic in others
        if mosaic.layer.kind != "flags"
    ]
    large = join(comparison(record, mosaic) for mosaic in flags)
    return fill('$large<div class="columns">$small</div>', large=large, small=join(small)) if small else large


def comparison(record: RunRecord, shown: LayerRecord, start: Literal["pair", "swipe"] = "pair") -> Html:
    """A mosaic and the true colour, side by side or under a swipe, and the legend.

    Args:
        record: the run.
        shown: one of its mosaics.
        start: how it is shown at first; without a script, and in print, always side by side.
    """
    several = len(record.plan.zones) > 1
    zone = f"{zone_name(shown.zone.epsg)} (EPSG:{shown.zone.epsg})"
    width, height = shown.quicklook.image.size
    title = title_of(shown.layer)
    return fill(
        read_template(__package__, "comparison.html"),
        start=start,
        ratio=f"{width / height:.4f}",
        zone=fill(' <span class="zone">UTM zone $zone</span>', zone=zone) if several else "",
        beneath=record.true_colour_name(shown.zone),
        name=shown.name,
        title=title,
        caption=shown.quicklook.caption,
        file=shown.path.name,
        encoding=_encoding(shown),
        legend=_legend(shown),
    )


def _encoding(shown: LayerRecord) -> str:
    layer = shown.layer
    parts = [size(shown.size), layer.dtype]
    if layer.kind == "value" and layer.dtype == "int16":
        parts.append(
            f"{layer.unit} × {number(1 / layer.scale)}"
            if layer.unit != "1"
            else f"× {number(1 / layer.scale)}"
        )
    parts.append(f"{number(shown.zone.width)} × {number(shown.zone.height)} pixels of 10 m")
    return ", ".join(parts)


def _legend(shown: LayerRecord) -> Html:
    parts = [colour_bar(scale) for scale in shown.quicklook.scales]
    scales = fill('<div class="scales">$bars</div>', bars=join(parts)) if parts else Html("")
    if shown.layer.kind in ("class", "flags"):
        return join((scales, _areas(shown)))
    return join((scales, _figures(shown)))


def colour_bar(scale: Scale) -> Html:
    """A colour bar with its name, and its lowest, middle and highest value."""
    unit = f"{UNBROKEN}{scale.unit}" if scale.unit else ""
    span = scale.high - scale.low
    digits = next((digits for digits, least in enumerate((20, 2, 0.2, 0.02)) if span >= least), 4)
    ticks = join(
        fill("<span>$tick</span>", tick=number(value, digits) + unit)
        for value in (scale.low, scale.low + span / 2, scale.high)
    )
    return fill(
        '<div class="scale"><span class="label">$label</span>'
        '<div class="ramp" style="background:linear-gradient(90deg,$stops)"></div>'
        '<div class="ticks">$ticks</div></div>',
        label=scale.label,
        stops=",".join(scale.colours),
        ticks=ticks,
    )


def _areas(shown: LayerRecord) -> Html:
    """Shares of classes or flags; classes fill the whole, so they are also drawn as one bar."""
    shares, swatches = shown.shares(), list(shown.quicklook.swatches)
    stack, note = Html(""), "Counted over all pixels; a pixel may have several flags."
    if shown.layer.kind == "class":
        swatches.sort(key=lambda swatch: -shares[swatch.value])
        stack = stacked([(swatch.label, swatch.colour, shares[swatch.value]) for swatch in swatches])
        note = "Counted over all pixels of the mosaic."
    rows = join(
        fill(
            '<li class="$style"><i style="background:$colour"></i><span>$label</span>'
            '<span class="n">$share</span><span class="n">$area</span></li>',
            style="some" if shares[swatch.value] else "none",
            colour=swatch.colour,
            label=swatch.label,
            share=percent(shares[swatch.value]),
            area=f"{figure(shares[swatch.value] * shown.valid_km2)}{UNBROKEN}km²",
        )
        for swatch in swatches
    )
    return fill(
        '$stack<ul class="swatches $kind">$rows</ul><p class="note">$note</p>',
        stack=stack,
        kind=shown.layer.kind,
        rows=rows,
        note=note,
    )


def _figures(shown: LayerRecord) -> Html:
    if not shown.statistics:
        return Html("")
    digits = {"1": 3, "m": 0}.get(shown.layer.unit, 2)
    rows = []
    for name, band in zip(shown.layer.bands, shown.statistics, strict=True):
        values = (
            band.minimum, band.percentile_2, band.median, band.mean,
            band.percentile_98, band.maximum, band.stddev,
        )  # fmt: skip
        rows.append([name, *(number(value, digits) for value in values)])
    unit = "" if shown.layer.unit == "1" else f" in {shown.layer.unit}"
    head = ["band", "min", f"2{THIN}%", "median", "mean", f"98{THIN}%", "max", "std"]
    return fill(
        '<div class="figures">$table<p class="note">Figures$unit, over the reduced mosaic that the picture shows: '
        "approximate, extremes are smoothed.</p></div>",
        table=table(head, rows, numbers=range(1, 8)),
        unit=unit,
    )


def _as_picture_file(image: Image.Image, side: int) -> tuple[str, bytes]:
    """A picture's kind and bytes: classes exactly, as PNG; the rest as WebP, where Pillow knows it."""
    content = io.BytesIO()
    flat = image.mode == "P"
    if max(image.size) > side:
        image = image.copy()
        image.thumbnail(
            (side, side), Image.Resampling.NEAREST if flat else Image.Resampling.BOX, reducing_gap=None
        )
    if flat or not features.check("webp"):
        image.save(content, "PNG", optimize=True)
        return "png", content.getvalue()
    image.save(content, "WEBP", quality=_WEBP_QUALITY, method=4)
    return "webp", content.getvalue()
