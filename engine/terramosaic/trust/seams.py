"""Whether a mosaic shows where it was put together: figures that are 1 where it does not.

*Step*: how much neighbouring pixels differ across the lines where windows begin or end, against lines within windows.
Above 1, edges can be seen; below, they are blurred. *Texture*: the variance of a few pixels where more windows overlap,
against where fewer do. Averaging windows that do not agree washes it out, to half of it under two. *Block step*: as the
first, across the lines where blocks meet, against the lines that lie to windows as these do.

All are ratios of sums over pieces of the mosaic that are drawn at random, both directions together, with an interval of
95 % from drawing the pieces again with replacement (Efron and Tibshirani 1993, An introduction to the bootstrap, 13.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Zone
from terramosaic.trust.seam_lines import SeamLines, positions

#: Pieces of a mosaic that are looked at, of each kind; their sides are two strides, or for blocks at most `_LENGTH`.
_PIECES, _LENGTH = 256, 768

#: Side of the cells whose variance is taken. Lines of interest are multiples of 8, where pieces are cut are not.
_CELL, _CUT = 8, 4

_RESAMPLES, _INTERVAL = 1000, (2.5, 97.5)

#: With fewer pieces an interval says nothing.
_FEWEST_PIECES = 10

#: A ratio is not told beyond it: of windows that are even in themselves and differ, all that differs is at edges.
_MOST = 1000.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Ratio:
    """A ratio and the interval of 95 % that it lies in; without one where too little was seen to tell.

    Attributes:
        low: the interval's lower end; None as `high` is.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def departure(self) -> float:
        """How far from 1 it surely is, as a factor of at least 1: 1.1 for [0.8, 0.9091] and for [1.1, 1.2]."""
        if self.low is None or self.high is None or self.low <= 1 <= self.high:
            return 1.0
        return self.low if self.low > 1 else 1 / max(self.high, np.finfo(float).tiny)


@dataclass(frozen=True)
class Seams:
    """What shows of a mosaic's windows and blocks; None where there is nothing to compare.

    Attributes:
        step: across the edges of windows.
        texture: where windows overlap.
        block_step: across the edges of blocks.
    """

    step: Ratio | None = None
    texture: Ratio | None = None
    block_step: Ratio | None = None

    def __iter__(self) -> Iterator[tuple[str, Ratio]]:
        """The figures that there are, by name."""
        named = (("step", self.step), ("texture", self.texture), ("block step", self.block_step))
        return ((name, ratio) for name, ratio in named if ratio is not None)

    @property
    def departure(self) -> float:
        """The largest of its figures' departures from 1; see `Ratio.departure`."""
        return max((ratio.departure for _, ratio in self), default=1.0)


class Pixels(Protocol):
    """Who reads a mosaic."""

    def __call__(self, rect: Rect) -> np.ndarray:
        """The stored numbers under a rectangle that lies in the mosaic: (bands, height, width)."""


def seams_of(pixels: Pixels, zone: Zone, layer: Layer, lattice: Lattice, *, seed: int = 0) -> Seams:
    """Measures the seams of a mosaic, on at most 256 pieces of it of each kind.

    Args:
        pixels: reads it.
        zone: what it covers.
        layer: what its numbers mean: values, or classes, which differ or not.
        lattice: of the windows it was made in.
        seed: of the drawing.
    """
    lines, stride = SeamLines(lattice), lattice.stride
    rng = np.random.default_rng(seed)
    step, texture, block_step = [], [], []
    pieces = _pieces(zone, stride) if lines.inner or lines.middles else []
    for rect in _drawn(pieces, rng):
        held = _Piece(pixels(rect), rect, layer)
        step.append(np.sum([_step(side, lines.edges, lines.inner, stride) for side in held.sides], axis=0))
        if lines.middles:
            texture.append(np.sum([_texture(side, *lines.middles, stride) for side in held.sides], axis=0))
    for rect, line, is_column in _drawn(_borders(zone, stride), rng):
        columns, rows = _Piece(pixels(rect), rect, layer).sides
        block_step.append(step_at(columns if is_column else rows, [line], [line - stride, line + stride]))
    return Seams(ratio_of(step, rng), ratio_of(texture, rng), ratio_of(block_step, rng))


@dataclass(frozen=True)
class Side:
    """Pixels of a piece as they are met along one direction: (bands, across, along), the first of them at ``start``."""

    values: np.ndarray
    valid: np.ndarray
    start: int
    is_class: bool

    @property
    def end(self) -> int:
        return self.start + int(self.values.shape[2])


class _Piece:
    def __init__(self, stored: np.ndarray, rect: Rect, layer: Layer) -> None:
        # In single precision, which stored numbers of 16 bits fit into, and so do their differences.
        values, valid = stored.astype(np.float32), stored[0] != layer.nodata
        is_class = layer.kind == "class"
        self.sides = (
            Side(values, valid, rect.col, is_class),
            Side(values.swapaxes(1, 2), valid.T, rect.row, is_class),
        )


