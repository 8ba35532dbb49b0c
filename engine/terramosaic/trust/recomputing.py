"""A part of a block, computed again from the scenes, and what is published there. Neither looks at block rasters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window as RasterWindow

from terramosaic.block.opening import OpenInputs
from terramosaic.block.place_table import Window, read_places
from terramosaic.block.places import PlaceSheet
from terramosaic.block.rasters import acquired_by, stored_layers
from terramosaic.block.rows import BlockRows
from terramosaic.block.tokens import TokenSheet
from terramosaic.errors import OutputError, StoreError
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.model.generator import Generator as Model
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Block, Plan, Zone
from terramosaic.storage.scratch import LocalCopy


@dataclass(frozen=True)
class Recomputed:
    """A part of a block as it is made anew.

    Attributes:
        pixels: by layer the stored numbers, (bands, height, width).
        tokens: that the model drew on the lattice; none of one that draws none.
        places: where it takes windows to lie; None where it is not asked, or on another lattice.
    """

    pixels: dict[str, np.ndarray]
    tokens: Mapping[Lattice, TokenSheet]
    places: PlaceSheet | None = None


def recomputed(
    plan: Plan,
    block: Block,
    rect: Rect,
    lattice: Lattice,
    model: Model,
    inputs: OpenInputs,
    *,
    layers: Sequence[Layer],
    batch_size: int,
    chain: Mapping[Lattice, TokenSheet] | None = None,
) -> Recomputed:
    """What layers of a run hold under a part of a block, computed anew and written nowhere.

    These are those of the targets that are made on a lattice, and those of no target.

    Args:
        plan: the run's.
        block: one of its blocks.
        rect: pixels of the block.
        lattice: one of the run's.
        model: the run's.
        inputs: opens what windows are cut from.
        layers: of the run.
        batch_size: windows per call of the model.
        chain: the block's own tokens, to make values of them whatever the model draws.

    Raises:
        CatalogError: a file could not be read.
        ModelError: the model or its device failed.
    """
    part = block.model_copy(
        update={"row": rect.row, "col": rect.col, "height": rect.height, "width": rect.width}
    )
    layers = [layer for layer in layers if not layer.target or plan.lattice_of(layer.target) == lattice]
    found = {
        layer.name: np.full((len(layer.bands), *layer.cells(rect).shape), layer.nodata, layer.dtype)
        for layer in layers
    }
    rows = BlockRows(plan, part, model, inputs, batch_size=batch_size, chain=chain, only=lattice)
    acquired = acquired_by(plan, part)
    imagery = [layer for layer in layers if layer.kind == "imagery"]
    with closing(rows.finished()) as finished:
        for band, source in finished:
            for layer in imagery:
                for strip in source.strips.get(layer.name, ()):
                    shared = strip.rect.intersection(rect)
                    if not shared.is_empty:
                        found[layer.name][:, *shared.slices(rect)] = strip.dn[:, *shared.slices(strip.rect)]
            for layer, pixels in stored_layers(layers, rows.bundle, band, source, acquired):
                here = layer.cells(band.rect).slices(layer.cells(rect))
                found[layer.name][:, *here] = pixels
    return Recomputed(found, rows.tokens, rows.places)


class PublishedMosaics:
    """The mosaics of a run, opened as they are asked for; a context. Of a run in a store, scratch holds copies."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._folder = plan, RunFolder.of(plan)
        self._files = ExitStack()
        self._open: dict[tuple[int, str], rasterio.DatasetReader | None] = {}
        self._places: dict[Window, np.ndarray] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def read(self, zone: Zone, layer: Layer, rect: Rect) -> np.ndarray | None:
        """What a mosaic holds under a rectangle of the grid: (bands, height, width); None where that cannot be read."""
        dataset = self._dataset(zone, layer)
        if dataset is None:
            return None
        own, rect = layer.rect(zone.rect), layer.cells(rect)
        window = RasterWindow(rect.col - own.col, rect.row - own.row, rect.width, rect.height)
        try:
            pixels: np.ndarray = dataset.read(window=window)
            if layer.kind == "embedding":
                pixels = pixels.astype(layer.dtype, copy=False)
        except RasterioError:
            return None
        is_as_planned = pixels.shape == (len(layer.bands), *rect.shape) and pixels.dtype == layer.dtype
        return pixels if is_as_planned else None

    def places_that_differ(self, epsg: int, made: PlaceSheet) -> tuple[int, int]:
        """How many windows the run's table puts elsewhere than they are put here, and of how many."""
        if self._places is None:
            # That it is missing or damaged is told where files are checked; then all windows differ.
            self._places = read_places(RunFolder.of(self._plan).places_file) or {}
        differ = 0
        for (i, j), place in zip(made.computed.tolist(), made.places, strict=True):
            told = self._places.get((epsg, i, j))
            differ += told is None or not np.array_equal(place, told[:2], equal_nan=True)
        return differ, len(made.places)

    def _dataset(self, zone: Zone, layer: Layer) -> rasterio.DatasetReader | None:
        key = zone.epsg, layer.name
        if key not in self._open:
            try:
                local = self._files.enter_context(
                    LocalCopy(self._folder.mosaic(self._plan, zone, layer.name))
                )
                self._open[key] = self._files.enter_context(rasterio.open(local))
            except StoreError:
                raise
            except (RasterioError, OutputError):
                self._open[key] = None  # that it is missing or damaged is told where files are checked
        return self._open[key]


def differing(one: np.ndarray, other: np.ndarray | None) -> np.ndarray:
    """Pixels in which two rasters (bands, height, width) have not the same bits in all bands: bool (height, width)."""
    if other is None:
        return np.ones(one.shape[1:], bool)
    # As whole numbers: of floats a 0 has two forms, and what is no number is not even itself.
    bits = f"u{one.dtype.itemsize}"
    unlike: np.ndarray = (one.view(bits) != np.ascontiguousarray(other).view(bits)).any(axis=0)
    return unlike
