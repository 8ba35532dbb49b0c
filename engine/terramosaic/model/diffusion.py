"""From noise to a sample: timesteps and coefficients of DDIM over a noise schedule, for any step count.

Source: Song et al., Denoising Diffusion Implicit Models (https://arxiv.org/abs/2010.02502), formulas 12 and 16 with
eta 0; Lin et al., Common Diffusion Noise Schedules and Sample Steps are Flawed (https://arxiv.org/abs/2305.08891) for
zero terminal SNR and trailing spacing; terratorch's ``DDIMScheduler`` is the reference for both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from terramosaic.errors import ModelError
from terramosaic.model.manifest import Schedule


@dataclass(frozen=True)
class DenoisingStep:
    """One denoising step: x becomes ``a * clip(x0) + b * x - c * x0``, with x0 predicted at training step ``t``."""

    t: int
    a: float
    b: float
    c: float


def ddim_steps(schedule: Schedule, count: int) -> tuple[DenoisingStep, ...]:
    """The steps from pure noise to the sample; the last one returns the clipped x0 itself.

    Args:
        schedule: the bundle's noise schedule.
        count: how many steps; must divide the number of training steps, or trailing spacing makes one more.

    Raises:
        ModelError: ``count`` does not divide the training steps.
    """
    if count < 1 or schedule.training_steps % count:
        raise ModelError(
            f"steps: {count} does not divide the model's {schedule.training_steps} training steps"
        )
    if schedule.eta:
        raise ModelError(
            f"schedule: eta {schedule.eta:g} would need noise at every step; this engine walks with eta 0"
        )
    alphas = _alphas_cumprod(schedule)
    stride = schedule.training_steps // count
    steps = []
    for t in range(schedule.training_steps - 1, -1, -stride):
        alpha, before = alphas[t], alphas[t - stride] if t >= stride else 1.0
        b = np.sqrt((1 - before) / (1 - alpha))
        steps.append(DenoisingStep(t, float(np.sqrt(before)), float(b), float(b * np.sqrt(alpha))))
    return tuple(steps)


def _alphas_cumprod(schedule: Schedule) -> np.ndarray:
    """Share of the signal's variance that is left at each training step, float64 (training_steps,)."""
    betas = np.linspace(schedule.beta_start, schedule.beta_end, schedule.training_steps)
    root = np.sqrt(np.cumprod(1 - betas))
    if schedule.zero_terminal_snr:
        # Shifted so that nothing of the signal is left at the end, scaled so that the first step stays as it was.
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return np.asarray(root**2)
