"""Backscatter as a model sees it: VV and VH in dB on a zone's grid, from the slices of one pass."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
from rasterio.io import DatasetReader

from terramosaic.catalog.assets import AssetRef
from terramosaic.catalog.backscatter import POLARISATIONS, BackscatterScene
from terramosaic.errors import UnusableFileError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.asset_facts import asset_facts
from terramosaic.imagery.backscatter_file import (
    BackscatterFile,
    Power,
    contradictions,
    problem_of,
    problem_of_numbers,
)
from terramosaic.imagery.item_reader import ItemReader
from terramosaic.imagery.marks import Mark, seen_by_all, seen_in
from terramosaic.imagery.pool import READERS
from terramosaic.imagery.scene_decision import SceneDecision, SourceDecisions
from terramosaic.imagery.swath import decibel, margin_of, without_edges
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.documents import shown

#: Longest side, in pixels, of the overview by which numbers are judged.
_GLANCE = 256


@dataclass(frozen=True)
class Backscatter:
    """What a radar saw of a rectangle.

    Attributes:
        rect: where it lies on the grid.
        db: float32 (2, height, width), VV and VH, gamma nought in dB, NaN where nothing was seen.
        marks: uint8 (height, width), why a pixel was not seen in both; see `Mark`.
        scene: uint8 (height, width), which of the pass's scenes a pixel is of, counted from 1; 0 in gaps.
    """

    rect: Rect
    db: np.ndarray
    marks: np.ndarray
    scene: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        """Pixels that were seen in both: bool (height, width)."""
        return seen_in(self.marks)


class BackscatterReader(ItemReader[BackscatterFile]):
    """Reads one scene's polarisations onto the grid of zone ``epsg``.

    Args:
        scene: the scene.
        epsg: the zone.
        run: the run that it is read for. A file that failed in it for good is not asked for again.

    Attributes:
        scene: the scene.
        contradictions: in what headers are others than the item says, by polarisation, of files opened by now.
    """

    def __init__(self, scene: BackscatterScene, epsg: int, run: RunFolder | None = None) -> None:
        super().__init__(scene, run)
        self.scene, self._epsg = scene, epsg
        self.contradictions: dict[str, tuple[str, ...]] = {}

    def read(self, band: str, rect: Rect) -> Power:
        """Linear power under a rectangle of the grid; see `BackscatterFile.read`.

        Raises:
            UnusableFileError: the file is gone for good, or is no terrain-corrected backscatter; names the asset.
            CatalogError: it could not be read, after as many tries as may help, but another time it may.
        """
        return self._use(band, lambda file: file.read(rect, self._epsg))

    def inspect(self) -> SceneDecision:
        """Looks at the scene's files and decides about it: numbers that are no linear power leave it out.

        Raises:
            CatalogError: an overview could not be read, which another time it may.
        """
        try:
            return self._looked_at()
        except UnusableFileError as error:
            return SceneDecision.without(error)

    def _looked_at(self) -> SceneDecision:
        figures, notes = {}, []
        for band in POLARISATIONS:
            median, problem = problem_of_numbers(self._use(band, lambda file: file.overview(_GLANCE)))
            if problem:
                raise self._unusable(self.scene.assets[band], problem)
            if median is not None:
                figures[f"median of {band}, linear"] = median
            notes += [f"the file of {band}: {note}" for note in self.contradictions.get(band, ())]
        facts = asset_facts(self.scene)
        for band, asset in self.scene.assets.items():
            now = facts[band].size if band in facts else None
            if None not in (asset.size, now) and asset.size != now:
                notes.append(
                    f"the file of {band}: it has {now} bytes, and its item says {asset.size}: replaced since"
                )
        return SceneDecision(scene=self.scene.key, notes=tuple(notes), figures=figures, files=facts)

    def _seen(self, asset: AssetRef, dataset: DatasetReader, closing: ExitStack) -> BackscatterFile:
        if problem := problem_of(dataset):
            raise self._unusable(asset, problem)
        self.contradictions[asset.band] = tuple(contradictions(dataset, self.scene))
        return BackscatterFile.of(dataset)

    def _unusable(self, asset: AssetRef, problem: str) -> UnusableFileError:
        return UnusableFileError(
            f"asset {asset.band} of {self.scene.key} {problem} ({shown(asset.href)})", scene=self.scene.key
        )


def read_backscatter(
    scenes: Sequence[BackscatterScene],
    rect: Rect,
    epsg: int,
    decisions: SourceDecisions,
    run: RunFolder | None = None,
) -> Backscatter:
    """Backscatter under a rectangle of a zone's grid.

    A pixel is of the first slice that saw it in both polarisations. The swath's edges are taken off after that, for
    where one slice ends the next begins. Rectangles that overlap agree bit for bit.

    Args:
        scenes: of one pass, in the order of time.
        rect: the rectangle.
        epsg: the zone.
        decisions: which scenes are used.
        run: the run that it is read for.

    Raises:
        UnusableFileError: a file turned out to be gone for good after its scene was decided to be used.
        CatalogError: a file could not be read, which another time it may.
    """
    width = max((scene.edge for scene in scenes), default=0)
    around = rect.pad(margin_of(width))
    power = np.full((len(POLARISATIONS), *around.shape), np.nan, np.float32)
    taken, marks = np.zeros(around.shape, np.uint8), np.full(around.shape, Mark.MISSING, np.uint8)
    for number, scene in enumerate(scenes, start=1):
        if decisions.leaves_out(scene) or taken.all():
            continue
        found = _observed(scene, around, epsg, decisions, run)
        if found is None:
            continue
        here = seen_by_all([one.marks for one in found])
        np.maximum(marks, here, out=marks)
        new = seen_in(here) & (taken == 0)
        if new.any():
            decisions.uses(scene)
            for band, one in zip(power, found, strict=True):
                np.copyto(band, one.values, where=new)
            taken[new] = number
    inside = rect.slices(around)
    kept = without_edges(taken > 0, width)
    off_edge = seen_in(marks[inside]) & ~kept
    return Backscatter(
        rect,
        decibel(np.where(kept, power[(slice(None), *inside)], np.float32(np.nan))),
        np.where(off_edge, np.uint8(Mark.EDGE), marks[inside]),
        np.where(kept, taken[inside], np.uint8(0)),
    )


def _observed(
    scene: BackscatterScene, rect: Rect, epsg: int, decisions: SourceDecisions, run: RunFolder | None
) -> list[Power] | None:
    """Both polarisations of a scene, read at the same time; None if it is left out."""
    with READERS.lend(BackscatterReader, scene, epsg, run) as reader:
        if not decisions.decision(reader).is_used:
            return None
        with ThreadPoolExecutor(len(POLARISATIONS), thread_name_prefix="backscatter") as pool:
            return list(pool.map(lambda band: reader.read(band, rect), POLARISATIONS))
