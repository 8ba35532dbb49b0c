"""Megapixels of ground a second and peak memory, from COGs to mosaics, beside terratorch's ``tiled_inference``.

    python -m tests.benchmarks.throughput --work DIR [--size 10980] [--reference-python PYTHON]

Makes a made-up full-size scene (12 bands and SCL as deflated COGs, about 1 GB) once, maps the whole and a quarter of it
with the demo bundle, each in a process of its own, and prints a table. With a Python that has terratorch, the same
windows (224, stride 192) go through its ``tiled_inference`` on an equally trivial model, from an array in memory to an
array in memory: the reference neither reads nor writes files.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rasterio
import rasterio.shutil
from scipy import ndimage
from shapely.geometry import box

from terramosaic.bands import GSD, S2L2A_BANDS
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.request.area import area_from_tile

TILE = "33TWL"
_REFERENCE = Path(__file__).with_name("tiled_inference_reference.py")


def make_scene(work: Path, size: int) -> Path:
    """A scene with texture like a real one's (smooth fields and sensor noise), as a folder catalog; made once."""
    epsg, tile = area_from_tile(TILE).tile or (0, Rect(0, 0, 0, 0))
    return make_scene_of(work / f"scene-{size}", Rect(tile.row, tile.col, size, size), epsg, TILE)


def make_scene_of(folder: Path, rect: Rect, epsg: int, tile: str) -> Path:
    """The same of any rectangle.

    Args:
        folder: to make.
        rect: pixels of the grid; its sides are multiples of 12.
        epsg: the grid's zone.
        tile: MGRS tile that the item names.
    """
    if (folder / "item.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    coarse = rng.normal(size=(12, rect.height // 30 + 2, rect.width // 30 + 2))
    coarse = ndimage.gaussian_filter(coarse, (0, 2, 2))
    coarse /= coarse.std()
    assets = {}
    for index, band in enumerate((*S2L2A_BANDS, "SCL")):
        factor = GSD[band] // 10
        height, width = rect.height // factor, rect.width // factor
        if band == "SCL":
            pixels = np.full((height, width), 4, np.uint8)
        else:
            field = coarse[index] * 0.5 + coarse[0]
            # A cell of the field is 300 m, which is not a whole number of a band's pixels where the side is none of 30.
            smooth = ndimage.zoom(field, max(height, width) / (max(field.shape) - 2), order=1)[
                :height, :width
            ]
            noise = rng.normal(0, 40, (height, width)).astype(np.float32)
            pixels = np.clip(1500 + 120 * index + 500 * smooth + noise, 1, 20000).astype(np.uint16)
        plain, path = folder / f".{band}.tif", folder / f"{band}.tif"
        transform = rect.transform @ rasterio.Affine.scale(factor)
        with rasterio.open(
            plain, "w", driver="GTiff", width=width, height=height, count=1, dtype=pixels.dtype, nodata=0,
            crs=f"EPSG:{epsg}", transform=transform, tiled=True, blockxsize=512, blockysize=512,
        ) as file:  # fmt: skip
            file.write(pixels, 1)
        rasterio.shutil.copy(
            plain, path, driver="COG", compress="DEFLATE", predictor=2, blocksize=1024, num_threads="ALL_CPUS"
        )
        plain.unlink()
        assets[band] = {"href": f"./{band}.tif", "gsd": GSD[band], "type": "image/tiff", "roles": ["data"]}
    outline = lonlat_of(box(*rect.bounds), epsg)
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": f"S2A_{tile}_bench", "collection": "sentinel-2-l2a",
        "geometry": as_geojson(outline), "bbox": list(outline.bounds), "links": [], "assets": assets,
        "properties": {
            "datetime": "2023-08-15T10:00:00Z", "platform": "sentinel-2a", "eo:cloud_cover": 0.0, "proj:epsg": epsg,
            "s2:mgrs_tile": tile, "s2:processing_baseline": "02.14",
        },
    }  # fmt: skip
    (folder / "item.json").write_text(json.dumps(item))
    return folder


