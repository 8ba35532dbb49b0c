"""Commands and exit codes. Errors are one line each; a traceback appears only with ``--debug``."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import click

from engine.cli.consoles import ERR, OUT
from engine.cli.model import model_group
from engine.cli.options import request_from, selection_options
from engine.cli.progress import Bars, Lines
from engine.cli.show import result_as_json, show_plan, show_result
from engine.cli.up import up_command
from engine.errors import RequestError, RunCancelledError, TerramosaicError
from engine.location import is_url
from engine.mapping import carry_out
from engine.planning import plan
from engine.regions import raise_failures, requests_of
from engine.request import RegionRequest
from engine.result import MapResult

_STOPPED = "stopped; a map's finished blocks are kept, run the same command again to go on"


def main() -> None:
    """Entry point of the command ``terramosaic``."""
    # Wherever a person writes it.
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        code = cli(["--debug", *arguments] if debug else arguments, standalone_mode=False)
    except TerramosaicError as error:
        if debug:
            ERR.print_exception()
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
            ERR.print_exception()
        what = " ".join(f"{type(error).__name__}: {error}".split())
        click.echo(
            f"terramosaic: this should not happen: {what}; run it again with --debug to see where", err=True
        )
        code = TerramosaicError.exit_code
    sys.exit(code)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--debug", is_flag=True, help="Show tracebacks and the engine's log")
@click.version_option(package_name="terramosaic")
def cli(debug: bool) -> None:
    """Maps large regions with TerraMind: Sentinel-2 in, seamless Sentinel-1, NDVI and land cover mosaics out."""
    logging.basicConfig(
        level=logging.INFO if debug else logging.ERROR, format="%(levelname)s %(name)s: %(message)s"
    )
    if not debug:
        # Warnings of the engine are for the user; those of the libraries under it are said again, plainly, as errors.
        logging.getLogger("engine").setLevel(logging.WARNING)


@cli.command("plan")
@selection_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON")
def plan_command(as_json: bool, **options: Any) -> None:
    """Shows what a run would do: scenes, gaps, windows, gigabytes. Nothing is run or written."""
    plans = [plan(request) for request in requests_of(request_from(options)).values()]
    if as_json:
        texts = [made.model_dump_json(indent=1) for made in plans]
        click.echo(texts[0] if len(texts) == 1 else f"[{','.join(texts)}]")
    else:
        for made in plans:
            show_plan(OUT, made)


@cli.command("map")
@selection_options
@click.option(
    "--workers", type=click.IntRange(1), help="Blocks at the same time  [default: one a processor, at most 4]"
)
@click.option(
    "--devices",
    metavar="NAME,NAME",
    help="A worker process for each, such as cuda:0,cuda:1 or cpu,cpu; --workers then counts in each of them",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    help="Windows per call of the model  [default: 2 on cpu, 32 on cuda]",
)
@click.option("--prefect", is_flag=True, help="Run as the Prefect flow map-region")
@click.option("--json", "as_json", is_flag=True, help="Print where the outputs are as JSON")
def map_command(
    workers: int | None,
    devices: str | None,
    batch_size: int | None,
    prefect: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Maps a region. A run that was stopped goes on where it was."""
    request = request_from(options)
    if prefect and (workers or batch_size or devices):
        raise RequestError(
            "--workers, --batch-size and --devices go without --prefect; there, set TERRAMOSAIC_RUNNER=threads:N"
        )
    if prefect:
        results = _with_prefect(request)
    else:
        results = _one_after_the_other(
            requests_of(request), workers=workers, batch_size=batch_size, devices=devices
        )
    if as_json:
        told = [result_as_json(result) for result in results]
        click.echo(json.dumps(told[0] if len(told) == 1 else told, indent=1))
    else:
        for result in results:
            show_result(OUT, result)


@cli.command("demo")
@click.option("--out", default="out/demo", show_default=True, help="Folder for the made-up world and the run")
def demo_command(out: str) -> None:
    """Maps a made-up Sentinel-2 world, offline, in about a minute: the whole job, through the Prefect flow."""
    from engine.demo.region import demo_request
    from engine.demo.world import write_world

    if is_url(out):
        raise RequestError("out: the demo's world is made on this machine; give a folder")
    ERR.print("making a Sentinel-2 world: two tiles, two dates")
    catalog = write_world(Path(out) / "world")
    (result,) = _with_prefect(demo_request(catalog, Path(out)), home=Path(out) / ".prefect")
    show_plan(OUT, result.plan)
    show_result(OUT, result)
    OUT.print(f"\nopen [bold]{result.report.resolve()}[/] in a browser", soft_wrap=True)


cli.add_command(model_group)
cli.add_command(up_command)


def _one_after_the_other(requests: dict[str, RegionRequest], **how: Any) -> list[MapResult]:
    """Maps regions; one that fails does not stop the others, and is told at the end."""
    results, failures = [], {}
    for name, request in requests.items():
        try:
            with (Bars if ERR.is_terminal else Lines)(ERR) as progress:
                results.append(carry_out(plan(request), progress=progress, **how))
        except RunCancelledError:
            raise
        except TerramosaicError as error:
            failures[name] = error
    raise_failures(failures, len(requests))
    return results


def _with_prefect(request: RegionRequest, home: Path | None = None) -> list[MapResult]:
    from flows import run_flow

    # The flow shows its progress in the Prefect UI; here, what the engine logs takes its place.
    log = logging.getLogger("engine")
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(message)s"))
    log.addHandler(lines)
    log.setLevel(logging.INFO)
    log.propagate = False
    return run_flow(request, home=home)
