"""``terramosaic runs | clean``: what there is in an output folder, and what of it may go."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from itertools import groupby

import click
from rich import box
from rich.table import Table

from terramosaic.cli.consoles import OUT
from terramosaic.cli.lines import plain, show_line
from terramosaic.cli.verbosity import is_quiet, is_verbose
from terramosaic.errors import RequestError, printable
from terramosaic.publishing.numbers import counted, number, size
from terramosaic.upkeep.cleaning import Kept, Removal, remove_what_may_go, total, what_may_go
from terramosaic.upkeep.listing import list_again
from terramosaic.upkeep.runs import Run, runs_below

#: Columns from which the model's title has room, too.
_WIDE = 110

_STYLES = {"damaged": "red", "unreadable": "red", "running": "green", "unfinished": "yellow"}


@click.command("runs")
@click.argument("out")
@click.option("--json", "as_json", is_flag=True, help="Print the runs as JSON")
def runs_command(out: str, as_json: bool) -> None:
    """Lists the runs in an output folder or bucket: what they map, how far they are, what they take.

    OUT is a folder or URL that maps were made in; regions' folders below it are looked into. Nothing is written.
    """
    runs = list(runs_below(out))
    if as_json:
        click.echo(json.dumps([run.as_json() for run in runs], indent=1))
        return
    for parent, group in groupby(runs, key=lambda run: run.name.rpartition("/")[0]):
        if parent:
            show_line(OUT, f"{parent}/", style="bold")
        OUT.print(_runs_table(list(group)), crop=False)
    if not is_quiet():
        files = sum(len(run.files) for run in runs)
        taken = size(sum(run.size for run in runs))
        show_line(OUT, f"{counted(len(runs), 'run')}, {counted(files, 'file')}, {taken}", style="dim")
    for run in runs:
        if run.reason:
            show_line(OUT, f"{run.state}: {printable(run.name)}: {run.reason}", style="yellow")


@click.command("clean")
@click.argument("out")
@click.option(
    "--older-than",
    metavar="DAYS",
    type=click.FloatRange(1),  # a block may take a day
    default=7.0,
    show_default=True,
    help="Days without a written file after which a run that is not complete goes",
)
@click.option("--dry-run", is_flag=True, help="Show what would go, and remove nothing")
@click.option("--yes", is_flag=True, help="Remove it without asking")
@click.option("--json", "as_json", is_flag=True, help="Print what went as JSON; with --yes or --dry-run")
def clean_command(out: str, older_than: float, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Makes room in an output folder: block rasters of complete runs go, and runs that nobody goes on with.

    OUT is a folder or URL. A complete run stays as it is published, and can be verified as before. A run goes that has
    no item, that nothing was written to for days, and that nobody holds. What a collection names, or a watched region
    keeps, stays. Catalog and index are made anew, so that runs that you removed yourself are no more in them.
    """
    if as_json and not (yes or dry_run):
        raise RequestError("--json: it goes with --dry-run or --yes, for nobody is asked then")
    stale_after = timedelta(days=older_than)
    found = list(what_may_go(out, stale_after=stale_after))
    removals, kept = _parted(found)
    if not as_json:
        _show(removals, kept)
    if removals and not dry_run:
        _require_consent(removals, yes)
        done, stayed = _parted(remove_what_may_go(out, removals, stale_after=stale_after))
        if not as_json and not is_quiet():
            show_line(OUT, f"{_amount(done)} removed")
            _show_kept(stayed)
        removals, kept = done, [*kept, *stayed]
    if not dry_run:
        list_again(out)
    if as_json:
        told = [
            {"run": one.run.name, "what": one.what, "files": len(one.files), "bytes": one.size}
            for one in removals
        ]
        stays = [{"run": one.run.name, "reason": one.reason} for one in kept]
        click.echo(json.dumps({"removed": not dry_run, "going": told, "kept": stays}, indent=1))


def _parted(found: Iterable[Removal | Kept]) -> tuple[list[Removal], list[Kept]]:
    removals, kept = list[Removal](), list[Kept]()
    for one in found:
        if isinstance(one, Removal):
            removals.append(one)
        else:
            kept.append(one)
    return removals, kept


def _require_consent(removals: Sequence[Removal], yes: bool) -> None:
    """Asks, where nobody has said yes already.

    Raises:
        RequestError: nobody can be asked.
        click.Abort: the answer is no.
    """
    if yes:
        return
    if not _can_ask():
        raise RequestError("--yes: nobody can be asked here; say --yes to remove it, or --dry-run to look")
    if not click.confirm(f"Remove {_amount(removals)}?", err=True):
        raise _DeclinedError


def _can_ask() -> bool:
    return sys.stdin.isatty()


class _DeclinedError(click.ClickException):
    """Nothing is to be removed after all."""

    exit_code = 0

    def __init__(self) -> None:
        super().__init__("nothing was removed")

    def show(self, file: object = None) -> None:
        click.echo(self.message, err=True)


def _show(removals: Sequence[Removal], kept: Sequence[Kept]) -> None:
    if removals:
        table = _table("run", "goes", "files", "size", "age")
        for one in removals:
            row = (
                printable(one.run.name),
                one.what,
                number(len(one.files)),
                size(one.size),
                _age(one.run.age),
            )
            table.add_row(*map(plain, row))
        OUT.print(table, crop=False)
        show_line(OUT, f"to go: {_amount(removals)}")
    elif not is_quiet():
        show_line(OUT, "nothing to remove")
    if not is_quiet():
        _show_kept(kept)


def _show_kept(kept: Sequence[Kept]) -> None:
    for one in kept:
        show_line(OUT, f"stays: {printable(one.run.name)}: {one.reason}", style="yellow")


def _amount(removals: Sequence[Removal]) -> str:
    files, taken = total(list(removals))
    return plain(f"{counted(files, 'file')}, {size(taken)}")


def _runs_table(runs: Sequence[Run]) -> Table:
    is_wide = is_verbose() or not OUT.is_terminal or OUT.width >= _WIDE
    table = _table(
        "run", "state", "from", "to", "place", "size", "age", *(["targets", "model"] if is_wide else [])
    )
    for run in runs:
        place = "?" if run.place is None else _place(*run.place)
        first, last = (run.days[0], run.days[-1]) if run.days else ("?", "?")
        name = printable(run.name.rpartition("/")[2])
        row = [name, run.state, first, last, place, size(run.size), _age(run.age)]
        table.add_row(
            *map(plain, row),
            *((",".join(run.targets), run.model) if is_wide else ()),
            style=_STYLES.get(run.state, ""),
        )
    return table


def _table(*columns: str) -> Table:
    table = Table(
        header_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False
    )
    for column in columns:
        right = column in ("files", "size", "age")
        # Names of runs are copied from here.
        table.add_column(column, no_wrap=column != "model", justify="right" if right else "left")
    return table


def _place(latitude: float, longitude: float) -> str:
    north, east = "N" if latitude >= 0 else "S", "E" if longitude >= 0 else "W"
    return f"{abs(latitude):.1f}°{north} {abs(longitude):.1f}°{east}"


def _age(seconds: float) -> str:
    for unit, step in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= step:
            return f"{seconds / step:.0f} {unit}"
    return "now"
