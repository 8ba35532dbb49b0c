"""From block rasters to mosaics: one cloud-optimized GeoTIFF per layer and zone, with memory that does not grow."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terramosaic.block.receipt import finished_blocks
from terramosaic.errors import OutputError
from terramosaic.ground.grid import Rect
from terramosaic.model.devices import available_cpus
from terramosaic.mosaic.cog import RasterProfile, write_cog
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import QUALITY_BITS, Layer
from terramosaic.planning.plan import Block, Plan, Zone
from terramosaic.storage.files import exists, write_text
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import Location
from terramosaic.storage.scratch import LocalCopy, local_copies

logger = logging.getLogger(__name__)

#: Rows of a mosaic that are gathered from blocks at once.
_BAND = 256


def assemble(plan: Plan) -> list[Location]:
    """Writes the run's mosaics from its block rasters; a mosaic that is there already is whole and stays.

    Args:
        plan: the run's plan; all its blocks must be done.

    Returns:
        The mosaics, zone after zone, layer after layer.

    Raises:
        OutputError: blocks are missing, or a file could not be written.
    """
    folder = RunFolder.of(plan)
    wanted = [
        (zone, layer, folder.mosaic(plan, zone, layer.name)) for zone in plan.zones for layer in plan.layers
    ]
    unmade = [item for item in wanted if not exists(item[2])]
    if unmade:
        done = finished_blocks(plan)
        missing = [block.id for block in plan.blocks if block.id not in done]
        if missing:
            raise OutputError(
                f"{len(missing)} of {len(plan.blocks)} blocks are not done ({', '.join(missing[:5])}"
                f"{', ...' if len(missing) > 5 else ''}); run the same request again to compute them"
            )
    for zone, layer, path in unmade:
        with local_files():
            geobox = zone.rect.geobox(zone.epsg)
            write_mosaic(path, _rows(plan, zone, layer), geobox, layer, _tags(plan, layer))
        logger.info("mosaic %s written", path.name)
    return [path for _, _, path in wanted]


def write_mosaic(
    path: Location, rows: Iterator[np.ndarray], geobox: GeoBox, layer: Layer, tags: Mapping[str, str]
) -> None:
    """Writes one layer's mosaic of a zone, from rows that arrive from the top.

    Raises:
        OutputError: the file could not be written.
    """
    if layer.classes:
        # GDAL keeps category names beside a GeoTIFF only. Written first: the mosaic's name says that all is there.
        write_text(path.with_name(f"{path.name}.aux.xml"), category_names(layer))
    try:
        write_cog(path, rows, profile_of(layer, geobox, tags), threads=max(2, available_cpus()))
    except (OSError, RasterioError) as error:
        raise OutputError(
            f"{path} could not be written: {error}; make room or choose another output folder"
        ) from error


def profile_of(layer: Layer, geobox: GeoBox, tags: Mapping[str, str]) -> RasterProfile:
    """How a layer's mosaic is stored, and what it says of itself."""
    is_scaled = layer.scale != 1
    return RasterProfile(
        geobox=geobox,
        dtype=np.dtype(layer.dtype),
        count=len(layer.bands),
        nodata=layer.nodata,
        overviews=layer.overviews,
        descriptions=layer.bands,
        units=None if layer.unit == "1" else [layer.unit] * len(layer.bands),
        scale=layer.scale if is_scaled else None,
        offset=0.0 if is_scaled else None,
        tags={**tags, **_meanings(layer)},
        colormap=layer.colormap,
    )


