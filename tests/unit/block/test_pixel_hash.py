"""The hash of a raster's pixels: the same however rows come, and another for every other raster."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.block.pixel_hash import PixelHash
from terramosaic.ground.grid import Rect

RECT = Rect(1000, 50, 37, 20)
PIXELS = np.random.default_rng(3).integers(-999, 999, (2, *RECT.shape)).astype(np.int16)


def hash_of(pixels, heights, first=RECT.row, nodata=-32768):
    found = PixelHash(RECT, 2, "int16", nodata)
    for height in heights:
        found.feed(first, pixels[:, first - RECT.row :][:, :height])
        first += height
    return found.hexdigest()


WHOLE = hash_of(PIXELS, [37])


@pytest.mark.parametrize("heights", [[1] * 37, [5, 32], [36, 1]])
def test_it_does_not_depend_on_how_rows_come(heights):
    assert hash_of(PIXELS, heights) == WHOLE
    assert hash_of(np.asfortranarray(PIXELS), heights) == WHOLE
    assert hash_of(PIXELS.astype(">i2"), heights) == WHOLE


def test_another_pixel_another_band_or_another_order_is_another_raster():
    changed = PIXELS.copy()
    changed[1, 36, 19] += 1
    assert len({WHOLE, *(hash_of(other, [37]) for other in (changed, PIXELS[::-1], PIXELS[:, ::-1]))}) == 4


def test_rows_that_never_come_are_no_data():
    empty = PIXELS.copy()
    empty[:, :4] = empty[:, 30:] = -32768
    assert hash_of(PIXELS, [26], first=RECT.row + 4) == hash_of(empty, [37])
    assert hash_of(PIXELS, []) == hash_of(np.full_like(PIXELS, -32768), [37]) != hash_of(PIXELS, [], nodata=0)
