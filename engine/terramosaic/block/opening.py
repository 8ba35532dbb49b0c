"""Opens what a block's windows are cut from, input by input."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from typing import Protocol

import numpy as np

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
OpenInputs = Callable[[Sequence[WindowRow], Rect], AbstractContextManager[BlockInputs]]


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
) -> Iterator[BlockInputs]:
    """What windows of a block are cut from; reading ends with the context.

    Args:
        plan: the run's.
        block: one of its blocks.
        rows: its windows, or those of a part of it.
        part: the pixels that these are computed for.
        decisions: which scenes are used, and what their numbers mean.
        run: where files that fail for good are marked; of None, nowhere.
    """
    rect, wanted = pixels_under(rows, part)
    with ExitStack() as opened:
        others: dict[str, InputRows] = {}
        if plan.heights is not None:
            read = partial(_read_heights, plan.heights.elevation, block.epsg, decisions, run)
            others[DEM] = opened.enter_context(
                ReadRows(read, (window for row in rows for window in row.windows))
            )
        radar = None
        if plan.radar is not None:
            choice = plan.radar.window_passes(block.epsg, rect, plan.request.composite)
            reads = [
                partial(_read_backscatter, slices, block.epsg, decisions, run)
                for slices in choice.slices_under(rect)
            ]
            radar = opened.enter_context(closing(RadarRows(reads, choice, rows)))
        if radar is not None and plan.radar is not None and plan.is_led_by_radar:
            yield BlockInputs(RADAR, RadarLead(radar, _numbers(plan.radar, block)), others)
            return
        if radar is not None:
            others[RADAR] = radar
        optical = plan.optical
        assert optical is not None  # else radar leads
        imagery = Imagery(
            epsg=block.epsg,
            bands=optical.bands,
            beside=optical.beside,
            acquisitions=tuple(tuple(plan.scenes[id_] for id_ in ids) for ids in block.acquisitions),
            composite=plan.request.composite,
            decisions=decisions,
            run=run,
        )
        stack = opened.enter_context(StackReader(imagery, rect, wanted))
        strips = opened.enter_context(closing(read_ahead(stack.strips())))
        keeps_imagery = any(layer.kind == "imagery" for layer in plan.layers)
        held = HeldRows(strips, optical.bands, kept=keeps_imagery, last=part.row_end)
        yield optical_inputs(held, optical, others)


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
