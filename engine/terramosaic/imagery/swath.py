"""Where a radar saw the ground: gaps by their numbers, and the edges of its swath, which hold noise. Pure.

Each pixel by itself and its neighbours, so that rectangles that overlap agree.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from terramosaic.imagery.marks import Mark

#: What Planetary Computer's files hold where nothing was seen.
NODATA = -32768.0

#: A gap is the outside of the swath if a square of so many pixels to each side of its middle fits into it: shadow and
#: layover, and the hairline between two slices, are no edges.
_OUTSIDE = 2


def power_of(numbers: np.ndarray, nodata: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Linear power, and what is known of each pixel.

    What is 0 or less, no number, infinite, or declared to be none, is a gap: parts of scenes are filled with 0.

    Args:
        numbers: of a file, float (height, width).
        nodata: what the file declares.

    Returns:
        float32 (height, width), NaN in gaps; marks, uint8 (height, width): gaps that are 0 or below without being
        called gaps are told from the others.
    """
    marked = ~np.isfinite(numbers) | (numbers == NODATA)
    if nodata is not None:
        marked |= numbers == nodata
    low = ~(numbers > 0)
    power = np.where(marked | low, np.float32(np.nan), numbers).astype(np.float32, copy=False)
    marks = np.full(numbers.shape, Mark.SEEN, np.uint8)
    marks[low], marks[marked] = Mark.UNMARKED, Mark.NO_DATA
    return power, marks


def margin_of(width: int) -> int:
    """Pixels around a rectangle by which its edges are known."""
    return 2 * _OUTSIDE + width


def without_edges(valid: np.ndarray, width: int) -> np.ndarray:
    """What of a swath is not at its edge.

    Args:
        valid: bool (height, width), with `margin_of` pixels around what is wanted.
        width: pixels to take off.

    Returns:
        Bool, smaller by the margin on each side.
    """
    gap = (~valid).view(np.uint8)
    # Opened by a square, and widened: minimum and maximum over squares are quick.
    core = ndimage.minimum_filter(gap, 2 * _OUTSIDE + 1, mode="nearest")
    near = ndimage.maximum_filter(core, 2 * (_OUTSIDE + width) + 1, mode="nearest")
    margin = margin_of(width)
    inside = (slice(margin, side - margin) for side in valid.shape)
    kept: np.ndarray = valid & (near == 0)
    return kept[tuple(inside)]


def decibel(power: np.ndarray) -> np.ndarray:
    """10 log10 of linear power: float32, NaN in gaps."""
    # Of contiguous numbers: other loops of numpy may differ in the last bit.
    found: np.ndarray = np.float32(10) * np.log10(np.ascontiguousarray(power, np.float32))
    return found
