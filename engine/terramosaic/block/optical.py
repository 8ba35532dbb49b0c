"""Products of Sentinel-2 under a block: each is some bands of one stack, and true colour is made of them."""

from __future__ import annotations

import numpy as np

from terramosaic.bands import RGB, RGB_WHITE
from terramosaic.block.inputs import BlockInputs
from terramosaic.block.rasters import SourceRows
from terramosaic.block.read_rows import InputRows
from terramosaic.block.windows import HeldRows
from terramosaic.ground.grid import Rect
from terramosaic.planning.optical import OpticalBands


class OpticalRows:
    """One product, cut window by window; as what leads a run, or beside it.

    Args:
        held: the stack.
        optical: what it holds.
        name: the product.
    """

    def __init__(self, held: HeldRows, optical: OpticalBands, name: str) -> None:
        self._held, self._is_true_colour = held, name == RGB
        planes = optical.planes(name)
        is_all = planes == list(range(len(optical.bands) + len(optical.beside)))
        self._planes = None if is_all else planes

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """As `InputRows.cut`."""
        seen = self._held.cut(window, pixels, self._planes)
        if self._is_true_colour:
            to_true_colour(pixels)
        return seen

    def marks(self, rect: Rect) -> np.ndarray:
        """As `InputRows.marks`: no window, but the stack has seen a pixel, or not."""
        return self._held.marks(rect)

    def cloudy(self, rect: Rect) -> np.ndarray:
        """As `Leading.cloudy`."""
        return self._held.cloudy(rect)

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """As `Leading.source`."""
        return self._held.source(rect, region)

    def drop_above(self, row: int) -> None:
        """As `InputRows.drop_above`."""
        self._held.drop_above(row)

    def close(self) -> None:
        """As `InputRows.close`: strips are read by who made the stack."""


def optical_inputs(held: HeldRows, optical: OpticalBands, others: dict[str, InputRows]) -> BlockInputs:
    """Inputs of a block that Sentinel-2 leads."""
    lead, *beside = ((name, OpticalRows(held, optical, name)) for name in optical.inputs)
    return BlockInputs(*lead, dict(beside) | others)


def to_true_colour(pixels: np.ndarray) -> None:
    """Digital numbers of L2A as whole numbers from 0 to 255, in place: float32 of any shape; see `RGB_WHITE`."""
    pixels *= np.float32(255 / RGB_WHITE)
    np.clip(pixels, 0, 255, out=pixels)
    np.rint(pixels, out=pixels)
