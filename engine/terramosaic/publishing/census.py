"""A mosaic counted pixel by pixel: how often each stored number is there, and the exact figures that follow from it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

from terramosaic.mosaic.statistics import FloatTotals, figures_of_counts, totals_of
from terramosaic.planning.layers import Layer
from terramosaic.publishing.reduced import BandStatistics, ReducedMosaic, told_if_broken

#: Pixels that are read at once: whole tiles, and some of them beside each other.
_ROWS, _COLUMNS = 512, 2048


@dataclass(frozen=True)
class Histogram:
    """How a band's values are spread.

    Attributes:
        low: the least physical value in the first bin.
        high: the largest that counts for the span; the last bin may reach a little further.
        shares: share of the pixels with data in each bin; what lies below or above is in none.
        outside: share of these.
    """

    low: float
    high: float
    shares: tuple[float, ...]
    outside: float


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
        totals = totals_of(layer)
        for piece in _pieces(dataset):
            totals.feed(piece)
    if isinstance(totals, FloatTotals):
        return _census_of_floats(totals, reduced)
    counts, without = totals.counts, int(totals.counts[0, layer.numbers == layer.nodata].sum())
    return Census(
        counts,
        1 - without / totals.pixels,
        statistics_of_counts(counts, layer) if layer.is_measured else (),
    )


def statistics_of_counts(counts: np.ndarray, layer: Layer) -> tuple[BandStatistics, ...]:
    """Figures of each band in physical units, over the pixels with data; none where there are no such pixels."""
    numbers, found = layer.numbers, []
    for band in counts:
        held = np.where(numbers == layer.nodata, 0, band)
        exact = figures_of_counts(held, numbers)
        if exact is None:
            return ()
        below = np.cumsum(held)
        low, median, high = (
            numbers[np.searchsorted(below, exact.count * share)] for share in (0.02, 0.5, 0.98)
        )
        figures = (exact.minimum, low, median, exact.mean, high, exact.maximum, exact.stddev)
        found.append(BandStatistics(*(float(each * layer.scale) for each in figures)))
    return tuple(found)


def histogram_of_counts(counts: np.ndarray, layer: Layer, bins: int = 64) -> Histogram | None:
    """How one band is spread, from how often each number is there; None where nothing is valid.

    It spans what all but 0.2 % of the pixels have, in bins of as many stored numbers each: so none is fuller than its
    neighbours because it holds one number more.

    Args:
        counts: of the band, int64 (numbers).
        layer: the band's encoding.
        bins: at most so many.
    """
    held = np.where(layer.numbers == layer.nodata, 0, counts)
    below = np.cumsum(held)
    total = int(below[-1])
    if not total:
        return None
    first, last = (int(np.searchsorted(below, total * share)) for share in (0.001, 0.999))
    width = -(-(last - first + 1) // bins)
    edges = np.arange(first, last + 1, width)
    inside = np.add.reduceat(held[: min(len(held), int(edges[-1]) + width)], edges)
    return Histogram(
        float(layer.numbers[first]) * layer.scale,
        float(layer.numbers[last]) * layer.scale,
        tuple(map(float, inside / total)),
        float(1 - inside.sum() / total),
    )


def _census_of_floats(totals: FloatTotals, reduced: ReducedMosaic) -> Census:
    figures = [exact for exact in totals.figures() if exact is not None]
    statistics = tuple(
        replace(near, minimum=exact.minimum, mean=exact.mean, maximum=exact.maximum, stddev=exact.stddev)
        for near, exact in zip(reduced.statistics(), figures, strict=True)
    )
    return Census(None, figures[0].count / totals.pixels if figures else 0.0, statistics)


def _pieces(dataset: rasterio.DatasetReader, band: int | None = None) -> Iterator[np.ndarray]:
    """All bands, or one, piece by piece."""
    for row in range(0, dataset.height, _ROWS):
        for col in range(0, dataset.width, _COLUMNS):
            height, width = min(_ROWS, dataset.height - row), min(_COLUMNS, dataset.width - col)
            yield dataset.read(band, window=Window(col, row, width, height))
