"""An attempt at a run: how it begins, and what it lacks though all its blocks are done."""

from __future__ import annotations

from terramosaic.block.receipt import finished_blocks
from terramosaic.errors import NothingLeftError
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.plan import Plan

#: Reasons that an error names.
_MOST_REASONS = 5


def begin_attempt(plan: Plan) -> None:
    """Begins anew: what a killed attempt left half-written goes, and what may be otherwise today is asked again.

    That is files that were out of reach, and, while no scene of the run is used, those that were of no use: nothing
    hangs on these yet, and without them there is nothing to map.
    """
    folder = RunFolder.of(plan)
    folder.begin()
    records = SceneRecords(folder)
    decisions = records.read_all(plan)
    if not any(decision.is_used for decision in decisions.values()):
        for scene in decisions:
            records.forget(scene)


def is_quarantined(plan: Plan) -> bool:
    """Whether a run was tried and has nothing, because none of its scenes can be used before its item changes.

    Not so where files were dead: they may have come by now.
    """
    decisions = SceneRecords(RunFolder.of(plan)).read_all(plan).values()
    is_settled = bool(decisions) and all(decision.is_quarantined for decision in decisions)
    return is_settled and len(finished_blocks(plan)) == len(plan.blocks)


def require_imagery(plan: Plan) -> None:
    """Says so where the blocks of a run are done and hold nothing, because of scenes that were left out.

    Raises:
        NothingLeftError: there is nothing to map; with the reasons.
    """
    decisions = SceneRecords(RunFolder.of(plan)).read_all(plan)
    left_out = [decision for decision in decisions.values() if not decision.is_used]
    if not left_out or any(receipt.valid_pixels for receipt in finished_blocks(plan).values()):
        return
    reasons = [f"{decision.scene}: {decision.reason}" for decision in left_out[:_MOST_REASONS]]
    if len(left_out) > _MOST_REASONS:
        reasons.append(f"{len(left_out) - _MOST_REASONS} more in {RunFolder.of(plan).scenes}")
    trust = ", or trust them" if any(decision.can_be_trusted for decision in left_out) else ""
    raise NothingLeftError(
        f"nothing is left to map, for what there is of scenes was left out ({'; '.join(reasons)})",
        hint=f"take another period or catalog{trust}; to look at them anew run the same request again",
    )
