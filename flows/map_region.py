"""The flow ``map-region``: plan, tasks of some blocks each, assemble, publish; for one region or for several."""

from __future__ import annotations

from prefect import flow

from engine.errors import TerramosaicError
from engine.plan import Plan
from engine.regions import raise_failures, requests_of
from engine.request import RegionRequest
from engine.run import RunFolder
from flows.begun import earlier_plans, forget_plans, keep_plans
from flows.carrying import carry_out
from flows.deployed import begin_deployed_run, refuse_relative_request
from flows.form import RequestForm, request_of_form
from flows.outcome import fails_in_one_line
from flows.reporting import report_plan
from flows.runners import chosen_runner
from flows.stages import make_plan


# The request is validated inside, so that what is wrong with it is said in the engine's words.
@flow(name="map-region", persist_result=False, validate_parameters=False)
@fails_in_one_line
def map_region(request: RequestForm) -> list[str]:
    """Maps a region with TerraMind and publishes cloud-optimized mosaics, a report and a STAC item.

    Args:
        request: Where, when, from which catalog, with which model, and into which folder.

    Returns:
        The run folder, or that of each region of a file with several.
    """
    begin_deployed_run()
    chosen_runner()
    request = request_of_form(request)
    refuse_relative_request(request)
    failures: dict[str, TerramosaicError] = {}
    plans = earlier_plans(request)
    if not plans:
        plans, failures = _planned(request)
    failures |= carry_out(plans)
    raise_failures(failures, len(plans.keys() | failures.keys()))
    forget_plans(request)
    return [RunFolder.of(made).location for made in plans.values()]


def _planned(request: RegionRequest) -> tuple[dict[str, Plan], dict[str, TerramosaicError]]:
    """Plans of all regions, and the errors of those for which there is none."""
    plans: dict[str, Plan] = {}
    failures: dict[str, TerramosaicError] = {}
    for name, region in requests_of(request).items():
        try:
            plans[name] = make_plan(region)
            report_plan(plans[name], name)
        except TerramosaicError as error:
            failures[name] = error
    if not failures:
        keep_plans(request, plans)
    return plans, failures
