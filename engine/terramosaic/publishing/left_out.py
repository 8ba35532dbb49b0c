"""Scenes that a run has left out or doubts: told alike by the command line, the flow, the report and the item."""

from __future__ import annotations

from collections.abc import Iterable

from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan

#: Scenes that are told one by one; a run's records and its item have all.
_MOST = 10


def left_out_in_words(decisions: Iterable[SceneDecision]) -> list[str]:
    """A line for each scene that was left out, or would be if the request did not trust it, or is not as was said."""
    lines = [_line(decision) for decision in decisions if decision.reason or decision.notes]
    more = [f"{len(lines) - _MOST} more scenes like these"] if len(lines) > _MOST else []
    return [*lines[:_MOST], *more]


def _line(decision: SceneDecision) -> str:
    if decision.is_used:
        trusted = f" is trusted by the request, but {decision.reason}" if decision.reason else ""
        return (
            f"scene {decision.scene}{trusted}{'; ' if trusted else ': '}{'; '.join(decision.notes)}".rstrip(
                "; "
            )
        )
    line = f"scene {decision.scene} was left out ({decision.cause}): {decision.reason}"
    return f"{line}; --trust {decision.scene} uses it all the same" if decision.can_be_trusted else line


def told_left_out(plan: Plan) -> list[str]:
    """The same of a run, from its records."""
    return left_out_in_words(SceneRecords(RunFolder.of(plan)).read_all(plan).values())
