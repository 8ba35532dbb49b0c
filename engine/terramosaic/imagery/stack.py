"""The stack of a block: harmonised reflectance on the grid, strip by strip, read ahead while the model works."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np

from terramosaic.bands import CIRRUS, SCL_UNCLASSIFIED
from terramosaic.catalog.scene import Scene
from terramosaic.ground.grid import Rect
from terramosaic.imagery.composite import (
    Composite,
    LazyObservation,
    Observation,
    best,
    clear_mask,
    fused,
    median,
)
from terramosaic.imagery.marks import Mark
from terramosaic.imagery.offset import harmonise
from terramosaic.imagery.pool import READERS
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.zeros import marks_of_unseen, mend
from terramosaic.json_log import ContextPool
from terramosaic.planning.folder import RunFolder

#: Rows read at once.
STRIP = 256

#: A median holds all its observations at once, and several dates are several stacks: with more than these a strip gets
#: lower, down to this height.
_OBSERVATIONS, _STRIP_LEAST = 8, 32


@dataclass(frozen=True)
class Strip:
    """Some rows of a stack.

    Attributes:
        rect: where they lie on the grid.
        dn: uint16 (bands, height, width), reflectance x 10 000, 0 = no data.
        valid: bool (height, width).
        cloudy: bool (height, width): valid, but no acquisition was clear.
        other_zone: bool (height, width): taken from a neighbouring zone's scene.
        repaired: bool (height, width): a band was 0 and was put right.
        acquisition: uint16 (height, width): which of `Imagery.acquisitions` was taken, counted from 1; 0 where none
            was, and where it is the median of several.
        marks: uint8 (height, width), why a pixel is not valid; see `Mark`.
    """

    rect: Rect
    dn: np.ndarray
    valid: np.ndarray
    cloudy: np.ndarray
    other_zone: np.ndarray
    repaired: np.ndarray
    acquisition: np.ndarray
    marks: np.ndarray


class Decisions(Protocol):
    """Who tells what is decided about scenes; see `terramosaic.imagery.inspection.SceneBook`."""

    def leaves_out(self, scene: Scene) -> bool:
        """Whether it is known by now that the scene is left out; asked before any file of it."""

    def decision(self, reader: SceneReader) -> SceneDecision:
        """What is decided about a scene; asked before its first pixel is used."""

    def uses(self, scene: Scene) -> None:
        """The scene had pixels that were asked for: what is made of them hangs on what was decided about it."""


@dataclass(frozen=True)
class Imagery:
    """What a block's pixels are made from.

    Attributes:
        epsg: the zone whose grid is filled.
        bands: of the scenes, in the order of `Strip.dn`.
        beside: bands that follow, of the scenes' L1C; a pixel is valid where both have seen it.
        acquisitions: scenes of each acquisition in rank order; a pixel is of the first scene that is clear there, else
            of the first that is valid.
        composite: how acquisitions are combined.
        decisions: which scenes are used, and what their numbers mean.
        run: the run that all this is for; see `SceneReader`.
        stacks: that are held at the same time, of as many dates; of many, strips get lower, as of a median.
    """

    epsg: int
    bands: tuple[str, ...]
    acquisitions: tuple[tuple[Scene, ...], ...]
    composite: Literal["best", "median", "single"]
    decisions: Decisions
    run: RunFolder | None = None
    beside: tuple[str, ...] = ()
    stacks: int = 1

    @property
    def depth(self) -> int:
        """How many bands a pixel has."""
        return len(self.bands) + len(self.beside)


class StackReader:
    """Reads the stack of one rectangle; a context, for its threads. Files stay open in the process's pool.

    Args:
        imagery: the scenes and how to combine them.
        rect: the rectangle.
        wanted: bool (height, width) of ``rect``: pixels that a window needs; others may stay empty.
        threads: bands read at the same time.
    """

    def __init__(self, imagery: Imagery, rect: Rect, wanted: np.ndarray, *, threads: int = 4) -> None:
        self._imagery, self._rect, self._wanted = imagery, rect, wanted
        self._pool = ContextPool(threads, thread_name_prefix="read")

    def __enter__(self) -> StackReader:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def strips(self) -> Iterator[Strip]:
        """The stack from top to bottom, cut at multiples of 256 rows of the grid; of fewer, where many are held."""
        height, held = STRIP, self._imagery.stacks
        if self._imagery.composite == "median":
            held *= len(self._imagery.acquisitions)
        while height > _STRIP_LEAST and height * held > STRIP * _OBSERVATIONS:
            height //= 2
        row = self._rect.row
        while row < self._rect.row_end:
            end = min((row // height + 1) * height, self._rect.row_end)
            yield self._strip(Rect(row, self._rect.col, end - row, self._rect.width))
            row = end

    def _strip(self, rect: Rect) -> Strip:
        wanted = self._wanted[rect.slices(self._rect)]
        composite = Composite.empty(self._imagery.depth, rect.shape)
        combine = median if self._imagery.composite == "median" else best
        combine(composite, wanted, self._observations(rect, own_zone=True))
        own = composite.valid.copy()
        # A neighbouring zone's scenes fill gaps only: a cloudy pixel of this zone's own is not a gap.
        gaps = wanted & ~own
        if gaps.any():
            combine(composite, gaps, self._observations(rect, own_zone=False))
        return Strip(
            rect,
            composite.dn,
            composite.valid,
            composite.cloudy,
            composite.valid & ~own,
            composite.repaired,
            composite.acquisition,
            # Of a pixel that is wanted and that no file tells of there is nothing.
            np.where(
                composite.valid,
                np.uint8(Mark.SEEN),
                np.maximum(composite.marks, wanted * np.uint8(Mark.MISSING)),
            ),
        )

    def _observations(self, rect: Rect, *, own_zone: bool) -> list[LazyObservation]:
        """What is combined, in rank order: scenes, or for a median whole acquisitions, of which each counts once."""
        acquisitions = [
            [
                partial(self._observe, scene, number, rect)
                for scene in acquisition
                if (scene.epsg == self._imagery.epsg) == own_zone
            ]
            for number, acquisition in enumerate(self._imagery.acquisitions, start=1)
        ]
        if self._imagery.composite == "single":
            acquisitions = [scenes for scenes in acquisitions if scenes][:1]
        if self._imagery.composite == "median":
            return [fused(self._imagery.depth, rect.shape, scenes) for scenes in acquisitions if scenes]
        return [scene for scenes in acquisitions for scene in scenes]

    def _observe(
        self, scene: Scene, acquisition: int, rect: Rect, open_: np.ndarray, missing: np.ndarray
    ) -> Observation | None:
        """One scene, all its bands at once, so that no spectrum mixes two.

        The scene classification is read first, and the other bands only around pixels that they can help: roofs that
        are called cloud on every date would otherwise make each scene be read in full.
        """
        decisions = self._imagery.decisions
        if any(decisions.leaves_out(one) for one in scene.both):
            return None
        around = _bounding_rect(open_, rect)
        inside = around.slices(rect)
        with ExitStack() as lent:
            borrow = partial(READERS.borrow, epsg=self._imagery.epsg, run=self._imagery.run)
            readers = [lent.enter_context(borrow(one)) for one in scene.both]
            scl = _classified(readers[0], around)
            clear = clear_mask(scl)
            helpful = open_[inside] & (clear | missing[inside])
            part = _bounding_rect(helpful, around)
            if part.is_empty:
                return None
            decided = [decisions.decision(reader) for reader in readers]
            if not all(decision.is_used for decision in decided):
                return None
            dn = np.empty((self._imagery.depth, *part.shape), np.uint16)
            levels = self._by_level(dn)
            reads = [
                self._read(reader, bands, part, decision, pixels)
                for reader, decision, (bands, pixels) in zip(readers, decided, levels, strict=True)
            ]
        helpful, scl, clear = (mask[part.slices(around)] for mask in (helpful, scl, clear))
        valid, repaired = helpful.copy(), np.zeros(part.shape, bool)
        declared = np.logical_or.reduce([unseen for _, unseen in reads])
        for (whole, unseen), (bands, pixels) in zip(reads, levels, strict=True):
            cirrus = bands.index(CIRRUS) if CIRRUS in bands else None
            mended = mend(pixels, scl, whole | unseen | ~helpful, cirrus=cirrus)
            valid &= whole | mended
            repaired |= mended
        if valid.any():
            for one in scene.both:
                decisions.uses(one)
        marks = None
        if not valid.all():
            marks = marks_of_unseen(dn, scl, declared, helpful & ~valid)
            dn *= valid
        return Observation(dn, valid, valid & clear, repaired & valid, part.slices(rect), acquisition, marks)

    def _by_level(self, dn: np.ndarray) -> list[tuple[tuple[str, ...], np.ndarray]]:
        """The bands of each level that is read, and the part of a stack that is theirs."""
        bands, beside = self._imagery.bands, self._imagery.beside
        leading = [(bands, dn[: len(bands)])]
        return [*leading, (beside, dn[len(bands) :])] if beside else leading

    def _read(
        self,
        reader: SceneReader,
        bands: tuple[str, ...],
        rect: Rect,
        decision: SceneDecision,
        dn: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Reads bands under a rectangle at the same time, and harmonises them.

        Returns:
            Where all of them have data; where one lacks it by its file's own word, which is no slip.
        """

        def read_band(index: int, band: str) -> tuple[np.ndarray, np.ndarray | None]:
            raw = reader.read(band, rect, dn[index])
            harmonised = harmonise(raw, decision.offsets[band])
            if harmonised is not raw:
                raw[:] = harmonised
            return raw != 0, reader.declared_holes(band, rect)

        reads = [self._pool.submit(read_band, index, band) for index, band in enumerate(bands)]
        # All are waited for, also when one fails: the reader goes back to the pool, and `dn` away.
        wait(reads)
        whole, unseen = np.ones(rect.shape, bool), np.zeros(rect.shape, bool)
        for read in reads:
            seen, holes = read.result()
            whole &= seen
            if holes is not None:
                unseen |= holes
        return whole, unseen


def read_ahead(strips: Iterator[Strip], depth: int = 2) -> Generator[Strip, None, None]:
    """Yields the strips while a thread reads the next ``depth`` of them; errors come out where the strip would.

    Close it before the stack: the thread may be in the middle of a read.
    """
    thread = ContextPool(1, thread_name_prefix="read-ahead")
    try:
        ahead = deque(thread.submit(next, strips, None) for _ in range(depth))
        while (strip := ahead.popleft().result()) is not None:
            ahead.append(thread.submit(next, strips, None))
            yield strip
    finally:
        thread.shutdown(cancel_futures=True)


def _classified(reader: SceneReader, rect: Rect) -> np.ndarray:
    """The scene classification; of L1C, which has none, it knows nothing of any pixel."""
    if "SCL" in reader.scene.assets:
        return reader.read("SCL", rect)
    return np.full(rect.shape, SCL_UNCLASSIFIED, np.uint8)


def _bounding_rect(mask: np.ndarray, rect: Rect) -> Rect:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return Rect(rect.row, rect.col, 0, 0)
    return Rect(
        rect.row + int(rows[0]),
        rect.col + int(cols[0]),
        int(rows[-1] - rows[0]) + 1,
        int(cols[-1] - cols[0]) + 1,
    )
