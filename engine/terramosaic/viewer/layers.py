"""Layers of a run as a map shows them: one for all UTM zones, with the colours that its report has.

Where a layer lies in several zones and its stretch is the map's own, that of the zone with the most data holds for all.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from rasterio.io import MemoryFile
from rasterio.warp import transform

from terramosaic.block.preview import PREVIEW
from terramosaic.errors import RequestError, printable
from terramosaic.planning.folder import RunFolder, read_plan
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan, Zone
from terramosaic.publishing.painting import Paint
from terramosaic.publishing.quicklook import draw
from terramosaic.publishing.reduced import read_reduced
from terramosaic.storage.files import FileFacts
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import Location, is_remote
from terramosaic.storage.scratch import LocalCopy
from terramosaic.viewer.shelf import Shelf, ShelvedRun
from terramosaic.viewer.sight import sight_file, sight_layer, sight_paint
from terramosaic.watch.newest_plan import plan_of_newest

#: Layers that are kept open; of a store each holds copies of its mosaics in scratch.
_MOST = 64
#: Plans that are kept, of which those of a country are large.
_PLANS = 16

#: Points along a side of a mosaic that tell where it lies in degrees: its sides are no meridians.
_ALONG = 32

#: Beyond how many days a legend has only those with pixels.
_MANY_DAYS = 12

_Made = TypeVar("_Made")


class Once(Generic[_Made]):
    """What is costly to make and asked for by many at once: made by the first, kept until others are asked for.

    Args:
        most: that are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held: OrderedDict[Hashable, Future[_Made]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What has this key; what fails is tried again when it is next asked for."""
        with self._lock:
            future = self._held.get(key)
            is_ours = future is None
            if future is None:
                future = self._held[key] = Future()
            self._held.move_to_end(key)
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        if is_ours:
            try:
                future.set_result(make())
            except BaseException as error:
                with self._lock:
                    if self._held.get(key) is future:
                        del self._held[key]
                future.set_exception(error)
        return future.result()


@dataclass(frozen=True)
class Extent:
    """Where a mosaic lies, in degrees: longitudes count on beyond 180, so that west is less than east.

    Attributes:
        west: from -540 to 180.
        east: less than a turn from there.
    """

    west: float
    south: float
    east: float
    north: float

    @classmethod
    def of(cls, layer: Layer, zone: Zone) -> Extent:
        """That of a layer's mosaic of a zone."""
        left, bottom, right, top = layer.geobox(zone.rect, zone.epsg).boundingbox
        x, y = np.linspace(left, right, _ALONG), np.linspace(bottom, top, _ALONG)
        ring_x = np.concatenate([x, x, np.full(_ALONG, left), np.full(_ALONG, right)])
        ring_y = np.concatenate([np.full(_ALONG, bottom), np.full(_ALONG, top), y, y])
        with local_files():
            longitudes, latitudes = transform(f"EPSG:{zone.epsg}", "EPSG:4326", ring_x, ring_y)
        middle = (zone.epsg % 100) * 6 - 183  # the meridian in the middle of the zone
        beside = (np.array(longitudes) - middle + 180) % 360 - 180
        return cls(middle + beside.min(), min(latitudes), middle + beside.max(), max(latitudes))

    def touches(self, west: float, south: float, east: float, north: float) -> bool:
        """Whether a rectangle in degrees, of longitudes from -180 to 180, has some of it."""
        if south > self.north or north < self.south:
            return False
        return any(west + turn <= self.east and east + turn >= self.west for turn in (-360, 0, 360))


@dataclass(frozen=True)
class MosaicFile:
    """A mosaic that GDAL can open.

    Attributes:
        name: of its file, for messages.
        path: of the file, or of its copy in scratch.
    """

    name: str
    path: Path
    zone: Zone
    extent: Extent


@dataclass(frozen=True)
class MapLayer:
    """A layer, opened.

    Attributes:
        layer: what its numbers mean.
        paint: how they become colours.
        mosaics: a file for each zone, the one with the most data first.
        version: changes with the files, and with what paints them.
        values: stored values of classes and days that are seen from afar; None of other layers.
    """

    layer: Layer
    paint: Paint
    mosaics: tuple[MosaicFile, ...]
    version: str
    values: frozenset[int] | None
    _copies: tuple[LocalCopy | MemoryFile, ...] = field(repr=False, compare=False)

    def __post_init__(self) -> None:
        # Who still reads from a copy holds the layer.
        for copy in self._copies:
            weakref.finalize(self, copy.close)


class Layers:
    """The layers of the runs on a shelf, opened as they are asked for.

    Args:
        shelf: the runs.
        version: of what paints them: the package's.

    Attributes:
        shelf: the same.
    """

    def __init__(self, shelf: Shelf, version: str) -> None:
        self.shelf, self._version = shelf, version
        self._opened: Once[MapLayer] = Once(_MOST)
        self._plans: Once[Plan] = Once(_PLANS)
        self._shown: set[tuple[str, str]] = set()

    def plan(self, run: ShelvedRun) -> Plan:
        """A run's plan.

        Raises:
            RequestError: it is missing, damaged, or of another version.
        """
        read = plan_of_newest if run.is_newest else read_plan
        return self._plans.get((run.name, run.version), lambda: read(run.folder.path))

    def names(self, run: ShelvedRun) -> tuple[str, ...]:
        """Of the layers of a run; maps come first, then what tells how far to trust them."""
        layers = self.plan(run).layers
        ordered = [layer.name for layer in sorted(layers, key=lambda layer: not layer.is_estimate)]
        is_seen = any(layer.kind == "imagery" for layer in layers)
        pictured = any(name.startswith(f"{PREVIEW}_") for name in run.item.get("assets", ()))
        return (*ordered, *([PREVIEW] if pictured and not is_seen else []))

    def layer(self, run: ShelvedRun, name: str) -> Layer:
        """What a layer of a run is.

        Raises:
            RequestError: the run has none of that name.
        """
        plan = self.plan(run)
        if name == PREVIEW and name in self.names(run):
            return sight_layer(plan)
        layer = next((one for one in plan.layers if one.name == name), None)
        if layer is None:
            made = ", ".join(self.names(run))
            raise RequestError(f"layer: run {run.name} has no {printable(name)!r}; it has {made}")
        return layer

    def is_cheap(self, run: ShelvedRun, name: str) -> bool:
        """Whether a layer is read without fetching whole mosaics first."""
        return name == PREVIEW or not is_remote(run.folder.path) or (run.name, name) in self._shown

    def get(self, run: ShelvedRun, name: str) -> MapLayer:
        """A layer of a run.

        Raises:
            RequestError: the run has none of that name, or a mosaic of it is missing.
            OutputError: a mosaic is damaged, or the store does not answer.
        """
        plan, layer = self.plan(run), self.layer(run, name)
        folder, is_sight = RunFolder(run.folder.path), name == PREVIEW
        files = []
        for zone in plan.zones:
            mosaic = folder.mosaic(plan, zone, name).name
            file = f"{folder.quicklooks.name}/{Path(mosaic).stem}.png" if is_sight else mosaic
            files.append((zone, *self.shelf.file_of(run, file)))
        version = self._version_of(plan, layer, [facts for _, _, facts in files])
        make = _seen if is_sight else _opened
        opened = self._opened.get((run.name, name, version), lambda: make(plan, layer, files, version))
        self._shown.add((run.name, name))
        return opened

    def _version_of(self, plan: Plan, layer: Layer, facts: list[FileFacts]) -> str:
        told = [self._version, plan.preview_factor, layer, *((one.size, one.version) for one in facts)]
        return hashlib.sha256(repr(told).encode()).hexdigest()[:20]


def _opened(
    plan: Plan, layer: Layer, files: list[tuple[Zone, Location, FileFacts]], version: str
) -> MapLayer:
    mosaics, pictures, copies, values = [], [], [], set[int]()
    for zone, place, _ in files:
        copy = LocalCopy(place)
        copies.append(copy)
        with local_files():
            reduced = read_reduced(copy.path, layer, plan.preview_factor, zone.rect)
        pictures.append((int(reduced.valid.sum()), draw(reduced)))
        if layer.classes and layer.measure != "probabilities":
            values.update(np.unique(reduced.stored[0][reduced.valid]).tolist())
        mosaics.append(MosaicFile(place.name, copy.path, zone, Extent.of(layer, zone)))
    order = sorted(range(len(files)), key=lambda index: -pictures[index][0])
    return MapLayer(
        layer,
        Paint.of(layer, pictures[order[0]][1]),
        tuple(mosaics[index] for index in order),
        version,
        frozenset(values) if layer.kind in ("class", "days") else None,
        tuple(copies),
    )


def _seen(plan: Plan, layer: Layer, files: list[tuple[Zone, Location, FileFacts]], version: str) -> MapLayer:
    """The layer of what the model saw, from the pictures of all zones."""
    rasters = [sight_file(plan, zone, place) for zone, place, _ in files]
    mosaics = tuple(
        MosaicFile(place.name, Path(raster.name), zone, Extent.of(layer, zone))
        for (zone, place, _), raster in zip(files, rasters, strict=True)
    )
    return MapLayer(layer, sight_paint(layer), mosaics, version, None, tuple(rasters))


def seen_swatches(layer: MapLayer) -> list[dict[str, object]]:
    """The legend's colours: all classes and flags; of many days those with pixels."""
    swatches = layer.paint.picture.swatches
    if layer.layer.kind == "days" and len(swatches) > _MANY_DAYS and layer.values is not None:
        swatches = tuple(swatch for swatch in swatches if swatch.value in layer.values)
    return [{"value": one.value, "label": one.label, "colour": one.colour} for one in swatches]
