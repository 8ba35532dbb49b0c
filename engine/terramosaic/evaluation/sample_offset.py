"""The +1000 of processing baseline 04.00 in a sample of TerraMesh: decided from its pixels alone.

TerraMesh's paper says that the offset was removed; samples of it carry it all the same, in their NDVI too, and its
metadata names no processing baseline. `terramosaic.imagery.offset.check_offset` looks at one band of a whole scene,
and weighs it against metadata; a sample is 2.6 km wide and has all bands, so its darkest bands decide.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from terramosaic.bands import S2L2A_BANDS

#: More than this share of pixels whose darkest band lies below this number is no noise around a reflectance of 0.
_TOO_DARK, _TOO_DARK_SHARE = 800, 0.01

#: Between them lie the darkest pixels of every visible band where the offset is in: reflectances of -0.01 and 0.05.
_DARKEST = 900, 1500
_VISIBLE = tuple(S2L2A_BANDS.index(band) for band in ("B01", "B02", "B03", "B04"))

Verdict = Literal["present", "removed", "undecided"]


def offset_in(pixels: np.ndarray) -> Verdict:
    """Whether a sample's digital numbers carry the offset.

    Removed: the darkest band of more than 1 % of the pixels lies below 800. Present: it does not, and the first
    percentile of each visible band lies between 900 and 1500, as of vegetation, water and shadow, whose reflectance is
    near 0. Else there is nothing dark in it (desert, snow, cloud), and nothing is known. Measured on what is there:
    of three published samples the one that carries it is "present", and "removed" with 1000 less; of 196 windows of a
    desert (29RKH, no offset) 178 are undecided, 18 removed, and none with 1000 more is called removed; of 406 windows
    of ten scenes with their offset taken off 404 are removed and one is called present, with 1000 more 394 present and
    none removed.

    Args:
        pixels: (12, height, width) in the order of `S2L2A_BANDS`, as stored.
    """
    if np.mean(pixels.min(axis=0) < _TOO_DARK) > _TOO_DARK_SHARE:
        return "removed"
    floors = np.percentile(pixels[list(_VISIBLE)], 1, axis=(1, 2))
    low, high = _DARKEST
    return "present" if floors.min() >= low and floors.max() < high else "undecided"
