"""The decisions of a run on record, `RUN/scenes/ID.json`: made once, whoever comes first, and the same for all.

A record says "used" or "left out". It may pass from the first to the second, once, when a file turns out to be dead in
the middle of a run, and never back. So all workers, a resumed run and a repeated one use the same scenes; blocks that
were computed before a scene was left out are known by their receipts (`terramosaic.block.receipt`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from terramosaic.errors import ChangedError
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import (
    list_facts,
    read_json,
    read_jsons,
    read_version,
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
        return _decision_in(read_json(self.run.scene_file(scene)), scene)

    def read_some(self, scenes: Iterable[str]) -> dict[str, SceneDecision]:
        """What is decided about some scenes, by their keys."""
        keys = list(scenes)
        contents = read_jsons([self.run.scene_file(key) for key in keys])
        decisions = {key: _decision_in(content, key) for key, content in zip(keys, contents, strict=True)}
        return {key: decision for key, decision in decisions.items() if decision is not None}

    def read_all(self, plan: Plan) -> dict[str, SceneDecision]:
        """All that is decided by now. The folder is listed first: most scenes of a country are never read."""
        held = list_facts(self.run.scenes)
        return self.read_some(key for key in plan.scenes if self.run.scene_file(key).name in held)

    def put(self, decision: SceneDecision) -> SceneDecision:
        """Records a decision, unless another one was quicker; returns the one that holds.

        Of two that would use the scene the first holds. "Left out" takes the place of "used", and stays. A damaged
        record counts as none.

        Raises:
            OutputError: it could not be written.
        """
        path = self.run.scene_file(decision.scene)
        while True:
            found = read_version(path)
            held = None if found is None else _decision_in(_content(found.text), decision.scene)
            if held is not None and (not held.is_used or decision.is_used):
                return held
            text = sealed(decision.model_dump(mode="json"))
            try:
                write_text_if(path, text, None if found is None else found.version)
            except ChangedError:
                continue  # another one was quicker: what it wrote counts
            if found is not None and held is None:
                logger.warning("%s was damaged: the scene has been decided again", path)
            return decision


def fingerprints(plan: Plan, on_record: Mapping[str, SceneDecision]) -> dict[str, str]:
    """What holds of each scene of a run, as receipts tell it; where nothing is on record, what metadata decides."""
    return {
        key: (on_record.get(key) or SceneDecision.planned(scene, plan.request)).fingerprint
        for key, scene in plan.scenes.items()
    }


def _content(text: str) -> dict[str, Any] | None:
    try:
        return unsealed(text)
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
