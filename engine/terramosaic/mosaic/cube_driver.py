"""How odc-stac reads mosaics: as files of a disk, those in a store from a copy that is made when it is first read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from odc.loader import RasterSource, RioDriver, RioReader  # of the extra `cubes`

from terramosaic.storage.scratch import lasting_copy


class Copying(RioDriver):
    """Reads by rasterio; it goes to other processes with what they are to read.

    Args:
        versions: of objects by URL; they are copied to the scratch of whichever machine reads them, once in a process.
    """

    def __init__(self, versions: Mapping[str, str]) -> None:
        super().__init__()
        self._versions = dict(versions)

    def open(self, src: RasterSource, ctx: Any) -> RioReader:
        """What reads a file."""
        version = self._versions.get(src.uri)
        if version is not None:
            src = src.patch(uri=str(lasting_copy(src.uri, version)))
        return super().open(src, ctx)
