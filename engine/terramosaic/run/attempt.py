"""An attempt at a run: how it begins, and what it lacks though all its blocks are done."""

from __future__ import annotations

from collections.abc import Mapping

from terramosaic.block.receipt import BlockReceipt, finished_blocks
from terramosaic.errors import NothingLeftError
from terramosaic.imagery.inspection import look_anew
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan

#: Reasons that an error names.
_MOST_REASONS = 5


def begin_attempt(plan: Plan) -> None:
    """Begins anew: what a killed attempt left half-written goes, and what may be otherwise today is asked again.

    That is files that were out of reach, whether files are still the same, and, while the run has no pixel, scenes that
    were of no use: nothing hangs on these yet, and perhaps without them there is nothing to map.
    """
    folder = RunFolder.of(plan)
    folder.begin()
    look_anew(folder)
    left_out = _left_out(plan)
    if left_out and not _has_pixels(finished_blocks(plan)):
        for decision in left_out:
            SceneRecords(folder).forget(decision.scene)


def is_quarantined(plan: Plan) -> bool:
    """Whether a run was tried and has nothing, because of scenes that cannot be used before their items change.

    Not so where files were dead: they may have come by now.
    """
    left_out = _left_out(plan)
    if not left_out or not all(decision.is_quarantined for decision in left_out):
        return False
    finished = finished_blocks(plan)
    return len(finished) == len(plan.blocks) and not _has_pixels(finished)


def require_imagery(plan: Plan) -> None:
    """Says so where the blocks of a run are done and hold nothing, because of scenes that were left out.

    Raises:
        NothingLeftError: there is nothing to map; with the reasons.
    """
    left_out = _left_out(plan)
    if not left_out or _has_pixels(finished_blocks(plan)):
        return
    reasons = [f"{decision.scene}: {decision.reason}" for decision in left_out[:_MOST_REASONS]]
    if len(left_out) > _MOST_REASONS:
        reasons.append(f"{len(left_out) - _MOST_REASONS} more in {RunFolder.of(plan).scenes}")
    trust = ", or trust them" if any(decision.can_be_trusted for decision in left_out) else ""
    if plan.radar is not None and not plan.is_led_by_radar:
        trust += ", or name those of Sentinel-1 in exclude: then the next pass is taken"
    raise NothingLeftError(
        f"nothing is left to map, for what there is of scenes was left out ({'; '.join(reasons)})",
        hint=f"take another period or catalog{trust}; to look at them anew run the same request again",
    )


def _left_out(plan: Plan) -> list[SceneDecision]:
    """The scenes that a run has left out so far."""
    decisions = SceneRecords(RunFolder.of(plan)).read_all(plan)
    return [decision for decision in decisions.values() if not decision.is_used]


def _has_pixels(finished: Mapping[str, BlockReceipt]) -> bool:
    return any(receipt.valid_pixels for receipt in finished.values())
