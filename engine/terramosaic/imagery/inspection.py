"""Deciding about a scene when it is first needed: by a look at its files, once for the whole run.

At first need and not before the blocks: of a country's thousands of scenes most are never read, because a better
acquisition is clear, and a look costs an overview of each band. So it costs nothing beyond what is read anyway.
"""

from __future__ import annotations

import threading

from terramosaic.catalog.scene import AssetRef, Scene
from terramosaic.errors import UnusableFileError
from terramosaic.imagery.offset import check_offset, resolve_offset
from terramosaic.imagery.plausibility import LEAST_LOOKED_AT, LOOKED_AT, plausibility
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.request.request import RegionRequest

#: The band on whose overview an offset is checked.
_CHECKED_BAND = "B04"


class SceneBook:
    """Tells one block what is decided about scenes, and decides what nobody has decided yet.

    What it has told holds until the block ends, whatever becomes of the records meanwhile; `told` lets others see later
    whether it still does.

    Args:
        request: the run's.
        run: where decisions are on record.

    Attributes:
        told: fingerprints of the decisions that the block's pixels follow from, by the scenes' keys.
    """

    def __init__(self, request: RegionRequest, run: RunFolder) -> None:
        self.told: dict[str, str] = {}
        self._request, self._run, self._records = request, run, SceneRecords(run)
        self._known: dict[str, SceneDecision | None] = {}

    def leaves_out(self, scene: Scene) -> bool:
        """Whether it is known by now that the scene is left out; asked before any file of it."""
        if scene.key not in self._known:
            self._known[scene.key] = self._records.read(scene.key)
        known = self._known[scene.key]
        if known is None or known.is_used:
            return False
        self.told[scene.key] = known.fingerprint
        return True

    def decision(self, reader: SceneReader) -> SceneDecision:
        """What is decided about a scene; asked before its first pixel is used.

        Raises:
            OffsetConflictError: metadata and pixels disagree, and the request does not say which to believe.
            CatalogError: an overview could not be read.
        """
        scene = reader.scene
        decision = self._known.get(scene.key) or self._decide(reader)
        self._known[scene.key] = decision
        self.told[scene.key] = decision.fingerprint
        return decision

    def _decide(self, reader: SceneReader) -> SceneDecision:
        # Other blocks of this process wait for the first one; other processes may look at the same time.
        with _turn((self._run, reader.scene.key)):
            return self._records.read(reader.scene.key) or self._records.put(inspect(reader, self._request))


def inspect(reader: SceneReader, request: RegionRequest) -> SceneDecision:
    """Looks at a scene's files and decides about it.

    Raises:
        OffsetConflictError: metadata and pixels disagree, and the request does not say which to believe.
        CatalogError: an overview could not be read, which another time it may.
    """
    try:
        return _looked_at(reader, request)
    except UnusableFileError as error:
        return SceneDecision.without(error)


def _looked_at(reader: SceneReader, request: RegionRequest) -> SceneDecision:
    scene = reader.scene
    decision = SceneDecision.planned(scene, request)
    # Of JPEG 2000 an overview costs as much as the whole file.
    wanted = LEAST_LOOKED_AT if any(_is_jpeg2000(asset) for asset in scene.assets.values()) else LOOKED_AT
    overviews = reader.overviews(band for band in wanted if band in scene.assets)
    judged = plausibility(overviews)
    decision = decision.model_copy(update={"figures": judged.figures, "reason": "; ".join(judged.reasons)})
    if judged.reasons and scene.key not in request.trust:
        return decision.model_copy(update={"cause": "implausible", "offsets": {}})
    if request.offset == "keep" or _CHECKED_BAND not in overviews:
        return decision
    decided = scene.assets[_CHECKED_BAND].offset
    evidence = check_offset(overviews[_CHECKED_BAND], baseline=scene.processing_baseline, decided=decided)
    resolved = resolve_offset(decided, evidence, request.offset_conflict, scene.key)
    offsets = decision.offsets if resolved == decided else dict.fromkeys(decision.offsets, resolved)
    return decision.model_copy(update={"offsets": offsets, "evidence": evidence})


def _is_jpeg2000(asset: AssetRef) -> bool:
    return asset.name.lower().endswith((".jp2", ".j2k"))


_guard = threading.Lock()
_turns: dict[tuple[RunFolder, str], threading.Lock] = {}


def _turn(scene: tuple[RunFolder, str]) -> threading.Lock:
    """The lock of a scene in this process."""
    with _guard:
        return _turns.setdefault(scene, threading.Lock())
