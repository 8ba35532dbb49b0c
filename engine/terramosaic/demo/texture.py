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


def middles(shape: Shape) -> tuple[FloatArray, FloatArray]:
    """Where pixels' middles lie, as parts of the picture's height, (H, 1), and of its width, (1, W)."""
    rows, cols = (
        (np.arange(side, dtype=np.float32) + np.float32(0.5)) * np.float32(1 / side) for side in shape
    )
    return rows[:, None], cols[None, :]


def random_words(seed: int, name: str, count: int) -> NDArray[np.uint64]:
    """``count`` independent 64-bit words that belong to ``seed`` and ``name`` alone."""
    philox = np.random.Philox(key=np.array([seed, zlib.crc32(name.encode())], dtype=np.uint64))
    return np.asarray(philox.random_raw(count), dtype=np.uint64)


def uniform(seed: int, name: str, shape: Shape) -> FloatArray:
    """Independent numbers in [0, 1), float32 of ``shape``."""
    words = random_words(seed, name, (shape[0] * shape[1] + 1) // 2).view(np.uint32)[: shape[0] * shape[1]]
    return ((words >> 8).astype(np.float32) * np.float32(2**-24)).reshape(shape)


def grain(seed: int, name: str, shape: Shape) -> FloatArray:
    """Pixel noise of mean 0 and deviation 1: the difference of two bytes, so triangular, and quick to throw."""
    count = shape[0] * shape[1]
    octets = (
        random_words(seed, name, (count + 3) // 4).astype("<u8").view(np.uint8)[: 2 * count].astype(np.int16)
    )
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
    """The B-spline surface of ``nodes``: columns first, while the rows are still few, then whole rows at a time."""
    cols = sum(nodes[:, col_nodes + k] * col_weights[k] for k in range(4))
    surface: FloatArray = cols[row_nodes] * row_weights[0][:, None]
    for k in range(1, 4):
        surface += cols[row_nodes + k] * row_weights[k][:, None]
    return surface


def upsample(nodes: FloatArray, factor: int, shape: Shape, margin: int) -> FloatArray:
    """A coarse grid as a smooth surface of ``shape``; ``margin`` (2 or more) of its cells lie outside on each side."""
    row_nodes, row_weights = _spline(shape[0], factor, start=margin - 1.5)
    col_nodes, col_weights = _spline(shape[1], factor, start=margin - 1.5)
    return spline_surface(nodes, row_nodes, row_weights, col_nodes, col_weights)


def _spline(length: int, cell: float, start: float = 0.0) -> tuple[NDArray[np.intp], FloatArray]:
    """Of each pixel, the first of the four nodes that shape it and their weights: (length,) and (4, length)."""
    position = (np.arange(length, dtype=np.float64) + 0.5) / cell + start
    node = np.floor(position)
    t = position - node
    s = 1 - t
    weights = (
        np.stack([s * s * s, 4 - 6 * t * t + 3 * t * t * t, 4 - 6 * s * s + 3 * s * s * s, t * t * t]) / 6
    )
    return node.astype(np.intp), weights.astype(np.float32)


def fractal_noise(
    seed: int, name: str, shape: Shape, cell: float, octaves: int, gain: float = 0.5
) -> FloatArray:
    """Octaves of smooth noise, each half as wide and ``gain`` times as strong; deviation about 1."""
    power = sum(gain ** (2 * octave) for octave in range(octaves))
    halvable = shape[0] % 2 == 0 and shape[1] % 2 == 0
    # Wide octaves are as good when made at half the resolution, which takes a quarter of the time.
    wide = sum(cell / 2**octave >= 8 for octave in range(octaves)) if halvable else 0
    total = np.zeros((shape[0] // 2, shape[1] // 2) if wide else shape, np.float32)
    for octave in range(octaves):
        if octave == wide > 0:
            total = double(total)
        cells = cell / 2**octave / (2 if octave < wide else 1)
        total += smooth_noise(seed, f"{name}/{octave}", total.shape, cells) * np.float32(
            gain**octave * power**-0.5
        )
    return double(total) if wide == octaves else total


def scramble(*keys: NDArray[np.int32]) -> NDArray[np.uint32]:
    """32 dice bits for each combination of integers, by MurmurHash3's finaliser (Appleby, public domain)."""
    mixed = np.full(keys[0].shape, 0x9E3779B9, np.uint32)
    for key in keys:
        mixed ^= key.view(np.uint32)
        mixed ^= mixed >> np.uint32(16)
        mixed *= np.uint32(0x85EBCA6B)
        mixed ^= mixed >> np.uint32(13)
        mixed *= np.uint32(0xC2B2AE35)
        mixed ^= mixed >> np.uint32(16)
    return mixed


def ramp(values: FloatArray, low: float, high: float) -> FloatArray:
    """0 below ``low``, 1 above ``high``, a smooth step between; ``low`` above ``high`` turns it round."""
    t = values - np.float32(low)
    t *= np.float32(1 / (high - low))
    np.clip(t, 0, 1, out=t)
    step = 3 - 2 * t
    step *= t
    step *= t
    return step


def double(values: FloatArray) -> FloatArray:
    """Twice the resolution, bilinear between pixel centres: (H, W) becomes (2H, 2W)."""
    rows = np.empty((2 * values.shape[0], values.shape[1]), values.dtype)
    _between(values, rows[::2], rows[1::2])
    both = np.empty((rows.shape[0], 2 * rows.shape[1]), values.dtype)
    _between(rows.T, both.T[::2], both.T[1::2])
    return both


def _between(values: FloatArray, even: FloatArray, odd: FloatArray) -> None:
    """The points a quarter of a pixel before and after each row; the outermost rows go on as they are."""
    step = (values[1:] - values[:-1]) * np.float32(0.25)
    even[0], odd[-1] = values[0], values[-1]
    np.subtract(values[1:], step, out=even[1:])
    np.add(values[:-1], step, out=odd[:-1])


def shrink(values: FloatArray, factor: int) -> FloatArray:
    """Mean of each ``factor`` x ``factor`` cell, summed in a fixed order."""
    for axis in (0, 1):
        lines = values if axis == 0 else values.T
        total = lines[::factor].copy()
        for k in range(1, factor):
            total += lines[k::factor]
        values = total if axis == 0 else total.T
    return values * np.float32(1 / factor**2)