def map_once(catalog: Path, out: Path, side: int, workers: int | None) -> dict[str, float]:
    """Maps the upper left ``side`` x ``side`` pixels of the scene in this process."""
    from terramosaic.model.devices import Device
    from terramosaic.mosaic.assemble import assemble
    from terramosaic.planning.planning import plan
    from terramosaic.publishing.publish import publish
    from terramosaic.request.request import RegionRequest
    from terramosaic.run.mapping import Quiet
    from terramosaic.run.scheduling import carry_out, jobs_left
    from terramosaic.run.threads import Threads

    _, tile = area_from_tile(TILE).tile or (0, Rect(0, 0, 0, 0))
    # One metre inside, so that reprojecting to degrees and back adds no row of pixels.
    left, bottom, right, top = Rect(tile.row, tile.col, side, side).bounds
    outline = lonlat_of(box(left + 1, bottom + 1, right - 1, top - 1), 32633)
    request = RegionRequest(
        region=as_geojson(outline), datetime="2023-08-15", catalog=str(catalog), out=str(out)
    )
    marks = [time.perf_counter()]
    made = plan(request)
    with Threads(Device("cpu"), workers) as force:
        assert not carry_out(jobs_left([made]), force, Quiet())
    marks.append(time.perf_counter())
    assemble(made)
    marks.append(time.perf_counter())
    publish(made)
    marks.append(time.perf_counter())
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "megapixels": side**2 / 1e6,
        "blocks": marks[1] - marks[0],
        "mosaics": marks[2] - marks[1],
        "report": marks[3] - marks[2],
        "seconds": marks[2] - marks[0],
        "processor": used.ru_utime + used.ru_stime,
        "gigabytes": _peak_gigabytes(),
    }


def _peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def _in_process(python: str, *arguments: str) -> dict[str, float]:
    environment = {**os.environ, "OMP_NUM_THREADS": str(os.cpu_count())}
    done = subprocess.run(
        [python, *arguments], check=True, stdout=subprocess.PIPE, text=True, env=environment
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--work", type=Path, required=True, help="folder for the scene (1 GB) and the outputs"
    )
    parser.add_argument(
        "--size", type=int, default=10980, help="side of the scene in pixels, a multiple of 12"
    )
    parser.add_argument("--workers", type=int, help="blocks at the same time")
    parser.add_argument("--reference-python", help="a Python that has terratorch")
    parser.add_argument("--reference-size", type=int, default=4096)
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    catalog = make_scene(options.work, options.size)
    out = options.work / "out"
    if options.one:
        print(json.dumps(map_once(catalog, out, options.one, options.workers)))
        return
    print(f"{os.cpu_count()} processors, scene of {options.size} x {options.size} pixels")
    speeds = {}
    for side in (options.size // 2, options.size):
        shutil.rmtree(out, ignore_errors=True)
        more = ["--workers", str(options.workers)] if options.workers else []
        common = ["--work", str(options.work), "--size", str(options.size)]
        found = _in_process(
            sys.executable, "-m", "tests.benchmarks.throughput", *common, "--one", str(side), *more
        )
        speeds[side] = found["megapixels"] / found["seconds"]
        print(
            f"terramosaic, {side} x {side}: COGs to mosaics {found['seconds']:.1f} s, {speeds[side]:.2f} megapixels/s, "
            f"peak {found['gigabytes']:.2f} GB (blocks {found['blocks']:.1f} s, mosaics {found['mosaics']:.1f} s, "
            f"then report {found['report']:.1f} s; {found['processor']:.0f} s of processor time)",
            flush=True,
        )
    if options.reference_python:
        found = _in_process(options.reference_python, str(_REFERENCE), str(options.reference_size))
        speed = found["megapixels"] / found["seconds"]
        print(
            f"tiled_inference, {options.reference_size} x {options.reference_size}, arrays only: "
            f"{found['seconds']:.1f} s, {speed:.2f} megapixels/s, peak {found['gigabytes']:.2f} GB; "
            f"ours end to end is {speeds[options.size] / speed:.1f} x as fast"
        )


if __name__ == "__main__":
    main()
