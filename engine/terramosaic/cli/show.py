"""Bundles, results and what came of looking into them, as a person reads them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from terramosaic.cli.lines import show_facts, show_line
from terramosaic.evaluation.assessment import Assessment
from terramosaic.evaluation.series import AssessmentSeries
from terramosaic.evaluation.tables import FigureTable, tables_of, tables_of_series
from terramosaic.model.bundle import Bundle
from terramosaic.model.manifest import EMBED, TOKENISE, InputSpec, Manifest
from terramosaic.model.selftest import BundleCheck
from terramosaic.model.speed import Speed
from terramosaic.mosaic.result import MapResult
from terramosaic.publishing.gaps import told_gaps
from terramosaic.publishing.left_out import told_left_out
from terramosaic.trust.verification import Verification

#: Bands of a target that are named one by one; of more the first and the last.
_MOST_BANDS = 16


def show_result(console: Console, result: MapResult, *, quiet: bool = False) -> None:
    """Prints where the outputs of a run are; what there is to know of them beside that, unless quiet."""
    if result.was_done and not quiet:
        console.print("everything was done before; nothing to do")
    for path in (*result.mosaics.values(), *result.tables.values(), result.report, result.item):
        console.print(str(path), soft_wrap=True, highlight=False)
    if quiet:
        return
    gaps = told_gaps(result.plan)
    for line in (*told_left_out(result.plan), *([gaps] if gaps else [])):
        show_line(console, f"warning: {line}", style="yellow")


def result_as_json(result: MapResult) -> dict[str, Any]:
    """A result for other programs."""
    return {
        "run_id": result.plan.run_id,
        "folder": str(result.folder),
        "mosaics": {name: str(path) for name, path in result.mosaics.items()},
        **(
            {"tables": {name: str(path) for name, path in tables.items()}}
            if (tables := result.tables)
            else {}
        ),
        "report": str(result.report),
        "item": str(result.item),
        "was_done": result.was_done,
        "left_out": told_left_out(result.plan),
        "gaps": told_gaps(result.plan),
    }


def show_verification(console: Console, found: Verification) -> None:
    """Prints what was checked of a run, and how sure that makes."""
    console.print(f"{found.files} files compared with the item, {len(found.flaws)} not as it says")
    console.print(found.confidence, soft_wrap=True)
    for line in found.details:
        console.print(line, style="yellow", soft_wrap=True)
    if found.uncounted:
        console.print(found.uncounted, style="dim", soft_wrap=True)
    drawn = "" if found.is_all else f"drawn with --seed {found.seed}, "
    console.print(f"{drawn}checked on {found.device} in {found.seconds:.1f} s", style="dim")


def show_assessment(console: Console, found: Assessment) -> None:
    """Prints how a map compares with its references, and what was missing."""
    for table in tables_of(found):
        _show_figures(console, table)
    which = (
        f"all {found.parts} parts"
        if found.is_all
        else f"drawn with --seed {found.seed} from {found.parts} parts"
    )
    if found.failure is None:
        console.print(f"{which}, compared in {found.seconds:.1f} s", style="dim")


def show_series(console: Console, series: AssessmentSeries) -> None:
    """Prints how the maps of a watched region compare with their references, over time."""
    for table in tables_of_series(series):
        _show_figures(console, table)


def _show_figures(console: Console, figures: FigureTable) -> None:
    console.print(figures.title, soft_wrap=True, style="bold", highlight=False, markup=False)
    if figures.rows:
        table = Table(*figures.columns, header_style="bold")
        for row in figures.rows:
            table.add_row(*map(escape, row))
        console.print(table)
    for line in figures.lines:
        console.print(line, style="yellow", soft_wrap=True, markup=False)
    if figures.caveat:
        console.print(figures.caveat, style="dim", soft_wrap=True)


def show_bundle(console: Console, bundle: Bundle) -> None:
    """Prints what a bundle is and what it generates."""
    manifest = bundle.manifest
    size = sum(file.size for file in manifest.files.values())
    facts = {
        "Bundle": f"{bundle.name}: {bundle.title}",
        "Folder": str(bundle.folder),
        "Fingerprint": bundle.fingerprint,
        "Source": manifest.source,
        "Licence": manifest.licence,
        "Inputs": "; ".join(_input_of(name, spec) for name, spec in bundle.inputs.items()),
        "Window": f"{manifest.window} pixels, patches of {manifest.patch}",
        "Conditioning": manifest.conditioning,
        **_half_of(manifest),
        "Size": f"{size / 1e6:.3f} MB in {len(manifest.files)} files",
    }
    show_facts(console, facts)
    table = Table("target", "kind", "output", "bands or classes", "unit", header_style="bold")
    for name, target in bundle.targets.items():
        names = [item.name for item in target.classes] or target.channels
        content = ", ".join(names) if len(names) <= _MOST_BANDS else f"{names[0]} to {names[-1]}"
        table.add_row(name, target.kind, target.output, content, target.unit or "")
    console.print(table)


def _half_of(manifest: Manifest) -> dict[str, str]:
    """What half precision has to hold, where the export has measured it."""
    found = {file: spec.largest for file, spec in manifest.files.items() if spec.largest is not None}
    if not found:
        return {}
    file = max(found, key=lambda name: found[name])
    advice = "; on a GPU ask for precision fp32" if manifest.unsafe_in_half else ""
    return {"Half precision": f"numbers up to {found[file]:g} of 65504 ({file}){advice}"}


def _input_of(name: str, spec: InputSpec) -> str:
    unit = f" in {spec.unit}" if spec.unit else ""
    as_tokens = (
        "" if TOKENISE not in spec.graphs else ", also as tokens" if EMBED in spec.graphs else ", as tokens"
    )
    dates = f", {spec.dates} dates" if spec.dates > 1 else ""
    return f"{name} ({' '.join(spec.bands)}{unit}{dates}{as_tokens})"


def show_check(console: Console, check: BundleCheck) -> None:
    """Prints how a bundle's self-test came out."""
    table = Table("target", "relative", "largest difference", "tokens", "classes", header_style="bold")
    for target in check.targets:
        classes = "" if target.classes is None else f"{target.classes:.2%}"
        largest = f"{target.largest:.1e} {target.unit}".rstrip()
        tokens = "" if target.tokens is None else f"{target.tokens:.2%}"
        table.add_row(target.target, f"{target.relative:.1e}", largest, tokens, classes)
    console.print(table)
    shared = [target.shared for target in check.targets if target.shared is not None]
    if shared:
        console.print(f"drawn as windows that share tokens do: {min(shared):.2%} or more are the reference's")
    for name, share in check.tokenised.items():
        console.print(f"{name} as input: {share:.2%} of its tokens are the reference's")


def show_speed(console: Console, speed: Speed) -> None:
    """Prints what each target takes of a window, which plans are quoted by."""
    of = "of one processor" if speed.device == "cpu" else f"of {speed.device}"
    for name, each in speed.targets.items():
        step = f", and {1000 * each.step:.3g} ms a diffusion step" if each.step else ""
        console.print(f"{name}: {1000 * each.once:.3g} ms {of} a window{step}", highlight=False)
