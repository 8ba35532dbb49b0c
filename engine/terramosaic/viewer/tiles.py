"""Tiles of a layer in web mercator: its zones side by side, in the report's colours.

GDAL warps to the tile's own pixels and takes the overview that fits. rio-tiler (9.4), which is for this, warps at the
file's resolution and then leaves pixels out: the tile of zoom 0 of two bands took it 106 s on two busy cores, and takes
0.3 s here.
"""

from __future__ import annotations

import io
import math
from functools import cache
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.enums import Resampling
from rasterio.transform import from_bounds
from rasterio.vrt import WarpedVRT

from terramosaic.ground.grid import RESOLUTION
from terramosaic.publishing.reduced import told_if_broken
from terramosaic.storage.gdal import local_files
from terramosaic.viewer.layers import MapLayer, MosaicFile

#: Pixels to a side of a tile.
SIDE = 256
#: The finest tiles: 0.6 m of the ground at the equator to a pixel.
DEEPEST = 18

#: Half the side of web mercator's square, in its metres: half the equator of a sphere of 6 378 137 m.
_HALF = math.pi * 6_378_137

#: How hard tiles are pressed, of 9: more takes far more time than it saves bytes.
_EFFORT = 2


@cache
def empty_tile() -> bytes:
    """A tile without data, as PNG: wholly transparent."""
    return _png(np.zeros((SIDE, SIDE, 4), np.uint8))


def tile(layer: MapLayer, z: int, x: int, y: int) -> bytes:
    """A tile of a layer as PNG, 256 x 256 pixels; transparent where there is no data.

    Classes, flags and days are never mixed. Neither are values, once a pixel of the tile is smaller than theirs: they
    are seen as they are stored.

    Args:
        layer: the layer.
        z: zoom, from 0 to `DEEPEST`, as in OpenStreetMap's scheme.
        x: column of the tile.
        y: row of the tile, from the north.

    Raises:
        OutputError: a mosaic is damaged.
    """
    west, south, east, north = degrees_of(z, x, y)
    files = [file for file in layer.mosaics if file.extent.touches(west, south, east, north)]
    if not files:
        return empty_tile()
    metres = 2 * _HALF / SIDE / 2**z * math.cos(math.radians((south + north) / 2))
    is_mixed = layer.layer.is_measured and metres > RESOLUTION * layer.layer.cell
    method = Resampling.bilinear if is_mixed else Resampling.nearest
    stored = _warped(files[0], layer, (z, x, y), method)
    for file in files[1:]:
        missing = stored[0] == layer.layer.nodata
        if missing.any():
            stored = np.where(missing, _warped(file, layer, (z, x, y), method), stored)
    return _png(layer.paint.paint(stored))


def degrees_of(z: int, x: int, y: int) -> tuple[float, float, float, float]:
    """West, south, east and north of a tile, in degrees."""
    turn = 360 / 2**z

    def latitude(row: int) -> float:
        return math.degrees(math.atan(math.sinh(math.pi * (1 - 2 * row / 2**z))))

    return x * turn - 180, latitude(y + 1), (x + 1) * turn - 180, latitude(y)


def _warped(file: MosaicFile, layer: MapLayer, at: tuple[int, int, int], method: Resampling) -> np.ndarray:
    """Stored numbers of a tile's pixels, (bands, 256, 256), from a zone's mosaic."""
    z, x, y = at
    side = 2 * _HALF / 2**z
    left, top = x * side - _HALF, _HALF - y * side
    wanted = {
        "crs": "EPSG:3857",
        "transform": from_bounds(left, top - side, left + side, top, SIDE, SIDE),
        "width": SIDE,
        "height": SIDE,
        "resampling": method,
        "nodata": layer.layer.nodata,
        "src_nodata": layer.layer.nodata,
    }
    with (
        local_files(),
        told_if_broken(Path(file.name)),
        rasterio.open(file.path) as mosaic,
        WarpedVRT(mosaic, **wanted) as warped,
    ):
        stored: np.ndarray = warped.read([band + 1 for band in layer.paint.bands])
    return stored


def _png(rgba: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(rgba).save(content, "PNG", compress_level=_EFFORT)
    return content.getvalue()
