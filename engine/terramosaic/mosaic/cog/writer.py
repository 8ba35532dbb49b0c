"""The way of a file: arguments and rows are checked, levels are built, parts are joined and put in place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import numpy as np
from odc.geo.geobox import GeoBox

from terramosaic.errors import OutputError
from terramosaic.mosaic.cog.overviews import HALVE, OverviewMethod
from terramosaic.mosaic.cog.pyramid import Pyramid, level_shapes
from terramosaic.mosaic.cog.tiff import RasterProfile, build_head, template_tags
from terramosaic.mosaic.cog.tiles import PREDICTORS
from terramosaic.storage.files import whole_file
from terramosaic.storage.location import Location, is_remote
from terramosaic.storage.scratch import scratch_folder

_COPY_BYTES = 1 << 20


def write_cog(
    path: Location,
    rows: Iterable[np.ndarray],
    *,
    geobox: GeoBox,
    dtype: np.typing.DTypeLike,
    count: int = 1,
    nodata: float | None = None,
    overviews: OverviewMethod = "average",
    descriptions: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    tags: Mapping[str, str] | None = None,
    band_tags: Sequence[Mapping[str, str]] | None = None,
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None,
    level: int = 1,
    threads: int = 2,
    tile: int = 512,
) -> None:
    """Write a cloud-optimized GeoTIFF from rows that arrive from the top.

    The file appears under ``path`` whole or not at all. Its bytes depend on the pixels and the arguments, not
    on ``threads`` or on how the rows are cut. Memory holds two rows of tiles per level, about ``4 * tile *
    width`` pixels; compressed tiles wait in nameless temporary files beside ``path``, together as large as
    the result; for an object in a store, in scratch, and the file too until it is uploaded.

    Args:
        path: File or object to write; its folder must exist. An existing one is replaced.
        rows: Arrays ``(count, h, width)`` of ``dtype``, of any heights h that sum to the raster's height.
            Their producer may reuse an array as soon as the next one is asked for.
        geobox: CRS, transform and shape of the raster.
        dtype: uint8, int16, uint16 or float32.
        count: Number of bands.
        nodata: Value of invalid pixels, the same in all bands; may be NaN. Tiles of nothing else take no
            space.
        overviews: "average" for measurements (``halve_average``), "mode" for classes (``halve_mode``). Each
            level is made from the one before, until both sides are at most ``tile``.
        descriptions: Name of each band.
        units: Unit of each band.
        scale: Measured value = pixel * scale + offset, in all bands.
        offset: See ``scale``.
        tags: Metadata of the dataset.
        band_tags: Metadata of each band.
        colormap: Red, green, blue and alpha (0-255) of each value, for one band of uint8.
        level: ZSTD level, 1 to 22.
        threads: Threads that compress.
        tile: Side of a tile in pixels, a multiple of 16.

    Raises:
        OutputError: An argument or the rows do not fit the raster, or the file could not be written.
    """
    profile = RasterProfile(
        geobox=geobox,
        dtype=np.dtype(dtype),
        count=count,
        nodata=nodata,
        descriptions=descriptions,
        units=units,
        scale=scale,
        offset=offset,
        tags=tags or {},
        band_tags=band_tags or [],
        colormap=colormap,
        tile=tile,
    )
    _check(path, profile, overviews=overviews, level=level, threads=threads)
    template = template_tags(profile)
    with ExitStack() as stack:
        with _reported(path):
            spools = [stack.enter_context(_spool(path)) for _ in level_shapes(profile)]
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        pyramid = Pyramid(profile, halve=HALVE[overviews], spools=spools, pool=pool, level=level)
        # Errors of the rows' producer pass as they are: only ours are reported as the file's.
        for chunk in _checked(path, rows, profile):
            with _reported(path):
                pyramid.feed(chunk)
        with _reported(path):
            pyramid.finish()
            _assemble(path, build_head(template, pyramid.layout), reversed(spools))


def _checked(path: Location, rows: Iterable[np.ndarray], profile: RasterProfile) -> Iterator[np.ndarray]:
    """The rows, if they are what the profile says."""
    height, width = profile.geobox.shape
    done = 0
    for chunk in rows:
        if (
            chunk.ndim != 3
            or chunk.shape[0] != profile.count
            or chunk.shape[2] != width
            or chunk.dtype != profile.dtype
        ):
            raise OutputError(
                f"{path}: rows from {done} on are {chunk.dtype} {chunk.shape},"
                f" not {profile.dtype} ({profile.count}, rows, {width})"
            )
        done += chunk.shape[1]
        if done > height:
            raise OutputError(f"{path}: got {done} rows or more, but the raster has {height}")
        yield chunk
    if done < height:
        raise OutputError(f"{path}: got {done} rows, but the raster has {height}")


def _check(path: Location, profile: RasterProfile, *, overviews: str, level: int, threads: int) -> None:
    """Refuse what would fail late or give a wrong file."""
    dtype, count, nodata = profile.dtype, profile.count, profile.nodata
    per_band = {
        "descriptions": profile.descriptions,
        "units": profile.units,
        "band_tags": profile.band_tags or None,
    }
    problems = {
        f"{name} must be a list of {count}, one entry per band": isinstance(values, str)
        or len(values) != count
        for name, values in per_band.items()
        if values is not None
    } | {
        f"dtype {dtype} is none of {', '.join(PREDICTORS)}": dtype.name not in PREDICTORS,
        f"nodata {nodata} is no value of {dtype}": nodata is not None
        and dtype.kind in "iu"
        and nodata % 1 != 0,
        f"overviews {overviews!r} is none of {', '.join(HALVE)}": overviews not in HALVE,
        f"tile {profile.tile} is not a multiple of 16": profile.tile < 16 or profile.tile % 16 != 0,
        f"level {level} is not in 1 to 22": not 1 <= level <= 22,
        f"threads {threads} is not positive": threads < 1,
        f"the raster is empty: {tuple(profile.geobox.shape)}": min(profile.geobox.shape) < 1,
        "a colormap needs one band of uint8": bool(profile.colormap) and (count, dtype.name) != (1, "uint8"),
    }
    for problem, is_true in problems.items():
        if is_true:
            raise OutputError(f"{path}: {problem}")


@contextmanager
def _reported(path: Location) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{path} could not be written: {reason}; check the folder and its free space"
        ) from error


def _spool(path: Location) -> BinaryIO:
    """A temporary file on the target's disk, that the system removes whatever becomes of this process."""
    folder = scratch_folder() if is_remote(path) else path.parent
    return tempfile.TemporaryFile(dir=folder, prefix=f".{path.name}.")


def _assemble(path: Location, head: bytes, spools: Iterable[BinaryIO]) -> None:
    """Join the parts under a hidden name, make sure that they are on the disk, and give the file its name."""
    with whole_file(path) as partial, partial.open("wb") as file:
        file.write(head)
        for spool in spools:
            spool.seek(0)
            shutil.copyfileobj(spool, file, _COPY_BYTES)
