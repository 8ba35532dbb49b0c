"""Rows that are averaged over windows of several lattices, joined as soon as all of them have them.

One dimension, strides 192 and 112, from row 0 on: window 0 of either lattice makes rows [0, 192) and [0, 112) final, so
[0, 112) can go; with window 1 of the second, which makes [112, 224) final, [112, 192) can; and so on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from terramosaic.ground.blend import RowBand
from terramosaic.ground.lattice import Lattice


class JoinedBands:
    """Takes the finished rows of each lattice over one rectangle, and gives those that are finished in all.

    It holds what one lattice is ahead of another.

    Args:
        lattices: each with targets of its own.
    """

    def __init__(self, lattices: Iterable[Lattice]) -> None:
        self._waiting = {lattice: deque[RowBand]() for lattice in lattices}

    def put(self, lattice: Lattice, band: RowBand) -> list[RowBand]:
        """Takes the next rows of a lattice; returns those that are whole by that, from top to bottom, none empty."""
        if not band.rect.is_empty:
            self._waiting[lattice].append(band)
        found = []
        while all(self._waiting.values()):
            end = min(bands[0].rect.row_end for bands in self._waiting.values())
            found.append(_joined([_taken(bands, end) for bands in self._waiting.values()]))
        return found


def _taken(bands: deque[RowBand], end: int) -> RowBand:
    """Takes the rows above ``end`` from the first band."""
    first = bands.popleft()
    if first.rect.row_end > end:
        bands.appendleft(first.rows(end, first.rect.row_end))
    return first.rows(first.rect.row, end)


def _joined(bands: list[RowBand]) -> RowBand:
    """Bands of the same rows, each with its own targets, as one; their flags are joined."""
    return RowBand(
        rect=bands[0].rect,
        means={name: mean for band in bands for name, mean in band.means.items()},
        stds={name: std for band in bands for name, std in band.stds.items()},
        disagreements={name: shares for band in bands for name, shares in band.disagreements.items()},
        flags=np.bitwise_or.reduce([band.flags for band in bands]),
        windows={name: counts for band in bands for name, counts in band.windows.items()},
        seen={name: seen for band in bands for name, seen in band.seen.items()},
        patches={name: mean for band in bands for name, mean in band.patches.items()},
        patch=bands[0].patch,
    )
