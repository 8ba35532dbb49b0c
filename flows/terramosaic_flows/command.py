"""``terramosaic up``: a Prefect server and worker on this machine."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("up")
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path("out/prefect"),
    show_default=True,
    help="Folder for Prefect's database and logs",
)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Of the UI and the API  [default: 4200, or a free one]"
)
@click.option(
    "--runs", type=click.IntRange(1), default=2, show_default=True, help="Flow runs at the same time"
)
@click.option(
    "--check", is_flag=True, help="Prove the set-up with a triggered and a scheduled run, then stop"
)
@click.option(
    "--no-login", is_flag=True, help="Let every user and program of this machine in, without the login"
)
def up_command(home: Path, port: int | None, runs: int, check: bool, no_login: bool) -> None:
    """Starts a Prefect server and a worker, with all deployments, on this machine only.

    The first start makes a login and keeps it in the file "login" of the home.

    Ctrl-C stops them. Runs that were under way go on at the next start.
    """
    from terramosaic_flows.service.up import (
        up,  # for start-up time: the command line lists this command's help
    )

    up(
        home,
        port=port,
        runs=runs,
        check=check,
        with_login=not no_login,
        echo=lambda line: click.echo(line, err=True),
    )
