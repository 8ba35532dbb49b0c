"""Noise of the made-up ground, and how it is halved and doubled."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.demo.texture import double, fractal_noise, grain, shrink, smooth_noise


def test_noise_has_unit_deviation_at_every_width() -> None:
    for noise in (
        smooth_noise(0, "a", (400, 600), 9),
        fractal_noise(0, "b", (400, 600), 30, 4),
        grain(0, "c", (400, 600)),
    ):
        assert noise.dtype == np.float32
        assert noise.std() == pytest.approx(1, abs=0.08)
        assert noise.mean() == pytest.approx(0, abs=0.15)


def test_doubling_keeps_means_and_slopes() -> None:
    slope = np.arange(12, dtype=np.float32).reshape(3, 4)
    assert shrink(double(slope), 2)[1, 1:3].tolist() == slope[1, 1:3].tolist()
    assert double(slope)[2].tolist() == [3.0, 3.25, 3.75, 4.25, 4.75, 5.25, 5.75, 6.0]
