"""The made-up land's bones: its coast, a river's course, and mountains that running water has carved."""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terramosaic.demo.texture import FloatArray, Shape, fractal_noise, middles, ramp, smooth_noise, upsample

#: Side of a tile, in pixels of 10 m, at which the land has its natural size; smaller worlds are the same land, smaller.
NATURAL_SIZE = 1830

#: Pixels of 10 m on a side of a cell of the erosion's grid.
_CELL = 12
#: Cells by which that grid is wider than the world on each side, so that no valley ends at the picture's edge.
_MARGIN = 12

#: Steps of erosion; metres that the highest range rises in each; how fast water cuts, and how fast slopes creep.
_STEPS, _UPLIFT, _CUTTING, _CREEP = 240, 18.0, 0.085, 0.03
#: Cells that must drain through a cell to make it a brook: 0.65 square kilometres.
_BROOK = 45

Line = list[tuple[float, float]]
Heights = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class Relief:
    """Heights and waters.

    Attributes:
        height: metres above the sea on the 20 m grid, (H/2, W/2).
        coast: pixels of 10 m to the coast, about, on the 20 m grid: above 0 on land, below 0 at sea.
        river: (row, column) along the river's middle in pixels of 10 m, from the sea to beyond the eastern edge.
        streams: brooks, as short strokes in pixels of 10 m.
    """

    height: FloatArray
    coast: FloatArray
    river: Line
    streams: list[Line]


