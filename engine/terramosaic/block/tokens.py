"""The tokens that a model draws for the windows of a block, kept as one more raster beside the block's others.

A window of TerraMind, of 224 pixels, has 14 x 14 patches, each a token for every target. On the ground windows overlap,
in this raster they lie beside each other: window (i, j) has the pixels from row 14 i and column 14 j on. Each lattice
of a run has a raster of its own, with the tokens of the targets that are made on it and of the earlier ones they see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from affine import Affine

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.planning.plan import Plan

#: Name of the raster; a block of a model without tokens has none. That of a stride of some targets' own has it behind.
TOKENS = "tokens"

#: Type of its numbers, whatever the size of a codebook, and what stands for a window that was not computed.
TOKENS_DTYPE, NO_TOKEN = "uint32", 2**32 - 1


class TokenSheet:
    """The tokens of all windows that touch a rectangle.

    Args:
        lattice: the windows.
        rect: pixels of a block, or of a part of it.
        targets: that have tokens.
        name: of the raster.

    Attributes:
        targets: in the order of bands.
        rect: the sheet's own pixels, counted over the whole lattice.
        numbers: uint32 (targets, height, width).
    """

    dtype, nodata = TOKENS_DTYPE, NO_TOKEN

    def __init__(self, lattice: Lattice, rect: Rect, targets: Sequence[str], name: str = TOKENS) -> None:
        rows, cols = lattice.rows(rect), lattice.cols(rect)
        self.name, self.targets = name, tuple(targets)
        self._side = side = lattice.patches
        self.rect = Rect(rows[0] * side, cols[0] * side, len(rows) * side, len(cols) * side)
        self.numbers = np.full((len(targets), *self.rect.shape), NO_TOKEN, TOKENS_DTYPE)
        self._stride = lattice.stride

    @property
    def transform(self) -> Affine:
        """Where it lies, each window shrunken to what it does not share with the next: there it begins."""
        corner = Rect(
            self.rect.row // self._side * self._stride, self.rect.col // self._side * self._stride, 1, 1
        ).transform
        return corner @ Affine.scale(self._stride / self._side)

    @property
    def distinct(self) -> dict[str, int]:
        """How many different tokens were drawn, by target."""
        return {
            target: int(np.unique(band[band != NO_TOKEN]).size)
            for target, band in zip(self.targets, self.numbers, strict=True)
        }

    def put(self, i: int, j: int, tokens: Mapping[str, np.ndarray]) -> None:
        """Takes the tokens of a window: by target (patches²), row after row."""
        here = self._place(i, j).slices(self.rect)
        for target, band in zip(self.targets, self.numbers, strict=True):
            band[here] = tokens[target].reshape(self._side, self._side)

    def of(self, i: int, j: int) -> dict[str, np.ndarray] | None:
        """The tokens of a window, by target int64 (patches²); None where it was not computed, and of any other."""
        place = self._place(i, j)
        if place.intersection(self.rect) != place:
            return None
        here = place.slices(self.rect)
        found = {
            target: band[here].ravel().astype(np.int64)
            for target, band in zip(self.targets, self.numbers, strict=True)
        }
        return None if any((tokens == NO_TOKEN).any() for tokens in found.values()) else found

    def agreement(self, drawn: TokenSheet) -> tuple[int, int]:
        """How many of the tokens that were drawn for some of its windows are its own, and of how many."""
        own = self.numbers[:, *drawn.rect.slices(self.rect)]
        is_drawn = drawn.numbers != NO_TOKEN
        return int((own == drawn.numbers)[is_drawn].sum()), int(is_drawn.sum())

    def _place(self, i: int, j: int) -> Rect:
        return Rect(i * self._side, j * self._side, self._side, self._side)


def token_sheets(plan: Plan, rect: Rect, only: Lattice | None = None) -> dict[Lattice, TokenSheet]:
    """A sheet for each lattice of a plan's, or one of them, over a rectangle of pixels; nothing is in them yet."""
    return {
        each.lattice: TokenSheet(each.lattice, rect, each.drawn, _name(each.lattice.stride, plan))
        for each in plan.lattices
        if only in (None, each.lattice) and each.drawn
    }


def _name(stride: int, plan: Plan) -> str:
    return TOKENS if stride == plan.stride else f"{TOKENS}_{stride}"
