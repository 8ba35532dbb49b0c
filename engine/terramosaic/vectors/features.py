"""The classes of a run's map as features: connected pixels as polygons, with area, confidence and where they come from.

Mosaics are read by strips as high as their tiles, so that memory does not grow with the region; see `components` for
what of polygons is kept. Each zone is by itself: what lies on both sides of a zone's boundary is two polygons.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

import numpy as np
import rasterio
import shapely
from rasterio.windows import Window
from shapely.geometry.base import BaseGeometry

from terramosaic.errors import RequestError, meant, printable
from terramosaic.ground.grid import RESOLUTION
from terramosaic.ground.zones import lonlat_of_points, split_at_antimeridian
from terramosaic.mosaic.cube import Slice
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan, Zone
from terramosaic.publishing.reduced import told_if_broken
from terramosaic.storage.gdal import local_files
from terramosaic.storage.scratch import LocalCopy
from terramosaic.vectors.components import Component, Components

#: Rows that are read at once: as high as the tiles of mosaics.
_ROWS = 512

#: Hectares of a pixel, in the projection of its zone.
PIXEL_HA = RESOLUTION**2 / 10_000

#: Features that are handed on, and moved to degrees, at once.
_BATCH = 2_000

#: Longest straight piece of an outline that is moved to degrees, in metres (as `lonlat_of` has it).
_LONGEST_PIECE = 5_000


@dataclass(frozen=True)
class Feature:
    """A polygon of a class.

    Attributes:
        geometry: polygon, or of degrees over the antimeridian several.
        class_: name of the class.
        value: its number in the mosaic.
        area_ha: its pixels in the zone's projection, of 0.01 ha each, as the report counts them; that is up to 0.1 %
            off its area on the ellipsoid.
        confidence: mean of the confidence that its pixels have, in %; None where the run tells none.
        zone: EPSG code of the mosaic that it comes from.
    """

    geometry: BaseGeometry
    class_: str
    value: int
    area_ha: float
    confidence: float | None
    zone: int


@dataclass(frozen=True)
class Source:
    """What features are made of.

    Attributes:
        plan: of the run.
        layer: of classes.
        confidence: the layer that tells its confidence, if there is one.
        values: of the classes that are wanted.
        slice: when.
    """

    plan: Plan
    layer: Layer
    confidence: Layer | None
    values: tuple[int, ...]
    slice: Slice

    @classmethod
    def of(cls, plan: Plan, layer: str, classes: Collection[str]) -> Source:
        """What is asked for of a run.

        Args:
            plan: of a finished run.
            layer: name of the layer; empty where there is one that has classes.
            classes: names, small or capital, or numbers; none for all.

        Raises:
            RequestError: there is no such layer or class.
        """
        found = _class_layer(plan, layer)
        confidence = [
            each
            for each in plan.layers
            if each.key == (found.target, "confidence") and each.kind == "percent"
        ]
        is_estimate = found.measure == "estimate"
        return cls(
            plan,
            found,
            confidence[0] if confidence and is_estimate else None,
            _values(found, classes),
            Slice.of(plan),
        )

    @property
    def strips(self) -> int:
        """How many are read."""
        return sum(-(-zone.height // _ROWS) for zone in self.plan.zones)

    @property
    def start(self) -> datetime:
        """The first moment of its imagery, UTC."""
        return self.slice.start

    @property
    def end(self) -> datetime:
        """The last one."""
        return self.slice.end

    @property
    def names(self) -> dict[int, str]:
        """Names of the classes by value."""
        return {item.value: item.name for item in self.layer.classes}


def _class_layer(plan: Plan, name: str) -> Layer:
    known = [layer.name for layer in plan.layers if layer.kind == "class"]
    if not known:
        made = ", ".join(layer.name for layer in plan.layers)
        raise RequestError(f"layer: run {plan.run_id} has no map of classes; it made {made}")
    if name and name not in known:
        raise RequestError(
            f"layer: there is no map of classes {printable(name, 60)!r}; there is {', '.join(known)}"
            f"{meant(name, known)}"
        )
    estimates = [layer.name for layer in plan.layers if layer.kind == "class" and layer.measure == "estimate"]
    if not name and len(estimates) > 1:
        raise RequestError(f"layer: say which of the maps of classes: {', '.join(estimates)}")
    return plan.layer(name or (estimates or known)[0])


def _values(layer: Layer, classes: Collection[str]) -> tuple[int, ...]:
    known = {_plain(item.name): item.value for item in layer.classes}
    numbers = {str(value): value for value in known.values()}
    found = []
    for name in classes:
        value = known.get(_plain(name), numbers.get(name.strip()))
        if value is None:
            names = [item.name for item in layer.classes]
            raise RequestError(
                f"class: {layer.name} has no {printable(name, 60)!r}; it has {', '.join(names)}{meant(name, names)}"
            )
        found.append(value)
    return tuple(sorted(set(found or known.values())))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").lower().split())


def features_of(
    source: Source, *, min_area_ha: float, in_degrees: bool, on_strip: Callable[[int, int], None]
) -> Iterator[list[Feature]]:
    """The features of a run as they are found, from north to south in each zone, some at a time.

    Args:
        source: what is asked for.
        min_area_ha: what is smaller is left out.
        in_degrees: whether they are in longitude and latitude of WGS 84; else they are in their zone's CRS.
        on_strip: told how many strips of mosaics were read, of how many.
    """
    least = max(1, int(np.ceil(round(min_area_ha / PIXEL_HA, 6))))
    done = 0

    def strip_done() -> None:
        nonlocal done
        done += 1
        on_strip(done, source.strips)

    names = source.names
    for zone in source.plan.zones:
        found = iter(_components(source, zone, least, strip_done))
        while batch := list(islice(found, _BATCH)):
            outlines = [one.outline for one in batch]
            geometries = _degrees(outlines, zone.epsg) if in_degrees else outlines
            yield [
                Feature(
                    geometry,
                    names[one.value],
                    one.value,
                    round(one.pixels * PIXEL_HA, 2),
                    round(one.weight / one.weighed, 2) if one.weighed else None,
                    zone.epsg,
                )
                for one, geometry in zip(batch, geometries, strict=True)
            ]


def _components(
    source: Source, zone: Zone, least: int, strip_done: Callable[[], None]
) -> Iterator[Component]:
    folder, layer, finder = RunFolder.of(source.plan), source.layer, Components(source.values, least)
    beside = source.confidence
    mosaics = [folder.mosaic(source.plan, zone, each.name) for each in (layer, beside) if each is not None]
    with ExitStack() as opened:
        opened.enter_context(told_if_broken(mosaics[0]))
        paths = [opened.enter_context(LocalCopy(mosaic)) for mosaic in mosaics]
        opened.enter_context(local_files())
        classes, *shares = (opened.enter_context(rasterio.open(path)) for path in paths)
        yield from _stripwise(finder, classes, shares[0] if shares else None, strip_done)


def _stripwise(
    finder: Components,
    classes: rasterio.DatasetReader,
    shares: rasterio.DatasetReader | None,
    strip_done: Callable[[], None],
) -> Iterator[Component]:
    for top in range(0, classes.height, _ROWS):
        window = Window(0, top, classes.width, min(_ROWS, classes.height - top))
        weights = None
        if shares is not None:
            stored = shares.read(1, window=window)
            weights = np.where(stored == shares.nodata, np.float32("nan"), stored.astype(np.float32))
        yield from finder.feed(classes.read(1, window=window), classes.window_transform(window), weights)
        strip_done()
    yield from finder.end()


def _degrees(outlines: list[BaseGeometry], epsg: int) -> list[BaseGeometry]:
    moved = shapely.transform(
        shapely.segmentize(np.array(outlines), _LONGEST_PIECE), lambda metres: lonlat_of_points(metres, epsg)
    )
    return [split_at_antimeridian(one) for one in moved]
