"""Areas and accuracies of a map from a stratified sample of it, with confidence intervals.

After Olofsson et al. 2014, "Good practices for estimating area and assessing accuracy of land change", Remote Sensing
of Environment 148, 42-57. A map's own pixel counts are no areas: what it confuses is in them. The strata are the map's
classes; at a sample of each the true class is found out, and areas and accuracies follow with their uncertainty.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Standard errors to each side of an interval that holds the truth with 95 %.
_Z95 = 1.96


@dataclass(frozen=True)
class Estimate:
    """Estimates with the half-widths of their 95 % confidence intervals; one each, or one for each class."""

    value: np.ndarray
    margin: np.ndarray


@dataclass(frozen=True)
class StratifiedSample:
    """A sample of a map whose true classes are known.

    Attributes:
        counts: int (classes, classes), samples by class of the map (rows) and of the reference (columns). A class that
            was mapped needs two samples at least.
        mapped: float (classes,), what the map gives each class, in any unit of area.
    """

    counts: np.ndarray
    mapped: np.ndarray

    def __post_init__(self) -> None:
        classes = len(self.mapped)
        if self.counts.shape != (classes, classes):
            raise ValueError(f"counts has shape {self.counts.shape} for {classes} mapped classes")
        if few := [k for k in range(classes) if self.mapped[k] > 0 and self.counts[k].sum() < 2]:
            raise ValueError(f"classes {few} of the map have fewer than two samples; draw more of them")

    @property
    def areas(self) -> Estimate:
        """Each class's area, in the unit of ``mapped`` (equations 2, 10 and 11)."""
        total = float(self.mapped.sum())
        return Estimate(
            self._proportions.sum(axis=0) * total, _Z95 * total * np.sqrt(self._variance_of_areas)
        )

    @property
    def overall(self) -> Estimate:
        """Overall accuracy (equations 1 and 5)."""
        variance = np.sum(self._weights**2 * _sample_variance(self._users, self._sizes))
        return Estimate(np.trace(self._proportions), _Z95 * np.sqrt(variance))

    @property
    def users(self) -> Estimate:
        """User's accuracy of each class (equations 2 and 6); NaN of one that was not sampled."""
        variance = _sample_variance(self._users, self._sizes)
        seen = self._sizes > 0
        return Estimate(np.where(seen, self._users, np.nan), np.where(seen, _Z95 * np.sqrt(variance), np.nan))

    @property
    def producers(self) -> Estimate:
        """Producer's accuracy of each class (equations 3 and 7); NaN of one that was not found."""
        sizes, mapped, shares = self._sizes, self.mapped.astype(float), self._shares
        with np.errstate(invalid="ignore", divide="ignore"):
            found = shares.T @ mapped
            accuracy = np.diag(self._proportions) / self._proportions.sum(axis=0)
            own = mapped**2 * (1 - accuracy) ** 2 * _sample_variance(self._users, sizes)
            spread = mapped[:, None] ** 2 * _sample_variance(shares, sizes[:, None])
            others = accuracy**2 * (spread.sum(axis=0) - np.diag(spread))
            margin = _Z95 * np.sqrt((own + others) / found**2)
        return Estimate(accuracy, margin)

    @property
    def _sizes(self) -> np.ndarray:
        sizes: np.ndarray = self.counts.sum(axis=1)
        return sizes

    @property
    def _weights(self) -> np.ndarray:
        weights: np.ndarray = self.mapped / self.mapped.sum()
        return weights

    @property
    def _shares(self) -> np.ndarray:
        """Of the samples of each class of the map, the share that is each class."""
        shares: np.ndarray = self.counts / np.maximum(self._sizes, 1)[:, None]
        return shares

    @property
    def _users(self) -> np.ndarray:
        return np.diag(self._shares)

    @property
    def _proportions(self) -> np.ndarray:
        """Estimated shares of the whole area (equation 4)."""
        proportions: np.ndarray = self._weights[:, None] * self._shares
        return proportions

    @property
    def _variance_of_areas(self) -> np.ndarray:
        variances: np.ndarray = np.sum(
            self._weights[:, None] ** 2 * _sample_variance(self._shares, self._sizes[:, None]), axis=0
        )
        return variances


def _sample_variance(share: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of a share that was found in a sample; 0 where there is none."""
    variance: np.ndarray = share * (1 - share) / np.maximum(size - 1, 1)
    return variance
