"""The flows ``export-model`` and ``check-model``: a bundle made from TerraMind, and its self-test, as flow runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from prefect import flow, get_run_logger
from prefect.artifacts import create_table_artifact
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema

from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import DEMO, load_bundle
from terramosaic.model.devices import Precision, precision_on, resolve
from terramosaic.model.export import INPUTS, MADE, TAKEN, TOKENISED, VARIANTS, export_bundle
from terramosaic.model.selftest import check_bundle
from terramosaic.model.timing import measure_speed
from terramosaic.request.complaints import lines_of
from terramosaic.request.request import warn_renamed
from terramosaic.storage.roots import require_within_roots
from terramosaic_flows.deployed import begin_deployed_run, refuse_relative
from terramosaic_flows.failures import fails_in_one_line
from terramosaic_flows.told import name_of_check, name_of_export


def _choice(*names: str) -> WithJsonSchema:
    """What the form offers, and the server refuses others of; by itself the export refuses them too."""
    return WithJsonSchema({"type": "string", "enum": list(names)})


Variant = Annotated[str, _choice(*VARIANTS)]
Target = Annotated[str, _choice(*MADE)]
Input = Annotated[str, _choice(*TAKEN)]
Tokenised = Annotated[str, _choice(*TOKENISED)]


class ExportRequest(BaseModel):
    """Which bundle to make: the options of ``terramosaic model export``."""

    model_config = ConfigDict(title="Export request", frozen=True, extra="forbid")

    variant: Variant = Field(default="terramind_v1_base", title="Variant", description="Which TerraMind")
    out: str = Field(title="Bundle folder", description="Absolute path of the folder to make", min_length=1)
    targets: tuple[Target, ...] = Field(
        default=("S1GRD", "S1RTC", "NDVI", "LULC"),
        min_length=1,
        title="Targets",
        description="What the bundle makes",
    )
    inputs: tuple[Input, ...] = Field(
        default=tuple(INPUTS),
        min_length=1,
        title="Inputs",
        description="What maps may be made from",
    )
    tokenised: tuple[Tokenised, ...] = Field(
        default=(),
        title="Tokenised inputs",
        description="Inputs that the bundle shall take as tokens too, a third of a gigabyte each",
    )
    steps: int = Field(
        default=10, ge=1, le=1000, title="Diffusion steps", description="Number that divides 1000"
    )
    conditioning: Literal["chained", "independent"] = Field(
        default="chained",
        title="Conditioning",
        description="chained: a target sees those generated before it, as in the paper; independent: the image alone",
    )
    precision: Literal["fp32", "fp16"] = Field(
        default="fp32",
        title="Precision",
        description="Of the stored weights; a device computes in what suits it in any case",
    )
    window: int | None = Field(
        default=None,
        ge=64,
        le=512,
        title="Window",
        description="Side of the windows that it is to see, in pixels, a multiple of 32; empty: 224",
        json_schema_extra={"examples": [256]},
    )
    checkpoint: str | None = Field(
        default=None,
        title="Checkpoint",
        description="TerraMind's weights, absolute path; empty: from the Hugging Face hub",
    )
    tokenizer_checkpoints: dict[str, str] = Field(
        default={},
        title="Tokenizer checkpoints",
        description="By target or tokenised input, absolute paths; those not named come from the Hugging Face hub",
    )
    revisions: dict[str, str] = Field(
        default={},
        title="Revisions",
        description="Commit, tag or branch on the hub, by variant, target or tokenised input; by an empty name of all "
        "that are not named; else the newest",
    )
    random_weights: int | None = Field(
        default=None,
        ge=0,
        title="Random weights",
        description="Seed of random weights, to try the whole line without a checkpoint; its maps are noise",
    )


@flow(name="export-model", flow_run_name=name_of_export, persist_result=False, validate_parameters=False)
@fails_in_one_line
def export_model(request: ExportRequest) -> str:
    """Exports TerraMind as a bundle. The worker needs the extra `export` (torch and terratorch).

    Args:
        request: Which TerraMind, for which targets, and into which folder.

    Returns:
        The bundle's folder.
    """
    begin_deployed_run()
    request = _validated(request)
    places = [("out", request.out), *request.tokenizer_checkpoints.items()]
    if request.checkpoint is not None:
        places.append(("checkpoint", request.checkpoint))
    require_within_roots(*places)
    refuse_relative(*places)
    log = get_run_logger()
    folder = export_bundle(
        request.variant,
        Path(request.out).expanduser(),
        targets=request.targets,
        inputs=request.inputs,
        tokenised=request.tokenised,
        steps=request.steps,
        conditioning=request.conditioning,
        precision=request.precision,
        revisions=request.revisions,
        checkpoint=Path(request.checkpoint).expanduser() if request.checkpoint else None,
        tokenizer_checkpoints={
            name: Path(path).expanduser() for name, path in request.tokenizer_checkpoints.items()
        },
        random_weights=request.random_weights,
        window=request.window,
        progress=lambda name, done, total: log.info("%s (%d of %d)", name, done, total),
    )
    return str(folder)


@flow(name="check-model", flow_run_name=name_of_check, persist_result=False)
@fails_in_one_line
def check_model(
    model: str, device: str = "cpu", precision: Precision = "auto", provider: str | None = None
) -> None:
    """Runs a bundle's self-test: how far each target is from the reference, and how fast the model is.

    Args:
        model: Absolute path of the bundle's folder.
        device: cpu, cuda, one of several GPUs as cuda:1, or auto.
        precision: That a GPU computes in: fp16, which auto is there, or fp32. The speed is kept of auto alone.
        provider: Leave empty; what device was called until 0.2. It goes with 0.3.
    """
    begin_deployed_run()
    if provider:
        warn_renamed("provider", "device")
        device = provider
    if model != DEMO:
        require_within_roots(("model", model))
        refuse_relative(("model", model))
    where = resolve(device)
    bundle = load_bundle(model)
    check = check_bundle(bundle, str(where), precision)
    # Which runs of this machine are quoted by, where the precision is its own.
    speed = None if check.failures else measure_speed(bundle, str(where), precision)
    create_table_artifact(
        key="model-check",
        table=[
            {
                "target": target.target,
                "relative difference": f"{target.relative:.1e}",
                "largest difference": f"{target.largest:.1e} {target.unit}".rstrip(),
                "tokens that agree": f"{target.tokens:.2%}",
                "classes that agree": "" if target.classes is None else f"{target.classes:.2%}",
            }
            for target in check.targets
        ],
        description=(
            f"{model} on {check.device} in {precision_on(precision, where)}"
            + (f": {speed.in_words(bundle)}" if speed else "")
        ),
    )
    if check.failures:
        raise ModelError("\n".join(check.failures))


def _validated(request: ExportRequest) -> ExportRequest:
    if isinstance(request, ExportRequest):
        return request
    try:
        return ExportRequest.model_validate(request)
    except ValidationError as error:
        raise RequestError("\n".join(lines_of(error))) from None
