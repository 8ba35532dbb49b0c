"""``terramosaic evaluate``: a bundle graded on TerraMesh, beside the figures of TerraMind's paper."""

from __future__ import annotations

import json
import math
import time

import click
from rich.console import Console
from rich.table import Table

from terramosaic.cli.consoles import ERR, OUT
from terramosaic.errors import RequestError, printable
from terramosaic.evaluation.classes import Confusion
from terramosaic.evaluation.evaluate import evaluate
from terramosaic.evaluation.outcome import TABLE, Evaluation, TargetScores
from terramosaic.evaluation.paper import PaperRow, row_of
from terramosaic.evaluation.sampling import AS_STORED, SOURCE, TAKEN_OFF
from terramosaic.evaluation.terramesh import TerraMesh
from terramosaic.evaluation.values import ValueScores
from terramosaic.model.bundle import load_bundle

#: Seconds between two lines that say how far it is.
_LINE_EVERY = 10.0

#: Samples that are named where they were left out; --json names all.
_NAMED = 5


@click.command("evaluate")
@click.argument("bundle")
@click.option(
    "--terramesh",
    required=True,
    metavar="DIR|URL",
    help="TerraMesh, or a part of it: SPLIT/MODALITY/SHARD.tar; of a URL single samples are read",
)
@click.option("--split", default="val", show_default=True, help="Part of TerraMesh: val or train")
@click.option(
    "--inputs", default=SOURCE, show_default=True, metavar="NAME,NAME", help="What to generate from"
)
@click.option("--targets", metavar="NAME,NAME", help="What to generate  [default: all that both have]")
@click.option(
    "--limit", type=click.IntRange(1), help="Samples at most, as many of each shard  [default: all]"
)
@click.option("--steps", type=click.IntRange(1, 1000), help="Diffusion steps  [default: the bundle's]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the randomness")
@click.option("--device", default="cpu", metavar="cpu|cuda|cuda:N|auto", help="[default: cpu]")
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON")
def evaluate_command(
    bundle: str,
    terramesh: str,
    split: str,
    inputs: str,
    targets: str | None,
    limit: int | None,
    steps: int | None,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Grades a bundle on TerraMesh, beside the figures of TerraMind's paper."""
    if _names(inputs) != (SOURCE,):
        raise RequestError(
            f"inputs: bundles of this version take {SOURCE} alone, and not {printable(inputs)}"
        )
    outcome = evaluate(
        load_bundle(bundle),
        TerraMesh(terramesh, split),
        targets=_names(targets or ""),
        limit=limit,
        steps=steps,
        seed=seed,
        device=device,
        progress=_Lines(),
    )
    if as_json:
        click.echo(json.dumps(outcome.as_dict(), indent=1))
    else:
        _show(OUT, outcome)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


class _Lines:
    """Says now and then how far it is."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY:
            self._last = now
            ERR.print(f"{done} samples", highlight=False)


def _show(console: Console, outcome: Evaluation) -> None:
    manifest = outcome.bundle.manifest
    steps = f"{outcome.steps} steps, " if outcome.bundle.is_terramind else ""
    console.print(
        f"{manifest.title} on {outcome.data.shown}: {outcome.samples} samples, {SOURCE} in, {steps}seed {outcome.seed}",
        highlight=False,
    )
    told = ", ".join(f"{count} {verdict}" for verdict, count in outcome.offsets.items() if count)
    console.print(f"offset of 1000 in the samples' {SOURCE}, by their pixels: {told}", highlight=False)
    if outcome.offsets["present"]:
        for treatment in (TAKEN_OFF, AS_STORED):
            console.print(f"\n{treatment}", style="bold")
            _show_scores(console, outcome.scores[treatment])
    else:
        _show_scores(console, outcome.scores[TAKEN_OFF])
    if manifest.random_weights is not None:
        console.print("warning: the bundle's weights are random; its figures say nothing", style="yellow")
    if not outcome.bundle.is_terramind:
        console.print(
            "the bundle is not TerraMind; the paper's figures are there to compare with", style="dim"
        )
    console.print(
        "SSIM (Gaussian, 11 x 11 pixels) and PSNR are of the range beside them: what the paper's own RMSE and PSNR "
        "imply. Its MAE and SSIM are not held here. Table 10 (reconstruction) and Table 14 (tokenised inputs) need "
        "graphs that tokenise, which the bundle has not.",
        style="dim",
    )
    if outcome.left_out:
        console.print(f"warning: {len(outcome.left_out)} samples were left out", style="yellow")
        for key, why in list(outcome.left_out.items())[:_NAMED]:
            console.print(f"  {printable(key)}: {why}", style="yellow", highlight=False)


def _show_scores(console: Console, scores: dict[str, TargetScores]) -> None:
    done = [each for each in scores.values() if each.samples]
    if any(each.confusion is None for each in done):
        console.print(_value_table([each for each in done if each.confusion is None]))
    for each in done:
        if each.confusion is not None:
            console.print(_class_table(each, each.confusion))


def _value_table(scores: list[TargetScores]) -> Table:
    columns = (
        "target",
        "of",
        "samples",
        "unit",
        "bias",
        "MAE",
        "RMSE",
        "correlation",
        "SSIM",
        "PSNR",
        "range",
    )
    table = Table(*columns, "references span", header_style="bold")
    for each in scores:
        row = row_of(TABLE, SOURCE, each.target)
        parts = [("this bundle", each.values)]
        if len(each.bands) > 1:
            parts += list(each.bands.items())
        for place, (name, values) in enumerate(parts):
            table.add_row(
                "" if place else each.target,
                name,
                "" if place else f"{each.samples}",
                "" if place else each.unit,
                *map(_number, _figures(values, each.data_range or math.nan)),
                _number(values.reference_range),
                end_section=row is None and place == len(parts) - 1,
            )
        if row is not None:
            table.add_row("", f"paper, Table {row.table}", *_paper_cells(row), "", end_section=True)
    return table


def _paper_cells(row: PaperRow) -> tuple[str, ...]:
    return ("", "", "", "", _number(row.rmse), "", "", _number(row.psnr), _number(row.data_range))


def _figures(values: ValueScores, data_range: float) -> tuple[float, ...]:
    return (
        values.bias, values.mae, values.rmse, values.correlation, values.ssim, values.psnr(data_range), data_range,
    )  # fmt: skip


def _class_table(scores: TargetScores, confusion: Confusion) -> Table:
    table = Table(
        scores.target,
        "in the reference",
        "user's accuracy",
        "producer's accuracy",
        "F1",
        "IoU",
        header_style="bold",
    )
    for place, item in enumerate(scores.classes):
        share = confusion.counts[:, place].sum() / max(confusion.count, 1)
        figures = (confusion.users, confusion.producers, confusion.f1, confusion.iou)
        table.add_row(
            item.name, _percent(share), *(_percent(figure[place]) for figure in figures),
            end_section=place == len(scores.classes) - 1,
        )  # fmt: skip
    table.add_row(f"all, {scores.samples} samples", "", f"overall accuracy {_percent(confusion.overall)}")
    return table


def _number(figure: float) -> str:
    return "" if math.isnan(figure) else f"{figure:.4g}"


def _percent(share: float) -> str:
    return "" if math.isnan(share) else f"{share:.1%}"
