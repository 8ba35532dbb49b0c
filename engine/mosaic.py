"""From block rasters to mosaics: one cloud-optimized GeoTIFF per layer and zone, with memory that does not grow."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from engine.block import finished_block
from engine.bundle import load_bundle
from engine.cog import write_cog
from engine.encode import QUALITY_BITS, Layer, layers
from engine.errors import OutputError
from engine.files import write_text
from engine.grid import Rect
from engine.plan import Block, Plan, Zone
from engine.run import RunFolder

logger = logging.getLogger(__name__)

#: Rows of a mosaic that are gathered from blocks at once.
_BAND = 256


def assemble(plan: Plan) -> list[Path]:
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
        (zone, layer, folder.mosaic(plan, zone, layer.name))
        for zone in plan.zones
        for layer in layers(plan.request, load_bundle(plan.request.model)).values()
    ]
    if any(not path.exists() for _, _, path in wanted):
        missing = [block.id for block in plan.blocks if finished_block(plan, block) is None]
        if missing:
            raise OutputError(
                f"{len(missing)} of {len(plan.blocks)} blocks are not done ({', '.join(missing[:5])}"
                f"{', ...' if len(missing) > 5 else ''}); run the same request again to compute them"
            )
    for zone, layer, path in wanted:
        if not path.exists():
            write_mosaic(path, _rows(plan, zone, layer), zone, layer, _tags(plan, layer))
            logger.info("mosaic %s written", path.name)
    return [path for _, _, path in wanted]


def write_mosaic(
    path: Path, rows: Iterator[np.ndarray], zone: Zone, layer: Layer, tags: Mapping[str, str]
) -> None:
    """Writes one layer's mosaic of a zone, from rows that arrive from the top.

    Raises:
        OutputError: the file could not be written.
    """
    if layer.classes:
        # GDAL keeps category names beside a GeoTIFF only. Written first: the mosaic's name says that all is there.
        write_text(path.with_name(f"{path.name}.aux.xml"), _category_names(layer))
    try:
        write_cog(
            path,
            rows,
            geobox=zone.rect.geobox(zone.epsg),
            dtype=layer.dtype,
            count=len(layer.bands),
            nodata=layer.nodata,
            overviews=layer.overviews,
            descriptions=layer.bands,
            units=None if layer.unit == "1" else [layer.unit] * len(layer.bands),
            scale=layer.scale if layer.scale != 1 else None,
            offset=0.0 if layer.scale != 1 else None,
            tags=tags,
            colormap=layer.colormap,
            threads=max(2, os.cpu_count() or 2),
        )
    except (OSError, RasterioError) as error:
        raise OutputError(
            f"{path} could not be written: {error}; make room or choose another output folder"
        ) from error


def _rows(plan: Plan, zone: Zone, layer: Layer) -> Iterator[np.ndarray]:
    """The mosaic's rows from the top, gathered from the blocks that lie under them."""
    folder = RunFolder.of(plan)
    open_blocks: dict[str, tuple[Block, rasterio.DatasetReader]] = {}
    waiting = sorted(zone.blocks, key=lambda block: block.row, reverse=True)
    try:
        for row in range(zone.rect.row, zone.rect.row_end, _BAND):
            band = Rect(row, zone.rect.col, min(_BAND, zone.rect.row_end - row), zone.rect.width)
            while waiting and waiting[-1].row < band.row_end:
                block = waiting.pop()
                open_blocks[block.id] = block, rasterio.open(folder.block_raster(block, layer.name))
            pixels = np.full((len(layer.bands), *band.shape), layer.nodata, layer.dtype)
            for block, dataset in list(open_blocks.values()):
                shared = block.rect.intersection(band)
                window = Window(shared.col - block.col, shared.row - block.row, shared.width, shared.height)
                pixels[:, *shared.slices(band)] = dataset.read(window=window)
                if block.rect.row_end <= band.row_end:
                    dataset.close()
                    del open_blocks[block.id]
            yield pixels
    finally:
        for _, dataset in open_blocks.values():
            dataset.close()


def _tags(plan: Plan, layer: Layer) -> dict[str, str]:
    request = plan.request
    tags = {
        "TERRAMOSAIC_RUN": plan.run_id,
        "TERRAMOSAIC_VERSION": plan.engine_version,
        "TERRAMOSAIC_LAYER": layer.name,
        "TERRAMOSAIC_MODEL": plan.bundle.title,
        "TERRAMOSAIC_MODEL_FINGERPRINT": plan.bundle.fingerprint,
        "TERRAMOSAIC_SEED": str(request.seed),
        "TERRAMOSAIC_STRIDE": str(request.stride),
        "TERRAMOSAIC_BLEND": request.blend,
        "TERRAMOSAIC_COMPOSITE": request.composite,
        "TERRAMOSAIC_OFFSET": request.offset,
        "TERRAMOSAIC_DATES": " ".join(acquisition.solar_day for acquisition in plan.acquisitions),
        "TIFFTAG_IMAGEDESCRIPTION": f"{layer.name} generated by {plan.bundle.title} from Sentinel-2 L2A",
        "TIFFTAG_COPYRIGHT": "Contains modified Copernicus Sentinel data",
    }
    tags |= {f"CLASS_{item.value}": item.name for item in layer.classes}
    if layer.kind == "flags":
        tags |= {f"BIT_{bit}": text for bit, text in QUALITY_BITS.items()}
    return tags


def _category_names(layer: Layer) -> str:
    names = {layer.nodata: "no data"} | {item.value: item.name for item in layer.classes}
    categories = "".join(
        f"<Category>{escape(names.get(value, ''))}</Category>" for value in range(max(names) + 1)
    )
    return (
        '<PAMDataset><PAMRasterBand band="1">'
        f"<CategoryNames>{categories}</CategoryNames></PAMRasterBand></PAMDataset>\n"
    )
