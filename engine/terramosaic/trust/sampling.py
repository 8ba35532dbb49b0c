"""Windows drawn at random over a run's mosaics, each block getting its share.

In one dimension, with stride 192: window 10 covers [1920, 2144), its neighbours end at 1952 and begin at 2112, so
[1952, 2112) is its *core*, which no other window touches: one window recomputed tells all about it. Compared whole, a
window's pixels are those of all that overlap it: with both neighbours in each direction, nine of them.

Targets with a stride of their own have windows of their own, which are drawn like the others, and looked at for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from shapely.geometry import box

from terramosaic.block.windows import region_mask
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.planning.plan import Block, Plan


def has_cores(lattice: Lattice) -> bool:
    """Whether its windows leave each other pixels of their own."""
    return 2 * lattice.stride > lattice.side


@dataclass(frozen=True)
class Draw:
    """A window of a block that is to be looked at, for what is made on its lattice.

    Attributes:
        i: its row in the lattice.
        j: its column.
        rect: the pixels that are compared: its core, or all of it, as far as they lie in the block.
    """

    block: Block
    lattice: Lattice
    i: int
    j: int
    rect: Rect


class Windows:
    """All windows of a run that can be drawn: those with a pixel of the region to compare.

    One that lies across the border of two blocks counts in each, as it does where it is computed.

    Args:
        plan: the run's.
        whole: whether all of a window is compared, and not its core alone; one without a core is in any case.

    Attributes:
        whole: whether all windows are compared whole.
    """

    def __init__(self, plan: Plan, *, whole: bool) -> None:
        lattices = [each.lattice for each in plan.lattices]
        self._plan = plan
        self._rims = {
            lattice: 0 if whole or not has_cores(lattice) else lattice.side - lattice.stride
            for lattice in lattices
        }
        self.whole = whole or not any(has_cores(lattice) for lattice in lattices)
        self._strata = [(block, lattice) for block in plan.blocks for lattice in lattices]
        self._counts = np.array([self._count(*stratum) for stratum in self._strata], np.int64)

    def __len__(self) -> int:
        return int(self._counts.sum())

    def draw(self, count: int, seed: int) -> list[Draw]:
        """Windows without repetition, in the order of blocks; all of them, where there are no more.

        Each block gets its share of them, rounded up or down by chance, so that every window is as likely as another.
        """
        rng = np.random.default_rng(seed)
        found = []
        for (block, lattice), share in zip(self._strata, self._shares(count, rng), strict=True):
            if share:
                places = list(self._places(block, lattice))
                for index in np.sort(rng.choice(len(places), share, replace=False)):
                    i, j = places[index]
                    found.append(Draw(block, lattice, i, j, self._compared(block, lattice, i, j)))
        return found

    def _shares(self, count: int, rng: np.random.Generator) -> np.ndarray:
        total = len(self)
        if count >= total:
            return self._counts
        # A comb of equal steps, begun at random, laid over all windows in the order of blocks.
        teeth = (np.arange(count) + rng.random()) * (total / max(1, count))
        ends = np.cumsum(self._counts)
        return np.bincount(np.searchsorted(ends, teeth, side="right"), minlength=len(ends))

    def _count(self, block: Block, lattice: Lattice) -> int:
        if not self._is_cut(block):
            rows, cols = lattice.rows(block.rect), lattice.cols(block.rect)
            return sum(not self._compared(block, lattice, i, cols[0]).height <= 0 for i in rows) * sum(
                not self._compared(block, lattice, rows[0], j).width <= 0 for j in cols
            )
        return sum(1 for _ in self._places(block, lattice))

    def _places(self, block: Block, lattice: Lattice) -> Iterator[tuple[int, int]]:
        region = region_mask(self._plan, block)
        for i in lattice.rows(block.rect):
            for j in lattice.cols(block.rect):
                rect = self._compared(block, lattice, i, j)
                if not rect.is_empty and region[rect.slices(block.rect)].any():
                    yield i, j

    def _compared(self, block: Block, lattice: Lattice, i: int, j: int) -> Rect:
        return lattice.window(i, j).pad(-self._rims[lattice]).intersection(block.rect)

    def _is_cut(self, block: Block) -> bool:
        outline = self._plan.zone_of(block).shape
        return outline is not None and not outline.contains(box(*block.rect.bounds))
