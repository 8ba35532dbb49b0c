"""The four stages in order: what a script or a notebook calls to map a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import DamagedBlocksError, TerramosaicError
from terramosaic.model.devices import AUTO, Device, parse_device, require_device, worker_devices
from terramosaic.mosaic.assemble import assemble
from terramosaic.mosaic.result import MapResult, result_of
from terramosaic.planning.folder import as_begun, remove_flaws, write_plan
from terramosaic.planning.plan import Block, Plan
from terramosaic.planning.planning import plan
from terramosaic.publishing.gaps import empty_map
from terramosaic.publishing.publish import publish
from terramosaic.publishing.seams import seams_beyond_limit
from terramosaic.request.request import RegionRequest, requested
from terramosaic.run.attempt import begin_attempt, require_imagery
from terramosaic.run.processes import DeviceProcesses
from terramosaic.run.scheduling import blocks_failed, carry_out, jobs_left, until_whole
from terramosaic.run.threads import Threads


class Progress(Protocol):
    """What `map_region` tells while it works. Methods are called from several threads."""

    def planned(self, plan: Plan, remaining: list[Block]) -> None:
        """The plan is made; all but the ``remaining`` blocks were finished by an earlier run.

        Told again where blocks prove to be damaged, and are computed again.
        """

    def windows(self, count: int) -> None:
        """So many more windows were computed."""

    def block_done(self, block: Block, receipt: BlockReceipt) -> None:
        """A block is finished."""

    def stage(self, name: str) -> None:
        """A stage begins: ``assemble`` or ``publish``."""


class Quiet:
    """Progress that nobody looks at."""

    def planned(self, plan: Plan, remaining: list[Block]) -> None: ...
    def windows(self, count: int) -> None: ...
    def block_done(self, block: Block, receipt: BlockReceipt) -> None: ...
    def stage(self, name: str) -> None: ...


def map_region(
    request: RegionRequest | Mapping[str, Any] | None = None,
    *,
    progress: Progress | bool = False,
    workers: int | None = None,
    batch_size: int | None = None,
    devices: Sequence[str] | None = None,
    check_files: bool = False,
    **fields: Any,
) -> MapResult:
    """Maps a region: plans it, computes its blocks, assembles mosaics and publishes report and item.

    A run that was stopped goes on where it was; one that is complete is recognised and returned at once.

    Args:
        request: what to map: a request, or an object of its fields.
        progress: True for bars in a terminal or notebook and lines elsewhere; or what is told what happens.
        workers: blocks computed at the same time; by default one for each processor, at most 4. With ``devices``, in
            each process; by default 1 on the CPU and up to 4 on a GPU.
        batch_size: windows per call of the model; by default what suits the device.
        devices: a worker process for each, such as ``["cuda:0", "cuda:1"]`` or ``["cpu", "cpu"]``, all of the kind of
            the request's device; by default threads of this process use that device. Results do not depend on it.
        check_files: whether the files of a run that is complete are read and compared with the hashes in its item;
            sizes are compared in any case. What is damaged is made anew.
        fields: of a request, in place of one or of its own: ``map_region(region="33TWL", datetime="2023-08")``.

    Raises:
        EmptyMapError: no pixel of the region has data; the files are written all the same.
        CheckFailedError: seams show beyond the request's ``max_seam``; likewise.
        TerramosaicError: one of its kinds, in one line. What is finished by then stays finished.
    """
    request = requested(request, fields)
    require_device_here(request.device, devices)
    return map_plan(
        plan(request),
        progress=progress,
        workers=workers,
        batch_size=batch_size,
        devices=devices,
        check_files=check_files,
    )


def map_plan(
    plan: Plan,
    *,
    progress: Progress | bool = False,
    workers: int | None = None,
    batch_size: int | None = None,
    devices: Sequence[str] | None = None,
    check_files: bool = False,
) -> MapResult:
    """Carries out a plan; see `map_region`."""
    with _telling(progress) as told:
        return _mapped(as_begun(plan), told, workers, batch_size, devices, check_files)


def require_device_here(device: str, devices: Sequence[str] | None) -> None:
    """Makes sure that this process can use a request's device, where it is this one that computes the blocks.

    Raises:
        ModelError: it cannot; says what is missing.
    """
    if devices is None and device != AUTO:  # which becomes one that can be used
        require_device(parse_device(device))


def _telling(progress: Progress | bool) -> AbstractContextManager[Progress]:
    if progress is True:
        from terramosaic.run.progress import shown_progress  # for start-up time: workers show none

        return shown_progress()
    return nullcontext(progress or Quiet())


def _mapped(
    plan: Plan,
    progress: Progress,
    workers: int | None,
    batch_size: int | None,
    devices: Sequence[str] | None,
    check_files: bool,
) -> MapResult:
    chosen = None if devices is None else worker_devices(devices, plan.request.device)
    if remove_flaws(plan, hashes=check_files):
        progress.planned(plan, [])
        publish(plan)
        return _result(plan, was_done=True)
    require_device_here(plan.request.device, devices)
    write_plan(plan)
    begin_attempt(plan)

    def attempt(_: object) -> dict[str, TerramosaicError]:
        _compute(plan, progress, workers, batch_size, chosen)
        require_imagery(plan)
        try:
            progress.stage("assemble")
            assemble(plan)
            progress.stage("publish")
            publish(plan)
        except DamagedBlocksError as error:
            return {plan.run_id: error}
        return {}

    for failure in until_whole({plan.run_id: plan}, attempt).values():
        raise failure
    return _result(plan)


def _result(plan: Plan, *, was_done: bool = False) -> MapResult:
    if error := empty_map(plan) or seams_beyond_limit(plan):
        raise error
    return result_of(plan, was_done=was_done)


def _compute(
    plan: Plan,
    progress: Progress,
    workers: int | None,
    batch_size: int | None,
    devices: Sequence[Device] | None,
) -> None:
    """Has the blocks computed that are not done."""
    jobs = jobs_left([plan])
    progress.planned(plan, [job.block for job in jobs])
    if not jobs:
        return
    how: dict[str, Any] = {"batch_size": batch_size, "on_windows": progress.windows}
    with (
        Threads(parse_device(plan.request.device), workers, **how)
        if devices is None
        else DeviceProcesses(plan, devices[: len(jobs)], workers, **how)
    ) as workforce:
        failures = carry_out(jobs, workforce, progress)
    if failures:
        raise blocks_failed([failure.error for failure in failures], len(plan.blocks))