def make_relief(seed: int, shape: Shape) -> Relief:
    """Lays out coast and river, then lets water carve the land (``shape`` in pixels of 10 m, even)."""
    scale = shape[0] / NATURAL_SIZE
    half = (shape[0] // 2, shape[1] // 2)
    coast = _coast(seed, half, scale)
    river = _river(seed, shape)
    carved, streams = _erode(seed, shape, coast, river)
    height = upsample(carved, _CELL // 2, half, _MARGIN)
    crags = fractal_noise(seed, "crags", half, 16, 4)
    height += crags * ramp(height, 250 * scale, 1500 * scale) * np.float32(14)
    return Relief(height * ramp(coast, 0, 40 * scale), coast, river, streams)


def _coast(seed: int, half: Shape, scale: float) -> FloatArray:
    """A bay with a beach between a rocky cape in the north and a point in the south."""
    v, u = middles(half)
    bay = 0.17 + 0.15 * ramp(v, 0.10, 0.52) - 0.09 * ramp(v, 0.66, 0.95)
    rocky = 0.10 + 0.90 * (ramp(v, 0.46, 0.25) + ramp(v, 0.76, 0.90))
    swell = smooth_noise(seed, "coast", half, 300 * scale) * np.float32(40 * scale)
    cliffs = fractal_noise(seed, "cliffs", half, 120 * scale, 6, 0.6) * np.float32(75 * scale)
    return (u - bay) * np.float32(2 * half[1]) + swell + cliffs * rocky


def _river(seed: int, shape: Shape) -> Line:
    """A sine-generated curve (Langbein and Leopold 1966): its direction swings, widely in the plain."""
    mouth, source = complex(0.24 * shape[1], 0.60 * shape[0]), complex(1.06 * shape[1], 0.30 * shape[0])
    steps = 700
    swing = smooth_noise(seed, "swing", (1, steps), 90)[0].tolist()
    drift = smooth_noise(seed, "drift", (1, steps), 160)[0].tolist()
    point, phase = 0j, 0.0
    path = [point]
    for step in range(steps):
        along = step / steps
        plain = min(1.0, along / 0.12) * min(1.0, max(0.22, (0.78 - along) / 0.2))
        phase += (2 * math.pi / 62) * (1 + 0.35 * drift[step])
        bend = plain * (1.30 + 0.45 * swing[step]) * math.sin(phase) + 0.3 * swing[step]
        point += cmath.rect(1, bend)
        path.append(point)
    # Turn and stretch the curve so that it ends where it should; rounding hides the last bit of sine and cosine.
    placed = [mouth + (source - mouth) * passed / point for passed in path]
    return [(round(p.imag, 2), round(p.real, 2)) for p in placed]


def _erode(seed: int, shape: Shape, coast: FloatArray, river: Line) -> tuple[FloatArray, list[Line]]:
    """Raises the east and lets the stream power law cut it: erosion = K sqrt(area) slope (Whipple and Tucker 1999).

    Returns heights on the erosion's grid, and the brooks.
    """
    scale = shape[0] / NATURAL_SIZE
    grid = (-(-shape[0] // _CELL) + 2 * _MARGIN, -(-shape[1] // _CELL) + 2 * _MARGIN)
    base = _base_level(grid, coast, river, scale)
    fixed = np.isfinite(base)
    rough = fractal_noise(seed, "rough", grid, 14, 4, 0.7)
    rise = _uplift(seed, grid, shape) * (1 + 0.3 * rough).clip(0.4, 1.6) * np.float32(_UPLIFT * scale)
    _, u = _places(grid, shape)
    height = np.where(fixed, base, 10 + 5 * rough + 40 * scale * u.clip(0))
    for _ in range(_STEPS):
        receiver, drop = _receivers(height)
        # No more than most of the drop at once, or cells would be cut below what they drain to.
        cut = drop * np.minimum(_CUTTING * np.sqrt(_drainage(receiver)).reshape(grid), 0.7)
        height = np.where(fixed, base, height + rise - cut + _CREEP * _curvature(height))
    receiver, _ = _receivers(height)
    return height.astype(np.float32), _brooks(receiver, fixed)


def _places(grid: Shape, shape: Shape) -> tuple[FloatArray, FloatArray]:
    """Where the erosion's cells lie, as parts of the world's height (grid rows, 1) and width (1, grid columns)."""
    rows, cols = (
        (np.arange(count, dtype=np.float32) - _MARGIN + 0.5) * np.float32(_CELL / side)
        for count, side in zip(grid, shape, strict=True)
    )
    return rows[:, None], cols[None, :]


def _uplift(seed: int, grid: Shape, shape: Shape) -> FloatArray:
    """How fast the land rises: a range in the east, hills in the north and the south, hardly anything in the plain."""
    v, u = _places(grid, shape)
    wander = fractal_noise(seed, "range", grid, 40 * shape[0] / NATURAL_SIZE, 3)
    uplift = 0.012 + ramp(u + 0.045 * wander - 0.10 * (v - 0.5), 0.60, 0.86)
    uplift += 0.30 * ramp(v + 0.03 * wander, 0.30, 0.08) * ramp(u, 0.20, 0.34)
    uplift += 0.16 * ramp(v + 0.03 * wander, 0.80, 1.0)
    return uplift


def _base_level(grid: Shape, coast: FloatArray, river: Line, scale: float) -> Heights:
    """Heights that erosion cannot change, in metres: the sea and the river's bed; infinite elsewhere."""
    step = _CELL // 2
    shore = coast[step // 2 :: step, step // 2 :: step]
    around = [(_MARGIN, count - _MARGIN - inner) for count, inner in zip(grid, shore.shape, strict=True)]
    base = np.where(np.pad(shore, around, "edge") < 0, 0.0, np.inf)
    for index, (row, col) in enumerate(river):
        cell = (int(row // _CELL) + _MARGIN, int(col // _CELL) + _MARGIN)
        if 0 <= cell[0] < grid[0] and 0 <= cell[1] < grid[1]:
            along = index / len(river)
            rising = max(0.0, along - 0.62)
            base[cell] = min(base[cell], (25 * along + 480 * rising * math.sqrt(rising)) * scale)
    return base


def _receivers(height: Heights) -> tuple[Indices, Heights]:
    """Where each cell's water goes (its steepest neighbour, or itself in a pit), and how far it falls to there.

    Returns the receiver's flat index, (cells,), and the fall in metres, of ``height``'s shape.
    """
    rows, cols = height.shape
    walled = np.pad(height, 1, constant_values=np.inf)
    index = np.arange(rows * cols).reshape(rows, cols)
    receiver, drop, steepest = index.copy(), np.zeros_like(height), np.zeros_like(height)
    for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
        fall = height - walled[1 + down : 1 + down + rows, 1 + right : 1 + right + cols]
        slope = fall * (math.sqrt(0.5) if down and right else 1.0)
        better = slope > steepest
        np.copyto(steepest, slope, where=better)
        np.copyto(drop, fall, where=better)
        np.copyto(receiver, index + (down * cols + right), where=better)
    return receiver.reshape(-1), drop


def _drainage(receiver: Indices) -> NDArray[np.float64]:
    """How many cells drain through each. Doubling: after n rounds a cell has gathered all within 2^n steps upstream."""
    count = receiver.size
    sink = count  # one more cell swallows what pits and outlets gather
    target = np.append(np.where(receiver == np.arange(count), sink, receiver), sink)
    area = np.append(np.ones(count), 0.0)
    while (target < sink).any():
        area += np.bincount(target, weights=area, minlength=count + 1)
        area[sink] = 0.0
        target = target[target]
    return area[:sink]


def _curvature(height: Heights) -> Heights:
    walled = np.pad(height, 1, mode="edge")
    return walled[:-2, 1:-1] + walled[2:, 1:-1] + walled[1:-1, :-2] + walled[1:-1, 2:] - 4 * height


def _brooks(receiver: Indices, fixed: NDArray[np.bool_]) -> list[Line]:
    """A stroke from each cell with enough water to the cell that it drains to."""
    running = (_drainage(receiver) > _BROOK) & ~fixed.ravel() & (receiver != np.arange(receiver.size))
    starts = np.flatnonzero(running)
    cols = fixed.shape[1]
    places = [
        np.stack(np.divmod(cells, cols), axis=1) * float(_CELL) + (_CELL / 2 - _MARGIN * _CELL)
        for cells in (starts, receiver[starts])
    ]
    return [[(r0, c0), (r1, c1)] for (r0, c0), (r1, c1) in zip(*(p.tolist() for p in places), strict=True)]
