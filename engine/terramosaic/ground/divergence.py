"""How far overlapping windows disagree about classes: the Jensen-Shannon divergence of their probabilities.

The entropy of the mean of distributions is at least the mean of their entropies, and as much as the entropy of their
weights above it: where each window is certain, and no two of the same. As a share of that bound it is 0 where windows
agree, whatever they say and however sure they are of it, and 1 where all contradict each other (Lin 1991, Divergence
measures based on the Shannon entropy, equations 4.1 and 4.6).
"""

from __future__ import annotations

import numpy as np

_SMALLEST = np.float32(np.finfo(np.float32).tiny)


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Entropy in nats of float32 (classes, ...): float32 (...)."""
    # Contiguous, so that a pixel's logarithm has the same bits wherever it lies. What is added changes a 0 alone.
    terms = np.add(probabilities, _SMALLEST, order="C")
    np.log(terms, out=terms)
    terms *= probabilities
    total: np.ndarray = -terms.sum(axis=0)
    return total


def disagreement(
    mean: np.ndarray, mean_entropy: np.ndarray, weight: np.ndarray, weight_terms: np.ndarray
) -> np.ndarray:
    """Divergence of the distributions of two windows or more, as a share of the most that it can be.

    Args:
        mean: float32 (classes, n), the weighted mean of their probabilities.
        mean_entropy: float32 (n), the weighted mean of their entropies.
        weight: float32 (n), the sum of their weights w.
        weight_terms: float32 (n), the sum of w log w.

    Returns:
        float32 (n), from 0 to 1.
    """
    bound = np.log(weight) - weight_terms / weight
    share: np.ndarray = np.clip((entropy(mean) - mean_entropy) / bound, 0, 1)
    return share
