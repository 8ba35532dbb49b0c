"""How fast are mosaics written? ``terramosaic.mosaic.cog`` against GDAL's ``COG`` driver on the same pixels.

    python tests/benchmarks/cog.py [SIZE] [--threads N] [--folder DIR]

Products as the engine makes them: two bands of backscatter and one of NDVI (int16, ZSTD 1, predictor 2,
averaged overviews) and land cover (uint8, overviews by mode). GDAL's route is the usual one: rows into a
tiled GeoTIFF, then a copy by the driver. Each write runs in a process of its own, so its peak memory is its
own. GDAL does not wait until the file is on the disk, the engine does; so the table tells the time of that
(fsync) too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.windows import Window
from rio_cogeo import cog_validate
from scipy.ndimage import gaussian_filter

from terramosaic.mosaic.cog import RasterProfile, write_cog

CHUNK = 512
TEXTURE, TEXTURE_ROWS = "texture.npy", 1024
CRS, TRANSFORM = "EPSG:32633", Affine(10, 0, 600000, 0, -10, 5300040)


@dataclass(frozen=True)
class Product:
    name: str
    dtype: str
    count: int
    nodata: int
    overviews: Literal["average", "mode"]


PRODUCTS = (
    Product("S1 (2 x int16)", "int16", 2, -32768, "average"),
    Product("NDVI (int16)", "int16", 1, -32768, "average"),
    Product("LULC (uint8)", "uint8", 1, 0, "mode"),
)


def save_texture(product: Product, folder: Path, width: int) -> None:
    # In a process of its own as well: a child's peak memory begins with what its parent holds.
    np.save(folder / TEXTURE, texture(product, width))


def texture(product: Product, width: int) -> np.ndarray:
    """``(count, TEXTURE_ROWS, width)``: landscape of several scales and, on measurements, their noise."""
    rng = np.random.default_rng(0)
    shape = (product.count, TEXTURE_ROWS, width)
    if product.dtype == "uint8":
        scores = [gaussian_filter(rng.standard_normal(shape[1:], np.float32), 6) for _ in range(6)]
        return (np.argmax(scores, axis=0) + 1).astype(np.uint8)[None]
    bands = [
        sum(
            gaussian_filter(rng.standard_normal(shape[1:], np.float32), s) * s * a
            for s, a in ((2, 1.5), (20, 6))
        )
        for _ in range(product.count)
    ]
    noise_db, dn_per_db = 0.5, 100
    values = -12 + np.stack(bands) + rng.normal(0, noise_db, shape)
    return (values * dn_per_db).round().astype(product.dtype)


def rows(base: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """``size`` rows of the texture, each chunk from another place of it: no work that a clock would count."""
    rng = np.random.default_rng(1)
    for start in range(0, size, CHUNK):
        height = min(CHUNK, size - start)
        row, col = rng.integers(0, TEXTURE_ROWS - height + 1), rng.integers(0, base.shape[2] - size + 1)
        yield base[:, row : row + height, col : col + size]


def by_engine(path: Path, product: Product, base: np.ndarray, size: int, threads: int) -> None:
    write_cog(
        path,
        rows(base, size),
        RasterProfile(
            geobox=GeoBox((size, size), TRANSFORM, CRS),
            dtype=np.dtype(product.dtype),
            count=product.count,
            nodata=product.nodata,
            overviews=product.overviews,
        ),
        threads=threads,
    )


def by_gdal(path: Path, product: Product, base: np.ndarray, size: int, threads: int) -> None:
    temporary = path.with_suffix(".tmp.tif")
    profile = {
        "driver": "GTiff",
        "width": size,
        "height": size,
        "count": product.count,
        "dtype": product.dtype,
        "nodata": product.nodata,
        "crs": CRS,
        "transform": TRANSFORM,
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "interleave": "pixel",
        "bigtiff": "IF_SAFER",
    }
    options = {
        "compress": "ZSTD",
        "level": 1,
        "predictor": "NO" if product.dtype == "uint8" else "YES",
        "blocksize": 512,
        "overview_resampling": product.overviews.upper(),
        "num_threads": threads,
        "bigtiff": "IF_SAFER",
    }
    with rasterio.Env(GDAL_CACHEMAX=256, GDAL_NUM_THREADS=threads):
        with rasterio.open(temporary, "w", **profile) as file:
            done = 0
            for chunk in rows(base, size):
                file.write(chunk, window=Window(0, done, size, chunk.shape[1]))
                done += chunk.shape[1]
        rasterio.shutil.copy(temporary, path, driver="COG", **options)
    temporary.unlink()


def measure(writer: str, product: Product, folder: Path, size: int, threads: int) -> dict[str, float]:
    """Seconds in all, of them in fsync, megabytes of the file, and peak memory less that of the texture."""
    path = folder / "out.tif"
    base = np.load(folder / TEXTURE)
    in_fsync = [0.0]
    fsync = os.fsync

    def timed_fsync(fd: Any) -> None:
        begin = time.perf_counter()
        fsync(fd)
        in_fsync[0] += time.perf_counter() - begin

    os.fsync = timed_fsync
    os.sync()  # what earlier writes left must not be paid by this one
    begin = time.perf_counter()
    {"engine": by_engine, "GDAL": by_gdal}[writer](path, product, base, size, threads)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - base.nbytes / 2**20
    if not cog_validate(path, strict=True)[0]:
        raise SystemExit(f"{path} is no valid COG")
    megabytes = path.stat().st_size / 1e6
    path.unlink()
    return {"seconds": seconds, "fsync": in_fsync[0], "megabytes": megabytes, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "size", nargs="?", type=int, default=10980, help="pixels a side (default: a Sentinel-2 tile)"
    )
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 2)
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    arguments = parser.parse_args()

    print(f"{arguments.size} x {arguments.size} px, {arguments.threads} threads")
    print(f"{'product':<16}{'writer':<8}{'s':>7}{'fsync s':>9}{'Mpx/s':>7}{'MB':>8}{'peak MiB':>10}")
    totals: dict[str, float] = {}
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for product in PRODUCTS:
            with spawn.Pool(1) as pool:
                pool.apply(save_texture, (product, Path(folder), arguments.size + 256))
            for writer in ("engine", "GDAL"):
                with spawn.Pool(1) as pool:
                    job = (writer, product, Path(folder), arguments.size, arguments.threads)
                    result = pool.apply(measure, job)
                totals[writer] = totals.get(writer, 0) + result["seconds"]
                rate = arguments.size**2 / 1e6 / result["seconds"]
                print(
                    f"{product.name:<16}{writer:<8}{result['seconds']:>7.2f}{result['fsync']:>9.2f}{rate:>7.1f}"
                    f"{result['megabytes']:>8.1f}{result['peak']:>10.0f}"
                )
    print("all three: " + ", ".join(f"{writer} {seconds:.2f} s" for writer, seconds in totals.items()))


if __name__ == "__main__":
    main()
