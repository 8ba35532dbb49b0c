"""Verifying a run: its files against its item, and windows drawn at random against their sources."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import numpy as np

from terramosaic.block.block import open_model
from terramosaic.block.opening import OpenInputs, scenes_under
from terramosaic.block.tokens import TokenSheet
from terramosaic.errors import CatalogError, NotVerifiableError, RequestError
from terramosaic.ground.lattice import Lattice
from terramosaic.imagery.pool import READERS
from terramosaic.model.bundle import load_bundle
from terramosaic.model.device_lock import device_to_itself
from terramosaic.model.devices import parse_device, resolve
from terramosaic.model.generator import Generator as Model
from terramosaic.model.generator import GeneratorWithTokens
from terramosaic.model.manifest import COORDINATES
from terramosaic.model.surroundings import processor
from terramosaic.planning.finished import checksums_in
from terramosaic.planning.folder import RunFolder, flaws_of, mosaics_of
from terramosaic.planning.identity import PIXELS, other_model, run_id_of
from terramosaic.planning.lattices import cover_of
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import exists
from terramosaic.storage.gdal import local_files
from terramosaic.trust.kept import KeptImagery
from terramosaic.trust.origins import Origins
from terramosaic.trust.recomputing import PublishedMosaics, Recomputed, differing, recomputed
from terramosaic.trust.sampling import Draw, Windows
from terramosaic.trust.sources import RunSources
from terramosaic.trust.tolerance import TOLERANCES
from terramosaic.trust.verification import DifferingWindow, FileFlaw, Verification
from terramosaic.trust.versions import versions

#: What differs of a window, if anything, and whether all of it has the same bits.
_Outcome = tuple[DifferingWindow | None, bool]


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

    What was computed in the same surroundings must have the same bits; for what was not see `Tolerance`.

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
        tolerance=str(check.tolerance) if check.elsewhere else "",
        seed=seed,
        whole=drawable.whole,
        files=sum(checksum is not None for checksum in told.values()),
        flaws=tuple(flaws),
        model=model,
        windows=len(drawable),
        planned=plan.figures.windows,
        drawn=len(drawn),
        blocks=len(plan.blocks),
        blocks_seen=len(check.blocks),
        verified=check.verified,
        close=check.close,
        elsewhere=dict(check.elsewhere),
        tokens_same=check.tokens_same,
        tokens_drawn=check.tokens_drawn,
        pixels=check.pixels,
        differing=tuple(check.differing),
        not_verifiable=dict(check.not_verifiable),
        from_imagery=dict(check.from_imagery),
        changed=check.sources.changed,
        mosaics={name: told.get(path.name) or "" for name, path in mosaics_of(plan).items()},
        seconds=round(time.perf_counter() - started, 3),
    )


class _Check:
    """Compares windows one after the other, and counts."""

    def __init__(self, plan: Plan, device: str, deadline: float | None) -> None:
        self.verified = self.close = self.pixels = 0
        self.tokens_same = self.tokens_drawn = 0
        self.blocks: set[str] = set()
        self.differing: list[DifferingWindow] = []
        self.not_verifiable: Counter[str] = Counter()
        self.elsewhere: Counter[str] = Counter()
        self.from_imagery: Counter[str] = Counter()
        self._plan, self._device, self._deadline = plan, parse_device(device), deadline
        self.tolerance = TOLERANCES[self._device.kind]
        self.sources = RunSources(plan)

    def run(self, drawn: list[Draw], on_window: Callable[[int, int], None]) -> None:
        with (
            device_to_itself(self._device),
            READERS.closing_idle(),
            PublishedMosaics(self._plan) as mosaics,
            local_files(),
        ):
            origins = Origins(self._plan, self._device)
            model = open_model(self._plan, str(self._device), threads=origins.here.threads)
            for done, draw in enumerate(drawn):
                if self._deadline is not None and time.perf_counter() > self._deadline:
                    return
                self._look_at(draw, origins, model, mosaics)
                on_window(done + 1, len(drawn))

    def _look_at(self, draw: Draw, origins: Origins, model: Model, mosaics: PublishedMosaics) -> None:
        elsewhere, chain = origins.unlike(draw.block), origins.tokens(draw.block)

        def against(inputs: OpenInputs, layers: tuple[Layer, ...]) -> _Outcome:
            how: dict[str, Any] = {"layers": layers, "batch_size": origins.here.batch, "chain": chain}
            made = recomputed(self._plan, draw.block, draw.rect, draw.lattice, model, inputs, **how)
            return self._held_against(draw, made, mosaics, elsewhere, chain)

        found, is_exact, lost = self._against_sources(draw, against)
        kept, is_kept = KeptImagery(self._plan, mosaics), False
        if lost and kept.reaches:
            # That the mosaic itself is missing or damaged is told where files are checked.
            with suppress(NotVerifiableError):
                found, is_exact = against(kept.under(self._plan.zone_of(draw.block)), kept.layers)
                is_kept = True
        if lost and not is_kept:
            self.not_verifiable[lost] += 1
            return
        if found is not None and elsewhere and chain is None and isinstance(model, GeneratorWithTokens):
            # One token that falls to the other side of an equal lead changes a patch, and all that follows from it.
            self.not_verifiable[f"its tokens were not kept, and it was computed elsewhere ({elsewhere})"] += 1
            return
        self.blocks.add(draw.block.id)
        if is_kept:
            self.from_imagery[lost] += 1
        if elsewhere:
            self.elsewhere[elsewhere] += 1
        if found is not None:
            self.differing.append(found)
            return
        self.verified += 1
        self.close += not is_exact
        self.pixels += draw.rect.height * draw.rect.width

    def _against_sources(
        self, draw: Draw, against: Callable[[OpenInputs, tuple[Layer, ...]], _Outcome]
    ) -> tuple[DifferingWindow | None, bool, str]:
        """The outcome by the sources as they are by now, and why they tell nothing, if so."""
        self.sources.begin(draw.block.epsg, cover_of(self._plan.lattices, draw.rect))
        while True:
            try:
                found, is_exact = against(
                    scenes_under(self._plan, draw.block, self.sources), self._plan.layers
                )
                break
            except CatalogError as error:
                if not self.sources.can_do_without(error):
                    self.sources.changed_meanwhile()
                    return None, False, error.text
        changed = self.sources.changed_meanwhile()
        if found is not None and changed:
            return None, False, f"files of {', '.join(changed)} have changed since the run read them"
        return found, is_exact, ""

    def _held_against(
        self,
        draw: Draw,
        made: Recomputed,
        mosaics: PublishedMosaics,
        elsewhere: str,
        chain: Mapping[Lattice, TokenSheet] | None,
    ) -> _Outcome:
        """What differs of a window, by more than may differ there; and whether all of it has the same bits."""
        zone = self._plan.zone_of(draw.block)
        published = {name: mosaics.read(zone, self._plan.layer(name), draw.rect) for name in made.pixels}
        own = draw.lattice
        same, drawn = chain[own].agreement(made.tokens[own]) if chain and own in chain else (0, 0)
        self.tokens_same, self.tokens_drawn = self.tokens_same + same, self.tokens_drawn + drawn
        found = self._compared(draw, made, published, lambda _, ours, theirs: differing(ours, theirs))
        if made.places is not None:
            differ, asked = mosaics.places_that_differ(draw.block.epsg, made.places)
            # Elsewhere a place may be another one as a token may: it is drawn of the same kind of numbers.
            same, drawn = same + asked - differ, drawn + asked
            if differ and not elsewhere:
                counts = (found.mosaics if found else {}) | {COORDINATES: differ}
                found = found or self._differing(draw, counts, np.ones(draw.rect.shape, bool))
                found = found.model_copy(update={"mosaics": counts})
        is_exact = found is None and same == drawn
        if is_exact or not elsewhere:
            return found, is_exact
        found = self._compared(draw, made, published, self.tolerance.beyond)
        if not self.tolerance.tokens_agree(same, drawn):
            found = found or self._differing(draw, {}, np.ones(draw.rect.shape, bool))
            found = found.model_copy(update={"tokens": drawn - same, "tokens_drawn": drawn})
        return found and found.model_copy(update={"beyond_tolerance": True}), False

    def _compared(
        self,
        draw: Draw,
        made: Recomputed,
        published: Mapping[str, np.ndarray | None],
        unlike: Callable[[Layer, np.ndarray, np.ndarray | None], np.ndarray],
    ) -> DifferingWindow | None:
        zone = self._plan.zone_of(draw.block)
        counts: dict[str, int] = {}
        anywhere = np.zeros(draw.rect.shape, bool)
        for name, ours in made.pixels.items():
            there = unlike(self._plan.layer(name), ours, published[name])
            if there.any():
                counts[RunFolder.of(self._plan).mosaic(self._plan, zone, name).stem] = int(there.sum())
                anywhere |= self._plan.layer(name).spread(there, draw.rect)
        return self._differing(draw, counts, anywhere) if counts else None

    def _differing(self, draw: Draw, counts: dict[str, int], pixels: np.ndarray) -> DifferingWindow:
        zone, stride = self._plan.zone_of(draw.block), draw.lattice.stride
        row, col = np.argwhere(pixels)[0]
        first = int(row) + draw.rect.row - zone.rect.row, int(col) + draw.rect.col - zone.rect.col
        return DifferingWindow(
            block=draw.block.id,
            stride=None if stride == self._plan.stride else stride,
            i=draw.i,
            j=draw.j,
            mosaics=counts,
            compared=pixels.size,
            first=first,
        )


def _device(plan: Plan, asked: str | None) -> str:
    """Where windows are computed: pixels are those of the run on its own kind of device alone."""
    own = parse_device(plan.request.device)
    if asked is None:
        return str(own)
    device = resolve(asked)
    if device.kind != own.kind:
        raise RequestError(
            f"device: the run was made on {own.kind}, and another kind rounds otherwise; take a {own.kind} device"
        )
    return str(device)


def _of_the_plan(plan: Plan) -> list[FileFlaw]:
    """Whether a plan is still the one that the run's id is the hash of."""
    if plan.pixels != PIXELS or run_id_of(plan) == plan.run_id:
        return []
    return [
        FileFlaw(file="plan.json", reason=f"what it says has another id than the run ({run_id_of(plan)})")
    ]
