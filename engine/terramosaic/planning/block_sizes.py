"""What block rasters will take on a disk: of each layer, by the rectangles that blocks have and how it is stored.

Values are stored as they are, so that their bytes are known: those of the whole rectangle, also where it reaches beyond
the region or imagery. What is compressed is measured.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from terramosaic.ground.grid import Rect
from terramosaic.model.bundle import Bundle
from terramosaic.model.manifest import COORDINATES, TOKENS
from terramosaic.planning.lattices import TargetLattice
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Zone

#: Bytes of a compressed number, by the layer's kind: of the demo, whose classes lie in fields; of percents by measure.
_CLASS, _FLAGS, _DAYS = 0.15, 0.02, 0.03
_PERCENT = {"confidence": 0.4, "disagreement": 0.05, "probabilities": 0.3}
#: Of a token, which is stored as uint32; of places, two float32 a window; of a preview's pixel, three uint16.
_TOKEN, _PLACE, _PREVIEW = 2.0, 8, 6
#: Of a raster beside its numbers: header, and where its strips lie.
_RASTER = 600


def blocks_gigabytes(
    zones: Sequence[Zone],
    layers: Sequence[Layer],
    lattices: Sequence[TargetLattice],
    bundle: Bundle,
    preview_factor: int,
) -> float:
    """Estimate: of all block rasters of a run, until they are removed.

    Args:
        zones: with their blocks.
        layers: that each block has.
        lattices: of its windows, whose tokens and places lie beside them.
        bundle: the run's model.
        preview_factor: pixels of ground to one of the previews.
    """
    total = 0.0
    for rect in (block.rect for zone in zones for block in zone.blocks):
        total += sum(_RASTER + _bytes_of(layer, rect) for layer in layers)
        total += _RASTER + _PREVIEW * _area(rect) / preview_factor**2
        for each in lattices:
            windows = len(each.lattice.rows(rect)) * len(each.lattice.cols(rect))
            drawn = [target for target in each.drawn if TOKENS in bundle.targets[target].graphs]
            total += _TOKEN * len(drawn) * windows * each.lattice.patches**2
            total += _PLACE * windows * (COORDINATES in each.targets)
    return total / 1e9


def _bytes_of(layer: Layer, rect: Rect) -> float:
    numbers = len(layer.bands) * _area(layer.rect(rect))
    if not layer.is_small:
        return numbers * np.dtype(layer.dtype).itemsize
    if layer.kind == "percent":
        return numbers * _PERCENT[layer.measure]
    return numbers * {"class": _CLASS, "flags": _FLAGS, "days": _DAYS}[layer.kind]


def _area(rect: Rect) -> float:
    return float(rect.height) * rect.width
