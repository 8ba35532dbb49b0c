"""The made-up land's bones: its coast, a river's course, and mountains that running water has carved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.demo.texture import FloatArray, Shape, fractal_noise, ramp, smooth_noise, upsample

#: Pixels of 10 m on a side of a cell in which erosion is computed.
CELL = 12
#: Cells that the eroded area is wider than the world on each side, so that no valley ends at the picture's edge.
MARGIN = 12
#: Side of the tile, in pixels, at which the landscape has its natural size; smaller worlds are the same land, smaller.
NATURAL_SIZE = 1830

Line = list[tuple[float, float]]


@dataclass(frozen=True)
class Relief:
    """Heights and waters, on a grid of 20 m (H/2, W/2) where not told otherwise."""

    height: FloatArray
    """Metres above the sea."""
    coast: FloatArray
    """Pixels of 10 m from the coast line, about: above 0 on land, below 0 at sea."""
    river: Line
    """(row, column) of the river's middle in pixels of 10 m, from the mouth to beyond the eastern edge."""
    streams: list[Line]
    """Brooks, as short strokes in pixels of 10 m."""


def make_relief(seed: int, shape: Shape) -> Relief:
    """Lay out coast and river, then let water carve the land (``shape`` in pixels of 10 m)."""
    scale = shape[0] / NATURAL_SIZE
    half = (shape[0] // 2, shape[1] // 2)
    coast = _coast(seed, half, scale)
    river = _river(seed, shape, scale)
    carved, streams = _erode(seed, shape, coast, river, scale)
    height = upsample(carved, CELL // 2, half, MARGIN)
    height += fractal_noise(seed, "crags", half, 16, 4, 0.5) * ramp(height, 250 * scale, 1500 * scale) * np.float32(14)
    return Relief(height * ramp(coast, 0, 40 * scale), coast, river, streams)


def _coast(seed: int, half: Shape, scale: float) -> FloatArray:
    """A bay between a rocky cape in the north and a point in the south."""
    v = ((np.arange(half[0], dtype=np.float32) + 0.5) / half[0])[:, None]
    u = ((np.arange(half[1], dtype=np.float32) + 0.5) / half[1])[None, :]
    bay = 0.17 + 0.15 * ramp(v, 0.10, 0.52) - 0.09 * ramp(v, 0.66, 0.95)
    cape = ramp(v, 0.46, 0.25) + ramp(v, 0.76, 0.90)
    swell = smooth_noise(seed, "coast", half, 300 * scale) * np.float32(40 * scale)
    cliffs = fractal_noise(seed, "cliffs", half, 120 * scale, 6, 0.6) * np.float32(75 * scale)
    return (u - bay) * np.float32(2 * half[1]) + swell + cliffs * (0.10 + 0.90 * cape)


def _river(seed: int, shape: Shape, scale: float) -> Line:
    """A sine-generated curve (Langbein and Leopold 1966): its direction swings, most in the plain."""
    mouth, source = (0.60 * shape[0], 0.24 * shape[1]), (0.30 * shape[0], 1.06 * shape[1])
    steps = 700
    swing = smooth_noise(seed, "swing", (1, steps), 90)[0]
    drift = smooth_noise(seed, "drift", (1, steps), 160)[0]
    row, col, phase = 0.0, 0.0, 0.0
    path = [(row, col)]
    for step in range(steps):
        along = step / steps
        plain = min(1.0, along / 0.12) * min(1.0, max(0.22, (0.78 - along) / 0.2))
        phase += (2 * math.pi / 62) * (1 + 0.35 * float(drift[step]))
        angle = plain * (1.30 + 0.45 * float(swing[step])) * math.sin(phase) + 0.3 * float(swing[step])
        row, col = row + math.sin(angle), col + math.cos(angle)
        path.append((row, col))
    # Turn and stretch the curve so that it ends where it should; rounding hides the last bit of sine and cosine.
    turn = complex(source[1] - mouth[1], source[0] - mouth[0]) / complex(col, row)
    placed = [complex(c, r) * turn for r, c in path]
    return [(round(mouth[0] + p.imag, 2), round(mouth[1] + p.real, 2)) for p in placed]


def _erode(
    seed: int, shape: Shape, coast: FloatArray, river: Line, scale: float
) -> tuple[FloatArray, list[Line]]:
    """Raise the east and let the stream power law cut it (erosion = K sqrt(area) slope; Whipple and Tucker 1999)."""
    rows, cols = -(-shape[0] // CELL) + 2 * MARGIN, -(-shape[1] // CELL) + 2 * MARGIN
    sea = _coarse_coast(coast, (rows, cols)) < 0
    bed = np.full((rows, cols), np.inf)
    for index, (r, c) in enumerate(river):
        cell = (min(max(int(r) // CELL + MARGIN, 0), rows - 1), min(max(int(c) // CELL + MARGIN, 0), cols - 1))
        along = index / len(river)
        bed[cell] = min(bed[cell], (25 * along + 480 * max(0.0, along - 0.62) ** 1.5) * scale)
    fixed = sea | np.isfinite(bed)
    base = np.where(sea, 0.0, np.where(np.isfinite(bed), bed, 0.0))
    v, u = np.mgrid[0:rows, 0:cols].astype(np.float32)
    v, u = (v - MARGIN + 0.5) * CELL / shape[0], (u - MARGIN + 0.5) * CELL / shape[1]
    wander = fractal_noise(seed, "range", (rows, cols), 40 * scale, 3)
    uplift = ramp(u + 0.045 * wander - 0.10 * (v - 0.5), 0.60, 0.86)
    uplift += 0.30 * ramp(v + 0.03 * wander, 0.30, 0.08) * ramp(u, 0.2, 0.34)
    uplift += 0.16 * ramp(v + 0.03 * wander, 0.80, 1.0)
    uplift += 0.012
    rough = fractal_noise(seed, "rough", (rows, cols), 14, 4, 0.7)
    height = np.where(fixed, base, 10 + 5.0 * rough + 40 * u.clip(0) * scale).astype(np.float64)
    uplift = uplift * (1 + 0.3 * rough).clip(0.4, 1.6)

    for _ in range(ITER):
        receiver, drop = _receivers(height)
        area = _drainage(receiver)
        height += uplift * UP * scale
        height -= np.minimum(KE * np.sqrt(area).reshape(rows, cols) * drop, 0.7 * drop) * 1.0
        height += DIFF * _curvature(height)
        height = np.where(fixed, base, height)
    receiver, _ = _receivers(height)
    area = _drainage(receiver).reshape(-1)
    streams = _strokes(receiver, area, fixed.reshape(-1), cols)
    return height.astype(np.float32), streams

ITER, UP, KE, DIFF = 240, 18., 0.085, 0.03

def _coarse_coast(coast: FloatArray, coarse: Shape) -> FloatArray:
    """The coast's distance on the cells of erosion, the edge repeated into the margin."""
    step = CELL // 2
    inner = coast[step // 2 :: step, step // 2 :: step]
    return np.pad(inner, ((MARGIN, coarse[0] - MARGIN - inner.shape[0]), (MARGIN, coarse[1] - MARGIN - inner.shape[1])), "edge")


def _receivers(height: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Where each cell's water goes (its steepest neighbour, or itself in a pit), and the fall to there in metres."""
    rows, cols = height.shape
    walled = np.pad(height, 1, constant_values=np.inf)
    index = np.arange(rows * cols).reshape(rows, cols)
    receiver, drop = index.copy(), np.zeros_like(height)
    steepest = np.zeros_like(height)
    for dr, dc in ((-1, 0), (0, -1), (0, 1), (1, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
        fall = height - walled[1 + dr : 1 + dr + rows, 1 + dc : 1 + dc + cols]
        slope = fall * (0.7071067811865476 if dr and dc else 1.0)
        better = slope > steepest
        steepest = np.where(better, slope, steepest)
        drop = np.where(better, fall, drop)
        receiver = np.where(better, index + dr * cols + dc, receiver)
    return receiver.reshape(-1), drop


def _drainage(receiver: NDArray[np.intp]) -> NDArray[np.float64]:
    """Cells that drain through each cell. Doubling: after n rounds a cell knows all within 2^n steps upstream."""
    count = receiver.size
    target = np.where(receiver == np.arange(count), count, receiver)
    target = np.append(target, count)  # one more cell swallows what leaves
    area = np.append(np.ones(count), 0.0)
    while (target[:-1] < count).any():
        area = area + np.bincount(target, weights=area, minlength=count + 1)
        area[-1] = 0.0
        target = target[target]
    return area[:-1]


def _curvature(height: NDArray[np.float64]) -> NDArray[np.float64]:
    walled = np.pad(height, 1, mode="edge")
    return walled[:-2, 1:-1] + walled[2:, 1:-1] + walled[1:-1, :-2] + walled[1:-1, 2:] - 4 * height


def _strokes(
    receiver: NDArray[np.intp], area: NDArray[np.float64], fixed: NDArray[np.bool_], cols: int
) -> list[Line]:
    wet = np.flatnonzero((area > 45) & ~fixed & (receiver != np.arange(area.size)))
    middle = CELL / 2 - MARGIN * CELL
    return [
        [(float(cell // cols * CELL + middle), float(cell % cols * CELL + middle)) for cell in (start, receiver[start])]
        for start in wet
    ]
