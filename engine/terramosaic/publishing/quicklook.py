"""Mosaics as pictures: drawn from overviews, all in one pixel frame, with the legends that explain them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageColor

from terramosaic.block.preview import (
    PREVIEW,
    PREVIEW_BANDS,
    backscatter_in,
    preview_rect,
    shown_bands,
    shown_in_words,
)
from terramosaic.block.reading import DamagedRasterError, RasterReader, forget_damaged
from terramosaic.block.receipt import BlockReceipt
from terramosaic.ground.grid import RESOLUTION
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import (
    QUALITY_CLOUD,
    QUALITY_EDGE,
    QUALITY_FILLED,
    QUALITY_OTHER_ZONE,
    QUALITY_REPAIRED,
    QUALITY_SEA,
    QUALITY_SKIPPED,
    REFLECTANCE,
    Layer,
)
from terramosaic.planning.plan import Plan, Zone
from terramosaic.publishing.numbers import UNBROKEN, number
from terramosaic.publishing.reduced import ReducedMosaic
from terramosaic.storage.gdal import local_files
from terramosaic.storage.scratch import each_locally

logger = logging.getLogger(__name__)

#: Colours of NDVI from -0.2 to 0.9 in steps of 0.1: slate water, sand, straw, then deepening greens.
_NDVI_RANGE = (-0.2, 0.9)
_NDVI_COLOURS = (
    "#4a6a8a", "#8fa3b3", "#d8d0c3", "#e9dcb9", "#efe6a3", "#d9dc7f",
    "#b4cc66", "#86b653", "#589d46", "#33823c", "#166532", "#064626",
)  # fmt: skip
#: Backscatter in red, green and blue, from low to high: fixed, so that runs can be compared by eye.
BACKSCATTER = (
    ("VV", -20.0, 0.0, "#ff0000"),
    ("VH", -28.0, -8.0, "#00ff00"),
    ("VV − VH", 2.0, 14.0, "#0000ff"),
)
_TERRAIN_COLOURS = ("#2f6e5b", "#6f9e63", "#bcc47c", "#e6d9a2", "#cfa878", "#a5775a", "#8f8078", "#f4f2ee")
_STD_COLOURS = ("#f6f1e7", "#f2d7ad", "#eaae78", "#d87a60", "#b04a60", "#78295c", "#3c1545")
#: Of what has no colours of its own.
PLAIN_COLOURS = ("#12284c", "#3b496c", "#666a70", "#948f78", "#c8b866", "#fde725")

#: Colour of pixels without a flag, and of flags from the mildest to the worst: of several the last is seen.
_CLEAN_COLOUR = "#d5dcd8"
_FLAG_COLOURS = {
    QUALITY_SEA: "#a9cfdf",
    QUALITY_REPAIRED: "#5aa08c",
    QUALITY_FILLED: "#f0b840",
    QUALITY_EDGE: "#e0762f",
    QUALITY_OTHER_ZONE: "#3a78b8",
    QUALITY_CLOUD: "#8a3fa0",
    QUALITY_SKIPPED: "#3b1a4a",
}

#: Stretch of pictures whose range comes from the data, in percent of the valid pixels.
_STRETCH = (2.0, 98.0)
#: Heights are never stretched to more contrast than this: noise shall not look like hills.
_LEAST_METRES = 10.0
#: Nor is disagreement: windows that agree to a few percent shall not look torn.
_LEAST_PERCENT = 20.0
_TRUE_COLOUR_GAMMA = 1.35


@dataclass(frozen=True)
class Scale:
    """A colour bar: evenly spaced colours from ``low`` to ``high``."""

    label: str
    low: float
    high: float
    unit: str
    colours: tuple[str, ...]

    @property
    def ticks(self) -> list[str]:
        """Its lowest, middle and highest value."""
        span = self.high - self.low
        digits = next((digits for digits, least in enumerate((20, 2, 0.2, 0.02)) if span >= least), 4)
        unit = f"{UNBROKEN}{self.unit}" if self.unit else ""
        return [number(self.low + share * span, digits) + unit for share in (0, 0.5, 1)]


#: Ramps that are fixed, so that runs can be compared by eye.
NDVI_SCALE = Scale("NDVI", *_NDVI_RANGE, "", _NDVI_COLOURS)
CONFIDENCE_SCALE = Scale("Confidence", 0, 100, "%", PLAIN_COLOURS)


@dataclass(frozen=True)
class Swatch:
    """A colour that stands for a stored value, or for a bit of it."""

    value: int
    label: str
    colour: str


@dataclass(frozen=True)
class Channel:
    """Red, green or blue of a picture: what of a band, in physical units, is dark and what is bright."""

    band: str
    low: float
    high: float


@dataclass(frozen=True)
class Quicklook:
    """A picture, transparent where there is no data, and its legend.

    Attributes:
        image: RGBA, or a palette for classes and flags.
        caption: how to read it, in a line.
        scales: colour bars; three of them for a colour composite.
        swatches: colours of classes or flags.
        channels: red, green and blue of a colour composite.
        gamma: its brightness is to the power of one by this.
    """

    image: Image.Image
    caption: str
    scales: tuple[Scale, ...] = ()
    swatches: tuple[Swatch, ...] = ()
    channels: tuple[Channel, ...] = ()
    gamma: float = 1.0


def draw(reduced: ReducedMosaic) -> Quicklook:
    """The picture of a mosaic, in the style that its layer is usually shown in."""
    layer = reduced.layer
    if layer.kind in _DRAW_CATEGORIES:
        return _DRAW_CATEGORIES[layer.kind](reduced)
    if not reduced.valid.any():
        return Quicklook(_rgba(np.zeros((*reduced.valid.shape, 3), np.uint8), reduced.valid), "No data.")
    if layer.kind == "embedding":
        return _draw_embedding(reduced)
    if layer.measure == "estimate" and set(PREVIEW_BANDS) <= set(layer.bands):
        return _draw_reflectance(reduced)
    draw_measure = _DRAW_MEASURES.get(layer.measure) or _DRAW.get(layer.name, _draw_any)
    return draw_measure(reduced)


def is_shaded(layer: Layer) -> bool:
    """Whether the shade of its picture hangs on neighbouring pixels, as that of heights does."""
    return layer.measure == "estimate" and _DRAW.get(layer.name) is _draw_terrain


def true_colour(
    plan: Plan, zone: Zone, receipts: Mapping[str, BlockReceipt], clear: np.ndarray | None = None
) -> Quicklook:
    """What the model saw under a zone's mosaics, in their frame, from the previews that blocks left.

    Sentinel-2's true colour; where Sentinel-1 leads, its false colour.

    Args:
        plan: the run's plan; its blocks are done.
        zone: the zone.
        receipts: of its blocks, by id.
        clear: bool (height, width) in the same frame: where to take the stretch from; elsewhere is cloud.

    Raises:
        DamagedBlocksError: previews of blocks are not as they were written.
        OutputError: a block's preview is missing.
    """
    factor = plan.preview_factor
    frame = preview_rect(zone.rect, factor)
    dn = np.zeros((len(PREVIEW_BANDS), *frame.shape), np.uint16)
    folder = RunFolder.of(plan)
    shown_blocks = [block for block in zone.blocks if not preview_rect(block.rect, factor).is_empty]
    paths = [folder.block_raster(block, PREVIEW) for block in shown_blocks]
    damaged = []
    with local_files(), closing(each_locally(paths)) as copies:
        for block, copy in zip(shown_blocks, copies, strict=True):
            rect = preview_rect(block.rect, factor)
            try:
                with closing(RasterReader.of_preview(copy, rect, receipts[block.id])) as reader:
                    dn[:, *rect.slices(frame)] = reader.read(rect)
            except DamagedRasterError as error:
                logger.warning("block %s: its preview is damaged: %s", block.id, error)
                damaged.append(block.id)
    if damaged:
        raise forget_damaged(plan, damaged)
    # The last row and column of an overview may be too narrow to hold a pixel of the preview's grid.
    missing = [-(-size // factor) - have for size, have in zip(zone.rect.shape, frame.shape, strict=True)]
    dn = np.pad(dn, ((0, 0), (0, missing[0]), (0, missing[1])), mode="edge")
    valid = (dn != 0).all(axis=0)
    if plan.is_led_by_radar:
        picture = _of_backscatter(backscatter_in(dn), valid)
        return replace(picture, caption=f"Sentinel-1 that the model saw. {picture.caption}")
    shown = valid & clear if clear is not None and (valid & clear).sum() > 0.02 * valid.sum() else valid
    return _visible(dn, valid, shown, plan.bundle.bands)


def _draw_imagery(reduced: ReducedMosaic) -> Quicklook:
    """Its true colour; of a model that does not see all of that, its first band in place of what is missing."""
    bands = reduced.layer.bands
    dn = reduced.stored[[bands.index(band) for band in shown_bands(bands)]]
    return _visible(dn, reduced.valid, reduced.valid, bands)


def _draw_reflectance(reduced: ReducedMosaic) -> Quicklook:
    """The true colour of reflectance that was generated."""
    visible = np.nan_to_num(reduced.values[[reduced.layer.bands.index(band) for band in PREVIEW_BANDS]])
    picture = _visible(visible / REFLECTANCE, reduced.valid, reduced.valid, PREVIEW_BANDS)
    return replace(picture, caption=f"True colour ({', '.join(PREVIEW_BANDS)}) of generated reflectance.")


def _visible(dn: np.ndarray, valid: np.ndarray, shown: np.ndarray, bands: Sequence[str]) -> Quicklook:
    """Red, green and blue (3, height, width) of a model's bands, stretched by what of them is shown."""
    low, high = _range(dn[:, shown], 1) if shown.any() else (0.0, 1.0)
    stretched = np.clip((dn - low) / (high - low), 0, 1) ** (1 / _TRUE_COLOUR_GAMMA)
    caption = f"{shown_in_words(bands)} ({', '.join(shown_bands(bands))})"
    channels = tuple(Channel(band, low * REFLECTANCE, high * REFLECTANCE) for band in shown_bands(bands))
    picture = _rgba(_bytes(np.moveaxis(stretched, 0, -1)), valid)
    return Quicklook(picture, caption, channels=channels, gamma=_TRUE_COLOUR_GAMMA)


