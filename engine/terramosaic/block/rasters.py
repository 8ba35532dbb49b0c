"""A block's rasters: finished rows are encoded and written as they come, and appear whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import rasterio
from affine import Affine
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window

from terramosaic.block.encoding import (
    second_classes,
    stored_classes,
    stored_embeddings,
    stored_percents,
    stored_values,
)
from terramosaic.block.ndvi import INFRARED, NdviAgreement, NdviTally
from terramosaic.block.pixel_hash import PixelHash
from terramosaic.block.places import PlaceSheet
from terramosaic.block.preview import PREVIEW, PREVIEW_BANDS, preview_rect, preview_transform
from terramosaic.block.tokens import TokenSheet
from terramosaic.errors import OutputError
from terramosaic.ground.blend import RowBand
from terramosaic.ground.grid import Rect
from terramosaic.imagery.marks import Mark, added
from terramosaic.imagery.stack import Strip
from terramosaic.model.bundle import Bundle
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import (
    QUALITY_CLOUD,
    QUALITY_NODATA,
    QUALITY_OTHER_ZONE,
    QUALITY_REPAIRED,
    QUALITY_SEA,
    QUALITY_SKIPPED,
    Layer,
    day_number,
)
from terramosaic.planning.plan import Block, Plan
from terramosaic.storage.files import whole_file

#: Rows in a strip of a block's raster. Blocks are read back by bands of rows, so they are not tiled.
_STRIP_ROWS = 64

#: Bands of `SourceRows`: what the report shows, and what an NDVI takes.
SOURCE_BANDS = (*PREVIEW_BANDS, INFRARED)


@dataclass(frozen=True)
class SourceRows:
    """What lies under some finished rows: uint16 (bands, height, width) and bool (height, width) masks.

    Attributes:
        dn: reflectance x 10 000 in `SOURCE_BANDS`; in place of one that the model does not take, its first.
        valid: what all inputs have seen in any window, of whatever lattice.
        acquisition: uint16 (height, width), which of the block's it is of; see `Strip`.
        strips: of the stack, margin and all, that were read since the rows before, by the layer that they are kept as:
            where the run keeps its imagery.
        sea: heights were 0 m there, for no tile lies over the sea.
        marked: by input, how many pixels of the region each mark is of.
        passes: of Sentinel-1, how many valid pixels are of each, by its label.
    """

    rect: Rect
    dn: np.ndarray
    valid: np.ndarray
    cloudy: np.ndarray
    other_zone: np.ndarray
    repaired: np.ndarray
    acquisition: np.ndarray
    sea: np.ndarray
    strips: dict[str, tuple[Strip, ...]] = field(default_factory=dict)
    marked: dict[str, dict[Mark, int]] = field(default_factory=dict)
    passes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def empty(cls, rect: Rect, bands: int, strips: dict[str, tuple[Strip, ...]] | None = None) -> SourceRows:
        """Rows that no scene covers, of so many bands."""
        valid, cloudy, other_zone, repaired, sea = (np.zeros(rect.shape, bool) for _ in range(5))
        dn, acquisition = (
            np.zeros((bands, *rect.shape), np.uint16),
            np.zeros(rect.shape, np.uint16),
        )
        return cls(rect, dn, valid, cloudy, other_zone, repaired, acquisition, sea, strips or {})

    def take(self, strip: Strip, shared: Rect, bands: list[int]) -> None:
        """Copies from a strip of the stack what it knows of the rectangle ``shared``."""
        here, there = shared.slices(self.rect), shared.slices(strip.rect)
        for index, band in enumerate(bands):
            self.dn[index][here] = strip.dn[band][there]
        self.valid[here] = strip.valid[there]
        self.cloudy[here] = strip.cloudy[there]
        self.other_zone[here] = strip.other_zone[there]
        self.repaired[here] = strip.repaired[there]
        self.acquisition[here] = strip.acquisition[there]


@dataclass(frozen=True)
class Written:
    """A raster that is written: its size in bytes, and its `PixelHash`."""

    size: int
    sha256: str


class _NotKeptError(Exception):
    """Ends the making of files that are not to be kept."""


class BlockRasters:
    """Opens a block's rasters under temporary names; `keep` gives them their own, and without it they are dropped."""

    def __init__(self, plan: Plan, block: Block, bundle: Bundle) -> None:
        self._block, self._layers, self._bundle = block, plan.layers, bundle
        self._acquired = acquired_by(plan, block)
        self._folder = RunFolder.of(plan)
        self._files = ExitStack()
        self._datasets: dict[str, DatasetWriter] = {}
        self._partials: dict[str, Path] = {}
        self._hashes: dict[str, PixelHash] = {}
        self._rects: dict[str, Rect] = {}
        self._factor = plan.preview_factor
        self._preview_rect = preview_rect(block.rect, self._factor)
        bounds = [
            layer.bounds[0] for layer in plan.layers if layer.key == ("NDVI", "estimate") and layer.bounds
        ]
        # Only the surface's reflectance has an NDVI to compare with.
        optical = plan.optical
        known = optical.bands if optical is not None and optical.level == "L2A" else ()
        self._ndvi = NdviTally(SOURCE_BANDS, known, *bounds)
        self._skips = any(QUALITY_SKIPPED in layer.bits for layer in plan.layers)
        self._preview = np.zeros((len(PREVIEW_BANDS), *self._preview_rect.shape), np.uint16)
        self.valid_pixels = 0
        self.cloudy_pixels = 0
        self.skipped_pixels = 0
        self.passes: Counter[str] = Counter()
        self._marked: dict[str, dict[str, int]] = {}

    def __enter__(self) -> Self:
        for layer in self._layers:
            own = layer.rect(self._block.rect)
            self._open(
                layer.name,
                own,
                len(layer.bands),
                layer.dtype,
                layer.nodata,
                layer.transform(own),
                is_small=layer.is_small,
            )
        return self

    def __exit__(self, *error: Any) -> None:
        for dataset in self._datasets.values():
            # Only after an error are any still open, and that one counts.
            with suppress(RasterioError):
                dataset.close()
        self._files.__exit__(_NotKeptError, _NotKeptError(), None)

    def write(self, band: RowBand, source: SourceRows) -> None:
        """Encodes and writes finished rows of all layers."""
        for layer in self._layers:
            if layer.kind == "imagery":
                for strip in source.strips.get(layer.name, ()):
                    self._put(layer.name, *self._in_full_width(layer.name, strip))
        if band.rect.is_empty:
            return
        mapped = source.valid & ~_skipped(band, source) if self._skips else source.valid
        self.valid_pixels += int(mapped.sum())
        self.cloudy_pixels += int((source.cloudy & mapped).sum())
        self.skipped_pixels += int((source.valid & ~mapped).sum())
        self.passes.update(source.passes)
        for name, marks in source.marked.items():
            told = {mark.label: count for mark, count in marks.items()}
            self._marked[name] = added(self._marked.get(name, {}), told)
        generated = band.means["NDVI"][0] if "NDVI" in band.means else None
        self._ndvi.add(band.rect.row, source.dn, _valid(band, source, "NDVI"), generated)
        for layer, pixels in stored_layers(self._layers, self._bundle, band, source, self._acquired):
            self._put(layer.name, pixels, layer.cells(band.rect))
        self._keep_preview(source)

    @property
    def ndvi(self) -> NdviAgreement:
        """The NDVI that the imagery shows, and the one that was generated."""
        return self._ndvi.total

    @property
    def inputs(self) -> Mapping[str, dict[str, int]]:
        """By input, how many pixels of the region each mark is of; see `Mark`."""
        return self._marked

    def finish(self, sheets: Iterable[TokenSheet | PlaceSheet]) -> dict[str, Written]:
        """Closes all rasters, with what was drawn for the block's windows, and says what was written."""
        # A sliver of a block may lie between two pixels of the preview.
        if not self._preview_rect.is_empty:
            transform = preview_transform(self._preview_rect, self._factor)
            self._open(PREVIEW, self._preview_rect, len(PREVIEW_BANDS), "uint16", 0, transform)
            self._put(PREVIEW, self._preview, self._preview_rect)
        for sheet in sheets:
            count = len(sheet.numbers)
            # Tokens shrink to half.
            is_small = isinstance(sheet, TokenSheet)
            self._open(
                sheet.name, sheet.rect, count, sheet.dtype, sheet.nodata, sheet.transform, is_small=is_small
            )
            self._put(sheet.name, sheet.numbers, sheet.rect)
        try:
            while self._datasets:
                self._datasets.popitem()[1].close()
        except RasterioError as error:
            raise OutputError(f"{error}; make room or choose another output folder") from error
        return {
            name: Written(partial.stat().st_size, self._hashes[name].hexdigest())
            for name, partial in self._partials.items()
        }

    def keep(self) -> None:
        """Gives all rasters their names."""
        self._files.close()

    def _open(
        self,
        name: str,
        rect: Rect,
        count: int,
        dtype: str,
        nodata: int,
        transform: Affine,
        *,
        is_small: bool = False,
    ) -> None:
        partial = self._files.enter_context(whole_file(self._folder.block_raster(self._block, name)))
        self._partials[name] = partial
        self._hashes[name] = PixelHash(rect, count, dtype, nodata)
        self._rects[name] = rect
        try:
            self._datasets[name] = rasterio.open(
                partial,
                "w",
                driver="GTiff",
                height=rect.height,
                width=rect.width,
                count=count,
                dtype=dtype,
                nodata=nodata,
                crs=f"EPSG:{self._block.epsg}",
                transform=transform,
                blockysize=_STRIP_ROWS,
                # As the arrays are: weaving bands together costs more than all else in writing.
                interleave="band",
                compress="zstd" if is_small else "none",
                **({"zstd_level": 1} if is_small else {}),
            )
        except RasterioError as error:
            raise OutputError(f"{partial} could not be made: {error}") from error

    def _in_full_width(self, name: str, strip: Strip) -> tuple[np.ndarray, Rect]:
        """A strip of the stack as rows of a raster, and where these lie."""
        own = self._rects[name]
        rows = Rect(strip.rect.row, own.col, strip.rect.height, own.width)
        pixels = np.zeros((len(strip.dn), *rows.shape), strip.dn.dtype)
        pixels[:, *strip.rect.slices(rows)] = strip.dn
        return pixels, rows

    def _put(self, name: str, pixels: np.ndarray, rect: Rect) -> None:
        own = self._rects[name]
        try:
            self._datasets[name].write(
                pixels, window=Window(rect.col - own.col, rect.row - own.row, rect.width, rect.height)
            )
        except RasterioError as error:
            raise OutputError(f"raster {name} could not be written: {error}; make room") from error
        self._hashes[name].feed(rect.row, pixels)

    def _keep_preview(self, source: SourceRows) -> None:
        kept = preview_rect(source.rect, self._factor)
        if not kept.is_empty:
            row, col = kept.row * self._factor - source.rect.row, kept.col * self._factor - source.rect.col
            pixels = source.dn[: len(PREVIEW_BANDS), row :: self._factor, col :: self._factor]
            pixels = pixels * source.valid[row :: self._factor, col :: self._factor]
            self._preview[:, *kept.slices(self._preview_rect)] = pixels


