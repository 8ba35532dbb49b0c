"""From block rasters to mosaics: one cloud-optimized GeoTIFF per layer and zone, with memory that does not grow."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terramosaic.block.place_table import is_table
from terramosaic.block.reading import DamagedRasterError, RasterReader, forget_damaged, is_as_expected
from terramosaic.block.receipt import BlockReceipt, receipts_of_all
from terramosaic.catalog import Pass, labels_of
from terramosaic.errors import DamagedBlocksError, OutputError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.failures import RASTER_FAILURES
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.json_log import about_run
from terramosaic.model.devices import available_cpus
from terramosaic.mosaic.class_table import beside, class_table
from terramosaic.mosaic.cog import RasterProfile, write_cog
from terramosaic.mosaic.places import write_places
from terramosaic.mosaic.statistics import gdal_statistics, passing, totals_of
from terramosaic.planning.folder import RunFolder, tables_of
from terramosaic.planning.layers import ACQUIRED, Layer, day_number
from terramosaic.planning.plan import Block, Plan, Zone
from terramosaic.storage.files import exists, write_text
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import Location
from terramosaic.storage.scratch import LocalCopy, local_copies

logger = logging.getLogger(__name__)

#: Scenes of an acquisition that a mosaic's tags name: a reader of a few tiles reads them all.
_TAGGED_SCENES = 20

#: Rows of a mosaic that are gathered from blocks at once; of one whose pixels are larger, of the grid.
_BAND = 256

#: Side of a mosaic's tiles, in its own pixels.
_TILE, _EMBEDDING_TILE = 512, 32


@about_run
def assemble(plan: Plan) -> list[Location]:
    """Writes the run's mosaics from its block rasters; a mosaic that is there already stays, unless it was cut since.

    What is read is compared with the blocks' receipts. A block that is damaged loses its receipt, so that it is
    computed again by whoever goes on with the run.

    Args:
        plan: the run's plan; all its blocks must be done.

    Returns:
        The mosaics, zone after zone, layer after layer; behind them the table of coordinates, where they are wanted.

    Raises:
        DamagedBlocksError: rasters of blocks are not as they were written; names all of those blocks.
        OutputError: blocks are missing, or a file could not be written.
    """
    folder = RunFolder.of(plan)
    wanted = [
        (zone, layer, folder.mosaic(plan, zone, layer.name)) for zone in plan.zones for layer in plan.layers
    ]
    unmade = [item for item in wanted if not _is_made(*item)]
    tables = list(tables_of(plan).values())
    if not unmade and all(map(is_table, tables)):
        return [*(path for _, _, path in wanted), *tables]
    receipts = receipts_of_all(plan)
    damaged: set[str] = set()
    for zone, layer, path in unmade:
        try:
            with local_files():
                geobox = layer.geobox(zone.rect, zone.epsg)
                tags = _tags(plan, layer)
                if layer.key == ACQUIRED.key:
                    tags |= _acquisition_tags(plan)
                write_mosaic(path, _rows(plan, zone, layer, receipts), geobox, layer, tags)
            logger.info("mosaic %s written", path.name)
        except DamagedBlocksError as error:
            damaged.update(error.blocks)
    for path in tables:
        try:
            write_places(path, plan, receipts)
        except DamagedBlocksError as error:
            damaged.update(error.blocks)
    if damaged:
        raise forget_damaged(plan, damaged)
    return [*(path for _, _, path in wanted), *tables]


def _is_made(zone: Zone, layer: Layer, path: Location) -> bool:
    """Whether a mosaic is there with its last pixels, at all scales; only the run's item tells more."""
    if not exists(path):
        return False
    reason = ""
    try:
        with LocalCopy(path) as local, local_files():
            with rasterio.open(local) as dataset:
                levels = [None, *range(len(dataset.overviews(1)))]
                if not is_as_expected(dataset, layer.rect(zone.rect), len(layer.bands), layer.dtype):
                    reason, levels = "it is another raster", []
            for level in levels:
                with rasterio.open(local, **({} if level is None else {"overview_level": level})) as dataset:
                    dataset.read(window=Window(dataset.width - 1, dataset.height - 1, 1, 1))
    except RASTER_FAILURES as error:
        reason = str(error)
    if reason:
        logger.warning("%s is damaged and made anew: %s", path, reason)
    return not reason


def write_mosaic(
    path: Location, rows: Iterator[np.ndarray], geobox: GeoBox, layer: Layer, tags: Mapping[str, str]
) -> None:
    """Writes one layer's mosaic of a zone, from rows that arrive from the top.

    Raises:
        OutputError: the file could not be written.
    """
    if layer.kind == "class":
        # GDAL keeps a table of classes beside a GeoTIFF only. Written first: the mosaic's name says that all is there.
        write_text(beside(path), class_table(layer))
    profile, threads = profile_of(layer, geobox, tags), max(2, available_cpus())
    try:
        # Of classes, flags and days figures mean nothing, of an embedding's hundreds of bands they would tell nobody.
        if layer.is_measured and layer.kind != "embedding":
            totals = totals_of(layer)
            statistics = partial(gdal_statistics, totals)
            write_cog(path, passing(totals, rows), profile, threads=threads, band_tags=statistics)
        else:
            write_cog(path, rows, profile, threads=threads)
    except (OSError, RasterioError) as error:
        raise OutputError(
            f"{path} could not be written: {error}; make room or choose another output folder"
        ) from error


