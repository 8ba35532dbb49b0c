"""The ground as a mixture of covers, and the canvas on which it is painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from terramosaic.demo.spectra import REFLECTANCE, WATERS, Cover
from terramosaic.demo.texture import FloatArray, Shape

Covers = NDArray[np.uint8]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Surface:
    """What each pixel is made of: two covers share it and a third lies above them. Arrays (H, W) on the 10 m grid.

    Attributes:
        first: a `Cover`.
        second: the `Cover` mixed into it.
        share: part of the second cover, 0 to 1: grown crops hide more soil on the later date.
        later: the same on the second date.
        top: the `Cover` above.
        veil: part of the pixel that the top cover hides, 0 to 1.
        light: brightness against the covers' own: slopes, parcels, roofs and texture.
    """

    first: Covers
    second: Covers
    share: FloatArray
    later: FloatArray
    top: Covers
    veil: FloatArray
    light: FloatArray

    def reflectance(self, band: int, date: int) -> FloatArray:
        """Surface reflectance x 10 000 of a band (index in ``S2L2A_BANDS``) on a date (0 or 1), (H, W)."""
        table = REFLECTANCE[band]
        surface: FloatArray = table[self.first]
        surface += (table[self.second] - surface) * (self.later if date else self.share)
        surface += (table[self.top] - surface) * self.veil
        surface *= self.light
        return surface

    def water(self) -> Mask:
        """Whether a pixel is mostly water, (H, W)."""
        wet = np.isin(np.arange(len(Cover)), WATERS)
        return wet[self.first] & ((self.veil < 0.5) | wet[self.top])


class Canvas(Surface):
    """A ground while it is painted: its arrays change."""

    @classmethod
    def empty(cls, shape: Shape) -> Canvas:
        covers = [np.zeros(shape, np.uint8) for _ in range(3)]
        shares = [np.zeros(shape, np.float32) for _ in range(3)]
        return cls(
            covers[0], covers[1], shares[0], shares[1], covers[2], shares[2], np.ones(shape, np.float32)
        )

    def part(self, window: tuple[slice, slice]) -> Canvas:
        """A part of the canvas; painting it paints the whole."""
        return Canvas(*(array[window] for array in self._arrays()))

    def finished(self) -> Surface:
        return Surface(*self._arrays())

    def lay(
        self,
        where: Mask,
        first: ArrayLike,
        second: ArrayLike,
        share: ArrayLike,
        later: ArrayLike | None = None,
    ) -> None:
        """Puts a mixture where the mask says; it hides what was there."""
        values = (first, second, share, share if later is None else later, 0)
        targets: tuple[Any, ...] = (self.first, self.second, self.share, self.later, self.veil)
        for target, value in zip(targets, values, strict=True):
            np.copyto(target, value, where=where, casting="unsafe")

    def cover(self, top: Cover, veil: FloatArray) -> None:
        """Draws a veil of one cover over what is there; of two veils on a pixel the denser one stays."""
        denser = veil > self.veil
        np.copyto(self.top, np.uint8(top), where=denser)
        np.copyto(self.veil, veil, where=denser)

    def _arrays(self) -> tuple[Any, ...]:
        return self.first, self.second, self.share, self.later, self.top, self.veil, self.light
