"""What a plan amounts to, estimated from metadata: gigabytes, coverage, warnings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from shapely.geometry.base import BaseGeometry

from terramosaic.bands import GSD, RGB, RGB_WHITE
from terramosaic.catalog import Acquisition, Scene
from terramosaic.catalog.assets import Source
from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.hrefs import misnamed
from terramosaic.errors import printable
from terramosaic.ground.grid import RESOLUTION
from terramosaic.ground.zones import Area
from terramosaic.model.bundle import Bundle
from terramosaic.planning.gaps import CLOUD_LIMIT, NO_SCENE, TOLD, WHERE
from terramosaic.planning.heights import DEM
from terramosaic.planning.lattices import TargetLattice, cover_of
from terramosaic.planning.optical import OpticalBands
from terramosaic.planning.plan import Figures, Zone
from terramosaic.request.request import RegionRequest

#: Scenes that a warning names; each of them is in the plan. Letters of all names.
_NAMED_SCENES, _NAMED_LETTERS = 5, 500

#: Bytes in a file per pixel, measured on full Sentinel-2 tiles: compressed bands, and our mosaics with overviews.
_READ_BYTES_PER_PIXEL = 1.4
#: Of what is decoded, the share that its compressed bytes are by that.
COMPRESSED = _READ_BYTES_PER_PIXEL / 2
#: Of VV and VH together: compressed float32, of which the better part is noise.
_RADAR_BYTES_PER_PIXEL = 6.0
#: Of a DEM of 30 m, compressed.
_HEIGHT_BYTES_PER_PIXEL = 0.3

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


def covered_share(area: Area, footprints: BaseGeometry) -> float:
    covered = Area(area.outline.intersection(footprints)).square_kilometres
    return min(1.0, covered / area.square_kilometres)


def read_gigabytes(
    request: RegionRequest,
    zones: Sequence[Zone],
    acquisitions: Sequence[Acquisition[Any]],
    lattices: Sequence[TargetLattice],
    optical: OpticalBands | None,
    passes: Mapping[str, float],
) -> float:
    """Estimate: each acquisition is read for the share of a block that better ones are expected to leave cloudy.

    Args:
        request: says the inputs.
        zones: with their blocks.
        acquisitions: of Sentinel-2.
        lattices: of the windows.
        optical: of Sentinel-2, if it is an input.
        passes: of Sentinel-1, how many are read of a block, by its id; see `RadarEstimate`.
    """
    bands = (*optical.bands, *optical.beside, *(("SCL",) if optical.tells_clouds else ())) if optical else ()
    per_pixel = _READ_BYTES_PER_PIXEL * sum((RESOLUTION / GSD[band]) ** 2 for band in bands)
    heights = _HEIGHT_BYTES_PER_PIXEL * (DEM in request.inputs)
    cloud = {
        scene.key: acquisition.cloud / 100 for acquisition in acquisitions for scene in acquisition.scenes
    }
    total = 0.0
    for block in (block for zone in zones for block in zone.blocks):
        pixels = np.prod(cover_of(lattices, block.rect).shape, dtype=float)
        left = 1.0
        total += pixels * (heights + _RADAR_BYTES_PER_PIXEL * passes.get(block.id, 0.0))
        for scenes in block.acquisitions:
            total += (
                pixels * per_pixel * (1.0 if request.composite == "median" or request.dates.count else left)
            )
            left *= cloud[scenes[0]] if optical and optical.tells_clouds else 0
    return total / 1e9


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


def warnings_of(
    request: RegionRequest,
    bundle: Bundle,
    figures: Figures,
    scenes: Collection[Scene | BackscatterScene],
    beside: Collection[Source],
    hint: str = "",
) -> list[str]:
    """What to know before a plan is carried out.

    Args:
        request: what is asked for.
        bundle: its model.
        figures: of the plan.
        scenes: that lead.
        beside: scenes and tiles of the other inputs.
        hint: what would fill the gaps that the cloud limit makes.
    """
    warnings = []
    if bundle.is_demo:
        warnings.append(
            f"{bundle.title}: the outputs show how a run works, not what TerraMind would generate"
        )
    elif bundle.manifest.random_weights is not None:
        warnings.append(f"{bundle.title}: the weights are random, and so are the outputs")
    if bundle.is_terramind and request.conditioning != bundle.manifest.conditioning:
        warnings.append(
            f"the model was exported for {bundle.manifest.conditioning} conditioning and is run {request.conditioning}"
        )
    schedules = [bundle.targets[target].schedule for target in request.targets]
    meant = {schedule.default_steps for schedule in schedules if schedule}
    if meant - {request.steps}:
        warnings.append(
            f"the model was exported for {max(meant)} diffusion steps and is run with {request.steps}"
        )
    if request.precision == "fp16" and (unsafe := bundle.manifest.unsafe_in_half):
        warnings.append(
            f"half precision may be too narrow for this model, whose numbers grow to {max(unsafe.values()):g} of 65504 "
            f"({', '.join(unsafe)}); precision fp32 is not"
        )
    gaps = figures.gaps or {NO_SCENE: figures.gap_share}
    for cause, share in gaps.items():
        if share > TOLD:
            more = f"; {hint}" if cause == CLOUD_LIMIT else ""
            warnings.append(f"{share:.1%} of the region lies {WHERE[cause]} and stays without data{more}")
    warnings += _about_inputs(request, OpticalBands.of(request.inputs, bundle.bands_by_input))
    if request.offset == "keep":
        warnings.append("the +1000 offset of processing baseline 04.00 is kept; TerraMind expects it removed")
    for items, what in ((scenes, "scenes"), (beside, "scenes and tiles beside them")):
        for why, keys in _misnamed(items).items():
            warnings.append(f"{len(keys)} of {len(items)} {what} cannot be read: {why}: {_some(keys)}")
    unknown = [scene.key for scene in scenes if isinstance(scene, Scene) and scene.offset_is_guessed]
    if unknown:
        warnings.append(
            "no item says whether these carry the +1000 of baseline 04.00, so their files and pixels decide, or it is "
            f"taken as not there: {_some(unknown)}"
        )
    return warnings


def _about_inputs(request: RegionRequest, optical: OpticalBands | None) -> list[str]:
    """What to know of the products of Sentinel-2 that a map is made of."""
    found = []
    if request.keep_imagery and optical is None:
        found.append("keep_imagery keeps Sentinel-2, which is not among the inputs: no imagery is kept")
    if request.keep_imagery and optical and optical.beside:
        found.append("keep_imagery keeps Sentinel-2 L2A; the L1C beside it is not kept")
    if optical and not optical.tells_clouds:
        found.append(
            "L1C has no scene classification: where clouds are is not known, and every pixel is taken as clear"
        )
    if RGB in request.inputs:
        found.append(
            f"S2RGB: 255 stands for a reflectance of {RGB_WHITE / 10_000:g}, by which means of L2A become those that "
            "TerraMind was trained with; how its true colour was made is not published"
        )
    return found


def _some(keys: Sequence[str]) -> str:
    """The first few of a run's scenes, which may be thousands, on one line."""
    more = f" and {len(keys) - _NAMED_SCENES} more" if len(keys) > _NAMED_SCENES else ""
    return printable(", ".join(keys[:_NAMED_SCENES]), _NAMED_LETTERS) + more


def _misnamed(scenes: Iterable[Source]) -> dict[str, list[str]]:
    """Scenes whose files will not be opened, by the reason, as far as names tell it."""
    reasons: dict[str, list[str]] = {}
    for scene in scenes:
        wrong = (misnamed(asset.href, scene.origin) for asset in scene.assets.values())
        if why := next(filter(None, wrong), ""):
            reasons.setdefault(why, []).append(scene.key)
    return reasons