def profile_of(layer: Layer, geobox: GeoBox, tags: Mapping[str, str]) -> RasterProfile:
    """How a layer's mosaic is stored, and what it says of itself."""
    is_scaled = layer.scale != 1
    return RasterProfile(
        geobox=geobox,
        dtype=np.dtype(layer.file_dtype),
        count=len(layer.bands),
        nodata=layer.nodata,
        overviews=layer.overviews,
        descriptions=layer.bands,
        units=None if layer.unit == "1" else ["" if unit == "1" else unit for unit in layer.units],
        scale=layer.scale if is_scaled else None,
        offset=0.0 if is_scaled else None,
        tags={**tags, **_meanings(layer)},
        colormap=layer.colormap,
        # Of hundreds of bands a tile this small holds as many numbers as one of two bands.
        tile=_EMBEDDING_TILE if layer.kind == "embedding" else _TILE,
    )


def _rows(plan: Plan, zone: Zone, layer: Layer, receipts: Mapping[str, BlockReceipt]) -> Iterator[np.ndarray]:
    """The mosaic's rows from the top, gathered from the blocks that lie under them.

    Of a run in a store, scratch holds copies of the blocks under the current rows.

    Raises:
        DamagedBlocksError: rasters are not as they were written; before the last rows, so that no mosaic is made.
    """
    folder, whole = RunFolder.of(plan), layer.rect(zone.rect)
    opened: dict[str, _OpenBlock] = {}
    damaged: list[str] = []
    waiting = sorted(zone.blocks, key=lambda block: block.row, reverse=True)
    try:
        height = max(1, _BAND // layer.cell)
        for row in range(whole.row, whole.row_end, height):
            band = Rect(row, whole.col, min(height, whole.row_end - row), whole.width)
            coming = []
            while waiting and layer.rect(waiting[-1].rect).row < band.row_end:
                coming.append(waiting.pop())
            copies = local_copies([folder.block_raster(block, layer.name) for block in coming])
            for block, copy in zip(coming, copies, strict=True):
                reader = RasterReader.of(copy.path, block, layer, receipts[block.id])
                opened[block.id] = _OpenBlock(block, reader, copy)
            pixels = np.full((len(layer.bands), *band.shape), layer.nodata, layer.dtype)
            for each in list(opened.values()):
                block, rect = each.block, layer.rect(each.block.rect)
                shared = rect.intersection(band)
                try:
                    read = each.reader.read(shared)
                    # Where margins lie over each other, one block may have needed what another did not.
                    is_held = read != layer.nodata if layer.margin else True
                    np.copyto(pixels[:, *shared.slices(band)], read, where=is_held)
                    is_over = rect.row_end <= band.row_end
                except DamagedRasterError as error:
                    logger.warning("block %s: %s is damaged: %s", block.id, layer.name, error)
                    damaged.append(block.id)
                    is_over = True
                if is_over:
                    each.close()
                    del opened[block.id]
            if damaged and band.row_end == whole.row_end:
                raise DamagedBlocksError(damaged)
            yield pixels.astype(layer.file_dtype, copy=False)
    finally:
        for each in opened.values():
            each.close()


class _OpenBlock(NamedTuple):
    """A block's raster while rows are read from it."""

    block: Block
    reader: RasterReader
    copy: LocalCopy

    def close(self) -> None:
        """Closes it, and removes the copy."""
        self.reader.close()
        self.copy.close()


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
        "TERRAMOSAIC_STRIDE": str(plan.lattice_of(layer.target).stride if layer.target else plan.stride),
        "TERRAMOSAIC_BLEND": request.blend,
        "TERRAMOSAIC_COMPOSITE": "single" if plan.dates else request.composite,
        "TERRAMOSAIC_OFFSET": request.offset,
        "TIFFTAG_IMAGEDESCRIPTION": description(plan, layer),
    }


def description(plan: Plan, layer: Layer) -> str:
    """What a file holds, in a line."""
    if layer.key == ACQUIRED.key:
        return "Days since 1970-01-01, and passes, of the imagery that was used"
    if layer.kind == "imagery":
        return f"Sentinel-2 L2A as {plan.bundle.title} saw it, reflectance x 10 000, 0 where there is none"
    if layer.kind == "embedding":
        patch = f"each patch of {layer.resolution} m"
        return f"What the encoder of {plan.bundle.title} makes of {patch}, from {plan.made_from}"
    if plan.request.reconstruct:
        return f"{layer.name} reconstructed by the tokenizer of {plan.bundle.title} from {plan.made_from}"
    return f"{layer.name} generated by {plan.bundle.title} from {plan.made_from}"


def acquisition_tag(of_pass: Pass) -> str:
    """Names the tag that tells of an acquisition, by what `ACQUIRED` stores of it."""
    return f"ACQUISITION_{day_number(of_pass.solar_day)}_{of_pass.number}"


def _acquisition_tags(plan: Plan) -> dict[str, str]:
    """The acquisitions with the scenes that were used of them; of many scenes the first few."""
    decisions = SceneRecords(RunFolder.of(plan)).read_all(plan)
    left_out = {key for key, decision in decisions.items() if not decision.is_used}
    tags = {}
    for of_pass, label, ranked in zip(plan.passes, labels_of(plan.passes), plan.acquisitions, strict=True):
        used = [scene for scene in ranked.scenes if scene not in left_out]
        more = f" and {len(used) - _TAGGED_SCENES} more, see item.json" if len(used) > _TAGGED_SCENES else ""
        tags[acquisition_tag(of_pass)] = f"{label}: {' '.join(used[:_TAGGED_SCENES])}{more}"
    return tags


def _meanings(layer: Layer) -> dict[str, str]:
    """What a layer's numbers stand for, as tags."""
    classes = layer.classes if layer.kind == "class" else ()
    return {f"CLASS_{item.value}": item.name for item in classes} | {
        f"BIT_{bit}": text for bit, text in layer.bits.items()
    }