def _rows(plan: Plan, zone: Zone, layer: Layer) -> Iterator[np.ndarray]:
    """The mosaic's rows from the top, gathered from the blocks that lie under them.

    Of a run in a store, scratch holds copies of the blocks under the current rows.
    """
    folder = RunFolder.of(plan)
    open_blocks: dict[str, _OpenBlock] = {}
    waiting = sorted(zone.blocks, key=lambda block: block.row, reverse=True)
    try:
        for row in range(zone.rect.row, zone.rect.row_end, _BAND):
            band = Rect(row, zone.rect.col, min(_BAND, zone.rect.row_end - row), zone.rect.width)
            coming = []
            while waiting and waiting[-1].row < band.row_end:
                coming.append(waiting.pop())
            copies = local_copies([folder.block_raster(block, layer.name) for block in coming])
            for block, copy in zip(coming, copies, strict=True):
                open_blocks[block.id] = _OpenBlock(block, copy)
            pixels = np.full((len(layer.bands), *band.shape), layer.nodata, layer.dtype)
            for opened in list(open_blocks.values()):
                block = opened.block
                shared = block.rect.intersection(band)
                window = Window(shared.col - block.col, shared.row - block.row, shared.width, shared.height)
                pixels[:, *shared.slices(band)] = opened.read(window)
                if block.rect.row_end <= band.row_end:
                    opened.close()
                    del open_blocks[block.id]
            yield pixels
    finally:
        for opened in open_blocks.values():
            opened.close()


class _OpenBlock:
    """A block's raster while rows are read from it."""

    def __init__(self, block: Block, copy: LocalCopy) -> None:
        self.block, self._copy = block, copy
        self._dataset: rasterio.DatasetReader | None = None

    def read(self, window: Window) -> np.ndarray:
        """Its pixels (bands, rows, columns). Opened here: one that cannot be leaves no copy of another behind.

        Raises:
            OutputError: the file is broken.
        """
        try:
            if self._dataset is None:
                self._dataset = rasterio.open(self._copy.path)
            pixels: np.ndarray = self._dataset.read(window=window)
        except RasterioError as error:
            raise OutputError(
                f"block {self.block.id} could not be read: {error}; remove blocks/{self.block.id} of the run and run "
                "the same request again"
            ) from error
        return pixels

    def close(self) -> None:
        """Closes it, and removes the copy."""
        if self._dataset is not None:
            self._dataset.close()
        self._copy.close()


def origin_tags(plan: Plan, layer: Layer, days: Sequence[str]) -> dict[str, str]:
    """Which layer a file holds, made by what, from which days; for all mosaics, whatever they are put together from."""
    return {
        "TERRAMOSAIC_VERSION": plan.engine_version,
        "TERRAMOSAIC_LAYER": layer.name,
        "TERRAMOSAIC_MODEL": plan.bundle.title,
        "TERRAMOSAIC_MODEL_FINGERPRINT": plan.bundle.fingerprint,
        "TERRAMOSAIC_DATES": " ".join(dict.fromkeys(days)),
        "TIFFTAG_COPYRIGHT": "Contains modified Copernicus Sentinel data",
    }


def _tags(plan: Plan, layer: Layer) -> dict[str, str]:
    request = plan.request
    return origin_tags(plan, layer, [one.solar_day.isoformat() for one in plan.passes]) | {
        "TERRAMOSAIC_RUN": plan.run_id,
        "TERRAMOSAIC_SEED": str(request.seed),
        "TERRAMOSAIC_STRIDE": str(request.stride),
        "TERRAMOSAIC_BLEND": request.blend,
        "TERRAMOSAIC_COMPOSITE": request.composite,
        "TERRAMOSAIC_OFFSET": request.offset,
        "TIFFTAG_IMAGEDESCRIPTION": f"{layer.name} generated by {plan.bundle.title} from Sentinel-2 L2A",
    }


def _meanings(layer: Layer) -> dict[str, str]:
    """What a layer's numbers stand for, as tags."""
    bits = QUALITY_BITS if layer.kind == "flags" else {}
    return {f"CLASS_{item.value}": item.name for item in layer.classes} | {
        f"BIT_{bit}": text for bit, text in bits.items()
    }


def category_names(layer: Layer) -> str:
    """Names of a layer's classes as GDAL reads them from a file beside a GeoTIFF."""
    names = {layer.nodata: "no data"} | {item.value: item.name for item in layer.classes}
    categories = "".join(
        f"<Category>{escape(names.get(value, ''))}</Category>" for value in range(max(names) + 1)
    )
    return (
        '<PAMDataset><PAMRasterBand band="1">'
        f"<CategoryNames>{categories}</CategoryNames></PAMRasterBand></PAMDataset>\n"
    )
