"""``terramosaic plan | map``: a region planned, and mapped on this machine or through Prefect."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import click

from terramosaic.cli.consoles import ERR, OUT
from terramosaic.cli.lines import show_line
from terramosaic.cli.options import request_from, selection_options
from terramosaic.cli.plugins import load_runner
from terramosaic.cli.show import result_as_json, show_result
from terramosaic.cli.show_plan import show_plan
from terramosaic.cli.verbosity import is_quiet, is_verbose, log_formatter
from terramosaic.errors import NoScenesError, RequestError
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.planning import plan
from terramosaic.publishing.numbers import counted
from terramosaic.publishing.series import publish_series
from terramosaic.request.features import noun_of, raise_failures, requests_of
from terramosaic.request.request import RegionRequest
from terramosaic.run.mapping import map_plan, require_device_here
from terramosaic.run.progress import shown_progress
from terramosaic.run.series import one_after_the_other
from terramosaic.settings import RUNNER


@click.command("plan")
@selection_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON")
def plan_command(as_json: bool, **options: Any) -> None:
    """Shows what a run would do: scenes, gaps, windows, time, gigabytes, cost. No map is computed."""
    plans, failures = [], {}
    request = request_from(options)
    requests = requests_of(request)
    for name, one in requests.items():
        try:
            plans.append(plan(one))
        except NoScenesError as error:
            failures[name] = error
    raise_failures(failures, len(requests), noun=noun_of(request))
    if as_json:
        texts = [made.model_dump_json(indent=1) for made in plans]
        click.echo(texts[0] if len(texts) == 1 else f"[{','.join(texts)}]")
    else:
        for made in plans:
            show_plan(OUT, made, verbose=is_verbose())


@click.command("map")
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
@click.option(
    "--check-files",
    is_flag=True,
    help="Of a map that is complete, compare the files with the hashes in its item; what is damaged is made anew",
)
@click.option("--prefect", is_flag=True, help="Run as the Prefect flow map-region")
@click.option("--json", "as_json", is_flag=True, help="Print where the outputs are as JSON")
def map_command(
    workers: int | None,
    devices: str | None,
    batch_size: int | None,
    check_files: bool,
    prefect: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Maps a region. A run that was stopped goes on where it was."""
    request = request_from(options)
    if prefect and (workers or batch_size or devices or check_files):
        raise RequestError(
            "--workers, --batch-size, --devices and --check-files go without --prefect; there, set "
            f"{RUNNER}=threads:N"
        )
    if prefect:
        results = with_prefect(request)
    else:
        results = _mapped(
            request, workers=workers, batch_size=batch_size, devices=devices, check_files=check_files
        )
    if as_json:
        outputs = [result_as_json(result) for result in results]
        click.echo(json.dumps(outputs[0] if len(outputs) == 1 else outputs, indent=1))
    else:
        for result in results:
            show_result(OUT, result, quiet=is_quiet())


def _mapped(request: RegionRequest, **how: Any) -> list[MapResult]:
    """Maps regions and periods; one that fails does not stop the others, and is told at the end."""
    require_device_here(request.device, how["devices"])
    requests = requests_of(request)

    def mapped(one: RegionRequest) -> MapResult:
        with shown_progress(ERR) as progress:
            return map_plan(plan(one), progress=progress, **how)

    results, failures = one_after_the_other(requests, mapped)
    if request.every != "none":
        plans = {name: result.plan for name, result in results.items()}
        reasons = {name: error.text for name, error in failures.items()}
        for page in publish_series(requests, plans, reasons):
            show_line(ERR, f"{counted(len(results), request.every)} mapped, all on {page}")
    raise_failures(failures, len(requests), noun=noun_of(request))
    return list(results.values())


def with_prefect(request: RegionRequest, home: Path | None = None) -> list[MapResult]:
    """Maps a request through the Prefect flow; what the engine logs is shown as it works.

    Args:
        request: what to map.
        home: folder for Prefect's database; by default the user's.
    """
    run_flow = load_runner("prefect")
    # The flow shows its progress in the Prefect UI; here, what the engine logs takes its place.
    log = logging.getLogger("terramosaic")
    lines = logging.StreamHandler()
    lines.setFormatter(log_formatter("%(message)s"))
    log.addHandler(lines)
    log.setLevel(logging.ERROR if is_quiet() else logging.INFO)
    log.propagate = False
    return run_flow(request, home)
