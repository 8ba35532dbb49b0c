"""The flow ``watch-region``: maps what is new over a region since the last time, and nothing else."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import Any

from prefect import get_run_logger, runtime
from prefect.states import Completed, State

from terramosaic.catalog import Pass
from terramosaic.errors import LeaseHeldError, NothingLeftError, RequestError, TerramosaicError
from terramosaic.planning.folder import write_plan
from terramosaic.planning.plan import Plan
from terramosaic.publishing.gaps import empty_map
from terramosaic.publishing.left_out import told_left_out
from terramosaic.publishing.seams import seams_beyond_limit
from terramosaic.request.features import raise_failures, requests_of
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import sweep_partials
from terramosaic.storage.lease import Lease, lease
from terramosaic.storage.location import location
from terramosaic.watch.watch import Watch, look
from terramosaic_flows.deployed import begin_deployed_run, refuse_places
from terramosaic_flows.execution import carry_out_plans
from terramosaic_flows.failures import fails_in_one_line
from terramosaic_flows.form import RequestForm, request_of_form
from terramosaic_flows.parameters import flow
from terramosaic_flows.reporting import report_plan
from terramosaic_flows.runners import chosen_runner
from terramosaic_flows.told import name_of_watch, watched_in_words

#: Seconds after which the lease of a run that vanished with its machine is free.
_LEASE_SECONDS = 120.0
_LOOK_EVERY = 5.0


@flow(name="watch-region", flow_run_name=name_of_watch, persist_result=False, validate_parameters=False)
@fails_in_one_line
def watch_region(
    request: RequestForm, look_back_days: int = 30, newest: bool = True, until: date | None = None
) -> State[Any]:
    """Maps the acquisitions of a region that are not mapped yet, or were processed again: each one by itself.

    The output folder holds a STAC collection with an item for each, and mosaics of the newest clear pixels.

    Args:
        request: What to map. Its period bounds the rolling one, and its composite plays no part.
        look_back_days: Length of the rolling period. Scenes come late and are processed again: look some weeks back.
        newest: Whether to keep mosaics of each pixel's last clear acquisition.
        until: Last day of the rolling period. Empty: today.
    """
    begin_deployed_run()
    chosen_runner()
    request = request_of_form(request)
    refuse_places(request)
    look_back_days, end = _days(look_back_days), _end_of(until)
    log = get_run_logger()
    if request.every != "none":
        raise RequestError("every: a watched region has a run for each acquisition; leave it out")
    requests = requests_of(request)
    watches: dict[str, Watch] = {}
    held_elsewhere: list[str] = []
    failures: dict[str, TerramosaicError] = {}
    with ExitStack() as leases:
        for name, region in requests.items():
            try:
                held = leases.enter_context(_lease_on(region))
                sweep_partials(location(region.out), deep=False)
                watches[name] = look(region, look_back_days, end, held.check)
                log.info(
                    "%s%s",
                    f"{name}: " if name else "",
                    f"to map: {watches[name]}" if watches[name].new else watches[name],
                )
            except LeaseHeldError as error:
                # Whoever holds it maps what is new. A failure would be resumed, and meet it again.
                held_elsewhere.append(f"{name}: {error}" if name else str(error))
            except TerramosaicError as error:
                failures[name] = error
        failures |= _map(watches)
        for name, watch in watches.items():
            try:
                if newest:
                    watch.keep_newest()
                watch.require_usable()
            except TerramosaicError as error:
                failures.setdefault(name, error)
    raise_failures(failures, len(requests), held_elsewhere)
    told = [*held_elsewhere, *_summaries(watches, failures)]
    where = watched_in_words(request)
    return Completed(message=f"{where}: {'; '.join(told)}")


@contextmanager
def _lease_on(region: RegionRequest) -> Iterator[Lease]:
    """Holds the region's collection for this run.

    A run that was resumed waits for the lease of its own lost process, which on another machine takes until it expires.

    Raises:
        LeaseHeldError: another run holds it.
    """
    deadline = time.monotonic() + (_LEASE_SECONDS if runtime.flow_run.run_count > 1 else 0)
    with ExitStack() as stack:
        while True:
            try:
                held = stack.enter_context(
                    lease(location(region.out) / "lease", owner=_owner(), ttl=_LEASE_SECONDS)
                )
                break
            except LeaseHeldError:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_LOOK_EVERY)
        yield held


def _map(watches: dict[str, Watch]) -> dict[str, TerramosaicError]:
    """Maps what is new of all regions; returns each region's first error."""
    plans: dict[str, Plan] = {}
    place: dict[str, tuple[str, Pass]] = {}
    failures: dict[str, TerramosaicError] = {}
    for name, watch in watches.items():
        for (of_pass, made), label in zip(watch.new.items(), watch.labels.values(), strict=True):
            key = f"{name} {label}".strip()
            try:
                write_plan(made)
            except TerramosaicError as error:
                failures.setdefault(name, error)
                continue
            report_plan(made, key)
            plans[key], place[key] = made, (name, of_pass)
    failed = carry_out_plans(plans) if plans else {}
    for key, (name, of_pass) in place.items():
        label = watches[name].labels[of_pass]
        try:
            if isinstance(failure := failed.get(key), NothingLeftError):
                watches[name].leave_out(of_pass, failure)
                get_run_logger().warning("acquisition of %s: %s", label, failure)
            elif failure is not None:
                raise failure
            elif seams := seams_beyond_limit(plans[key]):
                raise seams
            else:
                watches[name].record(of_pass)
                for line in told_left_out(plans[key]):
                    get_run_logger().warning("acquisition of %s: %s", label, line)
                if empty := empty_map(plans[key]):
                    get_run_logger().warning("acquisition of %s: %s", label, empty)
        except TerramosaicError as error:
            failures.setdefault(name, error.within(f"acquisition of {label}"))
    return failures


def _summaries(watches: dict[str, Watch], failures: dict[str, TerramosaicError]) -> list[str]:
    """What each region has come to; failures that are left are of regions in which there is nothing to map."""
    lines = {
        name: str(failures[name]) if name in failures else f"mapped {watch}" if watch.new else f"{watch}"
        for name, watch in watches.items()
    }
    return [f"{name}: {line}" for name, line in lines.items()] if len(lines) > 1 else list(lines.values())


def _owner() -> str:
    return f"flow run {runtime.flow_run.name or '?'} on {socket.gethostname()} (process {os.getpid()})"


def _days(number: Any) -> int:
    try:
        days = int(number)
    except (TypeError, ValueError):
        days = 0
    if not 1 <= days <= 3660:
        raise RequestError(f"look_back_days: {number!r} is not a number from 1 to 3660")
    return days


def _end_of(day: date | str | None) -> datetime | None:
    if not day:
        return None
    try:
        first = datetime.combine(date.fromisoformat(str(day)), datetime.min.time(), UTC)
    except ValueError:
        raise RequestError(f"until: {day!r} is not a day such as 2026-03-31") from None
    return first + timedelta(days=1) - timedelta(seconds=1)
