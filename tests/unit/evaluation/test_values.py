"""Figures for values, against their formulas written plainly."""

import math

import numpy as np
import pytest

from terramosaic.evaluation.similarity import structural_similarity
from terramosaic.evaluation.values import ValueScores

RANGE = 40.0


@pytest.fixture
def pictures():
    """A smooth reference at -12 dB, and what differs from it in level, contrast and detail."""
    draw = np.random.default_rng(3)
    rows, cols = np.mgrid[:48, :64]
    reference = -12 + 5 * np.sin(rows / 7) * np.cos(cols / 9)
    generated = 0.8 * reference - 1 + draw.normal(0, 1.5, reference.shape)
    return generated.astype(np.float32), reference.astype(np.float32)


def plain_ssim(x, y, data_range):
    """Wang et al. 2004, equation 13, pixel by pixel."""
    step = np.arange(-5, 6)
    weights = np.exp(-(step[:, None] ** 2 + step**2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    found = []
    for row in range(5, x.shape[0] - 5):
        for col in range(5, x.shape[1] - 5):
            here = np.s_[row - 5 : row + 6, col - 5 : col + 6]
            a, b = x[here].astype(float), y[here].astype(float)
            ma, mb = np.sum(weights * a), np.sum(weights * b)
            va, vb = np.sum(weights * (a - ma) ** 2), np.sum(weights * (b - mb) ** 2)
            cov = np.sum(weights * (a - ma) * (b - mb))
            found.append((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))
    return float(np.mean(found)), len(found)


def in_tiles(generated, reference):
    return ValueScores.sum(
        ValueScores.of(generated[row : row + 16], reference[row : row + 16], data_range=RANGE)
        for row in range(0, len(generated), 16)
    )


def test_tiles_add_up_to_the_figures_of_all_pixels(pictures):
    generated, reference = (picture.astype(float) for picture in pictures)
    scores, errors = in_tiles(*pictures), generated - reference
    assert scores.count == errors.size
    assert scores.bias == pytest.approx(errors.mean(), abs=1e-6)
    assert scores.mae == pytest.approx(np.abs(errors).mean(), abs=1e-6)
    assert scores.rmse == pytest.approx(np.sqrt((errors**2).mean()), abs=1e-6)
    correlation = np.corrcoef(generated.ravel(), reference.ravel())[0, 1]
    assert scores.correlation == pytest.approx(correlation, abs=1e-6)
    assert scores.reference_range == pytest.approx(np.ptp(reference), abs=1e-6)
    assert scores.psnr(RANGE) == pytest.approx(10 * np.log10(RANGE**2 / (errors**2).mean()), abs=1e-6)


def test_tiles_may_be_added_in_any_order(pictures):
    parts = [
        ValueScores.of(pictures[0][rows], pictures[1][rows], data_range=RANGE)
        for rows in (slice(0, 1), slice(1, 2), slice(2, 40), slice(40, 48))
    ]
    forth, back = ValueScores.sum(parts), ValueScores.sum(reversed(parts))
    assert forth.correlation == pytest.approx(back.correlation, abs=1e-12)
    assert forth.bias == pytest.approx(back.bias, abs=1e-12)


def test_correlation_survives_values_far_from_zero():
    draw = np.random.default_rng(5)
    reference = 1e7 + draw.normal(size=(32, 32))
    generated = reference + draw.normal(size=(32, 32))
    halves = [ValueScores.of(generated[r], reference[r], data_range=1) for r in (slice(0, 9), slice(9, 32))]
    expected = np.corrcoef((generated - 1e7).ravel(), (reference - 1e7).ravel())[0, 1]
    assert ValueScores.sum(halves).correlation == pytest.approx(expected, abs=1e-6)


def test_ssim_is_that_of_wang(pictures):
    generated, reference = pictures
    expected, count = plain_ssim(generated, reference, RANGE)
    total, found = structural_similarity(generated, reference, np.ones(reference.shape, bool), RANGE)
    assert found == count
    assert total / found == pytest.approx(expected, abs=1e-6)
    # It depends on the range: the figure alone says nothing.
    assert structural_similarity(generated, reference, np.ones(reference.shape, bool), 100)[0] > total


def test_ssim_of_metres_keeps_its_digits():
    draw = np.random.default_rng(7)
    reference = 4000 + np.cumsum(draw.normal(0, 0.3, (20, 24)), axis=1)
    generated = reference + draw.normal(0, 0.5, reference.shape)
    total, count = structural_similarity(generated, reference, np.ones(reference.shape, bool), 30)
    assert total / count == pytest.approx(plain_ssim(generated, reference, 30)[0], abs=1e-6)


def test_gaps_count_nowhere(pictures):
    generated, reference = pictures
    holed = reference.copy()
    holed[20:22, 30] = np.nan
    valid = np.isfinite(holed)
    scores = ValueScores.of(generated, holed, data_range=RANGE)
    errors = (generated.astype(float) - holed)[valid]
    assert scores.count == holed.size - 2
    assert scores.mae == pytest.approx(np.abs(errors).mean(), abs=1e-6)
    # A neighbourhood that touches the gap is no pixel of SSIM: 12 rows of 11 columns of them.
    assert scores.neighbourhoods == 38 * 54 - 12 * 11
    assert scores == ValueScores.of(generated, np.where(valid, holed, 7e9), valid, data_range=RANGE)


def test_of_nothing_there_is_no_figure():
    nothing = ValueScores()
    assert all(map(math.isnan, (nothing.bias, nothing.mae, nothing.rmse, nothing.correlation, nothing.ssim)))
    assert math.isnan(nothing.psnr(1)) and math.isnan(nothing.reference_range)
    one = ValueScores.of(np.ones((12, 12)), np.ones((12, 12)), data_range=1)
    assert nothing + one == one + nothing == one
    assert one.ssim == pytest.approx(1) and one.psnr(1) == math.inf and math.isnan(one.correlation)
