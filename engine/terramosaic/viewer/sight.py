"""What the model saw, as a layer: of runs that keep no imagery, from the picture that was published with them.

It is smaller than the maps, as the report's, and has colours and no values.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image
from rasterio.io import MemoryFile

from terramosaic.block.preview import PREVIEW, preview_rect, preview_transform
from terramosaic.errors import OutputError
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan, Zone
from terramosaic.publishing.painting import Paint
from terramosaic.publishing.quicklook import Channel, Quicklook
from terramosaic.storage.files import read_bytes
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import Location

TITLE = "Imagery that the model saw (small picture)"

_BANDS = ("red", "green", "blue")


def sight_layer(plan: Plan) -> Layer:
    """The layer; its pixels are as large as those of the report's pictures, and may reach a little beyond the maps."""
    factor = plan.preview_factor
    return Layer(PREVIEW, "imagery", _BANDS, "uint16", 0, margin=factor, cell=factor)


def sight_paint(layer: Layer) -> Paint:
    """Its colours as they are: 0 is no data, and each brightness a step more than in the picture."""
    channels = tuple(Channel(band, 1, 256) for band in _BANDS)
    return Paint(
        layer,
        Quicklook(Image.new("L", (1, 1)), _caption(layer), channels=channels),
    )


def _caption(layer: Layer) -> str:
    return (
        f"The report's picture of it, in pixels of {layer.resolution} m and without values. Runs with --keep-imagery "
        "have Sentinel-2 in full."
    )


def sight_file(plan: Plan, zone: Zone, picture: Location) -> MemoryFile:
    """The picture of a zone as a raster in memory that GDAL knows the place of.

    Args:
        plan: the run's.
        zone: the zone.
        picture: the PNG.

    Raises:
        OutputError: the picture cannot be read.
    """
    try:
        with Image.open(io.BytesIO(read_bytes(picture))) as image:
            rgba = np.asarray(image.convert("RGBA"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise OutputError(f"{Path(picture.name)} cannot be read: {error}") from error
    stored = np.where(rgba[..., 3:] > 0, rgba[..., :3] + np.uint16(1), 0).astype(np.uint16)
    memory = MemoryFile(ext=".tif")
    with (
        local_files(),
        memory.open(
            driver="GTiff",
            height=stored.shape[0],
            width=stored.shape[1],
            count=3,
            dtype="uint16",
            nodata=0,
            crs=f"EPSG:{zone.epsg}",
            transform=preview_transform(preview_rect(zone.rect, plan.preview_factor), plan.preview_factor),
            tiled=True,
        ) as raster,
    ):
        raster.write(np.moveaxis(stored, -1, 0))
    return memory
