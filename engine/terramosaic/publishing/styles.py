"""What lies beside a mosaic so that GIS programs open it in the report's colours.

``S1GRD.qml``                   how QGIS shows ``S1GRD.tif``, which it looks for by itself
``S1GRD_composite.vrt``         the same with VV - VH as a third band, which the report's false colour needs
``LULC.tif.aux.xml``            names and colours of classes, for GDAL; see `class_table`

QGIS applies a file's scale: ranges are in physical units. Format: what QGIS 3.22 writes, which later versions read.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, indent, tostring

import numpy as np

from terramosaic.mosaic.class_table import beside, class_table
from terramosaic.mosaic.virtual import virtual_raster
from terramosaic.planning.layers import Layer
from terramosaic.publishing.quicklook import (
    PLAIN_COLOURS,
    Channel,
    Quicklook,
    Scale,
    Swatch,
    worst_flag,
)
from terramosaic.publishing.record import LayerRecord, legend_of

#: The version of QGIS whose format it is: Debian's, which the styles were tried with.
_QGIS = "3.22.16"
_DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"

_CHANNELS = ("red", "green", "blue")


def files_beside(record: LayerRecord) -> dict[str, str]:
    """Texts by the names of their files, beside a mosaic; none for one without a pixel of data."""
    layer, picture, name = record.layer, record.quicklook, record.name
    files = {beside(record.path).name: class_table(layer)} if layer.kind == "class" else {}
    if not record.census.valid_share:
        return files
    files[f"{name}.qml"] = qml_of(layer, picture, _legend(record), _whole_range(record))
    extra = [channel.band for channel in picture.channels if channel.band not in layer.bands]
    if extra:
        composite, bands = f"{name}_composite", (*layer.bands, *extra)
        geobox = layer.geobox(record.zone.rect, record.zone.epsg)
        files[f"{composite}.vrt"] = virtual_raster(record.path.name, layer, geobox, difference=extra[0])
        files[f"{composite}.qml"] = _document(_composite(bands, picture.channels), picture.gamma)
    return files


def qml_of(layer: Layer, picture: Quicklook, legend: Sequence[Swatch], whole: Scale) -> str:
    """A layer's style in QGIS.

    Args:
        layer: the layer.
        picture: how the report shows it.
        legend: of classes, flags and days: colours of the numbers that are to be named.
        whole: how to show its first band where the picture has neither channels nor one scale.
    """
    if picture.swatches:
        return _document(_paletted(legend))
    if picture.channels:
        return _document(_composite(layer.bands, picture.channels), picture.gamma)
    return _document(_ramp(picture.scales[0] if picture.scales else whole))


def palette(legend: Sequence[Swatch]) -> str:
    """A style that shows the numbers of a legend in its colours, and nothing else."""
    return _document(_paletted(legend))


def palette_in(style: str) -> list[Swatch]:
    """The legend of such a style; nothing of another one, or of what is none."""
    try:
        entries = [entry.attrib for entry in fromstring(style).iter("paletteEntry")]
        return [Swatch(int(entry["value"]), entry["label"], entry["color"]) for entry in entries]
    except (ParseError, KeyError, ValueError):
        return []


def _legend(record: LayerRecord) -> list[Swatch]:
    """What is named: all classes, days that were used, and of flags every sum of them that is there."""
    layer, picture, counts = record.layer, record.quicklook, record.census.counts
    if counts is None or not picture.swatches:
        return []
    if layer.kind != "flags":
        named = {swatch.value for swatch, _ in legend_of(layer, picture, record.shares())}
        return [swatch for swatch in picture.swatches if swatch.value in named]
    colours = {swatch.value: swatch.colour for swatch in picture.swatches}
    held = np.flatnonzero(counts[0]).astype(np.uint8)
    return [
        Swatch(flags, _flags_in_words(layer, flags), colours[int(worst)])
        for flags, worst in zip(held.tolist(), worst_flag(held), strict=True)
        if flags != layer.nodata
    ]


def _flags_in_words(layer: Layer, flags: int) -> str:
    texts = [text.partition(":")[0] for bit, text in layer.bits.items() if flags & bit]
    return " + ".join(texts) or "no flag"


def _whole_range(record: LayerRecord) -> Scale:
    band, statistics = record.layer.bands[0], record.census.statistics
    low, high = (statistics[0].minimum, statistics[0].maximum) if statistics else (0.0, 1.0)
    return Scale(band, low, max(high, low + record.layer.scale), record.layer.unit, PLAIN_COLOURS)


def _paletted(legend: Sequence[Swatch]) -> Element:
    renderer = _renderer("paletted", band="1")
    palette = SubElement(renderer, "colorPalette")
    for swatch in legend:
        entry = {"value": str(swatch.value), "label": swatch.label, "color": swatch.colour, "alpha": "255"}
        SubElement(palette, "paletteEntry", entry)
    return renderer


def _ramp(scale: Scale) -> Element:
    low, high = _text(scale.low), _text(scale.high)
    renderer = _renderer("singlebandpseudocolor", band="1", classificationMin=low, classificationMax=high)
    shader = SubElement(
        SubElement(renderer, "rastershader"),
        "colorrampshader",
        {
            "colorRampType": "INTERPOLATED",
            "classificationMode": "1",
            "clip": "0",
            "minimumValue": low,
            "maximumValue": high,
        },
    )
    for value, colour in zip(
        np.linspace(scale.low, scale.high, len(scale.colours)), scale.colours, strict=True
    ):
        label = f"{value:.4g} {scale.unit}".rstrip()
        entry = {"value": _text(float(value)), "label": label, "color": colour, "alpha": "255"}
        SubElement(shader, "item", entry)
    return renderer


def _composite(bands: Sequence[str], channels: Sequence[Channel]) -> Element:
    """Bands as red, green and blue; what a file has no band of is shown by the first."""
    shown = [channel if channel.band in bands else channels[0] for channel in channels]
    numbers = {
        f"{name}Band": str(bands.index(one.band) + 1) for name, one in zip(_CHANNELS, shown, strict=True)
    }
    renderer = _renderer("multibandcolor", **numbers)
    for name, channel in zip(_CHANNELS, shown, strict=True):
        stretch = SubElement(renderer, f"{name}ContrastEnhancement")
        SubElement(stretch, "minValue").text = _text(channel.low)
        SubElement(stretch, "maxValue").text = _text(channel.high)
        SubElement(stretch, "algorithm").text = "StretchToMinimumMaximum"
    return renderer


def _renderer(kind: str, **attributes: str) -> Element:
    renderer = Element("rasterrenderer", {"type": kind, "opacity": "1", "alphaBand": "-1", **attributes})
    SubElement(renderer, "rasterTransparency")
    return renderer


def _document(renderer: Element, gamma: float = 1.0) -> str:
    document = Element("qgis", version=_QGIS, styleCategories="Symbology")
    pipe = SubElement(document, "pipe")
    pipe.append(renderer)
    SubElement(pipe, "brightnesscontrast", brightness="0", contrast="0", gamma=_text(gamma))
    SubElement(pipe, "huesaturation", saturation="0", grayscaleMode="0", colorizeOn="0")
    SubElement(pipe, "rasterresampler", maxOversampling="2")
    SubElement(document, "blendMode").text = "0"
    indent(document, " ")
    return _DOCTYPE + tostring(document, encoding="unicode") + "\n"


def _text(number: float) -> str:
    return f"{number:.9g}"
