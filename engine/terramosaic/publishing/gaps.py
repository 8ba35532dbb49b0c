"""What of a published run stayed without data, and why: told alike by the command line, Prefect and the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from terramosaic.errors import EmptyMapError
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.gaps import TOLD, WHERE
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import read_json

#: Properties of the item: the share of the pixels to map without data by cause, and how many have data.
GAPS, VALID_PIXELS = "terramosaic:gaps", "terramosaic:valid_pixels"


def gaps_in_words(gaps: Mapping[str, float]) -> str:
    """Shares without data by cause, as a line."""
    causes = (f"{share:.1%} {WHERE[cause]}" for cause, share in gaps.items() if share > TOLD)
    return f"{sum(gaps.values()):.1%} of the pixels to map are without data: {', '.join(causes)}"


def told_gaps(plan: Plan) -> str:
    """What a run is without, as its item tells it; empty where it is whole, or an earlier version published it."""
    gaps: dict[str, float] = _properties(plan).get(GAPS, {})
    return gaps_in_words(gaps) if sum(gaps.values()) > TOLD else ""


def empty_map(plan: Plan) -> EmptyMapError | None:
    """Why a published run has no pixel with data; None where it has."""
    if _properties(plan).get(VALID_PIXELS, 1):
        return None
    return EmptyMapError(
        f"nothing to map: {told_gaps(plan)}; the empty files are in {RunFolder.of(plan).location}"
    )


def _properties(plan: Plan) -> dict[str, Any]:
    item = read_json(RunFolder.of(plan).item_file) or {}
    properties: dict[str, Any] = item.get("properties", {})
    return properties
