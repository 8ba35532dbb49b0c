"""Filling gaps for the model: nearest valid pixel, nothing else touched."""

import numpy as np

from terramosaic.ground.fill import fill_nearest, near_missing


def test_each_hole_takes_its_nearest_valid_pixel():
    window = np.array([[[1, 0, 0, 0, 5]], [[10, 0, 0, 0, 50]]], np.float32)
    valid = np.array([[True, False, False, False, True]])
    fill_nearest(window, valid)
    assert window[0, 0, [0, 1, 3, 4]].tolist() == [1, 1, 5, 5]
    np.testing.assert_array_equal(window[1], window[0] * 10)


def test_valid_pixels_are_untouched_and_no_new_values_appear():
    rng = np.random.default_rng(0)
    window = rng.integers(1, 9999, (12, 48, 64)).astype(np.float32)
    valid = rng.random((48, 64)) > 0.4
    before = window.copy()
    fill_nearest(window, valid)
    np.testing.assert_array_equal(window[:, valid], before[:, valid])
    spectra = {tuple(pixel) for pixel in before[:, valid].T}
    assert {tuple(pixel) for pixel in window[:, ~valid].T} <= spectra


def test_near_missing_reaches_one_patch():
    valid = np.ones((1, 100), bool)
    valid[0, 50] = False
    assert np.flatnonzero(near_missing(valid)).tolist() == list(range(34, 67))
