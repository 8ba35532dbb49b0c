"""The way of a file: rows are checked, levels are built, parts are joined and put in place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from terramosaic.errors import OutputError
from terramosaic.mosaic.cog.pyramid import Pyramid, level_shapes
from terramosaic.mosaic.cog.tiff import RasterProfile, build_head, template_tags
from terramosaic.storage.files import whole_file
from terramosaic.storage.location import Location, is_remote
from terramosaic.storage.scratch import scratch_folder

_COPY_BYTES = 1 << 20


def write_cog(
    path: Location,
    rows: Iterable[np.ndarray],
    profile: RasterProfile,
    *,
    level: int = 1,
    threads: int = 2,
    band_tags: Callable[[], Sequence[Mapping[str, str]]] | None = None,
) -> None:
    """Writes a cloud-optimized GeoTIFF from rows that arrive from the top.

    The file appears under ``path`` whole or not at all. Its bytes depend on the pixels and the profile, not
    on ``threads`` or on how the rows are cut. Memory holds two rows of tiles per level, about ``4 * tile *
    width`` pixels; compressed tiles wait in nameless temporary files beside ``path``, together as large as
    the result; for an object in a store, in scratch, and the file too until it is uploaded.

    Args:
        path: File or object to write; its folder must exist. An existing one is replaced.
        rows: Arrays ``(count, h, width)`` of the profile's dtype, of any heights h that sum to the raster's height.
            Their producer may reuse an array as soon as the next one is asked for.
        profile: What the raster is.
        level: ZSTD level, 1 to 22.
        threads: Threads that compress.
        band_tags: Metadata of each band, asked for when all rows have passed; in place of the profile's.

    Raises:
        OutputError: The rows do not fit the raster, or the file could not be written.
    """
    template = template_tags(profile)
    with ExitStack() as stack:
        with _reported(path):
            spools = [stack.enter_context(_spool(path)) for _ in level_shapes(profile)]
        pool = stack.enter_context(ThreadPoolExecutor(threads))
        pyramid = Pyramid(profile, spools=spools, pool=pool, level=level)
        # Errors of the rows' producer pass as they are: only ours are reported as the file's.
        for chunk in _checked(path, rows, profile):
            with _reported(path):
                pyramid.feed(chunk)
        with _reported(path):
            pyramid.finish()
            if band_tags is not None:
                template = template_tags(replace(profile, band_tags=band_tags()))
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
