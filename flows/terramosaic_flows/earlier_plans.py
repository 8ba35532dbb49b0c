"""A flow run that is started again goes on with the plans of its first start: catalogs and region files change."""

from __future__ import annotations

from collections.abc import Mapping

from prefect import runtime

from terramosaic.errors import RequestError
from terramosaic.planning.folder import RunFolder, read_plan
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import recall_secrets
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import read_json, remove, write_json
from terramosaic.storage.location import Location, location
from terramosaic_flows.deployed import is_deployed


def earlier_plans(request: RegionRequest) -> dict[str, Plan]:
    """What an earlier start of this flow run planned, by region; nothing if this is the first, or it is gone."""
    if not is_deployed() or runtime.flow_run.run_count < 2:
        return {}
    try:
        folders: dict[str, str] = read_json(_file(request)) or {}
        plans = {name: read_plan(folder) for name, folder in folders.items()}
    except RequestError:  # of another version of this package, or removed
        return {}
    for made in plans.values():
        recall_secrets(made)
    return {name: _as_asked(made, request) for name, made in plans.items()}


def keep_plans(request: RegionRequest, plans: Mapping[str, Plan]) -> None:
    """Notes, in the output folder, what this flow run has planned."""
    if is_deployed():
        folders = {name: RunFolder.of(made).location for name, made in plans.items()}
        write_json(_file(request), folders)


def forget_plans(request: RegionRequest) -> None:
    """Removes the note: the flow run came to its end."""
    if is_deployed():
        remove(_file(request))


def _as_asked(made: Plan, request: RegionRequest) -> Plan:
    """A plan with the limit that is asked for: a complete run keeps the plan of whoever asked for it first."""
    return made.model_copy(update={"request": made.request.model_copy(update={"max_seam": request.max_seam})})


def _file(request: RegionRequest) -> Location:
    return location(request.out) / f".flow-run-{runtime.flow_run.id}.json"
