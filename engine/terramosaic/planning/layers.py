"""Layers of a run and how their numbers are stored: the place for dtype, scale, nodata, units, classes and colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox
from PIL import ImageColor

from terramosaic.catalog import Pass
from terramosaic.ground.grid import RESOLUTION, Rect
from terramosaic.model.bundle import Bundle
from terramosaic.model.manifest import TargetSpec, step_of
from terramosaic.planning.heights import DEM
from terramosaic.planning.lattices import lattices_of, margin_of
from terramosaic.planning.optical import OpticalBands
from terramosaic.request.request import RegionRequest

#: No data of every value layer, stored as int16 or float32 alike.
NODATA = -32768

#: No data of layers in percent.
PERCENT_NODATA = 255

#: Bits of the quality layer; where there is no output it holds 255.
QUALITY_CLOUD = 1
QUALITY_FILLED = 2
QUALITY_EDGE = 4
QUALITY_OTHER_ZONE = 8
QUALITY_REPAIRED = 16
QUALITY_SEA = 32
QUALITY_SKIPPED = 64
QUALITY_NODATA = 255

QUALITY_BITS = {
    QUALITY_CLOUD: "generated under cloud: no acquisition was clear here",
    QUALITY_FILLED: "filled neighbour: a window that made this pixel had missing pixels, filled with their nearest",
    QUALITY_EDGE: "edge of data: within 160 m of missing imagery, as seen in the windows that made the pixel",
    QUALITY_OTHER_ZONE: "imagery of the neighbouring UTM zone, reprojected",
    QUALITY_REPAIRED: "repaired spectrum: a band was 0 where others saw the ground, and was put right",
    QUALITY_SEA: "sea: the model saw a height of 0 m, for there is no tile of the DEM",
    QUALITY_SKIPPED: "skipped: no window over it has seen anything but cloud, and none was generated",
}

#: Those that a run of any inputs can have.
_ALWAYS = (QUALITY_CLOUD, QUALITY_FILLED, QUALITY_EDGE, QUALITY_OTHER_ZONE, QUALITY_REPAIRED)

#: Reflectance of one step of Sentinel-2's numbers, the offset taken off.
REFLECTANCE = 0.0001

#: Of half precision, for numbers from 4 to 8: what is normalised hardly goes beyond.
_HALF_STEP = 2**-8

#: Colours of days, from the oldest to the newest.
_OLD_TO_NEW = ("#f3e79b", "#fab67a", "#eb7f86", "#9f5c9a", "#36457d")


@dataclass(frozen=True)
class Category:
    """What a stored value stands for, a class or a day: its name, and its colour as red, green, blue."""

    value: int
    name: str
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class Layer:
    """One raster of a run.

    Attributes:
        name: stem of its file.
        kind: ``value`` (scaled numbers), ``class``, ``flags``, ``percent``, ``days`` (since 1970-01-01),
            ``imagery`` (reflectance) or ``embedding``.
        bands: name of each band.
        unit: physical unit, ``1`` for none.
        scale: physical value of one stored step.
        overviews: how coarser levels are made.
        classes: what the values of the first band stand for; of probabilities what the bands do, counted from 1.
        target: which of the model's targets it is about, if any.
        measure: what it tells of the target: an estimate, the estimates' standard deviation over windows, the
            probability of the class that was chosen, how far windows disagree about it, the class that is the next
            best, or the probabilities of all classes.
        bounds: of each band, the least and the most that the model can make of it, where its samples are bounded.
        margin: pixels that its rasters reach beyond those of the others on each side.
        cell: side of a pixel of its rasters, in pixels of the grid: of an embedding the model's patch.
        flags: the bits that it may hold, if it is of flags.
    """

    name: str
    kind: Literal["value", "class", "flags", "percent", "days", "imagery", "embedding"]
    bands: tuple[str, ...]
    dtype: Literal["int16", "uint16", "float32", "uint8"]
    nodata: int
    unit: str = "1"
    scale: float = 1.0
    overviews: Literal["average", "mode"] = "average"
    classes: tuple[Category, ...] = ()
    target: str = ""
    measure: Literal["estimate", "std", "confidence", "disagreement", "second", "probabilities"] = "estimate"
    bounds: tuple[tuple[float, float], ...] = ()
    margin: int = 0
    cell: int = 1
    flags: tuple[int, ...] = _ALWAYS

    @property
    def bits(self) -> dict[int, str]:
        """What each bit of its numbers says; nothing of layers that are not of flags."""
        return {bit: QUALITY_BITS[bit] for bit in self.flags} if self.kind == "flags" else {}

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from the other layers of a run, whatever its file is called."""
        return self.target or self.name, self.measure

    def rect(self, inner: Rect) -> Rect:
        """The pixels of its raster of a block or a zone that has these of the grid."""
        return self.cells(inner.pad(self.margin))

    def cells(self, rect: Rect) -> Rect:
        """Its own pixels that some of the grid lie in; they may reach beyond these."""
        return rect.cells(self.cell) if self.cell > 1 else rect

    def transform(self, own: Rect) -> Affine:
        """Affine transform from its own pixels to the zone's metres."""
        size = self.cell
        corner = Rect(own.row * size, own.col * size, own.height * size, own.width * size)
        return corner.transform @ Affine.scale(size)

    def geobox(self, inner: Rect, epsg: int) -> GeoBox:
        """Where its raster of a block or a zone lies, as odc-geo's value of CRS, transform and shape."""
        own = self.rect(inner)
        return GeoBox(own.shape, self.transform(own), f"EPSG:{epsg}")

    @property
    def resolution(self) -> int:
        """Metres to a side of its pixels."""
        return self.cell * RESOLUTION

    def spread(self, found: np.ndarray, rect: Rect) -> np.ndarray:
        """What is told of its own pixels in a rectangle, (height, width), as told of the grid's there."""
        own = self.cells(rect)
        whole = Rect(*(self.cell * number for number in (own.row, own.col, own.height, own.width)))
        wide: np.ndarray = found.repeat(self.cell, 0).repeat(self.cell, 1)[rect.slices(whole)]
        return wide

    @property
    def is_estimate(self) -> bool:
        """Whether it is one of the maps that were asked for, and not what tells how they came about.

        An embedding is none: its numbers stand for nothing that could be measured.
        """
        return bool(self.target) and self.measure == "estimate" and self.kind != "embedding"

    @property
    def is_measured(self) -> bool:
        """Whether its numbers are values in a unit, and no classes, flags or days."""
        return self.kind in ("value", "percent", "imagery", "embedding")

    @property
    def is_small(self) -> bool:
        """Whether block rasters of it are compressed: classes, flags, days and percents shrink to almost nothing.

        Noisy values would lose a tenth, for as much work as all the rest of writing.
        """
        return self.dtype == "uint8" or self.kind == "days"

    @property
    def file_dtype(self) -> str:
        """Type of the numbers in its mosaic: an embedding's are of half precision, which GDAL reads as float32."""
        return "float16" if self.kind == "embedding" else self.dtype

    @property
    def step(self) -> float:
        """What counts as a step of its numbers in physical units, also where values are stored as they are."""
        if self.kind == "embedding":
            return _HALF_STEP
        return step_of(self.unit) if self.dtype == "float32" else self.scale

    @property
    def numbers(self) -> np.ndarray:
        """All numbers that its type of integers can hold, from the smallest on."""
        kind = np.iinfo(self.dtype)
        return np.arange(kind.min, kind.max + 1)

    @property
    def units(self) -> tuple[str, ...]:
        """The unit of each band."""
        # Beside the day stands the number of the pass, which has no unit.
        return (self.unit, "1") if self.kind == "days" else (self.unit,) * len(self.bands)

    @property
    def colormap(self) -> dict[int, tuple[int, int, int, int]] | None:
        """GDAL colour table: classes opaque, no data transparent."""
        if self.kind != "class":
            return None
        return {self.nodata: (0, 0, 0, 0)} | {item.value: (*item.colour, 255) for item in self.classes}


