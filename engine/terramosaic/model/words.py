"""Coordinates of a batch, word after word: one graph that is given the context and the words so far."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime

from terramosaic.model.coordinates import Vocabulary
from terramosaic.model.devices import Device
from terramosaic.model.io_binding import BoundGraph, Tensor

#: Latitude and longitude.
_WORDS = 2


class Words:
    """Draws the words of coordinates.

    Args:
        session: from context and ids to logits of the next word.
        vocabulary: tells what stands before the first word.
        context: where the encoder leaves it, float32 (batch, length, width).
        draw: from logits, uniform numbers and the mass of the nucleus to a word each.
        top_p: that mass; 0 takes the most probable word.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        vocabulary: Vocabulary,
        context: Tensor,
        device: Device,
        draw: onnxruntime.InferenceSession,
        top_p: float,
    ) -> None:
        self._vocabulary, self._draw, self._batch = vocabulary, draw, context.shape[0]
        self._top_p = np.array([top_p], np.float32)
        self._logits = Tensor((self._batch, session.get_outputs()[0].shape[-1]), np.float32, device)
        self._ids = [Tensor((self._batch, number + 1), np.int64, device) for number in range(_WORDS)]
        made: Mapping[str, Tensor] = {"logits": self._logits}
        self._graphs = [BoundGraph(session, {"context": context, "ids": ids}, made) for ids in self._ids]

    def drawn(self, uniform: np.ndarray) -> np.ndarray:
        """The words of a batch whose context is made, int64 (batch, 2), of uniform numbers (batch, 2 or more)."""
        words = np.full((self._batch, 1), self._vocabulary.start, np.int64)
        for number, (ids, graph) in enumerate(zip(self._ids, self._graphs, strict=True)):
            ids.write(words)
            graph.run()
            feeds = {"logits": self._logits.read(), "top_p": self._top_p}
            feeds["uniform"] = np.ascontiguousarray(uniform[:, number])
            following: np.ndarray = self._draw.run(["ids"], feeds)[0]
            words = np.concatenate([words, following[:, None]], axis=1)
        return words[:, 1:]
