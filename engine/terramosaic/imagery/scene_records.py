"""The decisions of a run on record, `RUN/scenes/ID.json`: made once, whoever comes first, and the same for all.

A record says "used" or "left out". It may pass from the first to the second, once, when a file turns out to be dead in
the middle of a run, and never back; and of a scene whose files became others meanwhile the later decision counts. So
all workers, a resumed run and a repeated one use the same scenes; blocks that were computed before are known by their
receipts (`terramosaic.block.receipt`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from terramosaic.catalog.scene import Scene
from terramosaic.errors import ChangedError
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import (
    list_facts,
    read_json,
    read_jsons,
    read_version,
    remove,
    write_text_if,
)
from terramosaic.storage.records import sealed, unsealed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SceneRecords:
    """The records of one run."""

    run: RunFolder

    def read(self, scene: str) -> SceneDecision | None:
        """What is decided about the scene of that key; None while nothing is, or where the record is damaged."""
        return _decision_in(read_json(self.run.scene_file(scene), always_sealed=True), scene)

    def read_some(self, scenes: Iterable[str]) -> dict[str, SceneDecision]:
        """What is decided about some scenes, by their keys."""
        keys = list(scenes)
        contents = read_jsons([self.run.scene_file(key) for key in keys], always_sealed=True)
        decisions = {key: _decision_in(content, key) for key, content in zip(keys, contents, strict=True)}
        return {key: decision for key, decision in decisions.items() if decision is not None}

    def read_all(self, plan: Plan) -> dict[str, SceneDecision]:
        """All that is decided by now. The folder is listed first: most scenes of a country are never read."""
        held = list_facts(self.run.scenes)
        return self.read_some(key for key in plan.items if self.run.scene_file(key).name in held)

    def forget(self, scene: str) -> None:
        """Lets a scene be decided again; for a run that has no pixel yet."""
        remove(self.run.scene_file(scene))

    def put(self, decision: SceneDecision) -> SceneDecision:
        """Records a decision, unless another one was quicker; returns the one that holds.

        Of two that would use the scene the first holds, but for one that is of later files. "Left out" takes the place
        of "used", and stays. A damaged record counts as none.

        Raises:
            OutputError: it could not be written.
        """
        path = self.run.scene_file(decision.scene)
        while True:
            found = read_version(path)
            held = None if found is None else _decision_in(_content(found.text), decision.scene)
            if held is not None and (
                not held.is_used or (decision.is_used and decision.changed <= held.changed)
            ):
                return held
            text = sealed(decision.model_dump(mode="json"))
            try:
                write_text_if(path, text, None if found is None else found.version)
            except ChangedError:
                continue  # another one was quicker: what it wrote counts
            if found is not None and held is None:
                logger.warning("%s was damaged: the scene has been decided again", path)
            if not decision.is_used:
                logger.warning("scene %s is left out: %s", decision.scene, decision.reason)
            return decision


class Decided:
    """What holds of a run's scenes at a moment, as receipts tell it.

    Args:
        plan: the run's.
        on_record: decisions by the scenes' keys. Of a scene without one that holds which metadata makes.
    """

    def __init__(self, plan: Plan, on_record: Mapping[str, SceneDecision]) -> None:
        self._plan = plan
        self._recorded = {key: decision.fingerprint for key, decision in on_record.items()}
        self._planned: dict[str, str] = {}

    def holds(self, told: Mapping[str, str]) -> bool:
        """Whether what a block was told of scenes, as fingerprints by their keys, is what holds of them now."""
        return all(
            (self._recorded.get(key) or self.planned(key)) == fingerprint for key, fingerprint in told.items()
        )

    def planned(self, key: str) -> str:
        """The fingerprint of what metadata decides about a scene."""
        if key not in self._planned:
            self._planned[key] = self._by_metadata(key)
        return self._planned[key]

    def _by_metadata(self, key: str) -> str:
        scene = self._plan.items.get(key)
        if scene is None:
            return ""
        if isinstance(scene, Scene):
            return SceneDecision.planned(scene, self._plan.request).fingerprint
        return SceneDecision(scene=key).fingerprint


def _content(text: str) -> dict[str, Any] | None:
    try:
        return unsealed(text, always_sealed=True)
    except ValueError:
        return None


def _decision_in(content: dict[str, Any] | None, scene: str) -> SceneDecision | None:
    """What a record says, if it is one of that scene."""
    if content is None:
        return None
    try:
        decision = SceneDecision.model_validate(content)
    except ValidationError:
        return None
    return decision if decision.scene == scene else None
