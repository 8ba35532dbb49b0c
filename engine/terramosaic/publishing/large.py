"""Large pictures of mosaics, to be opened from the report: up to 4 096 pixels, drawn strip by strip.

Each is read from the overview that is just below that side, so memory does not grow with the region: measured with
noise of 4 096 and of 16 384 pixels a side, 270 MB each, of which 67 MB are the picture and most of the rest WebP's.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import rasterio
from PIL import Image, features
from rasterio.windows import Window

from terramosaic.planning.layers import Layer
from terramosaic.publishing.painting import Paint
from terramosaic.publishing.quicklook import Quicklook, draw, is_shaded
from terramosaic.publishing.record import LayerRecord
from terramosaic.publishing.reduced import ReducedMosaic, told_if_broken
from terramosaic.storage.files import whole_file
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import Location
from terramosaic.storage.scratch import LocalCopy

#: Pixels of the longest side at most.
LARGEST = 4096

#: Rows that are drawn at once.
_ROWS = 256

_ENDINGS = (".webp", ".png")
_WEBP_QUALITY = 90


def large_names(name: str) -> list[str]:
    """What a large picture of a mosaic may be called: photographs are WebP where Pillow knows it, classes PNG."""
    return [f"{name}_large{ending}" for ending in _ENDINGS]


def write_large(record: LayerRecord, preview_factor: int, folder: Location) -> None:
    """Writes the large picture of a mosaic, where it tells more than the quicklook does.

    Args:
        record: the mosaic.
        preview_factor: pixels of the grid to one of the quicklook, along a side.
        folder: where pictures lie.

    Raises:
        OutputError: the mosaic cannot be read, or the picture not be written.
    """
    factor = _factor(record)
    layer = record.layer
    if factor >= preview_factor or layer.cell > 1 or is_shaded(layer) or not record.census.valid_share:
        return
    with LocalCopy(record.path) as local, local_files():
        image = _drawn(local, record, factor)
    if image is None:
        return
    flat = image.mode == "P" or not features.check("webp")
    with whole_file(folder / large_names(record.name)[flat]) as partial:
        if flat:
            image.save(partial, "PNG", compress_level=6)
        else:
            # Days have colours that stand for something.
            is_exact = layer.kind == "days"
            image.save(partial, "WEBP", lossless=is_exact, quality=_WEBP_QUALITY, method=2)


def _factor(record: LayerRecord) -> int:
    longest = max(record.zone.rect.shape)
    return 1 << max(0, (-(-longest // LARGEST) - 1).bit_length())


def _drawn(path: Path, record: LayerRecord, factor: int) -> Image.Image | None:
    with told_if_broken(path):
        with rasterio.open(path) as dataset:
            levels = dataset.overviews(1)
        if factor > 1 and factor not in levels:
            return None
        options = {"overview_level": levels.index(factor)} if factor > 1 else {}
        with rasterio.open(path, **options) as dataset:
            return _stitched(dataset, record.layer, record.quicklook, factor)


def _stitched(dataset: rasterio.DatasetReader, layer: Layer, picture: Quicklook, factor: int) -> Image.Image:
    whole: Image.Image | None = None
    for row in range(0, dataset.height, _ROWS):
        rows = min(_ROWS, dataset.height - row)
        stored: np.ndarray = dataset.read(window=Window(0, row, dataset.width, rows))
        strip = _strip(ReducedMosaic(layer, stored, factor), picture)
        if whole is None:
            whole = Image.new(strip.mode, (dataset.width, dataset.height))
            if strip.mode == "P":
                whole.putpalette(strip.getpalette() or [])
                whole.info.update(strip.info)
        whole.paste(strip, (0, row))
    assert whole is not None  # mosaics have rows
    return whole


def _strip(reduced: ReducedMosaic, picture: Quicklook) -> Image.Image:
    if reduced.layer.kind in ("class", "flags"):
        return draw(reduced).image  # with its palette, a byte a pixel
    paint = Paint.of(reduced.layer, picture)
    return Image.fromarray(paint.paint(reduced.stored[list(paint.bands)]))
