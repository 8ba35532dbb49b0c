"""Deciding about a scene when it is first needed: by a look at its files, once for the whole run.

At first need and not before the blocks: of a country's thousands of scenes most are never read, because a better
acquisition is clear, and a look costs an overview of each band. So it costs nothing beyond what is read anyway.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import numpy as np

from terramosaic.catalog.assets import Source
from terramosaic.errors import UnusableFileError
from terramosaic.imagery.asset_facts import asset_facts, changes_since, require_as_planned
from terramosaic.imagery.offset import check_offset, of_all_bands, resolve_offset, told_by_tags
from terramosaic.imagery.plausibility import LEAST_LOOKED_AT, LOOKED_AT, plausibility
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.scene_decision import Inspectable, SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.request.request import RegionRequest

logger = logging.getLogger(__name__)

#: The band on whose overview an offset is checked.
_CHECKED_BAND = "B04"

#: Longest side of the other overviews, in pixels: looks are judged on no finer ones.
_GLANCE = 256

#: Seconds after which a process asks again whether a scene's files are still the same, and how often they may become
#: others in a run: of what never rests no map can be made.
_LOOK_AGAIN, _MOST_CHANGES = 600.0, 3


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
        self._settled = set[str]()

    def leaves_out(self, scene: Source) -> bool:
        """Whether it is known by now that the scene is left out; asked before any file of it."""
        if scene.key not in self._known:
            self._known[scene.key] = self._records.read(scene.key)
        known = self._known[scene.key]
        if known is None or known.is_used:
            return False
        self.told[scene.key] = known.fingerprint
        return True

    def decision(self, reader: SceneReader | Inspectable) -> SceneDecision:
        """What is decided about a scene; asked before its first pixel is used.

        Raises:
            OffsetConflictError: metadata and pixels disagree, and the request does not say which to believe.
            CatalogError: an overview could not be read.
            RequestError: a file of the user's own has changed since it was planned with.
        """
        scene = reader.source
        require_as_planned(scene)
        decision = self._known.get(scene.key)
        if decision is None or scene.key not in self._settled:
            decision = self._known[scene.key] = self._decide(reader)
            self._settled.add(scene.key)
        if not decision.is_used:
            self.told[scene.key] = decision.fingerprint
        return decision

    def uses(self, scene: Source) -> None:
        """Notes a scene that has given pixels. Of one that has none under the block, nothing hangs on what it is."""
        if (known := self._known.get(scene.key)) is not None:
            self.told[scene.key] = known.fingerprint

    def _decide(self, reader: SceneReader | Inspectable) -> SceneDecision:
        # Other blocks of this process wait for the first one; other processes may look at the same time.
        scene = self._run, reader.source.key
        with _turn(scene):
            held = self._known.get(reader.source.key) or self._records.read(reader.source.key)
            if held is not None and held.is_used and _is_due(scene):
                held = self._of_these_files(held, reader)
            found = held or self._records.put(self._inspect(reader))
            _looked_at_last.setdefault(scene, time.monotonic())
            return found

    def _of_these_files(self, held: SceneDecision, reader: SceneReader | Inspectable) -> SceneDecision:
        """What an earlier attempt, or another process, has decided, or what holds of files that were replaced since.

        A time alone says little: a file that looks as it did counts as the same.
        """
        _looked_at_last[self._run, held.scene] = time.monotonic()
        changes = changes_since(reader.source, held.files)
        if not changes or held.changed >= _MOST_CHANGES:
            return held
        reader.close()  # what is open may still be the file that was there before
        found = self._inspect(reader)
        sizes = ({band: facts.size for band, facts in one.files.items()} for one in (held, found))
        if found.figures and found.figures == held.figures and next(sizes) == next(sizes):
            return held
        what = ", ".join(f"{band}: {change}" for band, change in changes.items())
        note = f"its files became others while the run was under way ({what})"
        logger.warning(
            "scene %s: %s; blocks that were made of it before are computed again", held.scene, note
        )
        return self._records.put(
            found.model_copy(update={"changed": held.changed + 1, "notes": (*found.notes, note)})
        )

    def _inspect(self, reader: SceneReader | Inspectable) -> SceneDecision:
        return inspect(reader, self._request) if isinstance(reader, SceneReader) else reader.inspect()


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
    first = next((band for band in LEAST_LOOKED_AT if band in scene.assets), None)
    wanted = LOOKED_AT if first is not None and reader.is_small_at_a_glance(first) else LEAST_LOOKED_AT
    overviews = reader.overviews({band for band in wanted if band in scene.assets} - {_CHECKED_BAND}, _GLANCE)
    if _CHECKED_BAND in scene.assets:
        overviews[_CHECKED_BAND] = reader.overview(_CHECKED_BAND)
    _tell_oddities(reader)
    judged = plausibility(
        overviews, [band for band, found in reader.verdicts.items() if found.declares_holes]
    )
    decision = decision.model_copy(
        update={
            "figures": judged.figures,
            "reason": "; ".join(judged.reasons),
            # For who asks later whether the files are still those that were read.
            "files": asset_facts(scene),
        }
    )
    if judged.reasons and scene.key not in request.trust:
        return decision.model_copy(update={"cause": "implausible", "offsets": {}})
    if request.offset == "keep":
        return decision
    return decision.model_copy(update=_offsets(reader, decision, overviews.get(_CHECKED_BAND), request))


def _offsets(
    reader: SceneReader, decision: SceneDecision, b04: np.ndarray | None, request: RegionRequest
) -> dict[str, Any]:
    """What of a decision is settled by the files: their tags, and an overview of B04 if there is one."""
    scene, believe = reader.scene, request.offset_conflict
    tags = {
        band: verdict.tagged_offset
        for band, verdict in reader.verdicts.items()
        if verdict.tagged_offset is not None
    }
    is_guess = scene.offset_is_guessed
    offsets = told_by_tags(decision.offsets, tags, guessed=is_guess, believe=believe, scene_id=scene.key)
    settled: dict[str, Any] = {"offsets": offsets}
    if is_guess and tags:
        is_guess, settled["offset_rule"] = False, "the files' own tags, since the item does not say"
    elif offsets != decision.offsets:
        settled["offset_rule"] = "the files' own tags, which the request believes"
    if b04 is not None:
        decided = offsets[_CHECKED_BAND]
        evidence = check_offset(b04, baseline=scene.processing_baseline, decided=decided)
        # A guess gives way.
        resolved = resolve_offset(decided, evidence, "pixels" if is_guess else believe, scene.key)
        settled["evidence"] = evidence
        if resolved != decided:
            settled["offsets"] = of_all_bands(offsets, resolved)
            settled["offset_rule"] = "the pixels of B04, which the request believes"
        if is_guess and evidence.agrees is not None:
            is_guess, settled["offset_rule"] = False, "the pixels of B04, since nothing else says"
    if is_guess:
        logger.warning(
            "scene %s: neither its item nor its files say whether its numbers carry the +1000 of baseline 04.00, "
            "and its pixels cannot tell; they are taken as they are, which is wrong by 0.1 of reflectance if they do",
            scene.key,
        )
    return settled


def _tell_oddities(reader: SceneReader) -> None:
    notes: dict[str, list[str]] = {}
    for band, verdict in reader.verdicts.items():
        if verdict.note:
            notes.setdefault(verdict.note, []).append(band)
    for note, bands in notes.items():
        logger.warning("scene %s: the file of %s %s", reader.scene.key, ", ".join(sorted(bands)), note)


#: When a process has looked last at the files of a scene, by run and key: monotonic seconds.
_looked_at_last: dict[tuple[RunFolder, str], float] = {}


def _is_due(scene: tuple[RunFolder, str]) -> bool:
    """Whether a scene's files are to be asked whether they are still the same: once a process, and now and then."""
    last = _looked_at_last.get(scene)
    return last is None or time.monotonic() - last > _LOOK_AGAIN


def look_anew(run: RunFolder) -> None:
    """Has this process ask again whether the files of a run's scenes are still the same."""
    for scene in [scene for scene in list(_looked_at_last) if scene[0] == run]:
        _looked_at_last.pop(scene, None)


_guard = threading.Lock()
_turns: dict[tuple[RunFolder, str], threading.Lock] = {}


def _turn(scene: tuple[RunFolder, str]) -> threading.Lock:
    """The lock of a scene in this process."""
    with _guard:
        return _turns.setdefault(scene, threading.Lock())
