"""How far two windows agree: made-up ones, whose differences are known."""

import numpy as np
import pytest

from terramosaic.evaluation.overlaps import OverlapScores
from terramosaic.ground.lattice import WINDOW, Lattice
from terramosaic.model.bundle import load_bundle

SPECS = load_bundle("demo").targets
SHIFT = 32
RNG = np.random.default_rng(3)
GROUND = RNG.normal(-12, 1, (2, WINDOW, WINDOW + SHIFT)).astype(np.float32)


def scores(target="S1GRD"):
    return OverlapScores(target, SPECS[target].unit or "", SPECS[target], Lattice(SHIFT))


def windows(ground):
    return ground[..., :WINDOW].copy(), ground[..., SHIFT:].copy()


def test_windows_of_one_ground_agree():
    one = scores()
    one.add(*windows(GROUND))
    assert one.at_rims == one.in_middle == 0 and one.ratio is None


def test_what_differs_at_the_rims_is_told_apart():
    one = scores()
    for _ in range(12):
        left, right = windows(RNG.normal(-12, 0.1, GROUND.shape).astype(np.float32))
        left += 0.5
        # The right window's left rim, and the left one's right rim.
        right[..., :32] -= 1
        left[..., -32:] += 1
        one.add(left, right)
    assert (one.at_rims, one.in_middle) == pytest.approx((1.5, 0.5), abs=1e-4)
    assert one.ratio is not None and one.ratio.low is not None
    assert one.ratio.value == pytest.approx(3, abs=0.01) and one.ratio.low <= 3.001 and one.ratio.high > 2.99
    # The mean of both steps where the second begins and where the first ends, by more than the ground varies.
    assert one.seam is not None and one.seam.departure > 2


def test_of_classes_the_share_that_differs_counts_and_no_data_is_no_candidate():
    one = scores("LULC")
    probabilities = np.zeros((len(SPECS["LULC"].classes), WINDOW, WINDOW + SHIFT), np.float32)
    probabilities[2], probabilities[0] = 0.4, 0.6
    left, right = windows(probabilities)
    right[1, ::4] = 0.5
    one.add(left, right)
    assert one.at_rims == one.in_middle == 0.25


def test_no_sample_has_no_figure():
    one = scores()
    assert np.isnan(one.at_rims) and one.as_dict()["at_rims"] is None and one.as_dict()["ratio"] is None
