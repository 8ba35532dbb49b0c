"""The report of a run: one HTML page that holds everything it shows and opens anywhere, without a network."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from terramosaic.block.ndvi import NdviAgreement
from terramosaic.evaluation.assessment import details_of
from terramosaic.ground.grid import zone_name
from terramosaic.model.devices import is_own_precision, parse_device
from terramosaic.planning.plan import Plan
from terramosaic.publishing.locator import run_maps
from terramosaic.publishing.markup import render
from terramosaic.publishing.numbers import (
    counted,
    duration,
    figure,
    hectares,
    number,
    percent,
    size,
    square_km,
)
from terramosaic.publishing.pictures import cropped, embedded
from terramosaic.publishing.quicklook import Quicklook, Swatch
from terramosaic.publishing.record import RunFacts
from terramosaic.publishing.repeat import map_command, of_one_machine, takes_item
from terramosaic.publishing.run_files import companions_of, files_of, larger_of, mosaic_file
from terramosaic.publishing.served import on_the_map
from terramosaic.publishing.taken import quoted_and_taken, times_taken
from terramosaic.publishing.words import (
    Code,
    attribution,
    bounds_in_words,
    bounds_of_samples,
    software,
    strides_in_words,
)
from terramosaic.request.interval import interval_in_words

#: Rows of a table before it is cut; the plan holds them all. A list of scenes up to the second is shown at once.
_MOST_ROWS, _SHORT = 400, 12
#: Blocks in the table of the slowest.
_SLOWEST = 5

#: Phases of a block as receipts name them, with their names and colours here.
_PHASES = {
    "data": ("waiting for imagery", "#5b8fc0"),
    "model": ("model", "#17696a"),
    "other": ("blending, encoding, writing", "#c9a052"),
}


def render_report(run: RunFacts) -> str:
    """The page as HTML text, its pictures, styles and script in it."""
    pictures = _cropped(run)
    slowest = sorted(run.receipts.values(), key=lambda receipt: -receipt.seconds["total"])
    return render(
        "report.html",
        run=run,
        on_the_map=on_the_map(run.plan),
        pictures=embedded(pictures),
        sizes={name: picture.image.size for name, picture in pictures.items()},
        mosaic_file=mosaic_file,
        larger_of=larger_of,
        companions_of=companions_of,
        files=files_of(run),
        cards=_cards(run),
        maps=run_maps(run),
        planned_and_done=list(_planned_and_done(run)),
        times=list(times_taken(run)),
        phases=[(Swatch(0, *words), run.seconds(phase)) for phase, words in _PHASES.items()],
        slowest=slowest[:_SLOWEST],
        command=map_command(run.plan.request, run.plan.region),
        takes_item=takes_item(run.plan.request, run.plan.region),
        of_one_machine=of_one_machine(run.plan.request),
        model=_model(run.plan),
        settings=_settings(run.plan),
        self_checks=_self_checks(run),
        verification_lines=[] if run.verification is None else run.verification.details,
        assessment_lines=[] if run.assessment is None else details_of(run.assessment.comparisons),
        attribution=attribution(run.plan),
        made=f"{datetime.now(UTC):%Y-%m-%d}",
        most_rows=_MOST_ROWS,
        short=_SHORT,
    )


def _cropped(run: RunFacts) -> dict[str, Quicklook]:
    """The pictures, those of a zone cut to its data."""
    found, all_of_them = dict[str, Quicklook](), run.pictures
    for zone in run.plan.zones:
        drawn = (each.name for each in run.layers if each.zone == zone and not each.only)
        names = [run.true_colour_name(zone), *drawn]
        found |= cropped({name: all_of_them[name] for name in names if name in all_of_them})
    return found


def _cards(run: RunFacts) -> tuple[tuple[str, str, str], ...]:
    """The key figures, each with what it is measured by."""
    plan, figures = run.plan, run.plan.figures
    rate = run.windows / run.busy_seconds if run.busy_seconds > 0 else 0.0
    zones = ", ".join(zone_name(zone.epsg) for zone in plan.zones)
    return (
        ("Area", square_km(figures.area_km2), f"{hectares(figures.area_km2)}, UTM {zones}"),
        ("Mapped", percent(1 - run.gap_share), f"{square_km(run.mapped_km2)} of pixels"),
        _under_cloud(run),
        ("Scenes", number(figures.scenes), f"of {counted(figures.acquisitions, 'acquisition')}"),
        ("Windows", number(run.windows), f"in {counted(figures.blocks, 'block')}"),
        ("Blocks took", duration(run.busy_seconds), f"by the clock, {figure(rate)} windows/s"),
        ("Mosaics", size(sum(mosaic.size for mosaic in run.layers)), counted(len(run.layers), "file")),
    )


def _under_cloud(run: RunFacts) -> tuple[str, str, str]:
    if run.cloud_share is not None:
        return "Under cloud", percent(run.cloud_share), "of the mapped area"
    if run.plan.is_led_by_radar:
        return "Under cloud", "seen through", "by radar"
    return "Under cloud", "not known", "L1C does not tell"


def _planned_and_done(run: RunFacts) -> Iterator[tuple[str, str, str]]:
    figures = run.plan.figures
    yield "region mapped", percent(1 - figures.gap_share), percent(1 - run.gap_share)
    yield "windows", number(figures.windows), number(run.windows)
    yield (
        "scenes",
        number(figures.scenes),
        f"{number(len(run.left_out))} left out" if run.left_out else "all usable",
    )
    yield "blocks", number(figures.blocks), number(len(run.receipts))
    if figures.empty_blocks:
        yield "blocks without imagery", number(figures.empty_blocks), "left out"
    yield from quoted_and_taken(run)
    for target, gigabytes in figures.output_gigabytes.items():
        written = sum(mosaic.size for mosaic in run.layers if mosaic.layer.name == target)
        yield f"{target} mosaic", size(gigabytes * 1e9), size(written)


def _self_checks(run: RunFacts) -> dict[str, str]:
    """What the maps' numbers tell of the model, without any reference."""
    found, ndvi = {}, run.ndvi
    if ndvi.is_compared:
        found["NDVI against the imagery's"] = f"{_agreement(ndvi)}, over {number(ndvi.pixels)} pixels"
        limits = run.ndvi_limits
        found["doubted beyond"] = (
            f"bias {number(limits.bias, 3)}, mean absolute error {number(limits.error, 3)}, correlation below "
            f"{number(limits.correlation, 3)}"
        )
        by_block = {id_: each for id_, each in run.ndvi_by_block.items() if each.is_compared}
        if len(by_block) > 1:
            worst = max(by_block, key=lambda id_: by_block[id_].mean_absolute_error)
            found["in the worst block"] = f"{worst}: {_agreement(by_block[worst])}"
    for target, count in run.tokens.items():
        found[f"Different tokens of {target}"] = f"{number(count)} in the block with the most"
    for mosaic, shares in run.shares_at_bound.items():
        bands = ", ".join(f"{band} {percent(share)}" for band, share in shares.items())
        found[f"{mosaic} at the bound of samples"] = bands
    return found


