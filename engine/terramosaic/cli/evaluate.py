"""``terramosaic evaluate``: a bundle graded on TerraMesh or on chips of water, beside the figures of the paper."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from terramosaic.cli.consoles import ERR, OUT
from terramosaic.cli.options import names_in
from terramosaic.cli.show_evaluation import show_evaluation, show_overlaps, show_water
from terramosaic.errors import RequestError
from terramosaic.evaluation.evaluate import evaluate
from terramosaic.evaluation.outcome import Evaluation
from terramosaic.evaluation.overlaps import Overlaps, evaluate_overlaps
from terramosaic.evaluation.sampling import SOURCE
from terramosaic.evaluation.terramesh import TerraMesh
from terramosaic.evaluation.water import WaterScores, evaluate_water
from terramosaic.model.bundle import load_bundle
from terramosaic.model.devices import Precision

#: Seconds between two lines that say how far it is.
_LINE_EVERY = 10.0


@click.command("evaluate")
@click.argument("bundle")
@click.option(
    "--terramesh",
    metavar="DIR|URL",
    help="TerraMesh, or a part of it: SPLIT/MODALITY/SHARD.tar; of a URL single samples are read",
)
@click.option(
    "--seams",
    is_flag=True,
    help="Of TerraMesh, instead of the tables: how far two overlapping windows of each sample agree",
)
@click.option(
    "--water",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Chips with masks of water, such as Sen1Floods11: how much of the water the land cover shows (Table 4)",
)
@click.option("--split", default="val", show_default=True, help="Part of TerraMesh: val or train")
@click.option(
    "--inputs", default=SOURCE, show_default=True, metavar="NAME,NAME", help="What to generate from, together"
)
@click.option(
    "--tokenised", is_flag=True, help="Give the model the inputs as tokens, as the paper's Table 14"
)
@click.option(
    "--reconstruct",
    is_flag=True,
    help="Make the inputs again of their own tokens, without TerraMind between, as the paper's Table 10",
)
@click.option("--targets", metavar="NAME,NAME", help="What to generate  [default: all that both have]")
@click.option(
    "--limit",
    type=click.IntRange(1),
    help="Samples or chips at most; as many of each shard  [default: all]",
)
@click.option("--steps", type=click.IntRange(1, 1000), help="Diffusion steps  [default: the bundle's]")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the randomness")
@click.option("--device", default="cpu", metavar="cpu|cuda|cuda:N|auto", help="[default: cpu]")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp16", "fp32"]),
    default="auto",
    help="That a GPU computes in  [default: auto, which is fp16]",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as JSON")
def evaluate_command(
    bundle: str,
    terramesh: str | None,
    seams: bool,
    water: Path | None,
    split: str,
    inputs: str,
    tokenised: bool,
    reconstruct: bool,
    targets: str | None,
    limit: int | None,
    steps: int | None,
    seed: int,
    device: str,
    precision: Precision,
    as_json: bool,
) -> None:
    """Grades a bundle on TerraMesh or on chips of water, beside the figures of TerraMind's paper."""
    if not names_in(inputs):
        raise RequestError("inputs: name at least one")
    if (terramesh is None) == (water is None):
        raise RequestError("evaluate: either --terramesh or --water is wanted")
    if (water is not None or seams) and (tokenised or reconstruct or names_in(inputs) != (SOURCE,)):
        raise RequestError(f"inputs: --water and --seams are of {SOURCE}, as pixels")
    if water is not None and (seams or targets or steps):
        raise RequestError("evaluate: --seams, --targets and --steps go with --terramesh")
    model, shown = load_bundle(bundle), _Lines("samples" if water is None else "chips")
    found: Evaluation | Overlaps | WaterScores
    if water is not None:
        found = evaluate_water(
            model,
            water.expanduser(),
            limit=limit,
            seed=seed,
            device=device,
            precision=precision,
            progress=shown,
        )
    else:
        mesh = TerraMesh(terramesh or "", split)
        wanted = names_in(targets or "")
        if seams:
            found = evaluate_overlaps(
                model,
                mesh,
                targets=wanted,
                limit=limit,
                steps=steps,
                seed=seed,
                device=device,
                precision=precision,
                progress=shown,
            )
        else:
            found = evaluate(
                model,
                mesh,
                inputs=names_in(inputs),
                tokenised=tokenised,
                reconstruct=reconstruct,
                targets=wanted,
                limit=limit,
                steps=steps,
                seed=seed,
                device=device,
                precision=precision,
                progress=shown,
            )
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1))
    elif isinstance(found, WaterScores):
        show_water(OUT, found)
    elif isinstance(found, Overlaps):
        show_overlaps(OUT, found)
    else:
        show_evaluation(OUT, found)


class _Lines:
    """Says now and then how far it is."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._last = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if now - self._last >= _LINE_EVERY:
            self._last = now
            ERR.print(f"{done} {self._unit}", highlight=False)
