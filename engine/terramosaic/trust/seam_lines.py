"""Where seams would show, and where to look for the same without any.

A line lies before a pixel: line 0 between pixels -1 and 0. In one dimension, windows of 224 with stride 192 begin on
lines 0, 192, 384 ... and end on lines 224, 416 ..., which are 32, 224 ... of the lattice. Half a stride away, on lines
96 and 128, nothing begins or ends. Patches of the model meet on all of these, and so do pixels of 20 and 60 m, alike.
Between lines 0 and 32 two windows overlap, between 32 and 192 there is one: the middles, 16 and 112, are half a stride
apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from terramosaic.ground.lattice import Lattice


@dataclass(frozen=True)
class SeamLines:
    """The lines of a lattice in one dimension, all modulo its stride."""

    lattice: Lattice

    @cached_property
    def edges(self) -> frozenset[int]:
        """Where windows begin or end."""
        return frozenset({0, self._overlap})

    @cached_property
    def inner(self) -> frozenset[int]:
        """Lines between patches, as near to half a stride from the edges as there are any; none with stride 16."""
        stride, patch = self.lattice.stride, self.lattice.patch
        for shift in sorted(range(patch, stride, patch), key=lambda shift: abs(2 * shift - stride)):
            if found := frozenset((edge + shift) % stride for edge in self.edges) - self.edges:
                return found
        return frozenset()

    @cached_property
    def middles(self) -> tuple[int, int] | None:
        """The middle of where a window more overlaps, and of where a window less does; None where all is alike."""
        if not self._overlap:
            return None
        return self._overlap // 2, (self._overlap + self.lattice.stride) // 2

    @property
    def _overlap(self) -> int:
        return self.lattice.side % self.lattice.stride


def positions(offset: int, stride: int, start: int, end: int) -> range:
    """All numbers from ``start`` up to ``end`` that are ``offset`` modulo ``stride``."""
    return range(start + (offset - start) % stride, end, stride)
