"""Plans, bundles and results as a person reads them."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from terramosaic.model.bundle import Bundle
from terramosaic.model.selftest import BundleCheck
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.plan import Plan


def show_plan(console: Console, plan: Plan) -> None:
    """Prints a plan: figures, acquisitions in rank order, scenes with offset decisions, warnings."""
    figures = plan.figures
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("run", f"{plan.run_id} in {plan.request.out}"),
        ("searched", plan.searched),
        ("model", plan.bundle.title),
        (
            "region",
            f"{figures.area_km2:,.1f} km² in UTM {', '.join(f'EPSG:{zone.epsg}' for zone in plan.zones)}",
        ),
        ("imagery", f"{figures.scenes} scenes of {figures.acquisitions} acquisitions"),
        ("covered", f"{figures.covered_share:.1%}, gaps {figures.gap_share:.1%}"),
        (
            "work",
            f"{figures.windows:,} windows in {figures.blocks} blocks ({figures.empty_blocks} without imagery left out)",
        ),
        ("to read", f"about {figures.read_gigabytes:.2f} GB"),
        (
            "to write",
            ", ".join(f"{name} {size:.3f} GB" for name, size in figures.output_gigabytes.items())
            + " (estimate)",
        ),
    ):
        facts.add_row(f"[bold]{name}[/]", value)
    console.print(facts)
    table = Table(header_style="bold")
    for column in ("rank", "day", "covers", "cloud", "scene", "tile", "baseline", "offset"):
        # Ids are copied from here: they are kept in one piece.
        table.add_column(column, no_wrap=column == "scene")
    for rank, acquisition in enumerate(plan.acquisitions, start=1):
        for index, scene_id in enumerate(acquisition.scenes):
            scene = plan.scenes[scene_id]
            day = (
                str(rank),
                acquisition.solar_day,
                f"{acquisition.coverage:.0%}",
                f"{acquisition.cloud:.0f} %",
            )
            table.add_row(
                *(day if index == 0 else ("", "", "", "")),
                scene.id,
                scene.mgrs_tile or "?",
                scene.processing_baseline or "?",
                scene.offset_rule,
            )
    console.print(table)
    for dropped in plan.dropped:
        console.print(f"left out: {dropped.id}: {dropped.reason}", style="dim")
    for warning in plan.warnings:
        console.print(f"warning: {warning}", style="yellow")


def show_result(console: Console, result: MapResult) -> None:
    """Prints where the outputs of a run are."""
    if result.was_done:
        console.print("everything was done before; nothing to do")
    for path in (*result.mosaics.values(), result.report, result.item):
        console.print(str(path), soft_wrap=True, highlight=False)


def result_as_json(result: MapResult) -> dict[str, Any]:
    """A result for other programs."""
    return {
        "run_id": result.plan.run_id,
        "folder": str(result.folder),
        "mosaics": {name: str(path) for name, path in result.mosaics.items()},
        "report": str(result.report),
        "item": str(result.item),
        "was_done": result.was_done,
    }


def show_bundle(console: Console, bundle: Bundle) -> None:
    """Prints what a bundle is and what it generates."""
    manifest = bundle.manifest
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("bundle", f"{bundle.name}: {bundle.title}"),
        ("folder", str(bundle.folder)),
        ("fingerprint", bundle.fingerprint),
        ("source", manifest.source),
        ("licence", manifest.licence),
        ("bands", " ".join(bundle.bands)),
        ("window", f"{manifest.window} pixels, patches of {manifest.patch}"),
        ("conditioning", manifest.conditioning),
        (
            "size",
            f"{sum(file.size for file in manifest.files.values()) / 1e6:.3f} MB in {len(manifest.files)} files",
        ),
    ):
        facts.add_row(f"[bold]{name}[/]", value)
    console.print(facts)
    table = Table("target", "kind", "output", "bands or classes", "unit", header_style="bold")
    for name, target in bundle.targets.items():
        content = (
            ", ".join(item.name for item in target.classes) if target.classes else ", ".join(target.channels)
        )
        table.add_row(name, target.kind, target.output, content, target.unit or "")
    console.print(table)


def show_check(console: Console, check: BundleCheck) -> None:
    """Prints how a bundle's self-test came out, and how fast the model is."""
    table = Table("target", "relative", "largest difference", "tokens", "classes", header_style="bold")
    for target in check.targets:
        classes = "" if target.classes is None else f"{target.classes:.2%}"
        largest = f"{target.largest:.1e} {target.unit}".rstrip()
        table.add_row(target.target, f"{target.relative:.1e}", largest, f"{target.tokens:.2%}", classes)
    console.print(table)
    console.print(
        f"{check.windows_per_second:.3g} windows a second on {check.device} with all targets, {check.steps} steps, "
        f"batches of {check.batch_size}"
    )
