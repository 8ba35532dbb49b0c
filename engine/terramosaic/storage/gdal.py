"""GDAL's surroundings where it works on files of this machine."""

from __future__ import annotations

import os
from functools import cache

import rasterio
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.session import DummySession

from terramosaic.errors import RequestError, one_line

#: Bytes of blocks that GDAL keeps in a process; by itself it takes a twentieth of the machine's memory. What it is told
#: when it first needs them holds for ever, so it is told each time.
_CACHE = 256 * 2**20


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
    return rasterio.Env(session=DummySession(), GDAL_CACHEMAX=_CACHE, **options)


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
