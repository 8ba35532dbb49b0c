"""The report's tables of imagery: acquisitions in rank order, scenes with their offsets, scenes left out."""

from __future__ import annotations

from collections.abc import Sequence

from terramosaic.planning.plan import RankedAcquisition
from terramosaic.publishing.markup import Html, code, fill, folded, join, number, percent, table, when
from terramosaic.publishing.record import RunRecord

#: Rows of a table before it is cut; the plan holds them all.
_MOST_ROWS = 400

#: What an overview of B04 shows, in words; see `terramosaic.imagery.offset.check_offset`.
_VERDICTS = {
    "present": "the offset is there",
    "removed": "the offset is gone",
    "undecided": "they cannot tell",
    "not applicable": "no offset before 04.00",
}

#: A list of scenes up to this long is shown at once.
_SHORT = 12


def imagery_tables(record: RunRecord) -> Html:
    """What was searched, what was used in which order, and what was not."""
    plan = record.plan
    acquisitions = [_acquisition(record, rank, day) for rank, day in enumerate(plan.acquisitions, start=1)]
    scenes = [_scene(record, id_) for day in plan.acquisitions for id_ in day.scenes]
    dropped = [(code(scene.id), scene.reason) for scene in plan.dropped]
    parts = [
        fill("<p>Searched: $searched. Better ranks are used first.</p>", searched=plan.searched),
        _shortened(("rank", "day", "covers", "cloud", "scenes", "tiles"), acquisitions, numbers=(2, 3, 4)),
        folded(
            f"Scenes and their offsets ({number(len(scenes))})",
            _shortened(
                ("scene", "sensed", "tile", "cloud", "baseline", "offset rule", "subtracted", "pixels say"),
                scenes,
                numbers=(3, 6),
            ),
            opened=len(scenes) <= _SHORT,
        ),
    ]
    if dropped:
        listed = _shortened(("scene", "why it was left out"), dropped)
        parts.append(folded(f"Left out ({number(len(dropped))})", listed, opened=len(dropped) <= _SHORT))
    return join(parts)


def _acquisition(record: RunRecord, rank: int, day: RankedAcquisition) -> tuple[object, ...]:
    tiles = sorted({record.plan.scenes[id_].mgrs_tile or "?" for id_ in day.scenes})
    shown = ", ".join(tiles[:8]) + (f" and {len(tiles) - 8} more" if len(tiles) > 8 else "")
    return rank, when(day.solar_day), percent(day.coverage), percent(day.cloud / 100), len(day.scenes), shown


def _scene(record: RunRecord, scene_id: str) -> tuple[object, ...]:
    scene = record.plan.scenes[scene_id]
    subtracted, evidence = _offset(record, scene_id)
    return (
        # An id may break at its underscores: the rule beside it needs the room.
        Html(code(scene.id).replace("_", "_<wbr>")),
        when(f"{scene.datetime:%Y-%m-%d %H:%M}"),
        scene.mgrs_tile or "?",
        "?" if scene.cloud_cover is None else percent(scene.cloud_cover / 100),
        scene.processing_baseline or "?",
        scene.offset_rule,
        subtracted,
        evidence,
    )


def _offset(record: RunRecord, scene_id: str) -> tuple[str, str]:
    """What was subtracted from a scene's numbers, and what its pixels say to that."""
    if record.plan.request.offset == "keep":
        return "0", "not asked: the request keeps offsets"
    found = record.offsets.get(scene_id)
    if found is None:
        return "", "not read: better acquisitions were clear"
    evidence = found["evidence"]
    verdict = _VERDICTS.get(evidence["verdict"], evidence["verdict"])
    return str(found["applied"]), f"{verdict} ({percent(evidence['share_below_1000'])} of B04 below 1000)"


def _shortened(
    header: tuple[str, ...], rows: Sequence[tuple[object, ...]], numbers: tuple[int, ...] = ()
) -> Html:
    shown = table(header, rows[:_MOST_ROWS], numbers=numbers)
    if len(rows) <= _MOST_ROWS:
        return shown
    cut = fill(
        '<p class="note">The first $most of $all; plan.json has them all.</p>',
        most=_MOST_ROWS,
        all=number(len(rows)),
    )
    return join((shown, cut))
