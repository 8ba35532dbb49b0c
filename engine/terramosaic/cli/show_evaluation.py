"""What came of grading a bundle, as a person reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from terramosaic.errors import printable
from terramosaic.evaluation.classes import Confusion
from terramosaic.evaluation.outcome import Evaluation, TargetScores
from terramosaic.evaluation.overlaps import Overlaps
from terramosaic.evaluation.paper import WATER_IOU, PaperRow
from terramosaic.evaluation.sampling import AS_STORED, TAKEN_OFF
from terramosaic.evaluation.values import ValueScores
from terramosaic.evaluation.water import WaterScores
from terramosaic.model.bundle import Bundle
from terramosaic.publishing.seams import ratio_in_words

#: Samples that are named where they were left out; --json names all.
_NAMED = 5


def show_evaluation(console: Console, outcome: Evaluation) -> None:
    """Prints a bundle's figures on TerraMesh, beside the paper's."""
    manifest = outcome.bundle.manifest
    steps = f"{outcome.steps} steps, " if outcome.bundle.is_terramind else ""
    console.print(
        f"{manifest.title} on {outcome.data.shown}: {outcome.samples} samples, {outcome.made_of.told} in, "
        f"{steps}seed {outcome.seed}",
        highlight=False,
    )
    told = ", ".join(f"{count} {verdict}" for verdict, count in outcome.offsets.items() if count)
    console.print(f"offset of 1000 in the samples' Sentinel-2, by their pixels: {told}", highlight=False)
    if outcome.offsets["present"]:
        for treatment in (TAKEN_OFF, AS_STORED):
            console.print(f"\n{treatment}", style="bold")
            _show_scores(console, outcome.scores[treatment])
    else:
        _show_scores(console, outcome.scores[TAKEN_OFF])
    _show_model(console, outcome.bundle)
    console.print(
        "SSIM (Gaussian, 11 x 11 pixels) and PSNR are of the range beside them: what the paper's own RMSE and PSNR "
        "imply. The paper's rows hold together with these ranges; look them up before you cite them. Its MAE and SSIM "
        "are not held here. Table 14 is of --tokenised inputs, Table 10 of --reconstruct.",
        style="dim",
    )
    _show_left_out(console, outcome.left_out)


def show_water(console: Console, outcome: WaterScores) -> None:
    """Prints how the water of a bundle's land cover compares with masks, beside the paper's figure."""
    manifest, told = outcome.bundle.manifest, outcome.as_dict()
    console.print(
        f"{manifest.title} on {outcome.folder}: {outcome.chips} chips, water of {outcome.target}, seed {outcome.seed}",
        highlight=False,
    )
    table = Table("water", "IoU", "user's accuracy", "producer's accuracy", "F1", "mean IoU", "overall accuracy",
                  header_style="bold")  # fmt: skip
    table.add_row("this bundle", *map(_percent, outcome.figures.values()))
    table.add_row("paper, Table 4: TerraMind-B on Sen1Floods11", _percent(WATER_IOU))
    console.print(table)
    pixels = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in told["pixels"].items())
    console.print(f"pixels: {pixels}", highlight=False)
    console.print(
        "Figures are of all pixels of all chips together; those without a mask or without imagery are left out. Mean "
        "IoU is that of water and of all else. What is under cloud counts as no water.",
        style="dim",
    )
    if outcome.l1c:
        console.print(
            f"{outcome.l1c} chips are of the top of the atmosphere (L1C), and the bundle is made for L2A",
            style="yellow",
        )
    if outcome.offset:
        console.print(
            f"an offset of 1000 was taken off {outcome.offset} chips, by their pixels", style="yellow"
        )
    _show_model(console, outcome.bundle)
    _show_left_out(console, outcome.left_out)


def show_overlaps(console: Console, outcome: Overlaps) -> None:
    """Prints how far two overlapping windows of each sample agree."""
    steps = f"{outcome.steps} steps, " if outcome.bundle.is_terramind else ""
    console.print(
        f"{outcome.bundle.manifest.title} on {outcome.data.shown}: {outcome.samples} samples, two windows each, "
        f"{outcome.windows.stride} pixels apart, {steps}seed {outcome.seed}",
        highlight=False,
    )
    table = Table("target", "unit", "differ at the rims", "in the middle", "ratio", "step across edges",
                  header_style="bold")  # fmt: skip
    for each in outcome.scores.values():
        figures = (each.at_rims, each.in_middle)
        shown = map(_percent if each.spec.classes else _number, figures)
        unit = "pixels of another class" if each.spec.classes else each.unit
        table.add_row(each.target, unit, *shown, *map(ratio_in_words, (each.ratio, each.seam)))
    console.print(table)
    console.print(
        "Mean difference of both windows where they overlap: within 32 pixels of a window's edge, where windows of a "
        "map overlap, and in the middle. Step: how much neighbouring pixels of their mean differ where a window begins "
        "or ends, against lines within; 1 where no seam shows. In brackets intervals of 95 %, from 10 samples on.",
        style="dim",
    )
    _show_model(console, outcome.bundle, beside_paper=False)
    _show_left_out(console, outcome.left_out)


def _show_model(console: Console, bundle: Bundle, *, beside_paper: bool = True) -> None:
    """What a bundle's figures are worth."""
    if bundle.manifest.random_weights is not None:
        console.print("warning: the bundle's weights are random; its figures say nothing", style="yellow")
    if beside_paper and not bundle.is_terramind:
        console.print(
            "the bundle is not TerraMind; the paper's figures are there to compare with", style="dim"
        )


def _show_left_out(console: Console, left_out: Mapping[str, str]) -> None:
    if left_out:
        console.print(f"warning: {len(left_out)} were left out", style="yellow")
        for key, why in list(left_out.items())[:_NAMED]:
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
        row = each.made_of.row_of(each.target)
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
