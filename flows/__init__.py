"""Prefect flows over the engine's stages: thin, they call a stage and report.

Importing this package does not import Prefect; `flows.map_region` does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from engine.request import RegionRequest

if TYPE_CHECKING:
    from engine.mapping import MapResult

#: Settings that make Prefect's own temporary server start reliably on a busy machine and keep to itself. Whatever the
#: user set wins.
_QUIET = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
}


def run_flow(request: RegionRequest, home: Path | None = None) -> MapResult:
    """Runs the flow ``map-region`` in this process, on the configured server or on Prefect's own temporary one.

    Args:
        request: what to map.
        home: folder for Prefect's database; by default the user's.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    if home is not None:
        os.environ["PREFECT_HOME"] = str(home.resolve())
    from engine.mapping import result_of
    from engine.run import read_plan
    from flows.map_region import map_region

    return result_of(read_plan(map_region(request)))
