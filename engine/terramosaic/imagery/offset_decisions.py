"""The +1000 offset of each scene of a run: the plan's decision, checked on pixels once, recorded, then applied."""

from __future__ import annotations

import json
from collections.abc import Mapping

from terramosaic.imagery.offset import OffsetEvidence, check_offset, resolve_offset
from terramosaic.imagery.reader import SceneReader
from terramosaic.planning.folder import RunFolder
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import read_json, write_text

#: The band on whose overview a decision is checked.
_CHECKED_BAND = "B04"


class OffsetBook:
    """Tells what to subtract from a scene's bands; a scene is checked before its first pixel is used.

    The check is recorded in the run folder, so it is made once per run, whichever block or worker comes first.
    """

    def __init__(self, request: RegionRequest, folder: RunFolder) -> None:
        self._request, self._folder = request, folder
        self._offsets: dict[str, dict[str, int]] = {}

    def offsets_of(self, reader: SceneReader) -> Mapping[str, int]:
        """What to subtract from the digital numbers of each band.

        Raises:
            OffsetConflictError: metadata and pixels disagree, and the request does not say which to believe.
            CatalogError: the overview could not be read.
        """
        scene = reader.scene
        if scene.key not in self._offsets:
            believed = 0 if self._request.offset == "keep" else self._checked(reader)
            self._offsets[scene.key] = {
                band: asset.offset if believed is None else believed for band, asset in scene.assets.items()
            }
        return self._offsets[scene.key]

    def _checked(self, reader: SceneReader) -> int | None:
        """The offset of all the scene's bands if pixels overrule its metadata, else None."""
        scene = reader.scene
        if _CHECKED_BAND not in scene.assets:
            return None
        decided = scene.assets[_CHECKED_BAND].offset
        record = read_json(self._folder.offset_file(scene.key))
        if record is not None:
            evidence = OffsetEvidence(**record["evidence"])
        else:
            evidence = check_offset(
                reader.overview(_CHECKED_BAND), baseline=scene.processing_baseline, decided=decided
            )
        resolved = resolve_offset(decided, evidence, self._request.offset_conflict, scene.key)
        if record is None:
            content = {
                "scene": scene.key,
                "rule": scene.offset_rule,
                "decided": decided,
                "applied": resolved,
                "evidence": vars(evidence),
            }
            write_text(self._folder.offset_file(scene.key), json.dumps(content, indent=1))
        return None if resolved == decided else resolved
