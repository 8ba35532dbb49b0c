"""Components that are found strip by strip are those of the whole, pixels and outlines, whatever the strips."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from affine import Affine
from rasterio.features import rasterize
from scipy import ndimage

from terramosaic.vectors.components import Component, Components

#: A zone's pixels of 10 m somewhere.
TRANSFORM = Affine(10, 0, 500_000, 0, -10, 5_100_000)


def components(classes: np.ndarray, rows: int, *, weights=None, least: int = 1) -> list[Component]:
    """Those of all classes, from strips of so many rows."""
    finder, found = Components((1, 2, 3), least), []
    for top in range(0, len(classes), rows):
        part = None if weights is None else weights[top : top + rows]
        found += finder.feed(classes[top : top + rows], TRANSFORM @ Affine.translation(0, top), part)
    return [*found, *finder.end()]


def world(seed: int, smooth: float, shape=(60, 70)) -> np.ndarray:
    """Random classes from 0 to 3, in patches or as single pixels."""
    noise = np.random.default_rng(seed).normal(size=(4, *shape))
    return ndimage.gaussian_filter(noise, (0, smooth, smooth)).argmax(0).astype(np.uint8)


def told(found: list[Component]) -> list[tuple[int, int, bytes]]:
    return sorted((one.value, one.pixels, shapely.normalize(one.outline).wkb) for one in found)


@pytest.mark.parametrize("smooth", [0, 1, 3])
@pytest.mark.parametrize("rows", [1, 2, 7, 32])
def test_strips_do_not_show(rows, smooth):
    classes = world(rows, smooth)
    whole = components(classes, 60)
    assert told(components(classes, rows)) == told(whole)
    assert sum(one.pixels for one in whole) == np.count_nonzero(classes)


@pytest.mark.parametrize("smooth", [0, 2])
def test_outlines_are_the_pixels(smooth):
    classes = world(7, smooth)
    found = components(classes, 7)
    for one in found:
        assert one.outline.is_valid and one.outline.geom_type == "Polygon"
        assert one.outline.area == one.pixels * 100
    burnt = rasterize(((one.outline, one.value) for one in found), classes.shape, transform=TRANSFORM)
    np.testing.assert_array_equal(burnt, classes)
    count = sum(ndimage.label(classes == value)[1] for value in (1, 2, 3))
    assert len(found) == count  # connected by their sides, each once


def test_small_ones_are_left_out_and_large_ones_are_whole():
    classes = world(3, 1)
    whole = components(classes, 60)
    least = 9
    assert told(components(classes, 5, least=least)) == told([one for one in whole if one.pixels >= least])


def test_weights_are_added_up_where_there_are_any():
    classes = world(4, 2)
    weights = np.random.default_rng(4).uniform(0, 100, classes.shape).astype(np.float32)
    weights[::3] = np.nan
    for one in components(classes, 11, weights=weights):
        inside = rasterize([(one.outline, 1)], classes.shape, transform=TRANSFORM).astype(bool)
        assert one.weighed == np.isfinite(weights[inside]).sum()
        assert one.weight == pytest.approx(np.nansum(weights[inside].astype(float)))


def test_a_spiral_is_one_and_so_is_a_comb_that_grows_together_at_its_end():
    spiral = np.array([
        [1, 1, 1, 1, 1, 1, 1],
        [0, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 1, 0, 1],
        [1, 0, 1, 1, 1, 0, 1],
        [1, 0, 0, 0, 0, 0, 1],
        [1, 1, 1, 1, 1, 1, 1],
    ], np.uint8)  # fmt: skip
    comb = np.zeros((9, 9), np.uint8)
    comb[:, ::2], comb[-1] = 1, 1
    for shape in (spiral, comb):
        (one,) = components(shape, 1)
        assert one.pixels == np.count_nonzero(shape)
        # Corners of pixels in the middle of an edge are no corners.
        assert shapely.equals_exact(one.outline.simplify(0).normalize(), one.outline.normalize())


def test_nothing_of_what_has_ended_is_kept():
    finder = Components((1,))
    classes = np.zeros((2, 40), np.uint8)
    classes[0, ::2] = 1
    for top in range(50):
        assert len(list(finder.feed(classes, TRANSFORM @ Affine.translation(0, 2 * top)))) == 20
    assert list(finder.end()) == []
