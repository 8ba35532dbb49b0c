"""GDAL's surroundings where it works on files of this machine."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.session import DummySession

from terramosaic.errors import RequestError, one_line

#: Decoded tiles that GDAL keeps in a process: a share of the memory, as by itself, at least and at most these bytes.
_CACHE_SHARE, _CACHE_LEAST, _CACHE_MOST = 1 / 20, 256 * 2**20, 4 * 2**30

#: Where a container's limit of memory stands, of cgroups of version 2 and 1.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def local_files(**options: str | int) -> rasterio.Env:
    """A context for work on files of this machine, in this thread.

    Outside of one, rasterio makes a boto3 session each time that a file is opened or made, if boto3 is installed and
    the environment holds AWS credentials, such as those of an output bucket: 25 ms, many times a block.

    Args:
        options: GDAL's configuration.

    Raises:
        RequestError: GDAL finds no coordinate systems.
    """
    _require_coordinate_systems()
    # What it is told when it first needs them holds for ever, so it is told each time.
    held = {} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": cache_bytes()}
    return rasterio.Env(session=DummySession(), **held, **options)


@cache
def cache_bytes() -> int:
    """Bytes of decoded tiles that GDAL keeps in this process, where ``GDAL_CACHEMAX`` of the environment says nothing.

    Scenes are read by strips of 256 rows, of files whose tiles have 1024. Where the tiles under a strip do not fit, of
    all bands and acquisitions of the blocks that are computed at a time, each is fetched and decoded four times: of a
    block of 5496 pixels and two acquisitions, in 164 MiB, 1563 MB came over the network for 17.3 s of a processor, and
    in 1 GiB 401 MB for 9.2 s.
    """
    return int(min(_CACHE_MOST, max(_CACHE_LEAST, _CACHE_SHARE * _memory())))


def _memory() -> int:
    """Bytes of memory that this process may have, as far as is known."""
    known = []
    if hasattr(os, "sysconf"):
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for file in _LIMITS:
        with suppress(OSError, ValueError):  # it says "max" where there is none
            known.append(int(file.read_text()))
    return min(known, default=0)


@cache
def _require_coordinate_systems() -> None:
    """Says plainly where the environment leads PROJ to the data of another installation, or to none."""
    try:
        CRS.from_epsg(4326)
    except CRSError as error:
        settings = [name for name in ("PROJ_DATA", "PROJ_LIB") if name in os.environ]
        named = " and ".join(f"{name}={os.environ[name]}" for name in settings) or "PROJ_DATA"
        raise RequestError(
            f"{named}: GDAL finds no coordinate systems there that it can use ({one_line(error)}); "
            f"unset {'it' if len(settings) < 2 else 'them'}, for rasterio brings its own"
        ) from error
