"""The report's maps: each mosaic beside Sentinel-2's true colour, with the legend that its picture needs."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping

from PIL import Image, features

from engine.quicklook import Quicklook, Scale
from engine.rasters import PREVIEW
from engine.report.markup import THIN, UNBROKEN, Html, figure, fill, join, number, percent, size, table
from engine.report.record import LayerRecord, RunRecord
from engine.report.words import title_of

#: Bytes of all pictures together; base64 adds a third, so the page stays below 8 MB.
_BUDGET = 5_500_000
_SIDES = (1400, 1000, 700, 500, 350)
_WEBP_QUALITY = 86


def picture_styles(record: RunRecord) -> Html:
    """A style for each picture that holds it, so that the true colour is in the page once, however often it is shown."""
    rules = []
    for name, content in embedded(record.pictures).items():
        rules.append(f'.p-{name}{{background-image:url("{content}")}}')
    return Html("\n".join(rules))


def embedded(pictures: Mapping[str, Quicklook]) -> dict[str, str]:
    """Pictures as data URIs, made smaller together until they fit a page that can be sent by mail."""
    encoded: dict[str, tuple[str, bytes]] = {}
    for side in _SIDES:
        encoded = {name: _encode(picture.image, side) for name, picture in pictures.items()}
        if sum(len(content) for _, content in encoded.values()) <= _BUDGET:
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
            figures=join(comparison(record, layer_record) for layer_record in of_target),
        )
        for name in record.plan.request.targets
        if (of_target := [layer_record for layer_record in record.layers if layer_record.layer.name == name])
    )


def extra_maps(record: RunRecord) -> Html:
    """The layers that say how far to trust the others: quality, spread, confidence."""
    wanted = [
        layer_record
        for layer_record in record.layers
        if layer_record.layer.name not in record.plan.request.targets
    ]
    wanted.sort(key=lambda layer_record: layer_record.layer.kind != "flags")
    return join(
        fill(
            '<div class="target"><h3>$title</h3>$figure</div>',
            title=title_of(layer_record.layer),
            figure=comparison(record, layer_record),
        )
        for layer_record in wanted
    )


def comparison(record: RunRecord, shown: LayerRecord) -> Html:
    """A mosaic and the true colour, side by side or under a swipe, and the legend."""
    several = len(record.plan.zones) > 1
    beneath = f"{PREVIEW}_{shown.zone.epsg}" if several else PREVIEW
    width, height = shown.quicklook.image.size
    title = title_of(shown.layer)
    return fill(
        _COMPARISON,
        ratio=f"{width / height:.4f}",
        zone=fill('<span class="zone">UTM zone EPSG:$epsg</span>', epsg=shown.zone.epsg) if several else "",
        beneath=beneath,
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
    parts = [_bar(scale) for scale in shown.quicklook.scales]
    scales = fill('<div class="scales">$bars</div>', bars=join(parts)) if parts else Html("")
    if shown.layer.kind in ("class", "flags"):
        return join((scales, _areas(shown)))
    return join((scales, _figures(shown)))


def _bar(scale: Scale) -> Html:
    unit = f"{UNBROKEN}{scale.unit}" if scale.unit else ""
    middle = (scale.low + scale.high) / 2
    digits = 0 if scale.high - scale.low >= 20 else 1 if scale.high - scale.low >= 2 else 2
    return fill(
        '<div class="scale"><span class="label">$label</span><div class="ramp" style="background:linear-gradient(90deg,$stops)"></div>'
        '<div class="ticks"><span>$low</span><span>$middle</span><span>$high</span></div></div>',
        label=scale.label,
        stops=",".join(scale.colours),
        low=number(scale.low, digits) + unit,
        middle=number(middle, digits) + unit,
        high=number(scale.high, digits) + unit,
    )


def _areas(shown: LayerRecord) -> Html:
    """Shares of classes or flags: a bar for classes, which fill the whole, and a list for both."""
    shares = shown.shares()
    swatches = shown.quicklook.swatches
    is_class = shown.layer.kind == "class"
    ordered = sorted(swatches, key=lambda swatch: -shares[swatch.value]) if is_class else list(swatches)
    stripes = join(
        fill(
            '<span style="flex-grow:$grow;background:$colour" title="$label"></span>',
            grow=f"{shares[swatch.value]:.6f}",
            colour=swatch.colour,
            label=f"{swatch.label}: {percent(shares[swatch.value])}",
        )
        for swatch in ordered
        if shares[swatch.value] > 0
    )
    rows = join(
        fill(
            '<li$faint><i style="background:$colour"></i><span class="label">$label</span>'
            '<span class="n">$share</span><span class="n">$area</span></li>',
            faint=Html(' class="none"') if shares[swatch.value] == 0 else Html(""),
            colour=swatch.colour,
            label=swatch.label,
            share=percent(shares[swatch.value]),
            area=f"{figure(shares[swatch.value] * shown.valid_km2)}{UNBROKEN}km²",
        )
        for swatch in ordered
    )
    stacked = (
        fill('<div class="stack" aria-hidden="true">$stripes</div>', stripes=stripes)
        if is_class
        else Html("")
    )
    note = (
        "Counted over all pixels of the mosaic."
        if is_class
        else "Counted over all pixels; a pixel may have several flags."
    )
    return fill(
        '$stacked<ul class="swatches$wide">$rows</ul><p class="note">$note</p>',
        stacked=stacked,
        wide="" if is_class else " wide",
        rows=rows,
        note=note,
    )


def _figures(shown: LayerRecord) -> Html:
    if not shown.statistics:
        return Html("")
    digits = 2 if shown.layer.unit != "m" else 0
    rows = []
    for name, band in zip(shown.layer.bands, shown.statistics, strict=True):
        values = (
            band.minimum, band.percentile_2, band.median, band.mean, band.percentile_98, band.maximum, band.stddev,
        )  # fmt: skip
        rows.append([name, *(number(value, digits) for value in values)])
    unit = "" if shown.layer.unit == "1" else f" in {shown.layer.unit}"
    head = ["band", "min", f"2{THIN}%", "median", "mean", f"98{THIN}%", "max", "std"]
    return fill(
        '<div class="figures">$table<p class="note">Figures$unit, from the overview at the picture’s size, so approximate.</p></div>',
        table=table(head, rows, numbers=range(1, 8)),
        unit=unit,
    )


def _encode(image: Image.Image, side: int) -> tuple[str, bytes]:
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


_COMPARISON = """
<figure class="compare" data-mode="pair" style="--r:$ratio">
<div class="toolbar"><p>$caption $zone</p>
<div class="modes" role="group" aria-label="How to compare">
<button type="button" data-mode="pair" aria-pressed="true">Side by side</button>
<button type="button" data-mode="swipe" aria-pressed="false">Swipe</button></div></div>
<div class="stage">
<div class="pane"><div class="picture p-$beneath" role="img" aria-label="Sentinel-2 true colour"></div><span class="tag">Sentinel-2 true colour</span></div>
<div class="pane over"><div class="picture p-$name" role="img" aria-label="$title"></div><span class="tag">$title</span></div>
<input class="slider" type="range" min="0" max="100" step="0.5" value="50" aria-label="Share of the picture that shows Sentinel-2, the rest shows $title">
<div class="handle" aria-hidden="true"></div>
</div>
<figcaption>$legend<p class="file"><code>$file</code> $encoding</p></figcaption>
</figure>"""