def stored_layers(
    layers: Sequence[Layer], bundle: Bundle, band: RowBand, source: SourceRows, acquired: np.ndarray
) -> Iterator[tuple[Layer, np.ndarray]]:
    """Finished rows as the numbers that each layer stores: (bands, height, width) of its dtype.

    But for imagery, which is stored as its strips are read.

    Args:
        layers: of the run.
        bundle: its model.
        band: what the model made.
        source: what it was made from.
        acquired: from `acquired_by`.
    """

    def several(target: str) -> np.ndarray:
        """Where there is what a single window does not say."""
        many: np.ndarray = _valid(band, source, target) & (band.windows[target] > 1)
        return many

    confidences: dict[str, np.ndarray] = {}
    pixels: np.ndarray
    for layer in layers:
        if layer.kind == "imagery":
            continue
        valid = _valid(band, source, layer.target)
        if layer.measure == "second":
            pixels = second_classes(layer, bundle, band.means[layer.target], valid)
        elif layer.kind == "class":
            means = band.means[layer.target]
            # The confidence, if it is wanted, is the layer after it.
            pixels, confidences[layer.target] = stored_classes(layer, bundle, means, valid)
        elif layer.measure == "confidence":
            pixels = confidences[layer.target]
        elif layer.measure == "disagreement":
            pixels = stored_percents(band.disagreements[layer.target][None], several(layer.target))
        elif layer.measure == "probabilities":
            pixels = stored_percents(band.means[layer.target], valid)
        elif layer.measure == "std":
            pixels = stored_values(layer, band.stds[layer.target], several(layer.target))
        elif layer.kind == "embedding":
            pixels = stored_embeddings(layer, band.patches[layer.target], _any_of(layer, band.rect, valid))
        elif layer.kind == "value":
            pixels = stored_values(layer, band.means[layer.target], valid)
        elif layer.kind == "days":
            pixels = acquired[:, source.acquisition * valid]
        else:
            pixels = _quality(layer, band, source)
        yield layer, pixels