def _draw_backscatter(reduced: ReducedMosaic) -> Quicklook:
    return _of_backscatter(reduced.values[:2], reduced.valid)


def _of_backscatter(db: np.ndarray, valid: np.ndarray) -> Quicklook:
    """The usual false colour of two polarisations."""
    vv, vh = db
    channels, scales = [], []
    for band, (name, low, high, colour) in zip((vv, vh, vv - vh), BACKSCATTER, strict=True):
        channels.append(np.clip((band - low) / (high - low), 0, 1))
        scales.append(Scale(name, low, high, "dB", ("#000000", colour)))
    rgb = _bytes(np.nan_to_num(np.stack(channels, axis=-1)))
    caption = "False colour: red VV, green VH, blue VV − VH. Still water is blue, woods green, built-up land bright."
    shown = tuple(Channel(name, low, high) for name, low, high, _ in BACKSCATTER)
    return Quicklook(_rgba(rgb, valid), caption, tuple(scales), channels=shown)


def _draw_ndvi(reduced: ReducedMosaic) -> Quicklook:
    return _draw_ramp(
        reduced, NDVI_SCALE, "Water and snow are grey-blue, bare soil is sand, dense vegetation dark green."
    )


def _draw_terrain(reduced: ReducedMosaic) -> Quicklook:
    """Elevation tints, shaded by a sun in the north-west."""
    height = reduced.values[0]
    low, high = _range(height[reduced.valid], _LEAST_METRES)
    tints = _colours(_TERRAIN_COLOURS, height, low, high)
    ground = np.where(reduced.valid, height, np.float32(low))
    # A gradient takes two pixels, and a mosaic may have one.
    down, right = np.gradient(np.pad(ground, (0, 1), mode="edge"), RESOLUTION * reduced.factor)
    down, right = down[:-1, :-1], right[:-1, :-1]
    # The steeper the land, the less it is exaggerated: a plain shows its forms, mountains keep theirs.
    exaggeration = 0.35 / max(1e-3, float(np.percentile(np.hypot(down, right)[reduced.valid], 95)))
    dx, dy = right * exaggeration, down * exaggeration
    # East, south and up, the surface's normal is (-dx, -dy, 1), and the sun stands at (-0.5, -0.5, 0.7071).
    flat = 0.7071
    shade = np.clip((0.5 * dx + 0.5 * dy + flat) / np.sqrt(1 + dx**2 + dy**2), 0, 1) / flat
    rgb = np.clip(tints * (0.55 + 0.45 * shade[..., None]), 0, 255).astype(np.uint8)
    scale = Scale("Elevation", low, high, "m", _TERRAIN_COLOURS)
    return Quicklook(_rgba(rgb, reduced.valid), "Elevation tints, lit from the north-west.", (scale,))


