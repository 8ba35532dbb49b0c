"""One block, from scenes to rasters: reading ahead, windows, model, blending and writing, at the same time.

    strips of the stack → windows → batches → model → accumulator → finished rows → block rasters

A block computes every window that touches the region in it, also those that stick out, so its neighbours agree with it
bit for bit on what they share.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, closing, nullcontext
from functools import partial

from terramosaic.block.fence import Fence
from terramosaic.block.opening import scenes_under
from terramosaic.block.rasters import BlockRasters, Written
from terramosaic.block.receipt import BlockReceipt, finished_block
from terramosaic.block.rows import BlockRows
from terramosaic.errors import TerramosaicError, UnusableFileError
from terramosaic.imagery.inspection import SceneBook
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.json_log import ContextPool, about, about_run
from terramosaic.model.device_lock import device_to_itself
from terramosaic.model.devices import Device, available_cpus, parse_device
from terramosaic.model.generator import BATCH_SIZES, GenerationOptions
from terramosaic.model.generator import Generator as Model
from terramosaic.model.opening import open_generator, threads_for
from terramosaic.model.shared_batches import SharedBatches
from terramosaic.model.sharing import with_shared_batches
from terramosaic.model.surroundings import Surroundings
from terramosaic.planning.folder import RunFolder, write_plan
from terramosaic.planning.identity import own_bundle, require_own_pixels
from terramosaic.planning.plan import Block, Plan
from terramosaic.storage.files import exists, write_json
from terramosaic.storage.gdal import local_files
from terramosaic.storage.meter import METER, Taken
from terramosaic.storage.tally import flush

logger = logging.getLogger(__name__)

#: Finished bands of rows that may wait for the writer.
_WRITES_AHEAD = 2


@about_run
def run_block(
    plan: Plan,
    block: Block,
    *,
    model: Model | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    threads: int | None = None,
    on_windows: Callable[[int], None] | None = None,
    fence: Fence | None = None,
) -> BlockReceipt:
    """Computes one block and writes its rasters; one that is done already is not done again.

    Args:
        plan: the run's plan.
        block: one of the plan's blocks.
        model: the generator; by default the plan's bundle on the device, opened once per process.
        device: where to run, such as ``cuda:1``; by default the plan's device.
        batch_size: windows per call of the model; by default what suits the device, as ``BATCH_SIZES`` has it.
            Results do not depend on it with the demo bundle.
        threads: processors for the model on the CPU; by default all. Results do not depend on it with the demo bundle.
        on_windows: called with the number of windows done since the last call.
        fence: once closed, the block stops between two batches and writes nothing more.

    Raises:
        RequestError: the plan's other blocks have pixels that this version does not make, or were made by another
            model than the one that is in its place now.
        CatalogError: an asset could not be read after retries, which another time it may; names it.
        ModelError: the model or its device failed.
        OutputError: a raster could not be written.
    """
    done = finished_block(plan, block)
    if done is not None:
        if on_windows:
            on_windows(block.windows)
        return done
    require_own_pixels(plan)
    folder = RunFolder.of(plan)
    if not exists(folder.plan_file):
        write_plan(plan)
    device = device or plan.request.device
    fence = fence or Fence()
    batch_size = batch_size or BATCH_SIZES[parse_device(device).kind].call
    try:
        with about(block=block.id), device_to_itself(parse_device(device), fence.closed):
            if model is None:
                model = _with_shared_batches(plan, open_model(plan, device, threads=threads))
            surroundings = Surroundings.of(
                parse_device(device), threads=threads or available_cpus(), batch=batch_size
            )
            job = partial(_BlockJob, plan, block, model, device, surroundings, fence)
            with model.taking_part() if isinstance(model, SharedBatches) else nullcontext():
                receipt = _computed(plan, job, on_windows or (lambda _: None))
            seconds = receipt.seconds["total"]
            logger.info("block %s: %d windows in %.1f s", block.id, receipt.windows, seconds)
    except TerramosaicError as error:
        error.within(f"block {block.id}")
        raise
    finally:
        flush()  # a worker process may end without another word
    if on_windows and receipt.windows < block.windows:
        on_windows(block.windows - receipt.windows)  # those without a valid pixel were left out
    return receipt


def open_model(plan: Plan, device: str | None = None, *, threads: int | None = None) -> Model:
    """Opens the plan's model, once per process.

    Args:
        plan: a run's plan.
        device: where to run; by default the plan's device.
        threads: processors for the model on the CPU; by default all.

    Raises:
        RequestError: another model is in its place now.
        ModelError: the bundle is broken, or the device cannot be used.
    """
    request = plan.request
    options = GenerationOptions(
        steps=request.steps,
        conditioning=request.conditioning,
        sampling=request.sampling,
        x0_clip=request.x0_clip,
        x0_clips=tuple(sorted(request.x0_clips.items())),
        inputs=request.inputs,
        tokenised=request.tokenised,
        reconstruct=request.reconstruct,
        consensus=request.consensus == "tokens",
        precision=request.precision,
    )
    return open_generator(
        own_bundle(plan),
        request.targets,
        device or request.device,
        options=options,
        threads=threads,
    )


def model_threads(plan: Plan, device: Device, *, processors: int, blocks: int) -> int:
    """Processors for each run of the plan's model where several blocks are computed side by side; see `threads_for`."""
    return threads_for(own_bundle(plan), plan.request.targets, device, processors=processors, blocks=blocks)