def _valid(band: RowBand, source: SourceRows, target: str) -> np.ndarray:
    """Which pixels have a value of a target, whose own windows have seen them; of what is of no target, all valid."""
    valid: np.ndarray = source.valid & band.seen[target] if target in band.seen else source.valid
    return valid


def _skipped(band: RowBand, source: SourceRows) -> np.ndarray:
    """Pixels that were seen, under cloud, and have a value of no target: all windows over them were left out."""
    seen = np.logical_or.reduce([np.zeros(band.rect.shape, bool), *band.seen.values()])
    skipped: np.ndarray = source.valid & source.cloudy & ~seen
    return skipped


def _any_of(layer: Layer, rect: Rect, mask: np.ndarray) -> np.ndarray:
    """Of a mask of pixels in a rectangle, bool (height, width), in which of a layer's own there is any."""
    own, size = layer.cells(rect), layer.cell
    whole = np.zeros((own.height * size, own.width * size), bool)
    whole[rect.slices(Rect(own.row * size, own.col * size, *whole.shape))] = mask
    found: np.ndarray = np.logical_or.reduce(whole.reshape(own.height, size, own.width, size), axis=(1, 3))
    return found


def acquired_by(plan: Plan, block: Block) -> np.ndarray:
    """What `ACQUIRED` stores for each acquisition of a block, behind a 0 for none: uint16 (2, acquisitions + 1)."""
    of_scene = {
        scene: one
        for ranked, one in zip(plan.acquisitions, plan.passes, strict=True)
        for scene in ranked.scenes
    }
    passes = [of_scene[scenes[0]] for scenes in block.acquisitions]
    days = [day_number(one.solar_day) for one in passes]
    return np.array([[0, *days], [0, *(one.number for one in passes)]], np.uint16)


def _quality(layer: Layer, band: RowBand, source: SourceRows) -> np.ndarray:
    """The quality layer's flags, uint8 (1, height, width)."""
    cloudy = source.cloudy * np.uint8(QUALITY_CLOUD)
    other_zone = source.other_zone * np.uint8(QUALITY_OTHER_ZONE)
    repaired = source.repaired * np.uint8(QUALITY_REPAIRED)
    flags = band.flags | cloudy | other_zone | repaired
    # A run that was begun before there was the flag has no pixel with it.
    if QUALITY_SEA in layer.bits:
        flags |= source.sea * np.uint8(QUALITY_SEA)
    if QUALITY_SKIPPED in layer.bits:
        flags |= _skipped(band, source) * np.uint8(QUALITY_SKIPPED)
    return np.where(source.valid, flags, np.uint8(QUALITY_NODATA))[None]