def _draw_embedding(reduced: ReducedMosaic) -> Quicklook:
    """Its first dimensions as red, green and blue, each stretched by itself."""
    values, valid = reduced.values, reduced.valid
    channels, shown = [], []
    for index in (index % len(values) for index in range(3)):
        low, high = _range(values[index][valid], 1e-6)
        channels.append(np.clip((np.nan_to_num(values[index]) - low) / (high - low), 0, 1))
        shown.append(Channel(reduced.layer.bands[index], low, high))
    caption = (
        f"The first three of {len(reduced.layer.bands)} dimensions as red, green and blue, each stretched by itself: "
        "patches of one colour are alike in these three, and colours stand for nothing else."
    )
    picture = _rgba(_bytes(np.stack(channels, axis=-1)), valid)
    return Quicklook(picture, caption, channels=tuple(shown))


def _draw_std(reduced: ReducedMosaic) -> Quicklook:
    mean = reduced.values.mean(axis=0)
    top = max(_range(mean[reduced.valid], 0)[1], reduced.layer.scale)
    bands = " and ".join(reduced.layer.bands)
    caption = (
        f"Standard deviation of {bands} over overlapping windows; empty where a single one made the pixel."
    )
    scale = Scale("Standard deviation", 0, top, _unit(reduced), _STD_COLOURS)
    return Quicklook(_rgba(_colours(scale.colours, mean, 0, top), reduced.valid), caption, (scale,))


