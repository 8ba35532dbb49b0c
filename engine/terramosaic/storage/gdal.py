"""GDAL's surroundings where it works on files of this machine."""

from __future__ import annotations

import rasterio
from rasterio.session import DummySession


def local_files(**options: str | int) -> rasterio.Env:
    """A context for work on files of this machine, in this thread.

    Outside of one, rasterio makes a boto3 session each time that a file is opened or made, if boto3 is installed and
    the environment holds AWS credentials, such as those of an output bucket: 25 ms, many times a block.

    Args:
        options: GDAL's configuration.
    """
    return rasterio.Env(session=DummySession(), **options)
