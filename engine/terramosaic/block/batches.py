"""A block's windows, cut from the strips of its stack and put together to batches for the model.

Windows of several lattices are cut from the same strips, row after row by where they start, into batches of each
lattice's own. What a row makes final, in all lattices, ends where the next row starts, whatever lattice that is of.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from terramosaic.block.dated import DatedInputs
from terramosaic.block.inputs import BlockInputs
from terramosaic.block.rasters import SourceRows
from terramosaic.block.windows import WindowRow
from terramosaic.ground.fill import fill_nearest, near_missing
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.planning.layers import QUALITY_EDGE, QUALITY_FILLED


@dataclass(frozen=True)
class PlacedWindow:
    """A window of the lattice whose pixels are the next ones of its batch.

    Attributes:
        seen: bool (side, side), pixels that all inputs have seen; of None, all. The others are filled.
        ring: of how many windows away the next one is that the block is made of; 0 for one of these.
    """

    i: int
    j: int
    seen: np.ndarray | None
    ring: int = 0

    @property
    def flags(self) -> np.ndarray | None:
        """What the quality says of its pixels, uint8 (side, side); None where nothing was filled."""
        if self.seen is None:
            return None
        filled = np.uint8(QUALITY_FILLED)
        return np.where(near_missing(self.seen), filled | np.uint8(QUALITY_EDGE), filled)


@dataclass(frozen=True)
class RowEnd:
    """All windows of a row have been handed out.

    Attributes:
        i: the row.
        source: what lies under the rows that are final as soon as all windows are computed that were cut so far.
        is_own: whether the row touches the block.
    """

    i: int
    source: SourceRows
    is_own: bool = True


@dataclass(frozen=True)
class Batch:
    """What one call of the model computes, and what becomes final by it.

    Attributes:
        lattice: of its windows.
        pixels: by input float32 (N, bands, side, side), of several dates (N, bands, dates, side, side), without gaps;
            the batch's own.
        items: its N windows in row-major order, and between them the ends of rows.
    """

    lattice: Lattice
    pixels: dict[str, np.ndarray]
    items: tuple[PlacedWindow | RowEnd, ...]

    @property
    def windows(self) -> list[PlacedWindow]:
        return [item for item in self.items if isinstance(item, PlacedWindow)]


def batches(
    held: BlockInputs | DatedInputs,
    rows: Sequence[WindowRow],
    block: Rect,
    region: np.ndarray,
    *,
    size: int,
    depths: Mapping[str, tuple[int, ...]],
    skips_cloud: bool = False,
) -> Generator[Batch, None, None]:
    """Cuts windows into batches, also across rows; windows without a valid pixel are left out.

    Args:
        held: where pixels come from, as they are wanted.
        rows: the windows that the block needs, from top to bottom.
        block: its pixels.
        region: bool (height, width) of the block: which of them are wanted.
        size: windows in a batch; the last one of a lattice may have fewer, or none.
        depths: by input, how many bands a window has; and dates, where it has several.
        skips_cloud: whether windows whose valid pixels are all flagged as cloud are left out, too.
    """
    forming = {row.lattice: _OpenBatch(row.lattice, size, depths) for row in rows}
    for row, end in zip(rows, [*(row.start for row in rows[1:]), block.row_end], strict=True):
        held.drop_above(row.start)
        batch = forming[row.lattice]
        for j in row.columns:
            place = batch.place
            window = row.lattice.window(row.i, j)
            seen = held.cut(window, place)
            if not all(mask.any(axis=(-2, -1)).all() for mask in seen.values()):
                continue
            if skips_cloud and not (_seen_by_all(seen) & ~held.cloudy(window)).any():
                continue
            batch.put(PlacedWindow(row.i, j, _filled(place, seen), row.rings.get(j, 0)))
            if batch.is_full:
                yield batch.closed()
                batch = forming[row.lattice] = _OpenBatch(row.lattice, size, depths)
        batch.items.append(RowEnd(row.i, _source(held, row.start, end, block, region), row.is_own))
    for batch in forming.values():
        yield batch.closed()


class _OpenBatch:
    """A batch that is not full yet."""

    def __init__(self, lattice: Lattice, size: int, depths: Mapping[str, tuple[int, ...]]) -> None:
        self._lattice, self._size, self._count = lattice, size, 0
        self._pixels = {
            name: np.empty((size, *depth, lattice.side, lattice.side), np.float32)
            for name, depth in depths.items()
        }
        self.items: list[PlacedWindow | RowEnd] = []

    @property
    def place(self) -> dict[str, np.ndarray]:
        """Where the next window is cut to, by input: a copy of each would cost as much as cutting it."""
        return {name: pixels[self._count] for name, pixels in self._pixels.items()}

    @property
    def is_full(self) -> bool:
        return self._count == self._size

    def put(self, window: PlacedWindow) -> None:
        """Takes the window that is in its place."""
        self.items.append(window)
        self._count += 1

    def closed(self) -> Batch:
        cut = {name: pixels[: self._count] for name, pixels in self._pixels.items()}
        return Batch(self._lattice, cut, tuple(self.items))


def _filled(place: Mapping[str, np.ndarray], seen: Mapping[str, np.ndarray]) -> np.ndarray | None:
    """Fills what is missing of a window's inputs in place, each date by itself; returns what all saw, or None."""
    valid = _seen_by_all(seen)
    if valid.all():
        return None
    for name, masks in seen.items():
        for date, mask in enumerate(_by_date(masks)):
            if not mask.all():
                fill_nearest(place[name][:, date] if place[name].ndim == 4 else place[name], mask)
    return valid


def _seen_by_all(seen: Mapping[str, np.ndarray]) -> np.ndarray:
    """The pixels of a window that all inputs have seen on all dates, bool (side, side)."""
    valid: np.ndarray = np.logical_and.reduce(np.concatenate([_by_date(masks) for masks in seen.values()]))
    return valid


def _by_date(mask: np.ndarray) -> np.ndarray:
    """Masks of the dates that an input has, bool (dates, side, side)."""
    return mask if mask.ndim == 3 else mask[None]


def _source(
    held: BlockInputs | DatedInputs, start: int, end: int, block: Rect, region: np.ndarray
) -> SourceRows:
    """What lies under a block's pixels in some rows of the grid."""
    # Of rows that do not touch the block nothing is left of that.
    top = min(max(block.row, start), block.row_end)
    final = Rect(top, block.col, max(0, min(end, block.row_end) - top), block.width)
    return held.source(final, region[final.slices(block)])
