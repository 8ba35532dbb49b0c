"""Figures for classes: the confusion matrix, added up tile by tile, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Confusion:
    """How often each class of a map was each class of the reference.

    Attributes:
        values: what stands for each class in the pixels, in the matrix's order.
        counts: int64 (classes, classes); rows are the map, columns the reference, as in Olofsson et al. 2014.
    """

    values: tuple[int, ...]
    counts: np.ndarray

    @classmethod
    def empty(cls, values: Sequence[int]) -> Confusion:
        """That of no pixel."""
        return cls(tuple(values), np.zeros((len(values), len(values)), np.int64))

    @classmethod
    def of(
        cls,
        mapped: np.ndarray,
        reference: np.ndarray,
        values: Sequence[int],
        valid: np.ndarray | None = None,
    ) -> Confusion:
        """Compares a tile.

        Args:
            mapped: classes, integers of any shape.
            reference: the same of the reference.
            values: the classes to compare; pixels with another value in either are left out.
            valid: bool, pixels to compare.
        """
        order = np.argsort(values)
        ranks = np.asarray(values)[order]
        places, known = [], np.ones(mapped.shape, bool) if valid is None else valid.copy()
        for pixels in (mapped, reference):
            place = np.searchsorted(ranks, pixels).clip(max=len(ranks) - 1)
            known &= ranks[place] == pixels
            places.append(order[place])
        size = len(values)
        pairs = places[0][known] * size + places[1][known]
        return cls(tuple(values), np.bincount(pairs, minlength=size * size).reshape(size, size))

    def __add__(self, other: Confusion) -> Confusion:
        if self.values != other.values:
            raise ValueError(f"matrices of different classes: {self.values} and {other.values}")
        return Confusion(self.values, self.counts + other.counts)

    @property
    def count(self) -> int:
        """Pixels that were compared."""
        return int(self.counts.sum())

    @property
    def overall(self) -> float:
        """Share of pixels of the same class; NaN of none."""
        return float(_share(np.trace(self.counts), self.counts.sum()))

    @property
    def users(self) -> np.ndarray:
        """User's accuracy (precision) of each class: of what the map calls so, the share that is. NaN where none is."""
        return _share(np.diag(self.counts), self.counts.sum(axis=1))

    @property
    def producers(self) -> np.ndarray:
        """Producer's accuracy (recall) of each class: of what is so, the share that the map calls so."""
        return _share(np.diag(self.counts), self.counts.sum(axis=0))

    @property
    def f1(self) -> np.ndarray:
        """Harmonic mean of both, for each class."""
        return _share(2 * np.diag(self.counts), self.counts.sum(axis=0) + self.counts.sum(axis=1))

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each class."""
        both = np.diag(self.counts)
        return _share(both, self.counts.sum(axis=0) + self.counts.sum(axis=1) - both)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        share: np.ndarray = np.true_divide(part, whole)
    return share
