"""Reading mosaics back, and comparing two runs where they overlap."""

from __future__ import annotations

import numpy as np
import rasterio

from terramosaic import MapResult
from terramosaic.ground.grid import Rect, rect_from_bounds
from terramosaic.storage.location import Location


def read(path: Location) -> tuple[np.ndarray, Rect]:
    """All bands of a mosaic, and where it lies on the grid."""
    with rasterio.open(path) as file:
        return file.read(), rect_from_bounds(tuple(file.bounds))


def assert_same_on_shared_pixels(one: MapResult, other: MapResult) -> None:
    """Every layer of two runs, bit for bit, on the pixels that both have."""
    assert one.mosaics.keys() == other.mosaics.keys()
    for name in one.mosaics:
        (a, rect_a), (b, rect_b) = read(one.mosaics[name]), read(other.mosaics[name])
        shared = rect_a.intersection(rect_b)
        assert not shared.is_empty
        np.testing.assert_array_equal(
            a[:, *shared.slices(rect_a)], b[:, *shared.slices(rect_b)], err_msg=name
        )
