"""What may differ between two computations of one map, where their processors, or their versions of ONNX Runtime, do.

Sums are rounded in another order then. In float32 that moves values by some millionths of their range (S-1 by 0.0001 dB
against the reference), in half precision on a GPU by some thousandths: a stored value goes to the next step, a class or
a token where two lead together. What follows from imagery alone is whole numbers, and has the same bits anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from terramosaic.planning.layers import Layer
from terramosaic.trust.recomputing import differing


@dataclass(frozen=True)
class Tolerance:
    """How far numbers that were computed elsewhere may be off.

    Attributes:
        steps: of stored values, percents among them.
        of_range: of what the model's samples are bounded to, a share, where that is more.
        agree: least share of a window's classes, and of its tokens, that are the same.
    """

    steps: int
    of_range: float
    agree: float

    def __str__(self) -> str:
        more = f", or {self.of_range:.1%} of their range" if self.of_range else ""
        return (
            f"values off by no more than {self.steps} stored step{'s' if self.steps > 1 else ''}{more}, and at least "
            f"{self.agree:.0%} of classes and tokens the same"
        )

    def beyond(self, layer: Layer, made: np.ndarray, published: np.ndarray | None) -> np.ndarray:
        """Pixels that differ by more, bool (height, width): of classes either all that differ or none.

        Args:
            layer: of both.
            made: its stored numbers as they are computed here, (bands, height, width).
            published: as they were computed elsewhere; None where they cannot be read.
        """
        unlike = differing(made, published)
        if published is None or not layer.target:
            return unlike
        if layer.kind == "class":
            held = int((made[0] != layer.nodata).sum())
            unlike &= int(unlike.sum()) > (1 - self.agree) * held
            return unlike
        off = np.abs(made.astype(np.float64) - published)
        unlike &= (off > self._most(layer)[:, None, None]).any(axis=0)
        return unlike

    def tokens_agree(self, same: int, drawn: int) -> bool:
        """Whether enough of the tokens that were drawn are the same."""
        return same >= self.agree * drawn

    def _most(self, layer: Layer) -> np.ndarray:
        """By band, in stored numbers."""
        steps = np.full(len(layer.bands), self.steps * layer.step)
        ranges = [high - low for low, high in layer.bounds] or [0.0] * len(layer.bands)
        # Half a step more: floats are not whole steps apart.
        most: np.ndarray = (
            np.maximum(steps, np.multiply(ranges, self.of_range)) + layer.step / 2
        ) / layer.scale
        return most


#: By kind of device.
TOLERANCES = {"cpu": Tolerance(1, 0.0, 0.99), "cuda": Tolerance(5, 0.025, 0.9)}
