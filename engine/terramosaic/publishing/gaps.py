"""What of a published run stayed without data, and why: told alike by the command line, Prefect and the report."""

from __future__ import annotations

from collections.abc import Mapping

from terramosaic.errors import EmptyMapError
from terramosaic.planning.finished import told_in
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.gaps import TOLD, WHERE
from terramosaic.planning.plan import Plan


def gaps_in_words(gaps: Mapping[str, float]) -> str:
    """Shares without data by cause, as a line."""
    causes = (f"{share:.1%} {WHERE.get(cause, cause)}" for cause, share in gaps.items() if share > TOLD)
    return f"{sum(gaps.values()):.1%} of the pixels to map are without data: {', '.join(causes)}"


def told_gaps(plan: Plan) -> str:
    """What a run is without, as its item tells it; empty where it is whole, or an earlier version published it."""
    told = told_in(RunFolder.of(plan).item_file)
    gaps = (told and told.gaps) or {}
    return gaps_in_words(gaps) if sum(gaps.values()) > TOLD else ""


def empty_map(plan: Plan) -> EmptyMapError | None:
    """Why a published run has no pixel with data; None where it has, or an earlier version published it."""
    told = told_in(RunFolder.of(plan).item_file)
    if told is None or told.valid_pixels != 0:
        return None
    return EmptyMapError(
        f"nothing to map: {told_gaps(plan)}; the empty files are in {RunFolder.of(plan).location}"
    )
