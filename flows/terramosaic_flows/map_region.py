"""The flow ``map-region``: plan, tasks of some blocks each, assemble, publish; for one region or for several."""

from __future__ import annotations

from prefect.states import Completed, State

from terramosaic.errors import TerramosaicError
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan
from terramosaic.publishing.gaps import empty_map, told_gaps
from terramosaic.publishing.left_out import told_left_out
from terramosaic.publishing.seams import seams_beyond_limit
from terramosaic.publishing.series import publish_series
from terramosaic.request.features import noun_of, raise_failures, requests_of
from terramosaic.request.request import RegionRequest
from terramosaic.run.mapping import require_device_here
from terramosaic_flows.deployed import begin_deployed_run, refuse_places
from terramosaic_flows.earlier_plans import earlier_plans, forget_plans, keep_plans
from terramosaic_flows.execution import carry_out_plans
from terramosaic_flows.failures import fails_in_one_line
from terramosaic_flows.form import RequestForm, request_of_form
from terramosaic_flows.parameters import flow
from terramosaic_flows.reporting import report_plan
from terramosaic_flows.runners import chosen_runner
from terramosaic_flows.stages import make_plan
from terramosaic_flows.told import mapped_in_words, name_of_map


# The request is validated inside, so that what is wrong with it is said in the engine's words.
@flow(name="map-region", flow_run_name=name_of_map, persist_result=False, validate_parameters=False)
@fails_in_one_line
def map_region(request: RequestForm) -> State[list[str]]:
    """Maps a region with TerraMind and publishes cloud-optimized mosaics, a report and a STAC item.

    Args:
        request: Where, when, from which catalog, with which model, and into which folder.

    Returns:
        The run folder, or that of each region of a file with several.
    """
    begin_deployed_run()
    runner = chosen_runner()
    request = request_of_form(request)
    refuse_places(request)
    if runner.kind == "threads":
        require_device_here(request.device, None)
    failures: dict[str, TerramosaicError] = {}
    plans = earlier_plans(request)
    if not plans:
        plans, failures = _planned(request)
    failures |= carry_out_plans(plans)
    published = {name: made for name, made in plans.items() if name not in failures}
    failures |= {
        name: error
        for name, made in published.items()
        if (error := empty_map(made) or seams_beyond_limit(made))
    }
    if request.every != "none":
        reasons = {name: error.text for name, error in failures.items()}
        whole = {name: made for name, made in published.items() if name not in failures}
        publish_series(requests_of(request), whole, reasons)
    raise_failures(failures, len(plans.keys() | failures.keys()), noun=noun_of(request))
    forget_plans(request)
    told = [
        f"{name}: {line}" if name else line
        for name, made in published.items()
        for line in (*told_left_out(made), told_gaps(made))
        if line
    ]
    return Completed(
        message="; ".join([mapped_in_words(published), *told]),
        data=[RunFolder.of(made).location for made in published.values()],
    )


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
