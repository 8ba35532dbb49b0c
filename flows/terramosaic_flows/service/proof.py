"""The proof of ``terramosaic up --check``: a run through the REST API, and one that a schedule makes."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID, uuid4

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.schedules import IntervalSchedule

from terramosaic.demo.world import write_world
from terramosaic.errors import TerramosaicError
from terramosaic.planning.folder import RunFolder, is_complete, read_plan
from terramosaic.request.region import BoundingBox
from terramosaic.request.request import RegionRequest
from terramosaic_flows.service import Echo

DEPLOYMENT = "map-region/map-region"

#: Seconds for both runs together; on two idle cores they take about 30.
_PATIENCE = 300.0

#: Seconds until the scheduled run is due, and between two: a busy scheduler may be late for the first one.
_LEAD = 10
_INTERVAL = 60

#: Side of the made-up world in pixels: the smallest, made in a second.
_WORLD_SIZE = 240


class Proof:
    """What is seen of a deployment: a run that was triggered, and one that was scheduled.

    Args:
        folder: for a small made-up world and the outputs, which are removed when all is well.
        watch: called all the time; raises when waiting has become pointless.
        stop: set when the user wants to stop.
        echo: gets a line for what happens.
    """

    def __init__(self, folder: Path, watch: Callable[[], None], stop: Event, echo: Echo) -> None:
        self._folder, self._watch, self._stop, self._echo = folder, watch, stop, echo
        self._out = folder / uuid4().hex[:8]
        self._deadline = time.monotonic() + _PATIENCE

    async def show(self) -> None:
        """Triggers a run and schedules another one, and sees both come and finish.

        Raises:
            TerramosaicError: in one line, which of the two did not come or did not finish, and why.
            KeyboardInterrupt: it was stopped.
        """
        request = _request(write_world(self._folder / "world", size=_WORLD_SIZE), self._out)
        parameters = {"request": request.model_dump(mode="json")}
        async with get_client() as client:
            deployment = await client.read_deployment_by_name(DEPLOYMENT)
            triggered = await _trigger(client, deployment.id, parameters)
            self._echo(f"run {triggered.name}: triggered through the API")
            due = IntervalSchedule(
                interval=timedelta(seconds=_INTERVAL),
                anchor_date=datetime.now(UTC) + timedelta(seconds=_LEAD),
            )
            (schedule,) = await client.create_deployment_schedules(
                deployment.id, [DeploymentScheduleCreate(schedule=due, parameters=parameters)]
            )
            try:
                await self._finish(client, triggered)
                scheduled = await self._scheduled_run(client, deployment.id)
                self._echo(f"run {scheduled.name}: made by the schedule")
                await self._finish(client, scheduled)
            finally:
                await client.delete_deployment_schedule(deployment.id, schedule.id)
        plan = read_plan(self._out / "latest")
        if not is_complete(plan):
            raise TerramosaicError(f"check: both runs are Completed, but {RunFolder.of(plan).path} is not")
        shutil.rmtree(self._out)

    async def _scheduled_run(self, client: PrefectClient, deployment: UUID) -> FlowRun:
        while True:
            runs = await client.read_flow_runs(
                deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment]))
            )
            mine = [run for run in runs if run.auto_scheduled and self._out.name in str(run.parameters)]
            if mine:
                return min(mine, key=lambda run: str(run.expected_start_time))
            await self._pause("the schedule made no run; see server.log")

    async def _finish(self, client: PrefectClient, run: FlowRun) -> None:
        started = time.monotonic()
        state = run.state
        while state is None or not state.is_final():
            name = state.name if state else "without a state"
            await self._pause(f"run {run.name} is still {name}; see worker.log")
            state = (await client.read_flow_run(run.id)).state
        if not state.is_completed():
            raise TerramosaicError(f"check: run {run.name} ended {state.name}: {state.message}")
        self._echo(f"run {run.name}: {state.name} after {time.monotonic() - started:.0f} s")

    async def _pause(self, otherwise: str) -> None:
        self._watch()
        if self._stop.is_set():
            raise KeyboardInterrupt
        if time.monotonic() > self._deadline:
            raise TerramosaicError(f"check: after {_PATIENCE:.0f} s {otherwise}")
        await asyncio.sleep(0.5)


async def _trigger(client: PrefectClient, deployment: UUID, parameters: dict[str, Any]) -> FlowRun:
    """As any program would, without Prefect: a POST request."""
    answer = await client.request(
        "POST",
        "/deployments/{id}/create_flow_run",
        path_params={"id": deployment},
        json={"parameters": parameters, "idempotency_key": uuid4().hex},
    )
    return FlowRun.model_validate(answer.json())


def _request(catalog: Path, out: Path) -> RegionRequest:
    """A corner of the made-up world over the seam of its tiles: seconds of work."""
    return RegionRequest(
        region=BoundingBox(west=8.990, south=43.785, east=9.024, north=43.800),
        datetime="2020-04",
        catalog=str(catalog),
        targets=("NDVI", "LULC"),
        out=str(out),
    )
