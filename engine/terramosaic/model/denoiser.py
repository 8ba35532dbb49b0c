"""The loop from noise to a target's values: one step graph, run to and fro between two tensors on its device."""

from __future__ import annotations

import numpy as np
import onnxruntime

from terramosaic.model.devices import Device
from terramosaic.model.diffusion import DenoisingStep
from terramosaic.model.io_binding import BoundGraph, Tensor


class Denoiser:
    """Denoises batches of one target.

    Args:
        session: the target's step graph.
        steps: all of them, from `ddim_steps`.
        clip: bound of the predicted sample, in standard deviations.
        code: the tokens' code, float32 (batch, levels, 14, 14), where the tokens graph writes it.
        values: takes the result in physical units, float32 (batch, channels, 224, 224).
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        steps: tuple[DenoisingStep, ...],
        clip: float,
        device: Device,
        code: Tensor,
        values: Tensor,
    ) -> None:
        self._session, self._steps, self._clip = session, steps, clip
        self._ping = Tensor(values.shape, np.float32, device)
        self._pong = Tensor(values.shape, np.float32, device)
        self._t = Tensor((1,), np.float32, device)
        self._coefficients = Tensor((4,), np.float32, device)
        self._inputs = {"code": code, "t": self._t, "coefficients": self._coefficients}
        self._values = values
        self._ping_to_pong = self._bind(self._ping, self._pong, capture=1)
        self._pong_to_ping = self._bind(self._pong, self._ping, capture=2)

    def from_noise(self, noise: Tensor, number: int) -> BoundGraph:
        """The first step, from a tensor of noise; ``number`` tells apart the tensors it may start from."""
        return self._bind(noise, self._ping, capture=3 + number)

    def denoise(self, first: BoundGraph) -> None:
        """Takes all steps; the last one leaves the values."""
        for number, step in enumerate(self._steps):
            self._t.write(np.array([step.t], np.float32))
            self._coefficients.write(np.array([step.a, step.b, step.c, self._clip], np.float32))
            (first if number == 0 else self._ping_to_pong if number % 2 else self._pong_to_ping).run()

    def _bind(self, x: Tensor, following: Tensor, capture: int) -> BoundGraph:
        outputs = {"next": following, "values": self._values}
        return BoundGraph(self._session, {"x": x, **self._inputs}, outputs, capture)