#: The acquisition whose reflectance the model saw at a pixel: its solar day, in days since 1970-01-01, and
#: `Pass.number`, which tells two passes of a day apart. Of the median of several it holds no data.
ACQUIRED = Layer("acquired", "days", ("day", "pass"), "uint16", 0, unit="d", overviews="mode")


def layers_of(
    request: RegionRequest,
    bundle: Bundle,
    passes: Sequence[Pass] = (),
    imagery_names: Iterable[str] = ("imagery",),
) -> tuple[Layer, ...]:
    """All rasters that a request asks of a bundle, of acquisitions of these passes; the quality layer comes last.

    Args:
        request: says which.
        bundle: its model.
        passes: of the acquisitions.
        imagery_names: what imagery is called that is kept, of each date of several; the oldest first.
    """
    found = []
    for name in request.targets:
        target = bundle.targets[name]
        if target.kind == "coordinates":
            continue  # of windows, not of pixels
        if target.kind == "embedding":
            cell = bundle.manifest.patch
            found.append(Layer(name, "embedding", target.channels, "float32", NODATA, target=name, cell=cell))
        elif target.output == "probabilities":
            found.append(_class_layer(name, target))
            found.append(_percent_layer(name, "confidence"))
            found.append(_percent_layer(name, "disagreement"))
            if "second" in request.extras:
                bands = (f"{name} second class",)
                found.append(
                    replace(_class_layer(name, target), name=f"{name}_second", bands=bands, measure="second")
                )
            if "probabilities" in request.extras:
                found.append(_probabilities_layer(name, target))
        else:
            estimate = _value_layer(name, target, request.dtype)
            found.append(replace(estimate, bounds=_bounds(target, request.x0_clip_of(name))))
            if "std" in request.extras:
                found.append(replace(estimate, name=f"{name}_std", measure="std"))
    optical = OpticalBands.of(request.inputs, bundle.bands_by_input)
    if request.keep_imagery and optical is not None:
        # As far as windows can reach that the map hangs on, so that each can be cut from it again.
        margin = margin_of(lattices_of(request, bundle.manifest)) - 1
        found += [
            Layer(name, "imagery", optical.bands, "uint16", 0, scale=REFLECTANCE, margin=margin)
            for name in imagery_names
        ]
    found.append(acquired_layer(() if request.composite == "median" else passes))
    flags = [*_ALWAYS]
    if DEM in request.inputs:
        flags.append(QUALITY_SEA)
    if request.under_cloud == "skip":
        flags.append(QUALITY_SKIPPED)
    found.append(
        Layer("quality", "flags", ("quality",), "uint8", QUALITY_NODATA, overviews="mode", flags=tuple(flags))
    )
    return tuple(found)