def _agreement(ndvi: NdviAgreement) -> str:
    correlation = "none" if ndvi.correlation is None else number(ndvi.correlation, 3)
    bias, error = number(ndvi.bias, 4), number(ndvi.mean_absolute_error, 4)
    return f"bias {bias}, mean absolute error {error}, correlation {correlation}"


def _model(plan: Plan) -> dict[str, str]:
    bundle = plan.bundle
    return {
        "Run": Code(plan.run_id),
        "Planned": f"{plan.created:%Y-%m-%d %H:%M} UTC",
        "Model": bundle.title,
        "Model's fingerprint": Code(bundle.fingerprint),
        "Model's licence": bundle.licence,
        "Model's source": bundle.source,
        **{f"Hash of {name}": Code(sha256) for name, sha256 in bundle.checkpoints.items()},
    }


def _settings(plan: Plan) -> dict[str, object]:
    """All that decides the result, beside the model."""
    request = plan.request
    return {
        "Inputs": ", ".join(
            f"{name} as tokens" if name in request.tokenised else name for name in request.inputs
        ),
        **{
            f"Bands of {name}": " ".join(bands)
            for name, bands in (plan.optical.inputs.items() if plan.optical else ())
        },
        **({"Sentinel-1 searched": interval_in_words(plan.radar.searched)} if plan.radar else {}),
        **({"DEM searched": interval_in_words(plan.heights.searched)} if plan.heights else {}),
        "Targets, in order": ", ".join(request.targets),
        **({"Reconstructed": "each target of its own input's tokens"} if request.reconstruct else {}),
        "Seed": request.seed,
        "Stride and blend": f"{strides_in_words(plan)} pixels, {request.blend}",
        "Composite": "an acquisition a date" if plan.dates else request.composite,
        "Conditioning": request.conditioning,
        **({"Consensus": request.consensus} if request.consensus != "none" else {}),
        "Diffusion steps": f"{request.steps}, samples bounded to {bounds_of_samples(request)} std",
        **({"Maps can hold": bounds} if (bounds := bounds_in_words(plan)) else {}),
        "Token sampling": request.sampling,
        **(
            {}
            if is_own_precision(request.precision, parse_device(request.device))
            else {"Precision": request.precision}
        ),
        "Reflectance offset": f"{request.offset}; on conflict: {request.offset_conflict}",
        "Versions": ", ".join(f"{name} {found}" for name, found in software(plan).items()),
    }
