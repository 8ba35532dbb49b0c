"""The NDVI of the imagery itself, held against what the model generated: a check that needs no reference.

Sums of every fourth pixel in both directions, that add up over rows, blocks and runs.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, NonNegativeInt

#: Bands that it takes.
RED, INFRARED = "B04", "B08"

_EVERY = 4

#: Sum of both bands below which an NDVI is noise: open water, deep shadow.
_LEAST_LIGHT = 400


class NdviAgreement(BaseModel):
    """Sums over some pixels, of the NDVI that the imagery shows and of the one that was generated.

    Attributes:
        pixels: how many.
        shown: sum of what the imagery shows.
        shown_squares: sum of its squares.
        generated: sum of what was generated; None, as all further ones, where NDVI is no target.
        generated_squares: sum of its squares.
        products: sum of the products of both.
        absolute: sum of their absolute differences.
        bounding: sum of what the bound of samples adds to what the imagery shows, at least.
        beyond: sum of how far the imagery's lie outside that bound.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pixels: NonNegativeInt = 0
    shown: float = 0.0
    shown_squares: float = 0.0
    generated: float | None = None
    generated_squares: float | None = None
    products: float | None = None
    absolute: float | None = None
    bounding: float = 0.0
    beyond: float = 0.0

    @classmethod
    def of(
        cls,
        red: np.ndarray,
        infrared: np.ndarray,
        generated: np.ndarray | None,
        valid: np.ndarray,
        bounds: tuple[float, float] = (-1.0, 1.0),
    ) -> Self:
        """The sums over some rows.

        Args:
            red: uint16 (height, width), reflectance x 10 000.
            infrared: likewise.
            generated: float32 (height, width); None where NDVI is no target.
            valid: bool (height, width), which pixels count; none does that is as dark as open water.
            bounds: the least and the most that the model can make of it.
        """
        low, high = red.astype(np.float64), infrared.astype(np.float64)
        held = valid & (low + high >= _LEAST_LIGHT)
        shown = (high[held] - low[held]) / (high[held] + low[held])
        sums = {"pixels": len(shown), "shown": float(shown.sum()), "shown_squares": float(shown @ shown)}
        if generated is not None:
            made = generated[held].astype(np.float64)
            sums |= {"generated": float(made.sum()), "generated_squares": float(made @ made)}
            sums |= {"products": float(made @ shown), "absolute": float(np.abs(made - shown).sum())}
            bounding = np.clip(shown, *bounds) - shown
            sums |= {"bounding": float(bounding.sum()), "beyond": float(np.abs(bounding).sum())}
        return cls.model_validate(sums)

    def __add__(self, other: Self) -> Self:
        """Both together; of nothing yet, and something, the latter."""
        if not self.pixels or not other.pixels:
            return other if not self.pixels else self
        sums = {}
        for name in type(self).model_fields:
            one, further = getattr(self, name), getattr(other, name)
            sums[name] = None if one is None or further is None else one + further
        return type(self).model_validate(sums)

    @property
    def is_compared(self) -> bool:
        """Whether there are pixels with both."""
        return self.pixels > 0 and self.generated is not None

    @property
    def bias(self) -> float:
        """Mean of generated minus shown."""
        return ((self.generated or 0.0) - self.shown) / self.pixels

    @property
    def mean_absolute_error(self) -> float:
        """Mean of the absolute differences."""
        return (self.absolute or 0.0) / self.pixels

    @property
    def least_bias(self) -> float:
        """The bias of the best that the model can make."""
        return self.bounding / self.pixels

    @property
    def least_error(self) -> float:
        """The mean absolute error of the best that the model can make."""
        return self.beyond / self.pixels

    @property
    def shown_std(self) -> float:
        """Standard deviation of what the imagery shows: whether there is anything to be seen in it."""
        return _std(self.shown, self.shown_squares, self.pixels)

    @property
    def correlation(self) -> float | None:
        """Pearson's; None where either does not vary."""
        made = self.generated or 0.0
        stds = self.shown_std * _std(made, self.generated_squares or 0.0, self.pixels)
        if stds < 1e-9:
            return None
        covariance = (self.products or 0.0) / self.pixels - made * self.shown / self.pixels**2
        return max(-1.0, min(1.0, covariance / stds))


class NdviTally:
    """Adds up rows as they come.

    Args:
        bands: of the imagery that comes.
        known: those of them that are real; without the two that NDVI takes, nothing is counted.
        bounds: see `NdviAgreement.of`.
    """

    def __init__(
        self, bands: tuple[str, ...], known: tuple[str, ...], bounds: tuple[float, float] = (-1.0, 1.0)
    ) -> None:
        self._bounds = bounds
        is_shown = {RED, INFRARED} <= set(known)
        self._at = (bands.index(RED), bands.index(INFRARED)) if is_shown else None
        self.total = NdviAgreement()

    def add(self, row: int, dn: np.ndarray, valid: np.ndarray, generated: np.ndarray | None) -> None:
        """Counts rows of a block.

        Args:
            row: the first of them, on the grid.
            dn: uint16 (bands, height, width).
            valid: bool (height, width).
            generated: float32 (height, width); None where NDVI is no target.
        """
        if self._at is not None:
            some = slice(-row % _EVERY, None, _EVERY), slice(None, None, _EVERY)
            red, infrared = (dn[band][some] for band in self._at)
            made = None if generated is None else generated[some]
            self.total = self.total + NdviAgreement.of(red, infrared, made, valid[some], self._bounds)


def _std(total: float, squares: float, count: int) -> float:
    return float(np.sqrt(max(0.0, squares / count - (total / count) ** 2)))
