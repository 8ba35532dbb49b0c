"""Prefect flows over the engine's stages: thin, they call a stage and report.

Importing this package does not import Prefect; `flows.map_region` does.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from engine.request import RegionRequest

if TYPE_CHECKING:
    from engine.result import MapResult

#: Prefect's own temporary server starts reliably on a busy machine, and keeps to itself. What the user set wins.
_SERVER = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "1",
}
for _name, _value in _SERVER.items():
    os.environ.setdefault(_name, _value)


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
    from engine.result import result_of
    from engine.run import read_plan
    from flows.map_region import map_region

    started = time.time()
    results = [result_of(read_plan(folder)) for folder in map_region(request)]
    return [result_of(result.plan, was_done=result.item.stat().st_mtime < started) for result in results]
