"""What a window shows the model where there is no imagery."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

#: Pixels from a gap within which what fills it shows in what a model makes of its surroundings.
_NEAR = 16


def fill_nearest(window: np.ndarray, valid: np.ndarray) -> None:
    """Gives each invalid pixel the values of the nearest valid one, in place, so that the model sees no edge.

    Args:
        window: (bands, height, width), any dtype.
        valid: bool (height, width), True somewhere.
    """
    rows, cols = ndimage.distance_transform_edt(~valid, return_distances=False, return_indices=True)
    holes = ~valid
    window[:, holes] = window[:, rows[holes], cols[holes]]


def near_missing(valid: np.ndarray) -> np.ndarray:
    """Bool (height, width): pixels within 16 px of a pixel without imagery."""
    distance = ndimage.distance_transform_edt(valid)
    near: np.ndarray = distance <= _NEAR
    return near
