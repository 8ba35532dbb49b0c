"""Runs whose worker is gone, put back in the queue.

A process worker that is told to stop kills its runs at once: no hook runs, and their state stays Running for ever.
So who stops the worker says afterwards what became of them.
"""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.states import AwaitingRetry, Cancelled

from terramosaic_flows.service.settings import POOL

_IN_HAND = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]


async def leave_resumable(client: PrefectClient) -> list[FlowRun]:
    """Puts runs that no process works at any more back in the queue; to be called while the pool has no worker.

    A run that was being cancelled is cancelled. The others go on, with the same id and parameters, as soon as a worker
    comes.

    Returns:
        The runs that wait.
    """
    waiting: list[FlowRun] = []
    while runs := await _runs_in_hand(client):
        for run in runs:
            if run.state_type == StateType.CANCELLING:
                await client.set_flow_run_state(
                    run.id, Cancelled(message="its worker was stopped"), force=True
                )
            else:
                state: State[None] = AwaitingRetry(
                    message="its worker was stopped; it goes on when a worker comes"
                )
                await client.set_flow_run_state(run.id, state, force=True)
                waiting.append(run)
    return waiting


async def _runs_in_hand(client: PrefectClient) -> list[FlowRun]:
    return await client.read_flow_runs(
        flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_IN_HAND))),
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[POOL])),
    )
