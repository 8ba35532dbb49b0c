"""Seams of a published run, as its item tells them: what a request that limits them is held to."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any

from pydantic import TypeAdapter, ValidationError

from terramosaic.errors import CheckFailedError
from terramosaic.planning.finished import told_in
from terramosaic.planning.folder import RunFolder, mosaics_of
from terramosaic.planning.plan import Plan
from terramosaic.publishing.numbers import number
from terramosaic.trust.seams import Ratio, Seams

logger = logging.getLogger(__name__)

_TOLD = TypeAdapter(dict[str, Seams])

#: Decimals of a ratio that tell something.
_DIGITS = 4


def seams_as_json(seams: Seams) -> dict[str, Any]:
    """The figures of a mosaic for its item; see `terramosaic.trust.seams.Seams`."""
    told = asdict(seams)
    return {
        name: {end: each and round(each, _DIGITS) for end, each in ratio.items()}
        for name, ratio in told.items()
        if ratio is not None
    }


def ratio_in_words(ratio: Ratio | None) -> str:
    """``1.02 (1.01 to 1.03)``; a dash where there is nothing to compare."""
    if ratio is None:
        return "–"
    if ratio.low is None or ratio.high is None:
        return number(ratio.value, 3)
    return f"{number(ratio.value, 3)} ({number(ratio.low, 3)} to {number(ratio.high, 3)})"


def told_seams(plan: Plan) -> dict[str, Seams]:
    """The seams of each mosaic of a published run; of none, where an earlier version published it."""
    told = told_in(RunFolder.of(plan).item_file)
    try:
        return {} if told is None or told.seams is None else _TOLD.validate_python(told.seams)
    except ValidationError:
        return {}


def seams_beyond_limit(plan: Plan) -> CheckFailedError | None:
    """What to raise where a published run shows seams beyond what the request allows; None where it does not.

    Only what is sure counts: an interval that reaches to the limit is no failure.
    """
    limit = plan.request.max_seam
    if not limit:
        return None
    told = told_seams(plan)
    for mosaic in mosaics_of(plan):
        layer = plan.layer(mosaic.rpartition("_")[0] if len(plan.zones) > 1 else mosaic)
        if layer.is_estimate and not any(ratio.low is not None for _, ratio in told.get(mosaic, Seams())):
            logger.warning("max_seam: too little of %s was measured to hold it to the limit", mosaic)
    beyond = [
        f"{mosaic}: {name} {ratio_in_words(ratio)}"
        for mosaic, seams in told.items()
        for name, ratio in seams
        if ratio.departure > limit
    ]
    if not beyond:
        return None
    return CheckFailedError(
        f"max_seam: run {plan.run_id} shows seams beyond a factor of {limit:g}: {'; '.join(beyond)}",
        hint="its files are written; a smaller stride, blend cosine or another model may show less",
    )
