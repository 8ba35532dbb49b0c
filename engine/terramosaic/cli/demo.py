"""``terramosaic demo``: the whole job on built-in data."""

from __future__ import annotations

from pathlib import Path

import click

from terramosaic.cli.consoles import ERR, OUT
from terramosaic.cli.mapping import with_prefect
from terramosaic.cli.show import show_result
from terramosaic.cli.show_plan import show_plan
from terramosaic.cli.verbosity import is_quiet, is_verbose
from terramosaic.demo.region import demo_request
from terramosaic.demo.world import write_world
from terramosaic.errors import RequestError
from terramosaic.planning.planning import plan
from terramosaic.storage.location import anchored, is_url


@click.command("demo")
@click.option("--out", default="out/demo", show_default=True, help="Folder for the made-up world and the run")
def demo_command(out: str) -> None:
    """Maps a made-up Sentinel-2 world, offline, in about a minute: the whole job, through the Prefect flow."""
    if is_url(out):
        raise RequestError("out: the demo's world is made on this machine; give a folder")
    ERR.print("making a Sentinel-2 world: two tiles, two dates")
    catalog = write_world(Path(out) / "world")
    request = demo_request(catalog, Path(out))
    if not is_quiet():
        # The flow plans by itself and comes to the same: a plan is read before the work, not after it.
        show_plan(OUT, plan(request), verbose=is_verbose())
    (result,) = with_prefect(request, home=Path(out) / ".prefect")
    show_result(OUT, result, quiet=is_quiet())
    if not is_quiet():
        OUT.print(f"\nopen {anchored(str(result.report))} in a browser", soft_wrap=True)
        OUT.print(f"all maps and their values in a browser: terramosaic serve {out}", soft_wrap=True)
