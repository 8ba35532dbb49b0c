"""Areas from a stratified sample: the worked example of Olofsson et al. 2014, section 5."""

import numpy as np
import pytest

from terramosaic.evaluation.areas import StratifiedSample

#: Table 8: deforestation, forest gain, stable forest, stable non-forest; pixels of 30 m that the map gives each.
COUNTS = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
PIXELS = np.array([200_000, 150_000, 3_200_000, 6_450_000])
HECTARES = PIXELS * 0.09

EXAMPLE = StratifiedSample(COUNTS, HECTARES)


def test_areas_are_those_of_the_paper():
    areas = EXAMPLE.areas
    np.testing.assert_allclose(areas.value, [21_158, 11_686, 285_770, 581_386], atol=1)
    np.testing.assert_allclose(areas.margin, [6_158, 3_756, 15_510, 16_282], atol=1)
    assert areas.value.sum() == pytest.approx(HECTARES.sum())


def test_accuracies_are_those_of_the_paper():
    assert EXAMPLE.overall.value == pytest.approx(0.95, abs=0.005)
    assert EXAMPLE.overall.margin == pytest.approx(0.02, abs=0.005)
    np.testing.assert_allclose(EXAMPLE.users.value, [0.88, 0.73, 0.93, 0.96], atol=0.005)
    np.testing.assert_allclose(EXAMPLE.users.margin, [0.07, 0.10, 0.04, 0.02], atol=0.005)
    np.testing.assert_allclose(EXAMPLE.producers.value, [0.75, 0.85, 0.93, 0.96], atol=0.005)


def test_margins_of_producers_accuracies_are_those_of_error_propagation():
    """By numerical derivatives and the covariance of each stratum's shares, without the paper's equation 7."""
    sizes, weights = COUNTS.sum(axis=1), PIXELS / PIXELS.sum()
    shares = COUNTS / sizes[:, None]

    def producers(shares):
        proportions = weights[:, None] * shares
        return np.diag(proportions) / proportions.sum(axis=0)

    variance = np.zeros(4)
    for row in range(4):
        covariance = (np.diag(shares[row]) - np.outer(shares[row], shares[row])) / (sizes[row] - 1)
        slopes = np.empty((4, 4))
        for col in range(4):
            step = np.zeros((4, 4))
            step[row, col] = 1e-6
            slopes[col] = (producers(shares + step) - producers(shares - step)) / 2e-6
        variance += np.einsum("ak,ab,bk->k", slopes, covariance, slopes)
    np.testing.assert_allclose(EXAMPLE.producers.margin, 1.96 * np.sqrt(variance), rtol=1e-5)


def test_a_class_that_was_not_mapped_has_what_the_others_hide_of_it():
    counts = np.array([[8, 2, 0], [0, 10, 0], [0, 0, 0]])
    sample = StratifiedSample(counts, np.array([100.0, 300.0, 0.0]))
    np.testing.assert_allclose(sample.areas.value, [80, 320, 0])
    assert np.isnan(sample.users.value[2]) and np.isnan(sample.producers.value[2])
    np.testing.assert_allclose(sample.producers.value[:2], [1, 300 / 320])


def test_a_class_that_was_mapped_needs_samples():
    with pytest.raises(ValueError, match=r"classes \[1\].*fewer than two"):
        StratifiedSample(np.array([[8, 2], [0, 1]]), np.array([1.0, 1.0]))
    with pytest.raises(ValueError, match="shape"):
        StratifiedSample(np.ones((2, 3)), np.array([1.0, 1.0]))
