"""A block's windows, cut from the strips of its stack and put together to batches for the model."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np

from terramosaic.block.rasters import SourceRows
from terramosaic.block.windows import HeldRows, WindowRow
from terramosaic.ground.fill import fill_nearest, near_missing
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import WINDOW, Lattice
from terramosaic.planning.layers import QUALITY_EDGE, QUALITY_FILLED


@dataclass(frozen=True)
class PlacedWindow:
    """A window of the lattice whose pixels are the next ones of its batch; ``flags`` tells which were filled."""

    i: int
    j: int
    flags: np.ndarray | None


@dataclass(frozen=True)
class RowEnd:
    """All windows of a row have been handed out; the imagery under the rows that are now final."""

    source: SourceRows


@dataclass(frozen=True)
class Batch:
    """What one call of the model computes, and what becomes final by it.

    Attributes:
        pixels: float32 (N, bands, 224, 224), harmonised DN without gaps; the batch's own.
        items: its N windows in row-major order, and between them the ends of rows.
    """

    pixels: np.ndarray
    items: tuple[PlacedWindow | RowEnd, ...]

    @property
    def windows(self) -> list[PlacedWindow]:
        return [item for item in self.items if isinstance(item, PlacedWindow)]


def batches(
    held: HeldRows,
    rows: list[WindowRow],
    lattice: Lattice,
    block: Rect,
    region: np.ndarray,
    *,
    size: int,
    bands: int,
) -> Generator[Batch, None, None]:
    """Cuts windows into batches, also across rows; windows without a valid pixel are left out.

    Args:
        held: where pixels come from, as they are wanted.
        rows: the windows that the block needs.
        lattice: where they lie.
        block: its pixels.
        region: bool (height, width) of the block: which of them are wanted.
        size: windows in a batch; the last one may have fewer, or none.
        bands: of a window.
    """

    def empty() -> np.ndarray:
        return np.empty((size, bands, WINDOW, WINDOW), np.float32)

    # Windows are cut straight into their place, for a copy of each would cost as much as cutting it.
    pixels, items, count = empty(), list[PlacedWindow | RowEnd](), 0
    for i, columns in rows:
        held.drop_above(i * lattice.stride)
        for j in columns:
            valid = held.cut(lattice.window(i, j), pixels[count])
            if not valid.any():
                continue
            items.append(PlacedWindow(i, j, _filled(pixels[count], valid)))
            count += 1
            if count == size:
                yield Batch(pixels, tuple(items))
                pixels, items, count = empty(), [], 0
        items.append(RowEnd(_source(held, i, rows, lattice, block, region)))
    yield Batch(pixels[:count], tuple(items))


def _filled(pixels: np.ndarray, valid: np.ndarray) -> np.ndarray | None:
    """Fills what is missing of a window, in place, and flags it."""
    if valid.all():
        return None
    fill_nearest(pixels, valid)
    return np.where(near_missing(valid), np.uint8(QUALITY_FILLED | QUALITY_EDGE), np.uint8(QUALITY_FILLED))


def _source(
    held: HeldRows, i: int, rows: list[WindowRow], lattice: Lattice, block: Rect, region: np.ndarray
) -> SourceRows:
    """What lies under the rows that row ``i`` of windows makes final."""
    start = i * lattice.stride
    end = block.row_end if i == rows[-1][0] else min(block.row_end, start + lattice.stride)
    top = max(block.row, start)
    final = Rect(top, block.col, max(0, end - top), block.width)
    return held.source(final, region[final.slices(block)])
