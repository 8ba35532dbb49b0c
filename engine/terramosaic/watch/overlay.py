"""Lays mosaics over each other: each pixel from its last clear acquisition.

`acquired` tells of which day each pixel is, and `quality` whether it was clear; these two decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError
from rasterio.windows import Window

from terramosaic.errors import OutputError
from terramosaic.ground.zones import ZoneArea
from terramosaic.mosaic.assemble import write_mosaic
from terramosaic.planning.layers import QUALITY_CLOUD, QUALITY_NODATA, Layer
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import Location, is_remote
from terramosaic.storage.scratch import LocalCopy, half_written, scratch_folder

#: Of which day a pixel is: days since 1970-01-01.
ACQUIRED = Layer("acquired", "days", ("acquired",), "uint16", 0, unit="d", overviews="mode")
QUALITY = "quality"

#: Puts clear pixels of any day before cloudy ones of any other.
_CLEAR = 1 << 16

#: Rows that are laid over each other at once.
_BAND = 256

#: Acquisitions that are laid over each other at once: so many rasters are open, and of a store copied to scratch.
_AT_ONCE = 4


@dataclass(frozen=True)
class Source:
    """Rasters that pixels may come from, by layer: of an acquisition, or (without a day) of many, and `acquired`."""

    day: int | None
    rasters: Mapping[str, Location]


def lay_over(
    area: ZoneArea,
    wanted: Sequence[Layer],
    sources: Sequence[Source],
    paths: Mapping[str, Location],
    tags: Callable[[Layer], Mapping[str, str]],
) -> None:
    """Writes the mosaics of one zone, each pixel from its best source: clear before cloudy, then the later day.

    A few sources are taken at a time, so that neither open files nor scratch grow with their number.

    Args:
        area: the zone's part of the region.
        wanted: the layers, in the order in which they are written.
        sources: what to take pixels from; of two that are as good the first one wins.
        paths: where each layer goes, which may be what the last source is read from, if those that decide come last:
            days, then quality. A late clear pixel must not pass for one of the cloudy day that it replaces.
        tags: of each layer's file.

    Raises:
        OutputError: a file could not be read or written.
    """
    rest, between = list(sources), ExitStack()
    try:
        with local_files():
            while len(rest) > _AT_ONCE:
                group, rest = rest[:_AT_ONCE], rest[_AT_ONCE:]
                superseded, between = between, ExitStack()
                with superseded:
                    files = {name: between.enter_context(_beside(path)) for name, path in paths.items()}
                    for layer in wanted:
                        _write_between(files[layer.name], area, layer, group)
                rest.insert(0, Source(None, files))
            for layer in wanted:
                rows = _newest_rows(area, layer, rest)
                write_mosaic(paths[layer.name], rows, area.rect.geobox(area.epsg), layer, tags(layer))
    except OSError as error:
        raise OutputError(
            f"newest mosaics could not be laid over each other: {error.strerror or error}; make room"
        ) from error
    finally:
        between.close()


def _beside(path: Location) -> AbstractContextManager[Path]:
    """Where what becomes a mosaic later lies until then; it is swept if this process dies."""
    return half_written(scratch_folder() if is_remote(path) else path.parent, path.name)


def _write_between(path: Path, area: ZoneArea, layer: Layer, sources: Sequence[Source]) -> None:
    """Writes a layer for this process alone: neither overviews nor anything else that others would want."""
    try:
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            width=area.rect.width,
            height=area.rect.height,
            count=len(layer.bands),
            dtype=layer.dtype,
            crs=f"EPSG:{area.epsg}",
            transform=area.rect.transform,
            tiled=True,
            compress="deflate",
            zlevel=1,
            bigtiff="if_safer",
        ) as dataset:
            row = 0
            for pixels in _newest_rows(area, layer, sources):
                dataset.write(pixels, window=Window(0, row, area.rect.width, pixels.shape[1]))
                row += pixels.shape[1]
    except (OSError, RasterioError) as error:
        raise OutputError(
            f"{path} could not be written: {error}; make room or choose another folder"
        ) from error


def _newest_rows(area: ZoneArea, layer: Layer, sources: Sequence[Source]) -> Iterator[np.ndarray]:
    with ExitStack() as stack:
        opened = [_Opened(source, layer, stack) for source in sources]
        for row in range(0, area.rect.height, _BAND):
            window = Window(0, row, area.rect.width, min(_BAND, area.rect.height - row))
            yield _newest(layer, opened, window)


class _Opened:
    """A source's rasters while a layer is read from it."""

    def __init__(self, source: Source, layer: Layer, stack: ExitStack) -> None:
        def opened(name: str) -> rasterio.DatasetReader:
            path = source.rasters[name]
            try:
                return stack.enter_context(rasterio.open(stack.enter_context(LocalCopy(path))))
            except RasterioError as error:
                raise OutputError(
                    f"{path} could not be read: {error}; remove its folder and run the same request again"
                ) from error

        self._day = source.day
        self._quality = opened(QUALITY)
        self._acquired = opened(ACQUIRED.name) if source.day is None else None
        self._values = None
        if layer.name != ACQUIRED.name:
            self._values = self._quality if layer.name == QUALITY else opened(layer.name)

    def flags(self, window: Window) -> np.ndarray:
        """The quality layer, uint8 (rows, columns)."""
        flags: np.ndarray = self._quality.read(1, window=window)
        return flags

    def days(self, window: Window) -> np.ndarray:
        """Days since 1970-01-01, int32 (rows, columns)."""
        if self._acquired is None:
            return np.full((window.height, window.width), self._day, np.int32)
        days: np.ndarray = self._acquired.read(1, window=window).astype(np.int32)
        return days

    def values(self, window: Window) -> np.ndarray:
        """The layer (bands, rows, columns)."""
        return self.days(window)[None] if self._values is None else self._values.read(window=window)


def _newest(layer: Layer, sources: Sequence[_Opened], window: Window) -> np.ndarray:
    """Rows of a layer, each pixel from its best source: clear before cloudy, then the later day."""
    shape = window.height, window.width
    pixels = np.full((len(layer.bands), *shape), layer.nodata, layer.dtype)
    best = np.zeros(shape, np.int32)
    for source in sources:
        flags = source.flags(window)
        rank = source.days(window) + np.where(flags & QUALITY_CLOUD, 0, _CLEAR)
        better = (flags != QUALITY_NODATA) & (rank > best)
        if better.any():
            pixels[:, better] = source.values(window)[:, better].astype(layer.dtype)
            best[better] = rank[better]
    return pixels
