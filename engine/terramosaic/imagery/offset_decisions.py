"""The +1000 offset of each scene of a run: the plan's decision, checked on pixels once, recorded, then applied."""

from __future__ import annotations

import json
import threading

from terramosaic.imagery.offset import OffsetEvidence, check_offset, resolve_offset
from terramosaic.imagery.reader import SceneReader
from terramosaic.planning.folder import RunFolder
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import read_json, write_text

#: The band on whose overview a decision is checked.
_CHECKED_BAND = "B04"


class OffsetBook:
    """Tells what to subtract from a scene's band; a scene is checked when its first pixel is asked for.

    The check is recorded in the run folder, so it is made once per run, whichever block or worker comes first.
    """

    def __init__(self, request: RegionRequest, folder: RunFolder) -> None:
        self._request, self._folder = request, folder
        self._offsets: dict[str, int | None] = {}
        self._lock = threading.Lock()

    def offset_of(self, reader: SceneReader, band: str) -> int:
        """What to subtract from the band's digital numbers.

        Raises:
            OffsetConflictError: metadata and pixels disagree, and the request does not say which to believe.
            CatalogError: the overview could not be read.
        """
        if self._request.offset == "keep":
            return 0
        scene = reader.scene
        with self._lock:
            if scene.id not in self._offsets:
                self._offsets[scene.id] = self._checked(reader)
        believed = self._offsets[scene.id]
        return scene.assets[band].offset if believed is None else believed

    def _checked(self, reader: SceneReader) -> int | None:
        """The offset of all the scene's bands if pixels overrule its metadata, else None."""
        scene = reader.scene
        if _CHECKED_BAND not in scene.assets:
            return None
        decided = scene.assets[_CHECKED_BAND].offset
        record = read_json(self._folder.offset_file(scene.id))
        if record is not None:
            evidence = OffsetEvidence(**record["evidence"])
        else:
            evidence = check_offset(
                reader.overview(_CHECKED_BAND), baseline=scene.processing_baseline, decided=decided
            )
        resolved = resolve_offset(decided, evidence, self._request.offset_conflict, scene.id)
        if record is None:
            content = {
                "scene": scene.id,
                "rule": scene.offset_rule,
                "decided": decided,
                "applied": resolved,
                "evidence": vars(evidence),
            }
            write_text(self._folder.offset_file(scene.id), json.dumps(content, indent=1))
        return None if resolved == decided else resolved
