"""``terramosaic verify``: a finished map checked against its checksums and its sources."""

from __future__ import annotations

import click

from terramosaic.cli.findings import counted_bar, tell
from terramosaic.cli.show import show_verification
from terramosaic.run.verifying import verify


@click.command("verify")
@click.argument("run")
@click.option(
    "--windows", type=click.IntRange(0), default=300, show_default=True, help="Windows to draw at random"
)
@click.option(
    "--whole",
    is_flag=True,
    help="Compare all of a window, which takes all that overlap it, and not its core alone, which takes one",
)
@click.option("--minutes", type=click.FloatRange(0), help="Begin no other window after so many minutes")
@click.option(
    "--seed", type=click.IntRange(0), help="Draws the same windows again  [default: others each time]"
)
@click.option(
    "--device", metavar="cpu|cuda|cuda:N|auto", help="Where to compute  [default: where the run was]"
)
@click.option(
    "--no-write", is_flag=True, help="Leave the run as it is: no verification.json, no new report and item"
)
@click.option("--json", "as_json", is_flag=True, help="Print what was checked as JSON")
def verify_command(
    run: str,
    windows: int,
    whole: bool,
    minutes: float | None,
    seed: int | None,
    device: str | None,
    no_write: bool,
    as_json: bool,
) -> None:
    """Checks a map: its files against their checksums, and windows, computed again, against its pixels.

    RUN is the folder of a finished run, or its URL. Exit code 7 says that something differs, and what.
    """
    with counted_bar("verify", "windows", windows) as on_each:
        found = verify(
            run,
            windows=windows,
            whole=whole,
            minutes=minutes,
            seed=seed,
            device=device,
            write=not no_write,
            on_window=on_each,
        )
    tell(found, show_verification, as_json=as_json)
