"""Structural similarity of two pictures (SSIM), with gaps."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import correlate1d, minimum_filter

#: Gaussian weights of Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity":
#: 11 x 11 pixels, standard deviation 1.5; the same as torchmetrics' default.
_RADIUS, _SIGMA = 5, 1.5
_K1, _K2 = 0.01, 0.03


def structural_similarity(
    generated: np.ndarray, reference: np.ndarray, valid: np.ndarray, data_range: float
) -> tuple[float, int]:
    """Adds up SSIM over the pixels whose neighbourhood of 11 x 11 pixels is valid and lies in the picture.

    Args:
        generated: float (height, width).
        reference: float (height, width), in the same unit.
        valid: bool (height, width): where both are known.
        data_range: what both may span, in their unit; SSIM depends on it, so it belongs beside the figure.

    Returns:
        The sum of SSIM and the number of pixels; both 0 where no neighbourhood is whole.
    """
    inside = minimum_filter(valid, size=2 * _RADIUS + 1, mode="constant", cval=0)
    count = int(np.count_nonzero(inside))
    if not count:
        return 0.0, 0
    # Counted from the middle of the reference: variances are differences of large numbers otherwise.
    centre = reference[valid].mean(dtype=np.float64)
    x = np.where(valid, generated, centre).astype(np.float64) - centre
    y = np.where(valid, reference, centre).astype(np.float64) - centre
    mean_x, mean_y = _smooth(x), _smooth(y)
    variance_x = _smooth(x * x) - mean_x**2
    variance_y = _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    c1, c2 = (_K1 * data_range) ** 2, (_K2 * data_range) ** 2
    # The luminance is of the values themselves, not of those from the centre.
    mean_x += centre
    mean_y += centre
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (variance_x + variance_y + c2)
    return float((luminance * structure)[inside].sum()), count


def _smooth(picture: np.ndarray) -> np.ndarray:
    weights = np.exp(-0.5 * (np.arange(-_RADIUS, _RADIUS + 1) / _SIGMA) ** 2)
    weights /= weights.sum()
    smoothed: np.ndarray = correlate1d(correlate1d(picture, weights, axis=0), weights, axis=1)
    return smoothed