def _with_shared_batches(plan: Plan, model: Model) -> Model:
    if plan.request.consensus == "tokens":  # sums of logits are a block's own
        return model
    return with_shared_batches(model, own_bundle(plan), plan.request.inputs)


def _computed(
    plan: Plan, job: Callable[[Callable[[int], None]], _BlockJob], on_windows: Callable[[int], None]
) -> BlockReceipt:
    """Computes a block; anew without a scene one of whose files turns out, in the midst of it, to be of no use."""
    records, tally = SceneRecords(RunFolder.of(plan)), _Tally(on_windows)
    # Each time round there is a scene less, so there are no more of them than scenes.
    for _ in plan.items:
        try:
            return job(tally.begin()).run()
        except UnusableFileError as error:
            records.put(SceneDecision.without(error))
    return job(tally.begin()).run()


class _Tally:
    """Tells windows that were computed, and of those that are computed again only the ones beyond."""

    def __init__(self, on_windows: Callable[[int], None]) -> None:
        self._on_windows = on_windows
        self._told = self._now = 0

    def begin(self) -> Callable[[int], None]:
        """Begins from none."""
        self._now = 0
        return self._add

    def _add(self, count: int) -> None:
        self._now += count
        if self._now > self._told:
            further, self._told = self._now - self._told, self._now
            self._on_windows(further)


class _BlockJob:
    def __init__(
        self,
        plan: Plan,
        block: Block,
        model: Model,
        device: str,
        surroundings: Surroundings,
        fence: Fence,
        on_windows: Callable[[int], None],
    ) -> None:
        self._plan, self._block, self._device, self._fence = plan, block, device, fence
        self._surroundings = surroundings
        self._scenes = SceneBook(plan.request, RunFolder.of(plan))
        self._rows = BlockRows(
            plan,
            block,
            model,
            scenes_under(plan, block, self._scenes, RunFolder.of(plan)),
            batch_size=surroundings.batch,
            check=fence.check,
            on_windows=on_windows,
        )

    def run(self) -> BlockReceipt:
        started = time.perf_counter()
        with local_files(), METER.piece() as taken, ExitStack() as stack:
            rasters = stack.enter_context(BlockRasters(self._plan, self._block, self._rows.bundle))
            writer = stack.enter_context(ContextPool(1, thread_name_prefix="write"))
            writes: deque[Future[None]] = deque()
            # Generators are closed by hand: an error's traceback would keep them, and their reading thread, alive.
            for band, source in stack.enter_context(closing(self._rows.finished())):
                writes.append(writer.submit(rasters.write, band, source))
                while len(writes) > _WRITES_AHEAD:
                    writes.popleft().result()
            for write in writes:
                write.result()
            written = rasters.finish(self._rows.sheets)
            with self._fence.passing():
                # Of two that were given the same block the first has done it; its receipt is of its own rasters.
                first = finished_block(self._plan, self._block)
                if first is not None:
                    return first
                rasters.keep()
                receipt = self._receipt(rasters, written, time.perf_counter() - started, taken())
                write_json(
                    RunFolder.of(self._plan).receipt_file(self._block), receipt.model_dump(mode="json")
                )
        return receipt

    def _receipt(
        self, rasters: BlockRasters, written: Mapping[str, Written], total: float, taken: Taken
    ) -> BlockReceipt:
        seconds = self._rows.seconds
        return BlockReceipt(
            run_id=self._plan.run_id,
            block=self._block.id,
            windows=self._rows.windows,
            valid_pixels=rasters.valid_pixels,
            cloudy_pixels=rasters.cloudy_pixels,
            skipped_pixels=rasters.skipped_pixels,
            scenes=tuple(scene for scenes in self._block.acquisitions for scene in scenes),
            decisions=self._scenes.told,
            ndvi=rasters.ndvi,
            inputs=dict(rasters.inputs),
            passes=dict(rasters.passes),
            tokens=self._rows.distinct_tokens,
            files={name: each.size for name, each in written.items()},
            hashes={name: each.sha256 for name, each in written.items()},
            seconds={"total": total, **seconds, "other": total - sum(seconds.values())},
            processor_seconds=round(taken.processor_seconds, 3),
            read_bytes=round(taken.read_bytes),
            device=self._device,
            surroundings=self._surroundings,
        )