def acquired_layer(passes: Iterable[Pass]) -> Layer:
    """`ACQUIRED` for acquisitions of these passes."""
    return replace(ACQUIRED, classes=acquired_days(one.solar_day for one in passes))


def acquired_days(days: Iterable[date]) -> tuple[Category, ...]:
    """What the numbers of days stand for, with colours from the oldest to the newest."""
    ordered = sorted(set(days))
    return tuple(
        Category(day_number(day), day.isoformat(), colour)
        for day, colour in zip(ordered, _colours(len(ordered)), strict=True)
    )


def day_number(day: date) -> int:
    """A day as `ACQUIRED` stores it."""
    return (day - date(1970, 1, 1)).days


def _colours(count: int) -> list[tuple[int, int, int]]:
    """So many colours from the oldest to the newest; of one the newest."""
    corners = np.array([ImageColor.getrgb(colour) for colour in _OLD_TO_NEW], float)
    at = np.linspace(len(corners) - 1, 0, count)[::-1]
    channels = [np.interp(at, np.arange(len(corners)), channel) for channel in corners.T]
    return [(int(red), int(green), int(blue)) for red, green, blue in np.rint(channels).T]


def _value_layer(name: str, target: TargetSpec, dtype: Literal["int16", "float32"]) -> Layer:
    unit = target.unit or "1"
    scale = (target.step or step_of(unit)) if dtype == "int16" else 1.0
    return Layer(name, "value", target.channels, dtype, NODATA, unit=unit, scale=scale, target=name)


def _bounds(target: TargetSpec, x0_clip: float) -> tuple[tuple[float, float], ...]:
    """What the last step of a diffusion is clamped to."""
    if target.kind != "diffusion" or target.mean is None or target.std is None:
        return ()
    return tuple(
        (mean - x0_clip * std, mean + x0_clip * std)
        for mean, std in zip(target.mean, target.std, strict=True)
    )


def _class_layer(name: str, target: TargetSpec) -> Layer:
    classes = tuple(
        Category(item.value, item.name, ImageColor.getrgb(item.colour)[:3])
        for item in target.classes
        if item.value != 0
    )
    return Layer(
        name, "class", (f"{name} class",), "uint8", 0, overviews="mode", classes=classes, target=name
    )


def _probabilities_layer(name: str, target: TargetSpec) -> Layer:
    classes = (
        Category(band, item.name, ImageColor.getrgb(item.colour)[:3])
        for band, item in enumerate(target.classes, start=1)
    )
    return Layer(
        f"{name}_probabilities", "percent", tuple(item.name for item in target.classes), "uint8", PERCENT_NODATA,
        unit="%", classes=tuple(classes), target=name, measure="probabilities",
    )  # fmt: skip


def _percent_layer(name: str, measure: Literal["confidence", "disagreement"]) -> Layer:
    return Layer(
        f"{name}_{measure}", "percent", (f"{name} {measure}",), "uint8", PERCENT_NODATA,
        unit="%", target=name, measure=measure,
    )  # fmt: skip
