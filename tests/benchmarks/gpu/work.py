"""What is measured in: the work of a window, seconds, and how far numbers are apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np

#: GFLOP of one window, by part: a U-Net's step, LULC's decoder, and by variant all encoders, decoders and logits of
#: S1GRD, S1RTC, NDVI and LULC in a chain. Counted with torch's FlopCounterMode on terratorch 1.2.13's modules.
UNET_STEP, LULC_DECODER = 189.7, 37.3
TOKEN_PART = {"tiny": 42.3, "small": 145.8, "base": 627.3, "large": 2128.7}


def gflop(variant: str, targets: tuple[str, ...], steps: int) -> float:
    """GFLOP of a window. The token part is counted for the four targets, and taken in proportion for fewer."""
    diffusion = sum(target != "LULC" for target in targets)
    tokens = TOKEN_PART[variant.rsplit("_", maxsplit=1)[-1]] * len(targets) / 4
    return diffusion * steps * UNET_STEP + ("LULC" in targets) * LULC_DECODER + tokens


def median_seconds(run: Callable[[], object], repeats: int) -> float:
    """Median time of a call that returns when its work is done, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """‖found − wanted‖ / ‖wanted‖; not a number is never near."""
    return float(np.linalg.norm(np.float64(found) - wanted) / np.linalg.norm(wanted))
