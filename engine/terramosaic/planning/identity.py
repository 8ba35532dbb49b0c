"""What decides a run's pixels, and the id that is its hash: the same on any machine, whoever asks and whenever.

What was asked for and what was decided goes in, as words and whole numbers, but no coordinate that was reprojected:
builds of PROJ differ in the last digits of a metre. Blocks are whole pixels, and the outline that cuts them goes in as
it was asked for. On a pixel at its edge builds could disagree only where the pixel's centre lies within nanometres of
it, one in 10^9 of the pixels there. A run is of one piece even so: its plan keeps the outline that it was cut by.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

import numpy as np
import shapely
from shapely.geometry import shape

from terramosaic.errors import RequestError
from terramosaic.ground.zones import as_geojson
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.devices import is_own_precision, parse_device
from terramosaic.planning.plan import Block, Plan, Zone
from terramosaic.request.area import tile_name
from terramosaic.request.region import AnyRegion, BoundingBox, MgrsTile
from terramosaic.request.request import Decides, RegionRequest

#: Version of the pixels. Raise it by one with every change after which a plan gives another value in any pixel of any
#: layer, however small, and say so under "Pixels" in CHANGELOG.md: runs of earlier versions then count as other ones,
#: and a watched region is mapped again. Version 0.1 of the package makes pixels of version 1, 0.2 of version 2.
PIXELS = 2

#: Fields of a request whose values are in every id, be they the defaults or not: those that 0.2.0 had from the start.
#: Any other is in an id only where it has not its default, so that a field can be added and ids stay as they are.
_ALWAYS = frozenset({
    "composite", "targets", "conditioning", "steps", "sampling", "x0_clip", "seed", "stride", "blend", "block_size",
    "offset", "offset_conflict", "dtype", "extras", "device",
})  # fmt: skip

#: A region is told apart to 1e-9 degrees, a tenth of a millimetre.
_STEPS_PER_DEGREE = 1e9


def run_id_of(plan: Plan) -> str:
    """The id of a plan's run. From 0.2.0 on the same request and items have the same one, until `PIXELS` is raised."""
    return _hash(_deciding(plan))


def gives_same_pixels(held: Plan, made: Plan) -> bool:
    """Whether the run of one plan is the map that another one asks for, whatever their ids.

    Ids of 0.1 held its version, and a catalog may tell checksums that it, or 0.1, did not keep before.
    """
    kept = any(asset.checksum for scene in held.scenes.values() for asset in scene.assets.values())
    return _hash(_deciding(held, checksums=kept)) == _hash(_deciding(made, checksums=kept))


def require_own_pixels(plan: Plan) -> None:
    """Refuses to add blocks to a run whose others have pixels of another version.

    Raises:
        RequestError: a version of this package has planned it that makes others.
    """
    if plan.pixels != PIXELS:
        raise RequestError(
            f"plan: run {plan.run_id} was planned by version {plan.engine_version}, whose pixels are not those of "
            "this one; plan the request again"
        )


def own_bundle(plan: Plan) -> Bundle:
    """The plan's model, which another one may have taken the place of since.

    Raises:
        RequestError: it has, or nothing is there.
        ModelError: the bundle is broken.
    """
    bundle = load_bundle(plan.request.model)
    if unlike := other_model(plan, bundle):
        raise RequestError(
            f"model: {unlike}; put that one back to go on with run {plan.run_id}, or plan the request again"
        )
    return bundle


def other_model(plan: Plan, bundle: Bundle) -> str:
    """How a bundle that is found by the plan's name of it differs from the plan's, or nothing."""
    own = plan.bundle
    if bundle.fingerprint == own.fingerprint:
        return ""
    return (
        f"{plan.request.model!r} is another model than the run was made with: {bundle.title}, with the "
        f"fingerprint {bundle.fingerprint[:12]}, not {own.title}, with {own.fingerprint[:12]}"
    )


def region_hash(region: AnyRegion, outline: dict[str, Any]) -> str:
    """Tells regions apart by what was asked for.

    Args:
        region: as a request says it.
        outline: what it came to, GeoJSON in lon/lat; a file may hold another region by now.
    """
    return _hash(_asked_for(region, outline))


def _deciding(plan: Plan, *, checksums: bool = True) -> dict[str, Any]:
    used = {scene for block in plan.blocks for acquisition in block.acquisitions for scene in acquisition}
    found = _deciding_scenes(plan, used, checksums=checksums)
    return found | {
        "pixels": plan.pixels,
        "request": _deciding_fields(plan.request),
        "region": _asked_for(plan.request.region, plan.region),
        "bundle": plan.bundle.fingerprint,
        "zones": [
            [zone.epsg, _pixels(zone), [[_pixels(block), block.acquisitions] for block in zone.blocks]]
            for zone in plan.zones
        ],
    }


def _deciding_scenes(plan: Plan, used: Collection[str], *, checksums: bool) -> dict[str, Any]:
    """What tells the scenes of blocks apart; of inputs beside those that lead only where a run has any."""
    beside: dict[str, Any] = {}
    if plan.radar is not None:
        passes = [one.scenes for one in plan.radar.passes]
        beside["radar"] = [plan.radar.moment.isoformat(), passes]
        used = {*used, *(scene for scenes in passes for scene in scenes)}
    if plan.heights is not None:
        found = plan.heights.elevation
        tiles = {key: tile.identity(checksums=checksums) for key, tile in found.by_key.items()}
        beside["heights"] = [tiles, found.sea]
    if plan.dates:
        # Which acquisitions these are, the request's rule decides; its words do not.
        beside["dates"] = [
            [plan.acquisitions[one.acquisition].scenes, one.moment.isoformat(), sorted(one.slices)]
            for one in plan.dates
        ]
    return beside | {"scenes": {scene: plan.sources[scene].identity(checksums=checksums) for scene in used}}


def _deciding_fields(request: RegionRequest) -> dict[str, Any]:
    deciding = request.fields_that_decide(Decides.PIXELS)
    told = {name for name in deciding if name in _ALWAYS or not _has_default(request, name)}
    device = parse_device(request.device)
    if is_own_precision(request.precision, device):
        told.discard("precision")  # which a plan says, and a request need not
    fields = request.model_dump(mode="json", include=told)
    # A CPU and a GPU round differently; one GPU computes what another one does.
    return fields | {"device": device.kind}


def _has_default(request: RegionRequest, name: str) -> bool:
    field = type(request).model_fields[name]
    return bool(getattr(request, name) == field.get_default(call_default_factory=True))


def _asked_for(region: AnyRegion, outline: dict[str, Any]) -> Any:
    if isinstance(region, MgrsTile):
        return tile_name(region.tile)  # its outline was reprojected
    whole = shapely.transform(shape(outline), lambda degrees: np.rint(degrees * _STEPS_PER_DEGREE) + 0.0)
    # A rectangle that lies in one zone is mapped to the edges of its pixels, a polygon of the same corners is not.
    return ["box" if isinstance(region, BoundingBox) else "polygon", as_geojson(whole)]


def _pixels(rectangle: Zone | Block) -> list[int]:
    rect = rectangle.rect
    return [rect.row, rect.col, rect.height, rect.width]


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
