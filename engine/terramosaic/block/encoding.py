"""Physical values and class probabilities as the numbers that a layer stores."""

from __future__ import annotations

import numpy as np

from terramosaic.model.bundle import Bundle
from terramosaic.planning.layers import NODATA, PERCENT_NODATA, Layer


def stored_values(layer: Layer, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Physical values float32 (bands, height, width) as stored numbers; nodata where not valid."""
    if layer.dtype == "float32":
        return np.where(valid, values, np.float32(NODATA)).astype(np.float32, copy=False)
    # Multiply by the whole number 1 / scale: dividing by 0.0001 would already be off by half a float32 step.
    steps = values * np.float32(round(1 / layer.scale))
    np.rint(steps, out=steps)
    np.clip(steps, NODATA + 1, -(NODATA + 1), out=steps)
    return np.where(valid, steps, NODATA).astype(layer.dtype)


def stored_embeddings(layer: Layer, values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Embeddings float32 (dimensions, height, width), rounded to half precision; nodata where not valid."""
    return np.where(valid, values.astype(np.float16), layer.nodata).astype(np.float32)


def stored_classes(
    layer: Layer, bundle: Bundle, probabilities: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class and its probability.

    Args:
        layer: the class layer.
        bundle: tells which stored value each of the model's classes has.
        probabilities: float32 (classes, height, width); the class stored as nodata is no candidate.
        valid: bool (height, width).

    Returns:
        Stored class uint8 (1, height, width), and its probability in percent uint8 (1, height, width), 255 = no data.
    """
    values = _values(layer, bundle)
    winner, most = _most_probable(np.flatnonzero(values != layer.nodata), probabilities)
    return np.where(valid, values[winner], np.uint8(layer.nodata))[None], stored_percents(most[None], valid)


def second_classes(layer: Layer, bundle: Bundle, probabilities: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The class that is the most probable but one, uint8 (1, height, width); nodata where no other has a chance.

    See `stored_classes` for the arguments.
    """
    values = _values(layer, bundle)
    candidates = np.flatnonzero(values != layer.nodata)
    others = probabilities.copy()
    np.put_along_axis(others, _most_probable(candidates, probabilities)[0][None].astype(np.intp), -1, axis=0)
    second, most = _most_probable(candidates, others)
    return np.where(valid & (most > 0), values[second], np.uint8(layer.nodata))[None]


def stored_percents(shares: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Shares float32 (bands, height, width) in percent, uint8 of the same shape; 255 where not valid."""
    percents: np.ndarray = np.rint(np.clip(shares, 0, 1) * 100).astype(np.uint8)
    percents[:, ~valid] = PERCENT_NODATA
    return percents


def _values(layer: Layer, bundle: Bundle) -> np.ndarray:
    """What is stored of each of the model's classes, uint8 (classes)."""
    return np.array([item.value for item in bundle.targets[layer.target].classes], np.uint8)


def _most_probable(candidates: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The index of the most probable of some classes, uint8 (height, width), and its probability, float32."""
    most = probabilities[candidates[0]].copy()
    winner = np.full(most.shape, candidates[0], np.uint8)
    for index in candidates[1:]:
        # Strictly greater: ties go to the class that comes first, everywhere alike. Indices rise, so the last class
        # that was greater than all before it is the largest index: a maximum of bytes, not a masked assignment.
        greater = np.greater(probabilities[index], most).view(np.uint8)
        greater *= np.uint8(index)
        np.maximum(winner, greater, out=winner)
        np.maximum(most, probabilities[index], out=most)
    return winner, most