def _draw_confidence(reduced: ReducedMosaic) -> Quicklook:
    return _draw_ramp(reduced, CONFIDENCE_SCALE, "Probability that the model gives the class that won.")


def _draw_disagreement(reduced: ReducedMosaic) -> Quicklook:
    top = max(_range(reduced.values[0][reduced.valid], 0)[1], _LEAST_PERCENT)
    caption = (
        "How far overlapping windows disagree about the class, in percent of the most that they could; "
        "empty where a single one made the pixel."
    )
    return _draw_ramp(reduced, Scale("Disagreement", 0, top, "%", _STD_COLOURS), caption)


def _draw_probabilities(reduced: ReducedMosaic) -> Quicklook:
    colours = np.array([item.colour for item in reduced.layer.classes], np.float32)
    shares = np.nan_to_num(reduced.values) / 100
    mixed = np.clip(np.einsum("chw,cb->hwb", shares, colours), 0, 255).astype(np.uint8)
    caption = "The colours of the classes, mixed by their probabilities."
    return Quicklook(_rgba(mixed, reduced.valid), caption)


def _draw_any(reduced: ReducedMosaic) -> Quicklook:
    span = _range(reduced.values[0][reduced.valid], reduced.layer.scale)
    name = reduced.layer.bands[0]
    return _draw_ramp(reduced, Scale(name, *span, _unit(reduced), PLAIN_COLOURS), f"{name}.")


def _draw_ramp(reduced: ReducedMosaic, scale: Scale, caption: str) -> Quicklook:
    rgb = _colours(scale.colours, reduced.values[0], scale.low, scale.high)
    return Quicklook(_rgba(rgb, reduced.valid), caption, (scale,))


def _draw_classes(reduced: ReducedMosaic) -> Quicklook:
    swatches = _swatches(reduced.layer)
    image = _palette(reduced.stored[0], swatches, reduced.layer.nodata)
    rank = "second most" if reduced.layer.measure == "second" else "most"
    return Quicklook(image, f"The {rank} probable class of each pixel.", swatches=tuple(swatches))


def _draw_days(reduced: ReducedMosaic) -> Quicklook:
    """Each day in its colour."""
    swatches = tuple(_swatches(reduced.layer))
    table = np.zeros((np.iinfo(reduced.stored.dtype).max + 1, 3), np.uint8)
    for swatch in swatches:
        table[swatch.value] = ImageColor.getrgb(swatch.colour)
    caption = (
        "Day of the imagery that each pixel was made from, from light (the oldest) to dark."
        if swatches
        else "The median of several acquisitions is of no single day."
    )
    return Quicklook(_rgba(table[reduced.stored[0]], reduced.valid), caption, swatches=swatches)


