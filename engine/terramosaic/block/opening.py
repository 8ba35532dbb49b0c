"""Opens what a block's windows are cut from, input by input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from terramosaic.block.dated import DatedInputs
from terramosaic.block.inputs import BlockInputs
from terramosaic.block.optical import optical_inputs
from terramosaic.block.radar_rows import RadarLead, RadarRows
from terramosaic.block.read_rows import InputRows, ReadRows
from terramosaic.block.windows import HeldRows, WindowRow, pixels_under
from terramosaic.catalog.assets import Source
from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.elevation import Elevation
from terramosaic.ground.grid import Rect
from terramosaic.imagery.backscatter import read_backscatter
from terramosaic.imagery.elevation import read_elevation
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.scene_decision import Inspectable, SceneDecision
from terramosaic.imagery.stack import Imagery, StackReader, read_ahead
from terramosaic.planning.dates import distinct, imagery_names
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.heights import DEM
from terramosaic.planning.plan import Block, Plan
from terramosaic.planning.radar import RADAR, Radar


class Decisions(Protocol):
    """Who tells what is decided about scenes of any satellite; see `terramosaic.imagery.inspection.SceneBook`."""

    def leaves_out(self, scene: Source) -> bool:
        """Whether it is known by now that the scene is left out; asked before any file of it."""

    def decision(self, reader: SceneReader | Inspectable) -> SceneDecision:
        """What is decided about a scene; asked before its first pixel is used."""

    def uses(self, scene: Source) -> None:
        """The scene had pixels that were asked for: what is made of them hangs on what was decided about it."""


#: Opens what windows are cut from: of the rows of windows that touch a rectangle, and of that.
OpenInputs = Callable[[Sequence[WindowRow], Rect], AbstractContextManager[BlockInputs | DatedInputs]]


def scenes_under(plan: Plan, block: Block, decisions: Decisions, run: RunFolder | None = None) -> OpenInputs:
    """Has windows of a block, or of a part of it, cut from the scenes; see `held_inputs`."""
    return partial(held_inputs, plan, block, decisions=decisions, run=run)


@contextmanager
def held_inputs(
    plan: Plan,
    block: Block,
    rows: Sequence[WindowRow],
    part: Rect,
    decisions: Decisions,
    run: RunFolder | None,
) -> Iterator[BlockInputs | DatedInputs]:
    """What windows of a block are cut from; reading ends with the context.

    Args:
        plan: the run's.
        block: one of its blocks.
        rows: its windows, or those of a part of it.
        part: the pixels that these are computed for.
        decisions: which scenes are used, and what their numbers mean.
        run: where files that fail for good are marked; of None, nowhere.
    """
    with ExitStack() as opened:
        opening = _Opening(plan, block, rows, part, decisions, run, opened)
        static = opening.heights()
        if not plan.dates:
            yield opening.inputs(plan.radar, static)
            return
        acquisitions = distinct(plan.dates)
        of_each = {
            one.acquisition: opening.inputs(plan.radar_of(one), static, one.acquisition, len(acquisitions))
            for one in acquisitions
        }
        yield DatedInputs([of_each[one.acquisition] for one in plan.dates])


@dataclass(frozen=True)
class _Opening:
    """Opens inputs of a block, all in one context; see `held_inputs`."""

    plan: Plan
    block: Block
    rows: Sequence[WindowRow]
    part: Rect
    decisions: Decisions
    run: RunFolder | None
    opened: ExitStack

    def heights(self) -> dict[str, InputRows]:
        """The DEM, if it is an input."""
        if self.plan.heights is None:
            return {}
        read = partial(_read_heights, self.plan.heights.elevation, self.block.epsg, self.decisions, self.run)
        windows = (window for row in self.rows for window in row.windows)
        return {DEM: self.opened.enter_context(ReadRows(read, windows))}

    def inputs(
        self,
        radar: Radar | None,
        static: Mapping[str, InputRows],
        acquisition: int | None = None,
        stacks: int = 1,
    ) -> BlockInputs:
        """The inputs of the block, or of one of its acquisitions.

        Args:
            radar: the Sentinel-1 that windows are cut from, if it is an input.
            static: inputs that are the same on every date.
            acquisition: which alone, from 0, if not all.
            stacks: held at the same time.
        """
        plan, block = self.plan, self.block
        rect, wanted = pixels_under(self.rows, self.part)
        composite = plan.request.composite if acquisition is None else "single"
        others, held_passes = dict(static), None
        if radar is not None:
            choice = radar.window_passes(block.epsg, rect, composite)
            reads = [
                partial(_read_backscatter, slices, block.epsg, self.decisions, self.run)
                for slices in choice.slices_under(rect)
            ]
            labels = [one.label for one in radar.oldest_first]
            held_passes = self.opened.enter_context(closing(RadarRows(reads, choice, self.rows, labels)))
            if plan.is_led_by_radar:
                lead = RadarLead(held_passes, _numbers(radar, block))
                return BlockInputs(RADAR, lead, others, held_passes)
            others[RADAR] = held_passes
        optical = plan.optical
        assert optical is not None  # else radar leads
        imagery = Imagery(
            epsg=block.epsg,
            bands=optical.bands,
            beside=optical.beside,
            # Of one acquisition the others are there without scenes, so that it has its number among all.
            acquisitions=tuple(
                tuple(plan.scenes[key] for key in keys) if acquisition in (None, place) else ()
                for place, keys in enumerate(block.acquisitions)
            ),
            composite=composite,
            decisions=self.decisions,
            run=self.run,
            stacks=stacks,
        )
        stack = self.opened.enter_context(StackReader(imagery, rect, wanted))
        strips = self.opened.enter_context(closing(read_ahead(stack.strips())))
        keeps_imagery = any(layer.kind == "imagery" for layer in plan.layers)
        kept = imagery_names(plan.dates)[acquisition] if keeps_imagery else ""
        held = HeldRows(strips, optical.bands, kept=kept, last=self.part.row_end)
        return replace(optical_inputs(held, optical, others), radar=held_passes)


def _read_backscatter(
    slices: Sequence[BackscatterScene], epsg: int, decisions: Decisions, run: RunFolder | None, rect: Rect
) -> tuple[np.ndarray, np.ndarray]:
    found = read_backscatter(slices, rect, epsg, decisions, run)
    return found.db, found.marks


def _read_heights(
    elevation: Elevation, epsg: int, decisions: Decisions, run: RunFolder | None, rect: Rect
) -> tuple[np.ndarray, np.ndarray]:
    found = read_elevation(elevation, rect, epsg, decisions, run)
    return found.metres, found.marks


def _numbers(radar: Radar, block: Block) -> list[int]:
    """By pass, the oldest first, which of a block's acquisitions it is, from 1; 0 where it does not touch the block."""
    of_scene = {key: number for number, keys in enumerate(block.acquisitions, start=1) for key in keys}
    passes = radar.passes_with_scenes()
    return [max((of_scene.get(scene.key, 0) for scene in one.scenes), default=0) for one in passes]
