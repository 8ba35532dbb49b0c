"""Choosing pixels: a five-pixel world in which each pixel tells one story."""

import numpy as np
import pytest

from terramosaic.imagery.composite import Composite, Observation, best, clear_mask, median


def observation(values, clear, valid=None):
    """One band and a copy of it times ten, one row of pixels."""
    valid = np.array(valid if valid is not None else [v > 0 for v in values], bool)[None]
    dn = np.where(valid, np.array([values], np.uint16), 0).astype(np.uint16)
    return Observation(np.stack([dn, dn * 10]), valid, np.array([clear], bool) & valid)


#                     clear first | cloudy first, clear second | cloudy in both | gap, then cloudy | gap in both
def first():
    return observation([100, 101, 102, 0, 0], [1, 0, 0, 0, 0])


def second():
    return observation([200, 201, 202, 203, 0], [1, 1, 0, 0, 0])


ALL = np.ones((1, 5), bool)


def run(combine, observations, wanted=ALL):
    asked = []

    def observation(index):
        def seen(open_, missing):
            asked.append((index, open_.copy(), missing.copy()))
            return observations[index]

        return seen

    composite = Composite.empty(2, (1, 5))
    combine(composite, wanted, [observation(index) for index in range(len(observations))])
    return composite, asked


def test_best_takes_the_first_clear_then_the_first_valid():
    composite, _ = run(best, [first(), second()])
    assert composite.dn[0, 0].tolist() == [100, 201, 102, 203, 0]
    assert composite.valid[0].tolist() == [True, True, True, True, False]
    assert composite.cloudy[0].tolist() == [False, False, True, True, False]


@pytest.mark.parametrize("combine", [best, median])
def test_spectra_are_never_mixed_by_best_nor_bands_left_behind(combine):
    composite, _ = run(combine, [first(), second()])
    np.testing.assert_array_equal(composite.dn[1], composite.dn[0] * 10)


def test_best_asks_only_for_what_is_open_and_stops_when_nothing_is():
    clear = observation([9] * 5, [1] * 5)
    _, asked = run(best, [first(), clear, second()])
    assert [index for index, *_ in asked] == [0, 1]
    assert asked[1][1][0].tolist() == [False, True, True, True, True]
    assert asked[1][2][0].tolist() == [False, False, False, True, True]


def test_unwanted_pixels_stay_empty():
    wanted = np.array([[True, False, True, False, True]])
    composite, _ = run(best, [first(), second()], wanted)
    assert composite.dn[0, 0].tolist() == [100, 0, 102, 0, 0]


def test_an_acquisition_that_has_nothing_is_passed_over():
    composite, _ = run(best, [None, second()])
    assert composite.dn[0, 0].tolist() == [200, 201, 202, 203, 0]


def test_median_of_clear_observations():
    third = observation([310, 301, 302, 303, 304], [1, 1, 0, 1, 1])
    composite, _ = run(median, [first(), second(), third])
    # 100 200 310 -> 200; 201 301 -> 251; none clear -> best valid; only the third -> 303 and 304
    assert composite.dn[0, 0].tolist() == [200, 251, 102, 303, 304]
    assert composite.cloudy[0].tolist() == [False, False, True, False, False]


def test_scl_classes_that_hide_the_ground():
    scl = np.arange(12)
    assert scl[~clear_mask(scl)].tolist() == [0, 1, 3, 8, 9, 10]
