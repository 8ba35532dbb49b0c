"""Parts of a run that are drawn at random to be compared: squares of its blocks.

Of as many parts as wanted each comes from another stretch of all parts, counted block after block: so every pixel is as
likely as another, and every block gets its share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import lonlat_of
from terramosaic.planning.plan import Block, Plan

#: Pixels of a side: half a tile of what mosaics and references are stored in.
SIDE = 256


@dataclass(frozen=True)
class Part:
    """A square of a block; less of one at its edges."""

    block: Block
    rect: Rect

    @property
    def outline(self) -> BaseGeometry:
        """Its ground in lon/lat degrees."""
        return lonlat_of(box(*self.rect.bounds), self.block.epsg)


class Parts:
    """All parts of a run."""

    def __init__(self, plan: Plan) -> None:
        self._blocks = plan.blocks
        self._ends = np.cumsum([rows * cols for rows, cols in map(_cells, plan.blocks)], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def draw(self, count: int, seed: int) -> list[Part]:
        """Parts without repetition, in the order of blocks; all of them, where there are no more."""
        return [self._part(int(index)) for index in spread(len(self), count, np.random.default_rng(seed))]

    def _part(self, index: int) -> Part:
        place = int(np.searchsorted(self._ends, index, side="right"))
        block = self._blocks[place]
        rows, cols = _cells(block)
        row, col = divmod(index - int(self._ends[place]) + rows * cols, cols)
        whole = Rect(block.row + row * SIDE, block.col + col * SIDE, SIDE, SIDE)
        return Part(block, whole.intersection(block.rect))


def spread(total: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """So many of the numbers below a total, ascending: one of each of so many stretches, drawn at random.

    Where stretches begin is drawn as well, for some are longer by one: so every number is as likely as another.
    """
    if count >= total:
        return np.arange(total)
    ends = np.arange(count + 1) * total // count
    drawn = ends[:-1] + (rng.random(count) * np.diff(ends)).astype(np.int64)
    found: np.ndarray = np.sort((drawn + rng.integers(total)) % total)
    return found


def _cells(block: Block) -> tuple[int, int]:
    return -(-block.height // SIDE), -(-block.width // SIDE)
