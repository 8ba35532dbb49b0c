"""Exact figures of a raster's bands over the pixels with data, added up while its rows pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from terramosaic.planning.layers import Layer


@dataclass(frozen=True)
class BandFigures:
    """Figures of one band over its pixels with data, in the numbers that are stored."""

    count: int
    minimum: float
    maximum: float
    mean: float
    stddev: float


def counts_of(numbers: np.ndarray) -> np.ndarray:
    """How often each number that the type of uint8, uint16 or int16 can hold is there, from the smallest on, int64."""
    kind = np.iinfo(numbers.dtype)
    unsigned = numbers.view(f"u{numbers.dtype.itemsize}").ravel()
    # As unsigned, negative numbers come last.
    return np.roll(np.bincount(unsigned, minlength=kind.max - kind.min + 1), -kind.min)


def figures_of_counts(held: np.ndarray, numbers: np.ndarray) -> BandFigures | None:
    """Figures of a band whose numbers are there so often; None if none is.

    Args:
        held: int64 (numbers), of those that mean data.
        numbers: which they are, from the smallest on.
    """
    count = int(held.sum())
    if not count:
        return None
    minimum, maximum = numbers[np.flatnonzero(held)[[0, -1]]]
    mean = int(numbers @ held) / count
    stddev = float(np.sqrt(np.square(numbers - mean) @ held / count))
    return BandFigures(count, float(minimum), float(maximum), mean, stddev)


class IntegerTotals:
    """How often each number is there, of a raster that arrives piece by piece.

    Counting takes 4 ns a number, a quarter of what picking those with data and adding them up does.

    Attributes:
        counts: int64 (bands, numbers).
        pixels: of the raster so far.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer, self.pixels = layer, 0
        self.counts = np.zeros((len(layer.bands), len(layer.numbers)), np.int64)

    def feed(self, pixels: np.ndarray) -> None:
        """Adds a piece, (bands, height, width)."""
        self.pixels += pixels[0].size
        for band, piece in enumerate(pixels):
            self.counts[band] += counts_of(piece)

    def figures(self) -> list[BandFigures | None]:
        """Of each band; None of one without data."""
        numbers = self._layer.numbers
        return [
            figures_of_counts(np.where(numbers == self._layer.nodata, 0, band), numbers)
            for band in self.counts
        ]


class FloatTotals:
    """What figures of bands follow from, of a raster that arrives piece by piece.

    Attributes:
        pixels: of the raster so far.
    """

    def __init__(self, layer: Layer) -> None:
        bands = len(layer.bands)
        self._nodata, self.pixels = layer.nodata, 0
        self._count = [0] * bands
        self._least, self._most = [np.inf] * bands, [-np.inf] * bands
        self._total, self._squares = [0.0] * bands, [0.0] * bands

    def feed(self, pixels: np.ndarray) -> None:
        """Adds a piece, (bands, height, width)."""
        self.pixels += pixels[0].size
        for band, piece in enumerate(pixels):
            values = piece[piece != self._nodata].astype(float)
            if values.size:
                self._count[band] += values.size
                self._least[band] = min(self._least[band], float(values.min()))
                self._most[band] = max(self._most[band], float(values.max()))
                self._total[band] += float(values.sum())
                self._squares[band] += float(np.square(values).sum())

    def figures(self) -> list[BandFigures | None]:
        """Of each band; None of one without data."""
        return [self._figures(band) if count else None for band, count in enumerate(self._count)]

    def _figures(self, band: int) -> BandFigures:
        count = self._count[band]
        mean = self._total[band] / count
        stddev = max(0.0, self._squares[band] / count - mean**2) ** 0.5
        return BandFigures(count, self._least[band], self._most[band], mean, stddev)


def totals_of(layer: Layer) -> IntegerTotals | FloatTotals:
    """What adds up the numbers of a layer."""
    return FloatTotals(layer) if layer.dtype == "float32" else IntegerTotals(layer)


def passing(totals: IntegerTotals | FloatTotals, rows: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Rows as they are, each counted on its way."""
    for pixels in rows:
        totals.feed(pixels)
        yield pixels


def gdal_statistics(totals: IntegerTotals | FloatTotals) -> list[dict[str, str]]:
    """Figures of each band as GDAL keeps them, in stored numbers: programs need not read the pixels for them."""
    return [
        {}
        if found is None
        else {
            "STATISTICS_MINIMUM": f"{found.minimum:.15g}",
            "STATISTICS_MAXIMUM": f"{found.maximum:.15g}",
            "STATISTICS_MEAN": f"{found.mean:.15g}",
            "STATISTICS_STDDEV": f"{found.stddev:.15g}",
            "STATISTICS_VALID_PERCENT": f"{100 * found.count / totals.pixels:.6g}",
        }
        for found in totals.figures()
    ]
