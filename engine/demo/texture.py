"""Repeatable randomness over a pixel grid: smooth noise, parcels' dice and sensor noise.

The made-up world must have the same pixels on every machine. Three habits bring that about: randomness comes as raw
words from Philox, whose stream NumPy freezes (distributions may change between releases); pixels see element-wise
arithmetic, comparisons and square roots only, which IEEE 754 fixes to the last bit (``exp``, ``sin``, matrix products
and compiled filters differ between processors); and what a curve needs of trigonometry is rounded before use.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
Shape = tuple[int, int]

#: Standard deviation of a cubic B-spline through independent uniform(-1, 1) nodes, averaged over a cell. A spline's
#: weights leave 151/315 of the nodes' variance on each axis, and the nodes have a variance of 1/3.
_SPLINE_DEVIATION = (151 / 315) / 3**0.5


def random_words(seed: int, name: str, count: int) -> NDArray[np.uint64]:
    """``count`` independent 64-bit words that belong to ``seed`` and ``name`` alone."""
    philox = np.random.Philox(key=np.array([seed, zlib.crc32(name.encode())], dtype=np.uint64))
    return np.asarray(philox.random_raw(count), dtype=np.uint64)


def uniform(seed: int, name: str, shape: Shape) -> FloatArray:
    """Independent numbers in [0, 1), float32 of ``shape``."""
    words = random_words(seed, name, (shape[0] * shape[1] + 1) // 2).view(np.uint32)[: shape[0] * shape[1]]
    return ((words >> 8).astype(np.float32) * np.float32(2**-24)).reshape(shape)


def grain(seed: int, name: str, shape: Shape) -> FloatArray:
    """Pixel noise of mean 0 and deviation 1: the difference of two bytes, triangular, which is as cheap as noise gets."""
    count = shape[0] * shape[1]
    octets = random_words(seed, name, (count + 3) // 4).astype("<u8").view(np.uint8)[: 2 * count].astype(np.int16)
    return ((octets[:count] - octets[count:]) * np.float32(1 / 104.51)).reshape(shape)


def smooth_noise(seed: int, name: str, shape: Shape, cell: float | tuple[float, float]) -> FloatArray:
    """Noise without a grain finer than ``cell`` pixels (rows, columns): a cubic B-spline through random nodes.

    Returns float32 of ``shape``, mean 0 and deviation about 1.
    """
    cell_rows, cell_cols = cell if isinstance(cell, tuple) else (cell, cell)
    row_nodes, row_weights = _spline(shape[0], cell_rows)
    col_nodes, col_weights = _spline(shape[1], cell_cols)
    nodes = uniform(seed, name, (int(row_nodes[-1]) + 4, int(col_nodes[-1]) + 4)) * 2 - 1
    nodes *= np.float32(1 / _SPLINE_DEVIATION)
    return spline_surface(nodes, row_nodes, row_weights, col_nodes, col_weights)


def spline_surface(
    nodes: FloatArray,
    row_nodes: NDArray[np.intp],
    row_weights: FloatArray,
    col_nodes: NDArray[np.intp],
    col_weights: FloatArray,
) -> FloatArray:
    """The B-spline surface of ``nodes``: rows first, while the columns are still few, then columns."""
    rows = sum(nodes[row_nodes + k] * row_weights[k][:, None] for k in range(4))
    surface = rows[:, col_nodes] * col_weights[0]
    for k in range(1, 4):
        surface += rows[:, col_nodes + k] * col_weights[k]
    return surface


def upsample(nodes: FloatArray, factor: int, shape: Shape, margin: int = 0) -> FloatArray:
    """A coarse grid as a smooth surface of ``shape``; ``margin`` cells of the coarse grid lie outside it on each side."""
    row_nodes, row_weights = _spline(shape[0], factor)
    col_nodes, col_weights = _spline(shape[1], factor)
    # A B-spline's surface follows the node in the middle of its four, so the surface starts one node early.
    return spline_surface(nodes, row_nodes + margin - 1, row_weights, col_nodes + margin - 1, col_weights)


def _spline(length: int, cell: float) -> tuple[NDArray[np.intp], FloatArray]:
    """First node of each pixel and its four weights, (length,) and (4, length)."""
    position = (np.arange(length, dtype=np.float64) + 0.5) / cell
    node = np.floor(position)
    t = position - node
    s = 1 - t
    weights = np.stack([s * s * s, 4 - 6 * t * t + 3 * t * t * t, 4 - 6 * s * s + 3 * s * s * s, t * t * t]) / 6
    return node.astype(np.intp), weights.astype(np.float32)


def fractal_noise(
    seed: int, name: str, shape: Shape, cell: float | tuple[float, float], octaves: int, gain: float = 0.5
) -> FloatArray:
    """Octaves of smooth noise, each half as wide and ``gain`` times as strong; deviation about 1."""
    rows, cols = cell if isinstance(cell, tuple) else (cell, cell)
    total = np.zeros(shape, np.float32)
    strength, power = 1.0, 0.0
    for octave in range(octaves):
        total += smooth_noise(seed, f"{name}/{octave}", shape, (rows / 2**octave, cols / 2**octave)) * np.float32(strength)
        power += strength**2
        strength *= gain
    total *= np.float32(power**-0.5)
    return total


def dice(*keys: NDArray[np.int32] | int) -> FloatArray:
    """A number in [0, 1) for each combination of integers: the same combination always throws the same."""
    mixed: NDArray[np.uint32] | np.uint32 = np.uint32(0x9E3779B9)
    for key in keys:
        mixed = mixed ^ (np.asarray(key).astype(np.uint32) * np.uint32(0x85EBCA6B))
        # The finaliser of MurmurHash3 (Appleby, public domain).
        mixed = (mixed ^ (mixed >> np.uint32(16))) * np.uint32(0x85EBCA6B)
        mixed = (mixed ^ (mixed >> np.uint32(13))) * np.uint32(0xC2B2AE35)
        mixed = mixed ^ (mixed >> np.uint32(16))
    return (mixed >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def ramp(values: FloatArray, low: float, high: float) -> FloatArray:
    """0 below ``low``, 1 above ``high``, a smooth step between; ``low`` above ``high`` turns it round."""
    t = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def double(values: FloatArray) -> FloatArray:
    """Twice the resolution, bilinear between pixel centres: (H, W) becomes (2H, 2W)."""
    for axis in (0, 1):
        before = np.concatenate([values.take([0], axis), values.take(range(values.shape[axis] - 1), axis)], axis)
        after = np.concatenate([values.take(range(1, values.shape[axis]), axis), values.take([-1], axis)], axis)
        pair = np.stack([values * 0.75 + before * 0.25, values * 0.75 + after * 0.25], axis + 1)
        values = pair.reshape([2 * n if k == axis else n for k, n in enumerate(values.shape)])
    return values


def shrink(values: FloatArray, factor: int) -> FloatArray:
    """Mean of each ``factor`` x ``factor`` cell, summed in a fixed order."""
    if factor == 1:
        return values
    rows = sum(values[k::factor] for k in range(factor))
    return sum(rows[:, k::factor] for k in range(factor)) * np.float32(1 / factor**2)
