"""A mosaic counted pixel by pixel: how often each stored number is there, and the exact figures that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from terramosaic.planning.layers import Layer
from terramosaic.publishing.reduced import BandStatistics, ReducedMosaic, told_if_broken

#: Pixels that are read at once: whole tiles, and some of them beside each other.
_ROWS, _COLUMNS = 512, 2048


@dataclass(frozen=True)
class Census:
    """All pixels of a mosaic.

    Attributes:
        counts: how often each number of the layer's type is there, from the smallest on, int64 (bands, numbers); None
            of floats.
        valid_share: share of the pixels that has data.
        statistics: of each band; none of classes, flags, days and embeddings, and where nothing is valid.
    """

    counts: np.ndarray | None
    valid_share: float
    statistics: tuple[BandStatistics, ...]


def census_of(path: Path, layer: Layer, reduced: ReducedMosaic) -> Census:
    """Counts a mosaic at full resolution, read piece by piece.

    Overviews would not do: their mean smooths extremes, and their mode lets rare classes vanish.

    Args:
        path: the mosaic.
        layer: its encoding.
        reduced: the same from afar, where percentiles of floats are taken from.

    Raises:
        OutputError: the mosaic is broken.
    """
    with told_if_broken(path), rasterio.open(path) as dataset:
        if layer.kind == "embedding":
            # Of hundreds of dimensions figures would tell nobody anything.
            valid = sum(int((piece != layer.nodata).sum()) for piece in _pieces(dataset, 1))
            return Census(None, valid / (dataset.width * dataset.height), ())
        if layer.dtype == "float32":
            return _census_of_floats(_pieces(dataset), layer, reduced)
        counts = np.zeros((len(layer.bands), len(layer.numbers)), np.int64)
        for piece in _pieces(dataset):
            for band, pixels in enumerate(piece):
                counts[band] += counts_of(pixels)
    pixels, without = int(counts[0].sum()), int(counts[0, layer.numbers == layer.nodata].sum())
    return Census(
        counts, 1 - without / pixels, statistics_of_counts(counts, layer) if layer.is_measured else ()
    )


def counts_of(numbers: np.ndarray) -> np.ndarray:
    """How often each number that the type of uint8, uint16 or int16 can hold is there, from the smallest on, int64."""
    kind = np.iinfo(numbers.dtype)
    unsigned = numbers.view(f"u{numbers.dtype.itemsize}").ravel()
    # As unsigned, negative numbers come last.
    return np.roll(np.bincount(unsigned, minlength=kind.max - kind.min + 1), -kind.min)


def statistics_of_counts(counts: np.ndarray, layer: Layer) -> tuple[BandStatistics, ...]:
    """Figures of each band in physical units, over the pixels with data; none where there are no such pixels."""
    numbers, found = layer.numbers, []
    for band in counts:
        held = np.where(numbers == layer.nodata, 0, band)
        count = int(held.sum())
        if not count:
            return ()
        below = np.cumsum(held)
        low, median, high = (numbers[np.searchsorted(below, count * share)] for share in (0.02, 0.5, 0.98))
        least_held, most_held = numbers[np.flatnonzero(held)[[0, -1]]]
        mean = int(numbers @ held) / count
        stddev = np.sqrt(np.square(numbers - mean) @ held / count)
        figures = (least_held, low, median, mean, high, most_held, stddev)
        found.append(BandStatistics(*(float(each * layer.scale) for each in figures)))
    return tuple(found)


def _census_of_floats(pieces: Iterator[np.ndarray], layer: Layer, reduced: ReducedMosaic) -> Census:
    bands = len(layer.bands)
    least, most = np.full(bands, np.inf), np.full(bands, -np.inf)
    pixels, count, total, squares = 0, 0, np.zeros(bands), np.zeros(bands)
    for piece in pieces:
        pixels += piece[0].size
        values = piece[:, piece[0] != layer.nodata].astype(float)
        if values.size:
            least, most = np.minimum(least, values.min(axis=1)), np.maximum(most, values.max(axis=1))
            count += values.shape[1]
            total += values.sum(axis=1)
            squares += np.square(values).sum(axis=1)
    if not count:
        return Census(None, 0.0, ())
    mean = total / count
    stddev = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    statistics = tuple(
        replace(
            near,
            minimum=float(least[band]),
            mean=float(mean[band]),
            maximum=float(most[band]),
            stddev=float(stddev[band]),
        )
        for band, near in enumerate(reduced.statistics())
    )
    return Census(None, count / pixels, statistics)


def _pieces(dataset: rasterio.DatasetReader, band: int | None = None) -> Iterator[np.ndarray]:
    """All bands, or one, piece by piece."""
    for row in range(0, dataset.height, _ROWS):
        for col in range(0, dataset.width, _COLUMNS):
            height, width = min(_ROWS, dataset.height - row), min(_COLUMNS, dataset.width - col)
            yield dataset.read(band, window=Window(col, row, width, height))
