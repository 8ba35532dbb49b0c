"""Mosaics at a fraction of their resolution: as many pixels as a picture needs, and figures of each band."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from terramosaic.errors import OutputError
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.cog import halve_average, halve_mode
from terramosaic.planning.layers import Layer
from terramosaic.storage.location import Location


@dataclass(frozen=True)
class BandStatistics:
    """Figures of one band in physical units, over the valid pixels of a mosaic, or about the same from afar."""

    minimum: float
    percentile_2: float
    median: float
    mean: float
    percentile_98: float
    maximum: float
    stddev: float


@dataclass(frozen=True)
class ReducedMosaic:
    """A mosaic at a fraction of its resolution.

    Attributes:
        layer: the mosaic's encoding.
        stored: its numbers, (bands, height, width), of an embedding the first three dimensions.
        factor: a power of two: pixels of the grid to one of these, along a side.
    """

    layer: Layer
    stored: np.ndarray
    factor: int

    @property
    def valid(self) -> np.ndarray:
        """Bool (height, width)."""
        valid: np.ndarray = self.stored[0] != self.layer.nodata
        return valid

    @property
    def values(self) -> np.ndarray:
        """Physical values, float32 (bands, height, width), NaN where there is no data."""
        return np.where(self.valid, self.stored * np.float32(self.layer.scale), np.float32(np.nan))

    def statistics(self) -> tuple[BandStatistics, ...]:
        """Figures of each band; none where nothing is valid."""
        valid = self.valid
        return tuple(_statistics(band[valid]) for band in self.values) if valid.any() else ()


def read_reduced(path: Path, layer: Layer, factor: int, rect: Rect) -> ReducedMosaic:
    """Reads a mosaic at ``1 / factor``, and never more of it than that takes.

    Args:
        path: the mosaic; its overviews go down to at least a tile's size.
        layer: its encoding.
        factor: pixels of the grid to one of the result, along a side, a power of two.
        rect: the zone's pixels on the grid.

    Raises:
        OutputError: the mosaic is broken.
    """
    with told_if_broken(path):
        with rasterio.open(path) as dataset:
            levels = [level for level in dataset.overviews(1) if level * layer.cell <= factor]
        options = {"overview_level": len(levels) - 1} if levels else {}
        with rasterio.open(path, **options) as dataset:
            shown = range(1, 1 + min(dataset.count, 3)) if layer.kind == "embedding" else None
            stored = dataset.read(shown)
    if layer.cell > 1:
        level = layer.cell * (levels[-1] if levels else 1)
        corner = layer.rect(rect)
        rows, cols = (
            # The pixel under the middle of each of the result.
            ((start + factor * np.arange(-(-size // factor)) + (factor - 1) // 2) - first * layer.cell)
            // level
            for start, size, first in (
                (rect.row, rect.height, corner.row),
                (rect.col, rect.width, corner.col),
            )
        )
        last_row, last_col = stored.shape[1] - 1, stored.shape[2] - 1
        stored = stored[:, rows.clip(max=last_row)][:, :, cols.clip(max=last_col)]
        return ReducedMosaic(layer, stored, factor)
    halve = halve_average if layer.overviews == "average" else halve_mode
    # A small zone beside a large one may have fewer overviews than their common factor asks for.
    for _ in range((factor // (levels[-1] if levels else 1)).bit_length() - 1):
        stored = halve(stored, layer.nodata)
    return ReducedMosaic(layer, stored, factor)


@contextmanager
def told_if_broken(path: Location) -> Iterator[None]:
    """Says of a raster of the run that cannot be read what to do."""
    try:
        yield
    except RasterioError as error:
        raise OutputError(
            f"{path} cannot be read: {error}; remove it and run the same request again"
        ) from error


def _statistics(values: np.ndarray) -> BandStatistics:
    low, median, high = np.percentile(values, [2, 50, 98])
    mean, stddev = values.mean(dtype=float), values.std(dtype=float)
    return BandStatistics(*map(float, (values.min(), low, median, mean, high, values.max(), stddev)))
