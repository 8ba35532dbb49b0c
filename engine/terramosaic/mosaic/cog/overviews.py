"""The next coarser level of a raster: each of its pixels covers 2 x 2 pixels, at an odd edge fewer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

OverviewMethod = Literal["average", "mode"]
Halve = Callable[[np.ndarray, float | None], np.ndarray]


def halve_average(pixels: np.ndarray, nodata: float | None) -> np.ndarray:
    """Mean of the valid pixels of each cell.

    Integers are rounded half to even, so that repeated halving does not drift. A mean that happens to equal
    ``nodata`` (possible where nodata lies amid the valid values) moves to the next value, so that it stays
    valid, as in GDAL.

    Args:
        pixels: ``(..., height, width)`` of uint8, int16, uint16, float16 or float32.
        nodata: Value that marks a pixel as invalid (may be NaN), or None where every pixel is valid.

    Returns:
        ``(..., ceil(height / 2), ceil(width / 2))`` of the same dtype; nodata only where a cell has no valid
        pixel.
    """
    pixels = _even(pixels)
    integer = pixels.dtype.kind in "iu"
    # Rows first: adding them reads memory in order, only the shorter sums are then read with a stride.
    rows = np.add(pixels[..., 0::2, :], pixels[..., 1::2, :], dtype=np.int32 if integer else np.float64)
    total = rows[..., 0::2] + rows[..., 1::2]
    if integer:
        # (t + 1 + (t >> 2 & 1)) >> 2 is t / 4 rounded half to even, negative t too (>> rounds down).
        odd = total >> 2
        odd &= 1
        total += odd
        total += 1
        total >>= 2
    else:
        total /= 4
    mean: np.ndarray = total.astype(pixels.dtype)
    if nodata is None:
        return mean

    holes = is_nodata(pixels, nodata)
    empty = np.zeros(mean.shape, bool)
    if holes.any():
        invalid = _corners(holes)
        empty = np.logical_and.reduce(invalid)
        mixed = np.logical_or.reduce(invalid) & ~empty
        cells = np.stack([corner[mixed] for corner in _corners(pixels)]).astype(np.float64)
        valid = ~np.stack([corner[mixed] for corner in invalid])
        means = np.where(valid, cells, 0).sum(axis=0) / valid.sum(axis=0)
        mean[mixed] = np.rint(means) if integer else means
    if not _is_extreme(pixels.dtype, nodata):
        collided = is_nodata(mean, nodata) & ~empty
        mean[collided] = nodata + 1 if integer else np.nextafter(mean[collided], np.inf)
    return mean


def halve_mode(pixels: np.ndarray, nodata: float | None) -> np.ndarray:
    """Most frequent class of each cell.

    Nodata has no vote. Of classes with equal votes the one met first in reading order wins: the cell's upper
    left pixel, unless that is nodata or outvoted.

    Args:
        pixels: ``(..., height, width)`` of classes.
        nodata: The class that marks a pixel as invalid, or None where every pixel is valid.

    Returns:
        ``(..., ceil(height / 2), ceil(width / 2))`` of the same dtype; nodata only where a cell has no valid
        pixel.
    """
    pixels = _even(pixels)
    a, b, c, d = (np.ascontiguousarray(corner) for corner in _corners(pixels))
    # ``a`` comes first and keeps the cell unless it stands alone against a pair: b = c, b = d or c = d.
    b_pairs = (b == c) | (b == d)
    outvoted = (b_pairs | (c == d)) & (a != b) & (a != c) & (a != d)
    mode: np.ndarray = np.where(outvoted, np.where(b_pairs, b, c), a)
    if nodata is None:
        return mode

    holes = is_nodata(pixels, nodata)
    if holes.any():
        invalid = _corners(holes)
        mixed = np.logical_or.reduce(invalid) & ~np.logical_and.reduce(invalid)
        cells = np.stack([corner[mixed] for corner in (a, b, c, d)], axis=-1)
        votes = (cells[:, :, None] == cells[:, None, :]).sum(axis=-1)
        votes[is_nodata(cells, nodata)] = 0
        mode[mixed] = np.take_along_axis(cells, votes.argmax(axis=-1)[:, None], axis=-1)[:, 0]
    return mode


def is_nodata(pixels: np.ndarray, nodata: float) -> np.ndarray:
    """Where pixels are invalid: equal to ``nodata``, which may be NaN."""
    where: np.ndarray = np.isnan(pixels) if np.isnan(nodata) else pixels == pixels.dtype.type(nodata)
    return where


def _even(pixels: np.ndarray) -> np.ndarray:
    """Repeat the last row or column of an odd side: its cells then weigh the pixels that exist equally."""
    rows, cols = pixels.shape[-2] % 2, pixels.shape[-1] % 2
    if not (rows or cols):
        return pixels
    return np.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(0, rows), (0, cols)], mode="edge")


def _corners(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Views of the upper left, upper right, lower left and lower right pixel of every cell."""
    return (
        pixels[..., 0::2, 0::2],
        pixels[..., 0::2, 1::2],
        pixels[..., 1::2, 0::2],
        pixels[..., 1::2, 1::2],
    )


def _is_extreme(dtype: np.dtype, nodata: float) -> bool:
    """Whether no mean of valid values can equal nodata, because all of them lie on one side of it."""
    if np.isnan(nodata):
        return True
    limits = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    return nodata <= limits.min or nodata >= limits.max


HALVE: dict[OverviewMethod, Halve] = {"average": halve_average, "mode": halve_mode}
