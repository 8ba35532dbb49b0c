"""By how many pixels a reference lies beside a map: where it would agree better than where it is.

A file may say of itself that it lies where it does not: reprocessed scenes of Sentinel-1 lay 20 m off under headers
that told nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

#: Pixels that are tried in each direction.
REACH = 3

#: What another place must be better by to be told, in correlation or share of equal classes: chance gives less.
_CLEAR = 0.02

_SIDE = 2 * REACH + 1


@dataclass(frozen=True)
class ShiftScores:
    """Sums of the pairs of pixels at each shift, (figures, rows, columns): count, sums, squares, products.

    Of classes the product is whether both are the same, and nothing else is needed.
    """

    are_classes: bool
    sums: np.ndarray = field(default_factory=lambda: np.zeros((6, _SIDE, _SIDE)))

    @classmethod
    def of(cls, mapped: np.ndarray, reference: np.ndarray, *, are_classes: bool) -> ShiftScores:
        """Those of a part.

        Args:
            mapped: float (height, width), NaN where there is nothing.
            reference: the same.
            are_classes: whether numbers are names.
        """
        found = cls(are_classes)
        if min(mapped.shape) <= 2 * REACH:
            return found
        height, width = (side - 2 * REACH for side in mapped.shape)
        middle = mapped[REACH:-REACH, REACH:-REACH]
        for row in range(_SIDE):
            for col in range(_SIDE):
                moved = reference[row : row + height, col : col + width]
                known = np.isfinite(middle) & np.isfinite(moved)
                x, y = middle[known].astype(np.float64), moved[known].astype(np.float64)
                same = np.count_nonzero(x == y) if are_classes else x @ y
                found.sums[:, row, col] = x.size, x.sum(), y.sum(), x @ x, y @ y, same
        return found

    def __add__(self, other: ShiftScores) -> ShiftScores:
        return ShiftScores(self.are_classes, self.sums + other.sums)

    @property
    def agreement(self) -> np.ndarray:
        """At each shift the correlation, or the share of equal classes; -1 where that cannot be told."""
        count, x, y, xx, yy, xy = self.sums
        with np.errstate(invalid="ignore", divide="ignore"):
            if self.are_classes:
                found = xy / count
            else:
                found = (count * xy - x * y) / np.sqrt((count * xx - x * x) * (count * yy - y * y))
        return np.where(np.isfinite(found), found, -1.0)

    @property
    def better(self) -> tuple[int, int, float, float] | None:
        """Rows down and columns right that the reference lies beside the map, its agreement there and as it is.

        None where no other place is clearly better.
        """
        found = self.agreement
        here = float(found[REACH, REACH])
        row, col = np.unravel_index(int(found.argmax()), found.shape)
        there = float(found[row, col])
        if there < here + _CLEAR:
            return None
        return int(row) - REACH, int(col) - REACH, there, here
