"""Timesteps and coefficients of the walk from noise to a sample."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.errors import ModelError
from terramosaic.model.diffusion import ddim_steps
from tests.unit.model.toy_terramind import SCHEDULE


def test_timesteps_trail_from_the_last_training_step() -> None:
    assert [step.t for step in ddim_steps(SCHEDULE, 10)] == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert [step.t for step in ddim_steps(SCHEDULE, 4)] == [999, 749, 499, 249]
    assert [step.t for step in ddim_steps(SCHEDULE, 1)] == [999]
    assert [step.t for step in ddim_steps(SCHEDULE, 1000)] == [*range(999, -1, -1)]


@pytest.mark.parametrize("count", [1, 2, 10, 50])
def test_the_last_step_returns_the_sample_itself(count: int) -> None:
    last = ddim_steps(SCHEDULE, count)[-1]
    assert (last.a, last.b, last.c) == (1.0, 0.0, 0.0)


def test_zero_terminal_snr_starts_from_pure_noise() -> None:
    """Nothing of the sample is in the first x, so nothing of the predicted sample is taken back out of it."""
    assert ddim_steps(SCHEDULE, 10)[0].c == 0.0
    leaky = SCHEDULE.model_copy(update={"zero_terminal_snr": False})
    assert ddim_steps(leaky, 10)[0].c > 1e-3


@pytest.mark.parametrize("count", [4, 10])
def test_a_perfect_model_stays_on_the_noise_process(count: int) -> None:
    """Were every x0 right, x at each step would be sqrt(alpha) x0 + sqrt(1 - alpha) noise, with the same noise.

    Alpha is computed here as the schedule's paper does, from shifted and scaled square roots.
    """
    root = np.sqrt(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)))
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    x0, noise = 0.3, -1.7
    x = noise
    for step in ddim_steps(SCHEDULE, count):
        assert x == pytest.approx(root[step.t] * x0 + np.sqrt(1 - root[step.t] ** 2) * noise, abs=1e-12)
        x = step.a * x0 + step.b * x - step.c * x0
    assert x == pytest.approx(x0)


def test_other_walks_are_refused() -> None:
    with pytest.raises(ModelError, match="steps: 3 does not divide the model's 1000 training steps"):
        ddim_steps(SCHEDULE, 3)
    with pytest.raises(ModelError, match=r"eta 0\.5 would need noise at every step"):
        ddim_steps(SCHEDULE.model_copy(update={"eta": 0.5}), 10)
