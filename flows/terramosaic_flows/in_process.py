"""The flow ``map-region`` in this process: what the command line runs for ``map --prefect`` and ``demo``."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import cast

from terramosaic.mosaic.result import MapResult, result_of
from terramosaic.planning.folder import read_plan
from terramosaic.request.request import RegionRequest
from terramosaic.storage.files import facts_of
from terramosaic.storage.location import Location


def run_flow(request: RegionRequest, home: Path | None = None) -> list[MapResult]:
    """Runs the flow ``map-region`` in this process, on the configured server or on Prefect's own temporary one.

    Args:
        request: what to map.
        home: folder for Prefect's database; by default the user's.

    Returns:
        The run, or that of each region of a file with several.

    Raises:
        TerramosaicError: what the flow failed with.
    """
    # What fails is raised here and told once, by the caller: Prefect would print its traceback as well.
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")
    if home is not None:
        os.environ["PREFECT_HOME"] = str(home.resolve())
    from terramosaic_flows.map_region import map_region  # brings Prefect, which reads its settings once

    started = time.time()
    folders = cast(list[str], map_region(request))  # what is in the flow's state
    results = [result_of(read_plan(folder)) for folder in folders]
    return [result_of(result.plan, was_done=_modified(result.item) < started) for result in results]


def _modified(path: Location) -> float:
    facts = facts_of(path)
    return facts.modified if facts else math.inf
