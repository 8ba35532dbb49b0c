"""What is measured: the work of a window, seconds, and how far numbers are apart."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from terramosaic.model.bundle import Bundle


def gflop(bundle: Bundle, targets: tuple[str, ...], steps: int) -> float:
    """GFLOP of one window, its targets made in a chain."""
    from terramosaic.model.work import chain_of, work_of

    works = [work_of(bundle, target, seen=seen) for target, seen in chain_of(targets, "chained").items()]
    return sum(work.once + steps * work.step for work in works)


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
