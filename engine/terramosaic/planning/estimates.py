"""What a plan amounts to, estimated from metadata: coverage, warnings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from shapely.geometry.base import BaseGeometry

from terramosaic.bands import RGB, RGB_WHITE
from terramosaic.catalog import Scene
from terramosaic.catalog.assets import Source
from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.hrefs import misnamed
from terramosaic.errors import printable
from terramosaic.ground.zones import Area
from terramosaic.model.bundle import Bundle
from terramosaic.planning.gaps import CLOUD_LIMIT, NO_SCENE, TOLD, WHERE
from terramosaic.planning.optical import OpticalBands
from terramosaic.planning.plan import Figures
from terramosaic.request.request import RegionRequest

#: Scenes that a warning names; each of them is in the plan. Letters of all names.
_NAMED_SCENES, _NAMED_LETTERS = 5, 500


def covered_share(area: Area, footprints: BaseGeometry) -> float:
    covered = Area(area.outline.intersection(footprints)).square_kilometres
    return min(1.0, covered / area.square_kilometres)


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
