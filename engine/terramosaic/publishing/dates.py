"""What is told of the dates of a map: which acquisition each is, and the Sentinel-1 near to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from terramosaic.catalog import labels_of
from terramosaic.planning.dates import PairedPass
from terramosaic.planning.plan import Plan
from terramosaic.publishing.numbers import number

#: Passes that a line names.
_MOST_PASSES = 3

_RULES = {
    "latest": "the newest",
    "evenly": "the clearest of equal parts of the period",
    "before_after": "before and after",
}


@dataclass(frozen=True)
class DateFacts:
    """A date of a map.

    Attributes:
        number: from 1, the oldest.
        day: by the sun, and which pass where the plan has several of that day.
        scenes: of its acquisition.
        radar: Sentinel-1 near to it, in words; empty where that is no input beside it.
        note: that it stands in for one that is missing, or nothing.
    """

    number: int
    day: str
    scenes: int
    radar: str
    note: str


def dates_of(plan: Plan) -> list[DateFacts]:
    """The dates of a plan, the oldest first; none of a model of one date."""
    labels = labels_of(plan.passes)
    return [
        DateFacts(
            number=place,
            day=labels[one.acquisition],
            scenes=len(plan.acquisitions[one.acquisition].scenes),
            radar="" if plan.is_led_by_radar else _passes_in_words(one.passes),
            note="taken once more, for a date that is missing" if one.stands_in else "",
        )
        for place, one in enumerate(plan.dates, start=1)
    ]


def dates_in_words(plan: Plan) -> str:
    """All of them in a line, and the rule that chose them; nothing of a model of one date."""
    if not plan.dates:
        return ""
    asked = plan.request.dates
    rule = _RULES[asked.rule] + (f" {asked.reference}" if asked.rule == "before_after" else "")
    up_to = f" up to {asked.reference}" if asked.reference and asked.rule != "before_after" else ""
    told = ", ".join(
        f"{one.day}{' once more' if one.note else ''}{f' ({one.radar})' if one.radar else ''}"
        for one in dates_of(plan)
    )
    return f"{told}; {rule}{up_to}"


def date_properties(plan: Plan) -> dict[str, Any]:
    """The same for an item, with scenes by key; nothing of a model of one date."""
    if not plan.dates:
        return {}
    told = [
        {
            "day": one.day,
            "datetime": f"{one.moment:%Y-%m-%dT%H:%M:%SZ}",
            "scenes": list(plan.acquisitions[one.acquisition].scenes),
            "sentinel-1": []
            if plan.is_led_by_radar
            else [each.model_dump(mode="json") for each in one.passes],
            "stands_in": one.stands_in,
        }
        for one in plan.dates
    ]
    return {
        "terramosaic:dates": told,
        "terramosaic:dates_asked": plan.request.dates.model_dump(mode="json"),
    }


def _passes_in_words(passes: tuple[PairedPass, ...]) -> str:
    if not passes:
        return ""
    named = ", ".join(f"{each.label} {number(each.days, 1)} days apart" for each in passes[:_MOST_PASSES])
    more = f" and {len(passes) - _MOST_PASSES} more" if len(passes) > _MOST_PASSES else ""
    return f"Sentinel-1 {named}{more}"
