"""What report and item must say alike: titles, the attribution, versions."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan
from terramosaic.publishing.numbers import number, square_km
from terramosaic.request.region import AnyRegion, BoundingBox, MgrsTile
from terramosaic.request.request import RegionRequest
from terramosaic.trust.versions import versions

#: Titles of what a run can make, and their short forms for the middle of a sentence.
TITLES = {
    "S1GRD": "Sentinel-1 GRD backscatter",
    "S1RTC": "Sentinel-1 RTC backscatter",
    "NDVI": "Vegetation index (NDVI)",
    "LULC": "Land cover",
    "DEM": "Elevation",
    "S2L2A": "Sentinel-2 reflectance, generated",
    "embedding": "Embedding of patches",
    "imagery": "Imagery that the model saw",
    "acquired": "Day of the imagery",
    "quality": "Quality flags",
}
SHORT_TITLES = {
    "S1GRD": "Sentinel-1 GRD",
    "S1RTC": "Sentinel-1 RTC",
    "NDVI": "NDVI",
    "LULC": "land cover",
    "DEM": "elevation",
    "S2L2A": "generated reflectance",
    "embedding": "embeddings",
    "coordinates": "coordinates",
}

_OF_THE_DEM = (
    "Produced using Copernicus WorldDEM-30 © DLR e.V. 2010-2014 and © Airbus Defence and Space GmbH 2014-2018 provided "
    "under COPERNICUS by the European Union and ESA; all rights reserved."
)

#: Bands of a target whose bounds are told, and the digits that a unit is told with.
_MOST_BOUNDS, _DIGITS = 2, {"m": 0, "dB": 1}


class Code(str):
    """An identifier, which HTML shows as one."""

    __slots__ = ()

    def __html__(self) -> str:
        """What templates put instead."""
        return f"<code>{escape(self)}</code>"


def title_of(layer: Layer) -> str:
    """What a layer is, for people."""
    if layer.name in TITLES:
        return TITLES[layer.name]
    target, _, extra = layer.name.rpartition("_")
    extra = f"date {extra}" if layer.kind == "imagery" else extra
    return f"{TITLES.get(target, target)}: {extra}" if target else layer.name


def targets_in_words(targets: Sequence[str]) -> str:
    """What is mapped, in a few words: ``Sentinel-1 GRD, NDVI and land cover``."""
    *first, last = (SHORT_TITLES.get(target, target) for target in targets)
    text = f"{', '.join(first)} and {last}" if first else last
    return text[0].upper() + text[1:]


def region_in_words(region: AnyRegion, square_kilometres: float) -> str:
    """What kind of region it is, and how large."""
    area = square_km(square_kilometres)
    match region:
        case MgrsTile(tile=tile):
            return f"Sentinel-2 tile {tile}"
        case BoundingBox():
            return f"A rectangle of {area}"
        case _:
            return f"A polygon of {area}"


def strides_in_words(plan: Plan) -> str:
    """How far windows lie apart: ``192``, or ``192 (LULC: 112)``."""
    own = ", ".join(f"{target}: {stride}" for target, stride in plan.request.strides.items())
    return f"{plan.stride} ({own})" if own else str(plan.stride)


def attribution(plan: Plan) -> str:
    """The notice that Copernicus' licence asks of whoever passes modified data on."""
    years = sorted({scene.datetime.year for scene in plan.sources.values()})
    sentinel = f"Contains modified Copernicus Sentinel data {', '.join(map(str, years))}."
    return f"{sentinel} {_OF_THE_DEM}" if plan.heights else sentinel


def software(plan: Plan) -> dict[str, str]:
    """Versions of what decides pixels: the plan's engine, and the rest as installed where this runs."""
    return versions() | {"terramosaic": plan.engine_version}


def bounds_of_samples(request: RegionRequest) -> str:
    """The bound of predicted samples, and of targets that have one of their own."""
    own = (f"{target} to {bound:g}" for target, bound in request.x0_clips.items())
    return ", ".join((f"{request.x0_clip:g}", *own))


def bounds_in_words(plan: Plan) -> str:
    """What maps can hold at all where the model's samples are bounded; nothing where none is.

    Of targets with more bands than two their number would tell nobody anything: none leaves the range of all.
    """
    told = []
    for layer in plan.layers:
        if layer.is_estimate and layer.bounds:
            unit, digits = (f" {layer.unit}", _DIGITS.get(layer.unit, 3)) if layer.unit != "1" else ("", 3)
            bands = (
                f"{band} {number(low, digits)} to {number(high, digits)}{unit}"
                for band, (low, high) in zip(layer.bands, layer.bounds, strict=True)
            )
            if len(layer.bounds) > _MOST_BOUNDS:
                low, high = min(low for low, _ in layer.bounds), max(high for _, high in layer.bounds)
                told.append(
                    f"{layer.name} {number(low, digits)} to {number(high, digits)}{unit} over all bands, most less"
                )
                continue
            told.append(
                ", ".join(bands) if layer.bands == (layer.name,) else f"{layer.name} {', '.join(bands)}"
            )
    return "; ".join(told)
