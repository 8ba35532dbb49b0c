"""A made-up Sentinel-2 L2A world for ``terramosaic demo``: two tiles, two dates, COGs and a static STAC catalog.

Nothing is downloaded and nothing is real, but everything is where a real catalog has it: bands at 10, 20 and 60 m on
the tiles' own grid, a scene classification, two processing baselines of which one carries the +1000 offset, clouds
in different places, a swath that ends inside a tile. The pixels depend on seed and size alone, on every machine.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from terramosaic.bands import GSD, L2A_FILES, S2L2A_BANDS
from terramosaic.demo.canvas import Surface
from terramosaic.demo.items import COLLECTION, WORLD_FIELD, make_catalog
from terramosaic.demo.landscape import make_surface
from terramosaic.demo.overpasses import (
    EPSG,
    OVERPASSES,
    Overpass,
    Tile,
    inside_swath,
    item_id,
    overlap_of,
    tiles,
)
from terramosaic.demo.relief import NATURAL_SIZE
from terramosaic.demo.sky import Sky, classify, make_sky
from terramosaic.demo.texture import FloatArray, grain, shrink
from terramosaic.errors import OutputError, RequestError
from terramosaic.storage.files import whole_file, write_text

#: Goes up whenever the same seed and size would give other pixels or items.
GENERATOR = 1

_SMALLEST = 240
_WRITERS = 2

_COG = {
    "driver": "COG",
    "compress": "ZSTD",
    "level": 1,
    "predictor": "YES",
    "blocksize": 512,
    "bigtiff": "NO",
}


def write_world(folder: Path, *, seed: int = 0, size: int = NATURAL_SIZE) -> Path:
    """Makes the world, unless it is there already.

    Args:
        folder: where ``catalog.json`` and the collection's folder go; made if need be.
        seed: another seed gives other fields, clouds and noise in the same kind of land.
        size: side of a tile in pixels of 10 m, a multiple of 6 (the 60 m grid) of at least 240. The land shrinks and
            grows with it; the default, 18.3 km, takes about ten seconds and 0.7 GB of memory.

    Returns:
        The path of ``catalog.json``. It is written last: where it stands, the world is whole.

    Raises:
        RequestError: seed or size is out of bounds.
        OutputError: a file could not be written.
    """
    if size % 6 or size < _SMALLEST:
        raise RequestError(
            f"size: {size} pixels do not fit the 60 m grid; take a multiple of 6 from {_SMALLEST} on"
        )
    if not 0 <= seed < 2**64:
        raise RequestError(f"seed: {seed} is out of bounds; take a whole number from 0 to 2**64 - 1")
    folder = Path(folder)
    identity = {"generator": GENERATOR, "seed": seed, "size": size}
    catalog = folder / "catalog.json"
    if _is_whole(catalog, identity):
        return catalog
    try:
        catalog.unlink(missing_ok=True)
        _make(folder, identity, seed, size)
    except (OSError, RasterioError) as error:
        raise OutputError(
            f"{folder}: the made-up world could not be written ({error}); free space or choose another folder"
        ) from error
    return catalog


def _is_whole(catalog: Path, identity: dict[str, int]) -> bool:
    try:
        if json.loads(catalog.read_text())[WORLD_FIELD] != identity:
            return False
    except (OSError, ValueError, KeyError, TypeError):
        return False
    places = tiles(identity["size"])
    return all(
        _raster(catalog.parent, overpass, tile, band).is_file()
        for overpass in OVERPASSES
        for tile in places
        for band in L2A_FILES
    )


def _make(folder: Path, identity: dict[str, int], seed: int, size: int) -> None:
    shape = (size, 2 * size - overlap_of(size))
    places = tiles(size)
    surface = make_surface(seed, shape)
    skies = [make_sky(seed, shape, overpass.weather) for overpass in OVERPASSES]
    classes: dict[str, NDArray[np.uint8]] = {}
    with ThreadPoolExecutor(_WRITERS) as pool:
        jobs = [
            pool.submit(_write_band, folder, seed, surface, skies[date], date, band)
            for date in range(len(OVERPASSES))
            for band in S2L2A_BANDS
        ]
        for date in range(len(OVERPASSES)):
            classes |= _write_classes(folder, surface, skies[date], date, places)
        for job in jobs:
            job.result()
    for path, text in make_catalog(identity, places, classes):
        write_text(folder / path, text)


def _write_band(folder: Path, seed: int, surface: Surface, sky: Sky, date: int, band: str) -> None:
    """Renders one band of one date over the whole world and writes each tile's part."""
    overpass, gsd = OVERPASSES[date], GSD[band]
    reflectance = surface.reflectance(S2L2A_BANDS.index(band), date)
    reflectance = _blur(reflectance) if gsd == 10 else shrink(reflectance, gsd // 10)
    seen = sky.over(reflectance, band, gsd)
    for tile in tiles(surface.first.shape[0]):
        part = seen[_columns(tile, gsd)]
        # The instrument's noise: little in the dark, more in bright light, new in each product.
        noise = grain(seed, f"{item_id(overpass, tile)}/{band}", part.shape) * (5 + np.float32(0.006) * part)
        numbers = np.clip(np.rint(part + noise), 1, 20000).astype(np.uint16) + np.uint16(overpass.offset)
        numbers[~inside_swath(overpass, tile, gsd)] = 0
        _write_cog(_raster(folder, overpass, tile, band), numbers, tile, gsd)


def _write_classes(
    folder: Path, surface: Surface, sky: Sky, date: int, places: tuple[Tile, Tile]
) -> dict[str, NDArray[np.uint8]]:
    """Classifies one date and writes each tile's part; returns the classes by item id."""
    bands = {
        band: shrink(surface.reflectance(S2L2A_BANDS.index(band), date), 2)
        for band in ("B03", "B04", "B08", "B11")
    }
    scl = classify(bands, shrink(surface.water().astype(np.float32), 2) > 0.5, sky)
    classes = {}
    for tile in places:
        overpass = OVERPASSES[date]
        part = np.where(inside_swath(overpass, tile, 20), scl[_columns(tile, 20)], np.uint8(0))
        _write_cog(_raster(folder, overpass, tile, "SCL"), part, tile, 20)
        classes[item_id(overpass, tile)] = part
    return classes


def _blur(surface: FloatArray) -> FloatArray:
    """The optics' share: a tenth of a 10 m pixel's light comes from each neighbour."""
    for axis in (0, 1):
        lines = surface if axis == 0 else surface.T
        blurred = lines * np.float32(0.8)
        blurred[1:] += lines[:-1] * np.float32(0.1)
        blurred[:-1] += lines[1:] * np.float32(0.1)
        blurred[0] += lines[0] * np.float32(0.1)
        blurred[-1] += lines[-1] * np.float32(0.1)
        surface = blurred if axis == 0 else blurred.T
    return surface


def _columns(tile: Tile, gsd: int) -> tuple[slice, slice]:
    """A tile's part of the world, on the grid of ``gsd`` metres."""
    step = gsd // 10
    return slice(None), slice(tile.col // step, (tile.col + tile.size) // step)


def _raster(folder: Path, overpass: Overpass, tile: Tile, band: str) -> Path:
    return folder / COLLECTION / item_id(overpass, tile) / f"{band}.tif"


def _write_cog(path: Path, numbers: NDArray[np.generic], tile: Tile, gsd: int) -> None:
    """Writes a whole COG under a temporary name, then gives it its own."""
    left, _, _, top = tile.bounds
    profile = {
        "count": 1,
        "dtype": numbers.dtype,
        "height": numbers.shape[0],
        "width": numbers.shape[1],
        "crs": f"EPSG:{EPSG}",
        "transform": Affine(gsd, 0, left, 0, -gsd, top),
        "nodata": 0,
        "overview_resampling": "MODE" if numbers.dtype == np.uint8 else "AVERAGE",
    }
    with whole_file(path) as partial, rasterio.open(partial, "w", **_COG, **profile) as target:
        target.write(numbers, 1)
