"""What a notebook shows of mosaics and results: pictures from overviews, never from whole mosaics, and legends."""

from __future__ import annotations

import contextlib

import numpy as np

from terramosaic.errors import TerramosaicError
from terramosaic.ground.grid import zone_name
from terramosaic.mosaic.result import MapResult, Mosaic
from terramosaic.publishing.locator import place
from terramosaic.publishing.markup import (
    THIN,
    UNBROKEN,
    Html,
    code,
    figure,
    fill,
    join,
    number,
    percent,
    size,
    table,
)
from terramosaic.publishing.notebook.requests import card, facts, more, text_beside, warnings
from terramosaic.publishing.quicklook import Quicklook, draw
from terramosaic.publishing.record import shares_of
from terramosaic.publishing.reduced import ReducedMosaic, read_reduced
from terramosaic.publishing.report.maps import colour_bar, embedded
from terramosaic.publishing.words import targets_in_words, title_of
from terramosaic.storage.scratch import LocalCopy

#: Pictures of a result, bytes of all of them together, and the sides that are tried.
_PICTURES, _PICTURE_BYTES = 8, 100_000
_SMALL_SIDES, _LARGE_SIDES = (330, 260, 200, 150, 110, 80), (520, 440, 360, 280, 200, 140)
#: Classes in a small legend.
_CLASSES = 5


def mosaic_html(mosaic: Mosaic) -> str:
    """A mosaic: its picture, how to read it, what opening it gives, figures."""
    layer, zone = mosaic.layer, mosaic.zone
    stored = layer.kind in ("class", "flags")
    unit = "" if layer.unit == "1" else f" in {layer.unit}"
    rows: list[tuple[str, object]] = [
        ("File", code(str(mosaic.path))),
        ("Zone", f"UTM {zone_name(zone.epsg)} (EPSG:{zone.epsg})"),
        ("Size", f"{number(zone.width)} × {number(zone.height)} pixels of 10 m{_file_size(mosaic)}"),
        ("Bands", ", ".join(layer.bands)),
        ("Opens as", "uint8, as stored" if stored else f"float32{unit}, NaN where there is no data"),
        ("Made by", mosaic.made_by),
    ]
    try:
        reduced, picture = _look(mosaic, max(_LARGE_SIDES))
    except TerramosaicError as error:
        return card("Mosaic", title_of(layer), mosaic.name, [text_beside(join((_gone(error), facts(rows))))])
    shown = embedded({mosaic.name: picture}, _PICTURE_BYTES, _LARGE_SIDES)[mosaic.name]
    image = fill(
        '<figure class="tm-picture">$image<figcaption>$caption</figcaption></figure>',
        image=_image(shown, mosaic.name), caption=picture.caption,
    )  # fmt: skip
    text = join((facts(rows), _legend(reduced, picture, most=None), _statistics(reduced)))
    return card("Mosaic", title_of(layer), mosaic.name, [image, text_beside(text)])


