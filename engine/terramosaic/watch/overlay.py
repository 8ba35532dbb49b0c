"""Lays mosaics over each other: each pixel from its last clear acquisition.

`acquired` tells of which day each pixel is, and `quality` whether it was clear; these two decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terramosaic.catalog import Pass
from terramosaic.errors import OutputError
from terramosaic.mosaic.assemble import profile_of, write_mosaic
from terramosaic.mosaic.cog import write_cog
from terramosaic.planning.layers import ACQUIRED, QUALITY_CLOUD, QUALITY_SKIPPED, Layer, day_number
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import Location, is_remote
from terramosaic.storage.scratch import LocalCopy, half_written, scratch_folder

#: A layer's key, see `Layer`.
Key: TypeAlias = tuple[str, str]

_QUALITY: Key = ("quality", "estimate")

#: Puts clear pixels of any day before cloudy ones of any other.
_CLEAR = 1 << 16

#: Rows that are laid over each other at once.
_BAND = 256

#: Acquisitions that are laid over each other at once: so many rasters are open, and of a store copied to scratch.
_AT_ONCE = 4


@dataclass(frozen=True)
class Source:
    """Rasters that pixels may come from, by layer.

    Attributes:
        of_pass: the pass whose acquisition it is; None where they are of many, and `ACQUIRED` is one of them.
        rasters: by layer.
    """

    of_pass: Pass | None
    rasters: Mapping[Key, Location]


def lay_over(
    geobox: GeoBox,
    layers: Sequence[Layer],
    sources: Sequence[Source],
    paths: Mapping[Key, Location],
    tags: Callable[[Layer], Mapping[str, str]],
) -> None:
    """Writes the mosaics of one zone, each pixel from its best source: clear before cloudy, then the later day.

    A few sources are taken at a time, so that neither open files nor scratch grow with their number.

    Args:
        geobox: the zone's pixels.
        layers: what to write.
        sources: what to take pixels from; of two that are as good the first one wins.
        paths: where each layer goes.
        tags: of each layer's file.

    Raises:
        OutputError: a file could not be read or written.
    """
    rest = list(sources)
    with local_files(), ExitStack() as stack:
        while len(rest) > _AT_ONCE:
            # What the first ones have become so far is one of them, and goes when it lies in the next.
            with stack.pop_all():
                between = stack.enter_context(_between(paths))
                for layer in layers:
                    rows = _newest_rows(geobox, layer, rest[:_AT_ONCE])
                    write_cog(between[layer.key], rows, profile_of(layer, geobox, {}))
            rest[:_AT_ONCE] = [Source(None, between)]
        for layer in layers:
            write_mosaic(paths[layer.key], _newest_rows(geobox, layer, rest), geobox, layer, tags(layer))


@contextmanager
def _between(paths: Mapping[Key, Location]) -> Iterator[dict[Key, Path]]:
    """Where what becomes mosaics later lies until then; it is swept if this process dies."""
    place = next(iter(paths.values())).parent
    try:
        with half_written(scratch_folder() if is_remote(place) else place, "between") as folder:
            folder.mkdir()
            yield {key: folder / path.name for key, path in paths.items()}
    except OSError as error:
        raise OutputError(f"{place} could not be written: {error.strerror or error}; make room") from error


def _newest_rows(geobox: GeoBox, layer: Layer, sources: Sequence[Source]) -> Iterator[np.ndarray]:
    height, width = geobox.shape
    with ExitStack() as stack:
        opened = [_Opened(source, layer, stack) for source in sources]
        for row in range(0, height, _BAND):
            window = Window(0, row, width, min(_BAND, height - row))
            yield _newest(layer, opened, window)


class _Opened:
    """A source's rasters while a layer is read from it."""

    def __init__(self, source: Source, layer: Layer, stack: ExitStack) -> None:
        def opened(key: Key) -> Callable[[Window], np.ndarray]:
            path = source.rasters[key]
            with _told_if_broken(path):
                dataset = stack.enter_context(rasterio.open(stack.enter_context(LocalCopy(path))))

            def read(window: Window) -> np.ndarray:
                with _told_if_broken(path):
                    pixels: np.ndarray = dataset.read(window=window)
                    return pixels

            return read

        one = source.of_pass
        self._of_one = (day_number(one.solar_day), one.number) if one else (0, 0)
        self._quality = opened(_QUALITY)
        self._many = opened(ACQUIRED.key) if one is None else None
        self._layer = layer
        self._values = None
        if layer.key == _QUALITY:
            self._values = self._quality
        elif layer.key != ACQUIRED.key and layer.key in source.rasters:
            self._values = opened(layer.key)

    def flags(self, window: Window) -> np.ndarray:
        """The quality layer, uint8 (rows, columns)."""
        flags: np.ndarray = self._quality(window)[0]
        return flags

    def acquired(self, window: Window) -> np.ndarray:
        """Days and passes as `ACQUIRED` has them, uint16 (2, rows, columns)."""
        if self._many is not None:
            return self._many(window)
        of_one = np.array(self._of_one, np.uint16)
        return np.broadcast_to(of_one[:, None, None], (2, window.height, window.width))

    def days(self, window: Window) -> np.ndarray:
        """Days since 1970-01-01, int32 (rows, columns)."""
        days: np.ndarray = self.acquired(window)[0].astype(np.int32)
        return days

    def values(self, window: Window) -> np.ndarray:
        """The layer (bands, rows, columns); no data where the source lacks it."""
        if self._layer.key == ACQUIRED.key:
            return self.acquired(window)
        if self._values is None:
            return np.full((len(self._layer.bands), window.height, window.width), self._layer.nodata)
        return self._values(window)


@contextmanager
def _told_if_broken(path: Location) -> Iterator[None]:
    try:
        yield
    except RasterioError as error:
        raise OutputError(
            f"{path} could not be read: {error}; remove its folder and run the same request again"
        ) from error


def _newest(layer: Layer, sources: Sequence[_Opened], window: Window) -> np.ndarray:
    """Rows of a layer, each pixel from its best source: clear before cloudy, then the later day."""
    shape = window.height, window.width
    pixels = np.full((len(layer.bands), *shape), layer.nodata, layer.dtype)
    best = np.zeros(shape, np.int32)
    for source in sources:
        flags = source.flags(window)
        rank = source.days(window) + np.where(flags & QUALITY_CLOUD, 0, _CLEAR)
        # Not what has no data, all of whose bits are set, nor what a newer one has skipped under cloud.
        better = (flags & QUALITY_SKIPPED == 0) & (rank > best)
        if better.any():
            pixels[:, better] = source.values(window)[:, better].astype(layer.dtype)
            best[better] = rank[better]
    return pixels
