"""How to make the run again: the command line, and all that decides the result."""

from __future__ import annotations

import shlex
from typing import Any

from terramosaic.publishing.markup import Html, code, facts, fill
from terramosaic.publishing.record import RunRecord
from terramosaic.publishing.words import software
from terramosaic.request.request import BoundingBox, GeoJsonFile, MgrsTile, RegionRequest


def how_to_repeat(record: RunRecord) -> Html:
    """The command, the model, the settings and the versions."""
    plan, request = record.plan, record.plan.request
    bundle = plan.bundle
    model = facts(
        [
            ("Run", code(plan.run_id)),
            ("Planned", f"{plan.created:%Y-%m-%d %H:%M} UTC"),
            ("Model", bundle.title),
            ("Model's fingerprint", code(bundle.fingerprint)),
            ("Model's bands", " ".join(bundle.bands)),
            ("Model's licence", bundle.licence),
            ("Model's source", bundle.source),
        ]
        + [(f"Hash of {name}", code(sha256)) for name, sha256 in bundle.checkpoints.items()]
    )
    settings = facts(
        [
            ("Targets, in order", ", ".join(request.targets)),
            ("Seed", request.seed),
            ("Stride and blend", f"{request.stride} pixels, {request.blend}"),
            ("Composite", request.composite),
            ("Conditioning", request.conditioning),
            ("Diffusion steps", f"{request.steps}, samples bounded to {request.x0_clip:g} std"),
            ("Token sampling", request.sampling),
            ("Reflectance offset", f"{request.offset}; on conflict: {request.offset_conflict}"),
            ("Versions", ", ".join(f"{name} {found}" for name, found in software(plan).items())),
        ]
    )
    return fill(
        "<p>The same command on the same imagery gives the same run, pixel for pixel on the same device.</p>"
        '<div class="command"><pre id="command">$command</pre>'
        '<button type="button" data-copy="command">Copy</button></div>'
        '<div class="columns">$model$settings</div>',
        command=map_command(request, str(record.folder.path)),
        model=model,
        settings=settings,
    )


def map_command(request: RegionRequest, folder: str) -> str:
    """The command line of a request; what has its default is left out.

    Args:
        request: the request.
        folder: its run folder. A polygon that was written out is found again there: the item is GeoJSON.
    """
    match request.region:
        case BoundingBox() as box:
            region = ["--bbox", *(_argument(value) for value in (box.west, box.south, box.east, box.north))]
        case MgrsTile(tile=tile):
            region = ["--mgrs", tile]
        case GeoJsonFile(path=path):
            region = ["--region", path]
        case _:
            region = ["--region", f"{folder}/item.json"]
    words = ["terramosaic", "map", *region, "--datetime", request.datetime]
    for name, field in RegionRequest.model_fields.items():
        value = getattr(request, name)
        if name not in ("region", "datetime") and value != field.default:
            words += [f"--{name.replace('_', '-')}", _argument(value)]
    return shlex.join(words)


def _argument(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(value)
    # repr is the shortest text that gives the same float again.
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)
