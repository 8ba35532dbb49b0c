"""Prefect flows over the engine's stages: thin, they call a stage and report.

Importing this package does not import Prefect; `terramosaic_flows.map_region` does. `run_flow` runs that flow here.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from terramosaic.settings import LOG

if TYPE_CHECKING:
    from terramosaic_flows.in_process import run_flow

__all__ = ["run_flow"]

#: Prefect's own temporary server starts reliably on a busy machine, and keeps to itself. What the user set wins.
_SERVER = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
    "DO_NOT_TRACK": "1",
}
#: Prefect's own log in our form; its processes read this when they start, as do those that they start.
_JSON = {
    "PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER": "json",
    "PREFECT_LOGGING_FORMATTERS_JSON_CLASS": "terramosaic.json_log.JsonLines",
}
for _name, _value in (_SERVER | (_JSON if LOG.text == "json" else {})).items():
    os.environ.setdefault(_name, _value)


def __getattr__(name: str) -> Any:
    if name != "run_flow":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from terramosaic_flows.in_process import run_flow  # for start-up time, as in `terramosaic`

    return run_flow
