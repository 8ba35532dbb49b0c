"""What a run takes on a disk: mosaics, which stay, and block rasters, until they are removed.

In block rasters values are stored as they are, so that their bytes are known: those of the whole rectangle, also where
it reaches beyond the region or imagery. Mosaics, and what is compressed of blocks, are measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from terramosaic.bands import GSD
from terramosaic.ground.grid import RESOLUTION, Rect
from terramosaic.ground.zones import Area
from terramosaic.model.bundle import Bundle
from terramosaic.model.manifest import COORDINATES, TOKENS
from terramosaic.planning.lattices import TargetLattice
from terramosaic.planning.layers import Layer
from terramosaic.planning.optical import OpticalBands
from terramosaic.planning.plan import Zone
from terramosaic.request.request import RegionRequest

#: Bytes in our mosaics per pixel, overviews included, measured on full Sentinel-2 tiles.
_OUTPUT_BYTES_PER_PIXEL = {
    "int16": {"S1GRD": 3.9, "S1RTC": 3.9, "NDVI": 2.1, "DEM": 1.5},
    "float32": {"S1GRD": 8.0, "S1RTC": 8.0, "NDVI": 4.2, "DEM": 4.0},
}
#: Of any other: of classes, and of a band of values.
_CLASSES_BYTES, _BAND_BYTES = 0.3, {"int16": 2.0, "float32": 4.1}

#: Of a number of an embedding in half precision, with its overviews: it hardly shrinks (2.04 measured, random weights).
_EMBEDDING_BYTES = 2.1
#: Of a window's row in the table of coordinates.
_PLACE_BYTES = 60

#: The same of imagery that is kept, measured on patches of TerraMesh, by the metres between a band's own pixels.
_IMAGERY_BYTES_PER_PIXEL = {10: 2.2, 20: 0.77, 60: 0.09}

#: The same of a band of the layers beside the maps, measured on the demo; of a standard deviation, which only pixels of
#: several windows have, to one of its map.
_PERCENT_MOSAIC = {"confidence": 0.5, "disagreement": 0.03, "probabilities": 0.2}
_FLAGS_MOSAIC, _DAYS_MOSAIC, _OF_STD = 0.03, 0.02, 0.5

#: Bytes of a number of block rasters that is compressed, measured there too.
_CLASS, _FLAGS, _DAYS = 0.15, 0.02, 0.03
_PERCENT = {"confidence": 0.4, "disagreement": 0.05, "probabilities": 0.3}
#: Of a token, which is stored as uint32; of places, two float32 a window; of a preview's pixel, three uint16.
_TOKEN, _PLACE, _PREVIEW = 2.0, 8, 6
#: Of a raster beside its numbers: header, and where its strips lie.
_RASTER = 600


def output_gigabytes(request: RegionRequest, area: Area, bundle: Bundle) -> dict[str, float]:
    """Estimate by target, and of the imagery, if that is kept."""
    pixels = area.square_kilometres * 1e6 / RESOLUTION**2

    def size_of(target: str) -> float:
        spec = bundle.targets[target]
        if spec.classes:
            return _CLASSES_BYTES
        if spec.kind == "embedding":
            return _EMBEDDING_BYTES * len(spec.channels) / bundle.manifest.patch**2
        if spec.kind == "coordinates":
            stride = request.strides.get(target) or request.stride or bundle.manifest.default_stride
            return _PLACE_BYTES / stride**2
        measured = _OUTPUT_BYTES_PER_PIXEL[request.dtype].get(target)
        return measured or _BAND_BYTES[request.dtype] * len(spec.channels)

    found: dict[str, float] = {target: pixels * size_of(target) / 1e9 for target in request.targets}
    if request.keep_imagery:
        optical = OpticalBands.of(request.inputs, bundle.bands_by_input)
        sizes = (_IMAGERY_BYTES_PER_PIXEL[GSD[band]] for band in (optical.bands if optical else ()))
        found["imagery"] = max(1, request.dates.count) * pixels * sum(sizes) / 1e9
    return found


def beside_gigabytes(layers: Iterable[Layer], megapixels: float) -> float:
    """Estimate: of mosaics of the layers that tell of the maps, over so much ground that has imagery."""
    return sum(map(_mosaic_bytes_beside, layers)) * megapixels / 1e3


def _mosaic_bytes_beside(layer: Layer) -> float:
    """Bytes to a pixel of ground; 0 of the maps themselves, of embeddings, and of imagery."""
    bands = len(layer.bands)
    if layer.kind in ("flags", "days"):
        return bands * (_FLAGS_MOSAIC if layer.kind == "flags" else _DAYS_MOSAIC)
    if layer.kind == "percent":
        return bands * _PERCENT_MOSAIC[layer.measure]
    if layer.measure == "second":
        return _CLASSES_BYTES
    return bands * _OF_STD * _BAND_BYTES[layer.dtype] if layer.measure == "std" else 0.0


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
        total += _RASTER + _PREVIEW * rect.area / preview_factor**2
        for each in lattices:
            windows = each.lattice.count(rect)
            drawn = [target for target in each.drawn if TOKENS in bundle.targets[target].graphs]
            total += _TOKEN * len(drawn) * windows * each.lattice.patches**2
            total += _PLACE * windows * (COORDINATES in each.targets)
    return total / 1e9


def _bytes_of(layer: Layer, rect: Rect) -> float:
    numbers = len(layer.bands) * layer.rect(rect).area
    if not layer.is_small:
        return numbers * np.dtype(layer.dtype).itemsize
    if layer.kind == "percent":
        return numbers * _PERCENT[layer.measure]
    return numbers * {"class": _CLASS, "flags": _FLAGS, "days": _DAYS}[layer.kind]