def result_html(result: MapResult) -> str:
    """A result: pictures of its targets, and where the files are."""
    plan = result.plan
    targets = [mosaic for mosaic in result.values() if mosaic.layer.name in plan.request.targets]
    figures, pictures, troubles = [], {}, []
    for mosaic in targets[:_PICTURES]:
        try:
            pictures[mosaic.name] = (mosaic, *_look(mosaic, max(_SMALL_SIDES)))
        except TerramosaicError as error:
            troubles.append(_gone(error))
    shown = embedded(
        {name: picture for name, (_, _, picture) in pictures.items()}, _PICTURE_BYTES, _SMALL_SIDES
    )
    for name, (mosaic, reduced, picture) in pictures.items():
        title = title_of(mosaic.layer) + (f", {zone_name(mosaic.zone.epsg)}" if len(plan.zones) > 1 else "")
        figures.append(
            fill(
                "<figure>$image<b>$title</b>$legend</figure>",
                image=_image(shown[name], name), title=title, legend=_legend(reduced, picture, most=_CLASSES),
            )
        )  # fmt: skip
    rows = [
        (code(f'result["{name}"]'), title_of(mosaic.layer), code(mosaic.path.name), _file_size(mosaic, ""))
        for name, mosaic in result.items()
    ]
    rows += [
        (Html(""), "Report page", code(result.report.name), ""),
        (Html(""), "STAC item", code(result.item.name), ""),
    ]
    text = fill(
        '$troubles$warnings<div class="tm-pictures">$figures</div>$more$files<p class="tm-soft">All in $folder. '
        "<code>.open()</code> gives xarray, in physical units.</p>",
        troubles=join(troubles),
        warnings=warnings(plan),
        figures=join(figures),
        more=more(len(targets) - _PICTURES, "picture"),
        files=table(("mosaic", "what", "file", "size"), rows, numbers=(3,)),
        folder=code(str(result.folder)),
    )
    area = f"{figure(plan.figures.area_km2)}{UNBROKEN}km²"
    where = f"{targets_in_words(plan.request.targets)}, {area} around {place(plan)}"
    return card("Mapped", where, plan.run_id, [text_beside(text)])


def _look(mosaic: Mosaic, side: int) -> tuple[ReducedMosaic, Quicklook]:
    """A mosaic from afar, about ``side`` pixels long, and its picture."""
    longest = max(mosaic.zone.rect.shape)
    factor = 1 << max(0, (longest // side).bit_length() - 1)
    with LocalCopy(mosaic.path) as path:
        reduced = read_reduced(path, mosaic.layer, factor)
    return reduced, draw(reduced)


def _image(content: str, name: str) -> Html:
    return fill('<img src="$content" alt="$name">', content=content, name=name)


def _legend(reduced: ReducedMosaic, picture: Quicklook, most: int | None) -> Html:
    """Colour bars, or classes with their shares, the largest first and at most so many."""
    if picture.scales:
        return fill('<div class="scales">$bars</div>', bars=join(map(colour_bar, picture.scales)))
    if not picture.swatches:
        return Html("")
    shares = shares_of(reduced.layer, np.bincount(reduced.stored[0].ravel(), minlength=256))
    found = sorted(
        (swatch for swatch in picture.swatches if shares[swatch.value]), key=lambda one: -shares[one.value]
    )
    items = [
        fill(
            '<li><i style="background:$colour"></i><span>$label $share</span></li>',
            colour=swatch.colour, label=swatch.label, share=percent(shares[swatch.value]),
        )
        for swatch in found[:most]
    ]  # fmt: skip
    if most is not None and len(found) > most:
        rest = sum(shares[swatch.value] for swatch in found[most:])
        items.append(fill("<li>other $share</li>", share=percent(rest)))
    return fill('<ul class="tm-classes">$items</ul>', items=join(items))


def _statistics(reduced: ReducedMosaic) -> Html:
    """Figures of each band; of the reduced mosaic that is at hand, so only nearly those of all pixels."""
    if reduced.layer.kind in ("class", "flags") or not reduced.valid.any():
        return Html("")
    digits = {"1": 3, "m": 0, "%": 0}.get(reduced.layer.unit, 2)
    rows = [
        (
            name,
            *(
                number(value, digits)
                for value in (band.percentile_2, band.median, band.mean, band.percentile_98)
            ),
        )
        for name, band in zip(reduced.layer.bands, reduced.statistics(), strict=True)
    ]
    unit = "" if reduced.layer.unit == "1" else f", {reduced.layer.unit}"
    return table(
        (f"approximate{unit}", f"2{THIN}%", "median", "mean", f"98{THIN}%"), rows, numbers=range(1, 5)
    )


def _file_size(mosaic: Mosaic, before: str = ", ") -> str:
    with contextlib.suppress(OSError):
        return f"{before}{size(mosaic.path.stat().st_size)}"
    return ""


def _gone(error: TerramosaicError) -> Html:
    return fill('<ul class="tm-warnings"><li>$error</li></ul>', error=error)
