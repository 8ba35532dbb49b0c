"""The tokens that a model draws for the windows of a block, kept as one more raster beside the block's others.

A window of 224 pixels has 14 x 14 patches, each a token for every target. On the ground windows overlap, in this raster
they lie beside each other: window (i, j) of the lattice has the pixels from row 14 i and column 14 j on. Each lattice
of a run has a raster of its own, with the tokens of the targets that are made on it and of the earlier ones they see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from affine import Affine

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import PATCH, WINDOW, Lattice
from terramosaic.planning.lattices import lattices_of
from terramosaic.request.request import RegionRequest

#: Name of the raster; a block of a model without tokens has none. That of a stride of some targets' own has it behind.
TOKENS = "tokens"

#: Type of its numbers, whatever the size of a codebook, and what stands for a window that was not computed.
TOKENS_DTYPE, NO_TOKEN = "uint32", 2**32 - 1

#: Patches to a side of a window.
_SIDE = WINDOW // PATCH


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

    def __init__(self, lattice: Lattice, rect: Rect, targets: Sequence[str], name: str = TOKENS) -> None:
        rows, cols = lattice.rows(rect), lattice.cols(rect)
        self.name, self.targets = name, tuple(targets)
        self.rect = Rect(rows[0] * _SIDE, cols[0] * _SIDE, len(rows) * _SIDE, len(cols) * _SIDE)
        self.numbers = np.full((len(targets), *self.rect.shape), NO_TOKEN, TOKENS_DTYPE)
        self._stride = lattice.stride

    @property
    def transform(self) -> Affine:
        """Where it lies, each window shrunken to what it does not share with the next: there it begins."""
        corner = Rect(
            self.rect.row // _SIDE * self._stride, self.rect.col // _SIDE * self._stride, 1, 1
        ).transform
        return corner @ Affine.scale(self._stride / _SIDE)

    @property
    def distinct(self) -> dict[str, int]:
        """How many different tokens were drawn, by target."""
        return {
            target: int(np.unique(band[band != NO_TOKEN]).size)
            for target, band in zip(self.targets, self.numbers, strict=True)
        }

    def put(self, i: int, j: int, tokens: Mapping[str, np.ndarray]) -> None:
        """Takes the tokens of a window: by target (196), row after row of patches."""
        here = self._slices(i, j)
        for target, band in zip(self.targets, self.numbers, strict=True):
            band[here] = tokens[target].reshape(_SIDE, _SIDE)

    def of(self, i: int, j: int) -> dict[str, np.ndarray] | None:
        """The tokens of a window, by target int64 (196); None where it was not computed."""
        here = self._slices(i, j)
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

    def _slices(self, i: int, j: int) -> tuple[slice, slice]:
        return Rect(i * _SIDE, j * _SIDE, _SIDE, _SIDE).slices(self.rect)


def token_sheets(
    request: RegionRequest, rect: Rect, only: Lattice | None = None
) -> dict[Lattice, TokenSheet]:
    """A sheet for each lattice of a request's, or one of them, over a rectangle of pixels; nothing is in them yet."""
    return {
        each.lattice: TokenSheet(each.lattice, rect, each.drawn, _name(each.lattice.stride, request))
        for each in lattices_of(request)
        if only in (None, each.lattice)
    }


def _name(stride: int, request: RegionRequest) -> str:
    return TOKENS if stride == request.stride else f"{TOKENS}_{stride}"
