"""Verifying a run: its files against its item, and windows drawn at random against their sources."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np

from terramosaic.block.block import open_model
from terramosaic.errors import CatalogError, RequestError
from terramosaic.ground.lattice import Lattice
from terramosaic.imagery.pool import READERS
from terramosaic.model.bundle import load_bundle
from terramosaic.model.device_lock import device_to_itself
from terramosaic.model.devices import parse_device, resolve
from terramosaic.model.generator import BATCH_SIZES
from terramosaic.model.generator import Generator as Model
from terramosaic.model.surroundings import processor
from terramosaic.planning.finished import checksums_in
from terramosaic.planning.folder import RunFolder, flaws_of, mosaics_of
from terramosaic.planning.identity import PIXELS, other_model, run_id_of
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import exists
from terramosaic.storage.gdal import local_files
from terramosaic.trust.recomputing import PublishedMosaics, differing, recomputed
from terramosaic.trust.sampling import Draw, Windows, has_cores
from terramosaic.trust.sources import RunSources
from terramosaic.trust.verification import DifferingWindow, FileFlaw, Verification
from terramosaic.trust.versions import versions


def verified(
    plan: Plan,
    *,
    windows: int = 300,
    whole: bool = False,
    minutes: float | None = None,
    seed: int | None = None,
    device: str | None = None,
    on_window: Callable[[int, int], None] = lambda done, drawn: None,
) -> Verification:
    """Checks a finished run, and writes nothing.

    Args:
        plan: the run's.
        windows: how many are drawn.
        whole: whether all of a window is compared, which takes all windows that overlap it; by default its core, which
            takes itself alone. Windows at strides of half their side or less have no core and are compared whole.
        minutes: after which no other window is begun; windows are then looked at in random order.
        seed: of the drawing; by default another one each time.
        device: where windows are computed; by default where the run's were. It must be of the same kind.
        on_window: told how many windows were looked at, of how many.

    Raises:
        RequestError: the run is not finished, or the device is of another kind.
        ModelError: the model cannot be opened, or failed.
        OutputError: the store that the run lies in failed.
    """
    started, created = time.perf_counter(), datetime.now(UTC)
    folder = RunFolder.of(plan)
    if not exists(folder.item_file):
        raise RequestError(f"run: {folder.path} is not finished; run the same request again to go on with it")
    device = _device(plan, device)
    seed = secrets.randbits(32) if seed is None else seed
    whole = whole or not has_cores(plan.request.stride)
    told = checksums_in(folder.item_file)
    flaws = [FileFlaw(file=path.name, reason=reason) for path, reason in flaws_of(plan, hashes=True)]
    flaws += _of_the_plan(plan)
    drawable = Windows(plan, whole=whole)
    drawn = drawable.draw(windows, seed)
    if minutes is not None:
        np.random.default_rng(seed).shuffle(drawn)
    check = _Check(plan, device, None if minutes is None else started + 60 * minutes)
    model = other_model(plan, load_bundle(plan.request.model))
    if model:
        check.not_verifiable["the model is another one"] = len(drawn)
    elif plan.pixels != PIXELS:
        check.not_verifiable[f"version {plan.engine_version} made other pixels than this one"] = len(drawn)
    else:
        check.run(drawn, on_window)
    return Verification(
        run_id=plan.run_id,
        created=created,
        versions=versions(),
        device=device,
        processor=processor(),
        seed=seed,
        whole=whole,
        files=sum(checksum is not None for checksum in told.values()),
        flaws=tuple(flaws),
        model=model,
        windows=len(drawable),
        drawn=len(drawn),
        blocks=len(plan.blocks),
        blocks_seen=len(check.blocks),
        verified=check.verified,
        pixels=check.pixels,
        differing=tuple(check.differing),
        not_verifiable=dict(check.not_verifiable),
        changed=check.sources.changed,
        mosaics={name: told.get(path.name) or "" for name, path in mosaics_of(plan).items()},
        seconds=round(time.perf_counter() - started, 3),
    )


class _Check:
    """Compares windows one after the other, and counts."""

    def __init__(self, plan: Plan, device: str, deadline: float | None) -> None:
        self.verified = self.pixels = 0
        self.blocks: set[str] = set()
        self.differing: list[DifferingWindow] = []
        self.not_verifiable: Counter[str] = Counter()
        self._plan, self._device, self._deadline = plan, parse_device(device), deadline
        self._lattice, self.sources = Lattice(plan.request.stride), RunSources(plan)

    def run(self, drawn: list[Draw], on_window: Callable[[int, int], None]) -> None:
        with (
            device_to_itself(self._device),
            READERS.closing_idle(),
            PublishedMosaics(self._plan) as mosaics,
            local_files(),
        ):
            model = open_model(self._plan, str(self._device))
            for done, draw in enumerate(drawn):
                if self._deadline is not None and time.perf_counter() > self._deadline:
                    return
                self._look_at(draw, model, mosaics)
                on_window(done + 1, len(drawn))

    def _look_at(self, draw: Draw, model: Model, mosaics: PublishedMosaics) -> None:
        self.sources.begin(draw.block.epsg, self._lattice.cover(draw.rect))
        try:
            made = self._recomputed(draw, model)
        except CatalogError as error:
            self.not_verifiable[error.text] += 1
            self.sources.changed_meanwhile()
            return
        found, changed = self._compared(draw, made, mosaics), self.sources.changed_meanwhile()
        if found is not None and changed:
            self.not_verifiable[f"files of {', '.join(changed)} have changed since the run read them"] += 1
            return
        self.blocks.add(draw.block.id)
        if found is None:
            self.verified += 1
            self.pixels += draw.rect.height * draw.rect.width
        else:
            self.differing.append(found)

    def _recomputed(self, draw: Draw, model: Model) -> dict[str, np.ndarray]:
        size = BATCH_SIZES[self._device.kind].call
        while True:
            try:
                return recomputed(self._plan, draw.block, draw.rect, model, self.sources, batch_size=size)
            except CatalogError as error:
                if not self.sources.can_do_without(error):
                    raise

    def _compared(
        self, draw: Draw, made: dict[str, np.ndarray], mosaics: PublishedMosaics
    ) -> DifferingWindow | None:
        zone = self._plan.zone_of(draw.block)
        counts: dict[str, int] = {}
        unlike = np.zeros(draw.rect.shape, bool)
        for layer in self._plan.layers:
            there = differing(made[layer.name], mosaics.read(zone, layer, draw.rect))
            if there.any():
                counts[RunFolder.of(self._plan).mosaic(self._plan, zone, layer.name).stem] = int(there.sum())
                unlike |= there
        if not counts:
            return None
        row, col = np.argwhere(unlike)[0]
        first = int(row) + draw.rect.row - zone.rect.row, int(col) + draw.rect.col - zone.rect.col
        return DifferingWindow(
            block=draw.block.id, i=draw.i, j=draw.j, mosaics=counts, compared=unlike.size, first=first
        )


def _device(plan: Plan, asked: str | None) -> str:
    """Where windows are computed: bits are those of the run on its own kind of device alone."""
    own = parse_device(plan.request.device)
    if asked is None:
        return str(own)
    device = resolve(asked)
    if device.kind != own.kind:
        raise RequestError(
            f"device: the run was made on {own.kind}, and windows are compared bit for bit; take a {own.kind} device"
        )
    return str(device)


def _of_the_plan(plan: Plan) -> list[FileFlaw]:
    """Whether a plan is still the one that the run's id is the hash of."""
    if plan.pixels != PIXELS or run_id_of(plan) == plan.run_id:
        return []
    return [
        FileFlaw(file="plan.json", reason=f"what it says has another id than the run ({run_id_of(plan)})")
    ]
