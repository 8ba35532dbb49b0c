"""Gaps of radar by their numbers, and what is taken off at the edges of a swath."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.imagery.marks import Mark
from terramosaic.imagery.swath import decibel, margin_of, power_of, without_edges


def test_what_is_no_power_is_a_gap_and_some_of_it_is_not_marked():
    numbers = np.array([[0.1, 0, -0.01, np.nan, np.inf, -np.inf, -32768, 7, -1]], np.float32)
    power, marks = power_of(numbers, nodata=7)
    np.testing.assert_array_equal(np.isfinite(power), [[True] + [False] * 8])
    seen, low, gap = Mark.SEEN, Mark.UNMARKED, Mark.NO_DATA
    np.testing.assert_array_equal(marks, [[seen, low, low, gap, gap, gap, gap, gap, low]])
    assert power_of(numbers)[0][0, 7] == 7 and power.dtype == np.float32
    np.testing.assert_array_equal(numbers[0, 6:], [-32768, 7, -1])  # what was read stays as it was


@pytest.mark.parametrize("side", [1, 4, 5, 40])
def test_holes_are_no_edges_and_large_gaps_are(side):
    width = 4
    margin = margin_of(width)
    valid = np.ones((90 + 2 * margin, 90 + 2 * margin), bool)
    valid[margin + 30 : margin + 30 + side, margin + 30 : margin + 30 + side] = False
    kept = without_edges(valid, width)
    assert kept.shape == (90, 90)
    edge = width if side >= 5 else 0
    expected = np.ones((90, 90), bool)
    expected[30 - edge : 30 + side + edge, 30 - edge : 30 + side + edge] = False
    np.testing.assert_array_equal(kept, expected)


def test_edges_hang_on_the_ground_alone():
    rng = np.random.default_rng(3)
    valid = rng.random((120, 130)) > 0.2
    valid[:50, :40], valid[80:, 90:] = False, False
    margin = margin_of(3)
    whole = without_edges(valid, 3)
    part = without_edges(valid[17 : 17 + 60, 25 : 25 + 70], 3)
    np.testing.assert_array_equal(part, whole[17 : 17 + 60 - 2 * margin, 25 : 25 + 70 - 2 * margin])


def test_decibels():
    np.testing.assert_allclose(
        decibel(np.array([1, 0.1, 0.01, np.nan], np.float32)), [0, -10, -20, np.nan], rtol=1e-6
    )
