"""Figures for values: bias, MAE, RMSE, correlation, PSNR and SSIM, added up tile by tile.

A `ValueScores` holds sums, a few numbers however much they are of: those of two tiles, two bands or two workers are
added, in any order, and are those of all pixels together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from terramosaic.evaluation.similarity import structural_similarity


@dataclass(frozen=True)
class ValueScores:
    """What is kept of pixels that were compared; NaN stands for a figure of none.

    Attributes:
        count: pixels that both have.
        mean_generated: their mean in the picture that is judged.
        mean_reference: their mean in the reference.
        spread_generated: sum of squared differences from the mean.
        spread_reference: the same of the reference.
        covariation: sum of the products of both differences.
        absolute: sum of the absolute errors.
        squared: sum of the squared errors.
        least: smallest value of the reference.
        most: its largest.
        similarity: sum of SSIM over `neighbourhoods` pixels.
        neighbourhoods: pixels with a whole neighbourhood.
    """

    count: int = 0
    mean_generated: float = 0.0
    mean_reference: float = 0.0
    spread_generated: float = 0.0
    spread_reference: float = 0.0
    covariation: float = 0.0
    absolute: float = 0.0
    squared: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    similarity: float = 0.0
    neighbourhoods: int = 0

    @classmethod
    def of(
        cls,
        generated: np.ndarray,
        reference: np.ndarray,
        valid: np.ndarray | None = None,
        *,
        data_range: float,
    ) -> ValueScores:
        """Compares one band of a tile.

        Args:
            generated: (height, width).
            reference: (height, width), in the same unit.
            valid: bool (height, width): pixels to compare; what is not finite in either is left out in any case.
            data_range: what the values may span, for SSIM.
        """
        finite = np.isfinite(generated) & np.isfinite(reference)
        valid = finite if valid is None else finite & valid
        x = generated[valid].astype(np.float64)
        y = reference[valid].astype(np.float64)
        if not x.size:
            return cls()
        mean_x, mean_y, errors = float(x.mean()), float(y.mean()), x - y
        similarity, neighbourhoods = structural_similarity(generated, reference, valid, data_range)
        return cls(
            count=x.size,
            mean_generated=mean_x,
            mean_reference=mean_y,
            spread_generated=float(np.sum((x - mean_x) ** 2)),
            spread_reference=float(np.sum((y - mean_y) ** 2)),
            covariation=float(np.sum((x - mean_x) * (y - mean_y))),
            absolute=float(np.sum(np.abs(errors))),
            squared=float(np.sum(errors**2)),
            least=float(y.min()),
            most=float(y.max()),
            similarity=similarity,
            neighbourhoods=neighbourhoods,
        )

    @classmethod
    def sum(cls, parts: Iterable[ValueScores]) -> ValueScores:
        """Those of all parts together."""
        total = cls()
        for part in parts:
            total += part
        return total

    def __add__(self, other: ValueScores) -> ValueScores:
        count = self.count + other.count
        if not other.count or not self.count:
            return self if self.count else other
        # Chan, Golub and LeVeque 1983: means and squared differences of two sets, without their values.
        dx = other.mean_generated - self.mean_generated
        dy = other.mean_reference - self.mean_reference
        share, weight = other.count / count, self.count * other.count / count
        return ValueScores(
            count=count,
            mean_generated=self.mean_generated + dx * share,
            mean_reference=self.mean_reference + dy * share,
            spread_generated=self.spread_generated + other.spread_generated + dx * dx * weight,
            spread_reference=self.spread_reference + other.spread_reference + dy * dy * weight,
            covariation=self.covariation + other.covariation + dx * dy * weight,
            absolute=self.absolute + other.absolute,
            squared=self.squared + other.squared,
            least=min(self.least, other.least),
            most=max(self.most, other.most),
            similarity=self.similarity + other.similarity,
            neighbourhoods=self.neighbourhoods + other.neighbourhoods,
        )

    @property
    def bias(self) -> float:
        """Mean of generated minus reference, in the values' unit."""
        return self.mean_generated - self.mean_reference if self.count else math.nan

    @property
    def mae(self) -> float:
        """Mean absolute error, in the values' unit."""
        return self.absolute / self.count if self.count else math.nan

    @property
    def rmse(self) -> float:
        """Root of the mean squared error, in the values' unit."""
        return math.sqrt(self.squared / self.count) if self.count else math.nan

    @property
    def correlation(self) -> float:
        """Pearson's; NaN where one of both does not vary."""
        both = self.spread_generated * self.spread_reference
        return self.covariation / math.sqrt(both) if both > 0 else math.nan

    @property
    def ssim(self) -> float:
        """Mean structural similarity over whole neighbourhoods, for the data range that was compared with."""
        return self.similarity / self.neighbourhoods if self.neighbourhoods else math.nan

    @property
    def reference_range(self) -> float:
        """Largest minus smallest value of the reference."""
        return self.most - self.least if self.count else math.nan

    def psnr(self, data_range: float) -> float:
        """Peak signal-to-noise ratio in dB, of the error of all pixels together.

        Args:
            data_range: what the values may span; the figure says nothing without it.
        """
        if not self.squared:
            return math.inf if self.count else math.nan
        return 20 * math.log10(data_range / self.rmse)
