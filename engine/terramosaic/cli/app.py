"""The command, its exit codes, and where each subcommand is. Errors are a line each; ``--debug`` shows tracebacks.

Subcommands are imported when they are used: ``--help`` and ``--version`` answer without what mapping needs.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NamedTuple, cast

import click

from terramosaic.cli.plugins import plugin_command, plugin_names
from terramosaic.cli.verbosity import set_up, to_the_front
from terramosaic.errors import TerramosaicError, one_line

_STOPPED = "stopped; a map's finished blocks are kept, run the same command again to go on"


class _Subcommand(NamedTuple):
    """Where a subcommand is, and its line in the help, which is the first of its docstring."""

    module: str
    attribute: str
    help: str


_COMMANDS = {
    "assess": _Subcommand(
        "assessing",
        "assess_command",
        "Compares a map with what is known there: Sentinel-1, land cover, heights, or data of one's own.",
    ),
    "clean": _Subcommand(
        "upkeep",
        "clean_command",
        "Makes room in an output folder: block rasters of complete runs go, and runs that nobody goes on with.",
    ),
    "config": _Subcommand(
        "config",
        "config_command",
        "Shows each TERRAMOSAIC_ variable of the environment: its value, and what it does.",
    ),
    "demo": _Subcommand(
        "demo",
        "demo_command",
        "Maps a made-up Sentinel-2 world, offline, in about a minute: the whole job, through the Prefect flow.",
    ),
    "evaluate": _Subcommand(
        "evaluate",
        "evaluate_command",
        "Grades a bundle on TerraMesh or on chips of water, beside the figures of TerraMind's paper.",
    ),
    "map": _Subcommand(
        "mapping", "map_command", "Maps a region. A run that was stopped goes on where it was."
    ),
    "model": _Subcommand("model", "model_group", "Makes, describes and tests models."),
    "plan": _Subcommand(
        "mapping",
        "plan_command",
        "Shows what a run would do: scenes, gaps, windows, time, gigabytes, cost. No map is computed.",
    ),
    "polygons": _Subcommand(
        "vectors",
        "polygons_command",
        "Writes the classes of a map as polygons with area and confidence: GeoParquet or GeoJSON.",
    ),
    "runs": _Subcommand(
        "upkeep",
        "runs_command",
        "Lists the runs in an output folder or bucket: what they map, how far they are, what they take.",
    ),
    "serve": _Subcommand(
        "serving",
        "serve_command",
        "Shows maps in a browser: all runs in an output folder or bucket, read-only, until it is stopped.",
    ),
    "verify": _Subcommand(
        "verifying",
        "verify_command",
        "Checks a map: its files against their checksums, and windows, computed again, against its pixels.",
    ),
    "zonal": _Subcommand(
        "vectors",
        "zonal_command",
        "Sums a map up within polygons: hectares of each class; mean, least, most and spread of values.",
    ),
}


class _Commands(click.Group):
    """The subcommands of this table and of other distributions."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*_COMMANDS, *plugin_names()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = _COMMANDS.get(cmd_name)
        if place is None:
            return plugin_command(cmd_name)
        module = import_module(f"terramosaic.cli.{place.module}")
        return cast(click.Command, getattr(module, place.attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._help_of(name)) for name in self.list_commands(ctx)])

    def _help_of(self, name: str) -> str:
        if name in _COMMANDS:
            return _COMMANDS[name].help
        command = plugin_command(name)
        return command.get_short_help_str(limit=100) if command else ""


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option("-q", "--quiet", is_flag=True, help="Results and errors alone: no progress, no warnings")
@click.option("-v", "--verbose", is_flag=True, help="What is done, as it is done; names in full")
@click.option("--debug", is_flag=True, help="The same, with the log of the libraries and tracebacks")
@click.version_option(None, "-V", "--version", package_name="terramosaic")
def cli(quiet: bool, verbose: bool, debug: bool) -> None:
    """Maps large regions with TerraMind: Sentinel-2 in, seamless Sentinel-1, NDVI and land cover mosaics out."""
    set_up(quiet=quiet, verbose=verbose, debug=debug)


def main() -> None:
    """Entry point of the command ``terramosaic``."""
    arguments = to_the_front(sys.argv[1:])
    debug = "--debug" in arguments
    try:
        code = cli(arguments, standalone_mode=False)
    except TerramosaicError as error:
        if debug:
            _show_traceback()
        for line in str(error).splitlines():
            click.echo(f"terramosaic: {line}", err=True)
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"terramosaic: {_STOPPED}", err=True)
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Exception as error:
        if debug:
            _show_traceback()
        what = f"{type(error).__name__}: {one_line(error)}"
        click.echo(
            f"terramosaic: this should not happen: {what}; run it again with --debug to see where", err=True
        )
        code = TerramosaicError.exit_code
    _end(code)


def _end(code: int) -> None:
    # Not imported here, for start-up time: without it no device was used.
    device_lock = sys.modules.get("terramosaic.model.device_lock")
    if device_lock is not None and device_lock.has_given_up():
        # A call hangs. Python would wait for it, as for all threads of pools.
        sys.stdout.flush()
        os._exit(code)
    sys.exit(code)


def _show_traceback() -> None:
    from terramosaic.cli.consoles import ERR  # for start-up time: most commands end without one

    ERR.print_exception()
