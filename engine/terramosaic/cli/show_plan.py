"""A plan as a person reads it: figures, acquisitions in rank order, their scenes, warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from terramosaic.catalog.offset import GUESSED
from terramosaic.cli.lines import plain, show_facts, show_line
from terramosaic.planning.plan import DroppedScene, Plan
from terramosaic.publishing.facts import PlanFacts, SceneFacts

#: What stands once for an acquisition, and each of its scenes.
_Row = tuple[tuple[str, ...], SceneFacts]

#: Scenes left out for one reason that are named one by one: of a map of several dates a year has hundreds.
_MOST_LEFT_OUT = 5

_SHORT = {"ascending": "asc", "descending": "desc"}


def show_plan(console: Console, plan: Plan, *, verbose: bool = False) -> None:
    """Prints a plan.

    Args:
        console: where. A terminal gets a table as wide as it is, in which ids of scenes may be cut; anything else gets
            all of them, in lines as long as they are.
        plan: the plan.
        verbose: in a terminal, ids of scenes in full, and what decided each offset, below the table;
            anywhere all scenes that were left out, one by one.
    """
    facts = PlanFacts(plan=plan)
    show_facts(console, facts.figures)
    rows = list(_rows(facts))
    full = _full_table(rows)
    width = Measurement.get(console, console.options.update(max_width=10_000), full).maximum
    if not console.is_terminal:
        full.width = width
        console.print(full, crop=False, no_wrap=True)
    elif width <= console.width:
        console.print(full)
    else:
        console.print(_short_table(rows, is_radar=plan.is_led_by_radar))
        if verbose:
            for _, scene in rows:
                show_line(console, f"{scene.id}: {scene.rule}", style="dim")
    for line in _left_out(plan.dropped, len(plan.dropped) if verbose else _MOST_LEFT_OUT):
        show_line(console, f"left out: {line}", style="dim")
    for warning in facts.warnings:
        show_line(console, f"warning: {warning}", style="yellow")


def _left_out(dropped: Sequence[DroppedScene], most: int) -> Iterator[str]:
    """A line for each scene, and one for all that share a reason where they are more than ``most``."""
    by_reason: dict[str, list[str]] = {}
    for scene in dropped:
        by_reason.setdefault(scene.reason, []).append(scene.id)
    for reason, ids in by_reason.items():
        if len(ids) > most:
            yield f"{len(ids)} scenes, such as {ids[0]}: {reason} (-v names all)"
        else:
            yield from (f"{one}: {reason}" for one in ids)


def _rows(facts: PlanFacts) -> Iterator[_Row]:
    for day in facts.acquisitions:
        head: tuple[str, ...] = (str(day.rank), day.day, day.covers, day.cloud)
        for scene in day.scenes:
            yield head, scene
            head = ("",) * len(head)
    for scene in facts.beside:
        yield ("beside", "", "", ""), scene


def _full_table(rows: Sequence[_Row]) -> Table:
    table = Table(header_style="bold")
    for column in ("rank", "day", "covers", "cloud", "tile", "baseline", "offset", "scene"):
        # Ids are copied from here: they are kept in one piece.
        table.add_column(column, no_wrap=column == "scene")
    for head, scene in rows:
        table.add_row(*map(plain, (*head, scene.tile, scene.baseline, scene.rule, scene.id)))
    return table


def _short_table(rows: Sequence[_Row], *, is_radar: bool) -> Table:
    """What fits 80 columns; the id of the scene takes what is left."""
    table = Table(header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    own = ("orbit",) if is_radar else ("cloud", "tile", "offset")
    for column in ("rank", "day", "covers", *own):
        table.add_column(column, no_wrap=True)
    table.add_column("scene")
    for (rank, day, covers, cloud), scene in rows:
        cells = (_short_orbit(scene.tile),) if is_radar else (cloud, scene.tile, _short_offset(scene))
        table.add_row(*map(plain, (rank, day, covers, *cells)), _Id(scene.id))
    return table


class _Id:
    """An id that is cut in its middle where it must be: what its ends tell stands in no other cell."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The id, no longer than there is room."""
        lost = len(self._text) - options.max_width
        head = -(-(options.max_width - 1) // 2)
        yield Text(self._text if lost <= 0 else f"{self._text[:head]}…{self._text[head + lost + 1 :]}")

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """From nothing of it to all."""
        return Measurement(1, len(self._text))


def _short_offset(scene: SceneFacts) -> str:
    return f"{scene.planned}?" if scene.rule.startswith(GUESSED) else scene.planned


def _short_orbit(orbit: str) -> str:
    return " ".join(_SHORT.get(word, word) for word in orbit.split())