def _draw_flags(reduced: ReducedMosaic) -> Quicklook:
    shown = worst_flag(reduced.stored[0])
    shown[~reduced.valid] = reduced.layer.nodata
    swatches = [Swatch(0, "no flag", _CLEAN_COLOUR)]
    swatches += [Swatch(bit, text, _FLAG_COLOURS[bit]) for bit, text in reduced.layer.bits.items()]
    image = _palette(shown, swatches, reduced.layer.nodata)
    return Quicklook(image, "What to know about a pixel before trusting it.", swatches=tuple(swatches))


def worst_flag(flags: np.ndarray) -> np.ndarray:
    """The flag that is seen where several are set; 0 where none is. uint8 of any shape."""
    worst = np.zeros_like(flags)
    for bit in _FLAG_COLOURS:
        worst[flags & bit != 0] = bit
    return worst


_DRAW_CATEGORIES: dict[str, Callable[[ReducedMosaic], Quicklook]] = {
    "class": _draw_classes,
    "flags": _draw_flags,
    "days": _draw_days,
    "imagery": _draw_imagery,
}

_DRAW_MEASURES: dict[str, Callable[[ReducedMosaic], Quicklook]] = {
    "std": _draw_std,
    "confidence": _draw_confidence,
    "disagreement": _draw_disagreement,
    "probabilities": _draw_probabilities,
}

_DRAW: dict[str, Callable[[ReducedMosaic], Quicklook]] = {
    "S1GRD": _draw_backscatter,
    "S1RTC": _draw_backscatter,
    "NDVI": _draw_ndvi,
    "DEM": _draw_terrain,
}


def _swatches(layer: Layer) -> list[Swatch]:
    return [Swatch(item.value, item.name, f"#{bytes(item.colour).hex()}") for item in layer.classes]


def ramp_table(ramp: Sequence[str]) -> np.ndarray:
    """Evenly spaced colours as a table of 256 between the first and the last, uint8 (256, 3)."""
    table = np.array([ImageColor.getrgb(colour) for colour in ramp], float)
    finer = np.linspace(0, len(ramp) - 1, 256)
    lookup = np.stack([np.interp(finer, np.arange(len(ramp)), channel) for channel in table.T], axis=-1)
    colours: np.ndarray = np.rint(lookup).astype(np.uint8)
    return colours


def _colours(ramp: Sequence[str], values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Values (height, width) as uint8 (height, width, 3); NaN takes the lowest colour and is masked later."""
    index = np.clip((np.nan_to_num(values, nan=low) - low) / (high - low) * 255, 0, 255)
    colours: np.ndarray = ramp_table(ramp)[np.rint(index).astype(np.uint8)]
    return colours


def _range(values: np.ndarray, least: float) -> tuple[float, float]:
    """The stretch of valid values: their percentiles, widened about the middle to at least ``least``."""
    low, high = (float(end) for end in np.percentile(values, _STRETCH))
    widen = max(0.0, least - (high - low)) / 2
    return low - widen, high + widen


def _unit(reduced: ReducedMosaic) -> str:
    return "" if reduced.layer.unit == "1" else reduced.layer.unit


def _bytes(fractions: np.ndarray) -> np.ndarray:
    numbers: np.ndarray = np.rint(fractions * 255).astype(np.uint8)
    return numbers


def _rgba(rgb: np.ndarray, valid: np.ndarray) -> Image.Image:
    alpha = np.where(valid, 255, 0).astype(np.uint8)
    return Image.fromarray(np.dstack([rgb * valid[..., None], alpha]))


def _palette(values: np.ndarray, swatches: Sequence[Swatch], nodata: int) -> Image.Image:
    image = Image.fromarray(values).convert("P")
    table = np.zeros((256, 3), np.uint8)
    for swatch in swatches:
        table[swatch.value] = ImageColor.getrgb(swatch.colour)
    image.putpalette(table.tobytes())
    image.info["transparency"] = nodata
    return image