def _step(side: Side, edges: Iterable[int], inner: Iterable[int], stride: int) -> np.ndarray:
    def lines(offsets: Iterable[int]) -> list[int]:
        return [line for offset in offsets for line in positions(offset, stride, side.start + 1, side.end)]

    return step_at(side, lines(edges), lines(inner))


def step_at(side: Side, lines: Sequence[int], others: Sequence[int]) -> np.ndarray:
    """(sum, count) of the differences across lines, and the same of others; those that lie outside are left out."""
    return np.array([*_differences(side, lines), *_differences(side, others)])


def _differences(side: Side, lines: Sequence[int]) -> tuple[float, int]:
    at = np.array([line - side.start for line in lines if side.start < line < side.end], int)
    before, behind = side.values[:, :, at - 1], side.values[:, :, at]
    both = side.valid[:, at - 1] & side.valid[:, at]
    gap = before != behind if side.is_class else np.abs(before - behind)
    return float(gap.sum(where=both, dtype=float)), int(both.sum()) * len(side.values)


def _texture(side: Side, more: int, fewer: int, stride: int) -> np.ndarray:
    """(sum, count) of the variances of cells around some lines, and the same around others."""
    return np.array([*_variances(side, more, stride), *_variances(side, fewer, stride)])


def _variances(side: Side, middle: int, stride: int) -> tuple[float, int]:
    half, total, count = _CELL // 2, 0.0, 0
    height = side.values.shape[1] // _CELL * _CELL
    for line in positions(middle, stride, side.start + half, side.end - half + 1):
        columns = slice(line - half - side.start, line + half - side.start)
        shape = (-1, _CELL, _CELL)
        whole = side.valid[:height, columns].reshape(shape).all(axis=(1, 2))
        for band in side.values[:, :height, columns]:
            cells = band.reshape(shape)[whole].reshape(-1, _CELL * _CELL)
            total += float((_impurity(cells) if side.is_class else cells.var(axis=1, dtype=float)).sum())
            count += len(cells)
    return total, count


def _impurity(cells: np.ndarray) -> np.ndarray:
    """The variance of classes, (n, pixels), summed over one indicator for each of them: 1 - sum of p²."""
    found = np.ones(len(cells))
    for value in np.unique(cells):
        found -= np.square((cells == value).mean(axis=1))
    return found


def _pieces(zone: Zone, stride: int) -> list[Rect]:
    """Squares of two strides that have a pixel of a block, cut where none of the lines lies."""
    side = 2 * stride
    found = {}
    for block in zone.blocks:
        rect = block.rect
        for row in positions(_CUT, side, rect.row - side + 1, rect.row_end):
            for col in positions(_CUT, side, rect.col - side + 1, rect.col_end):
                found[row, col] = Rect(row, col, side, side).intersection(zone.rect)
    return list(found.values())


def _borders(zone: Zone, stride: int) -> list[tuple[Rect, int, bool]]:
    """Strips around the lines on which blocks meet: their pixels, the line, and whether it is one of columns."""
    blocks = {(block.row, block.col): block for block in zone.blocks}
    ends_below = {(block.rect.row_end, block.col) for block in blocks.values()}
    ends_right = {(block.row, block.rect.col_end) for block in blocks.values()}
    wide = stride + 1
    found = []
    for (row, col), block in blocks.items():
        if (row, col) in ends_right:
            strip = Rect(row, col - wide, min(block.height, _LENGTH), 2 * wide)
            found.append((strip.intersection(zone.rect), col, True))
        if (row, col) in ends_below:
            strip = Rect(row - wide, col, 2 * wide, min(block.width, _LENGTH))
            found.append((strip.intersection(zone.rect), row, False))
    return found


def _drawn(items: Sequence[_T], rng: np.random.Generator) -> list[_T]:
    chosen = rng.permutation(len(items))[:_PIECES]
    return [items[index] for index in sorted(chosen)]


def ratio_of(pieces: Sequence[np.ndarray], rng: np.random.Generator) -> Ratio | None:
    """The mean of what the first two of (sum, count, sum, count) tell over that of the last two.

    Args:
        pieces: their sums and counts; those without either are left out.
        rng: draws them again, for the interval.
    """
    sums = np.array([piece for piece in pieces if piece[1] and piece[3]]).reshape(-1, 4)
    value = float(_quotient(sums.sum(axis=0)))
    if not np.isfinite(value):
        return None
    if len(sums) < _FEWEST_PIECES:
        return Ratio(value)
    again = sums[rng.integers(len(sums), size=(_RESAMPLES, len(sums)))].sum(axis=1)
    found = _quotient(again.T)
    low, high = np.percentile(found[np.isfinite(found)], _INTERVAL)
    return Ratio(value, float(low), float(high))


def _quotient(sums: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.minimum((sums[0] / sums[1]) / (sums[2] / sums[3]), _MOST))
