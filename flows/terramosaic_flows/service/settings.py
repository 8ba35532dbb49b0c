"""The environment of a local server and worker: loopback, a home of its own, nothing sent anywhere."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path

from terramosaic.errors import RequestError
from terramosaic.settings import MAX_STARTS, MODEL, OUT
from terramosaic.storage.retries import FLOW_START
from terramosaic_flows.offered import first_model

HOST = "127.0.0.1"

PREFECT_FILE = "prefect.yaml"

#: The work pool of deployments/prefect.yaml.
POOL = "terramosaic"

#: What a profile or a login of the user would decide: another server, to which nothing of this is to go.
_OF_ANOTHER_SERVER = (
    "PREFECT_PROFILE",
    "PREFECT_API_KEY",
    "PREFECT_PROFILES_PATH",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
)

_QUIET = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    # A command that finds no server must say so, and not start one of its own.
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    # A busy machine answers late.
    "PREFECT_API_REQUEST_TIMEOUT": "120",
    # Relative to the page: the UI works as 127.0.0.1 and as localhost, which are two origins.
    "PREFECT_SERVER_UI_API_URL": "/api",
}

#: With the defaults, which write single rows, the server falls behind at a hundred block tasks and answers 503.
_BATCHES = {
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TRIGGERS_READ_BATCH_SIZE": "100",
}

#: What is older than 90 days goes: flow runs with their logs and artifacts, which Prefect would keep for ever.
_RETENTION = {"PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs"}

_PACE = {
    # A run that waits for another one of its deployment asks again so soon.
    "PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS": "5",
    "PREFECT_WORKER_QUERY_SECONDS": "2",
    # After a restart of the server a crash is noticed within a minute.
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "terramosaic_flows.service.ordering",
    # A new schedule counts from then on, not from a minute later.
    "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
}


#: What every flow run finds in its process: a worker hands its environment on, and a run can bring none of its own.
RUN_ENVIRONMENT = {
    # The engine's log lines in the flow run's log.
    "PREFECT_LOGGING_EXTRA_LOGGERS": "terramosaic",
    # Threads that read imagery belong to no task; their lines go to the worker's log alone.
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    # Two missed of these, and the automation `crash-zombie-runs` takes the run for lost.
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    # Starts of one run, resumes included, until it fails instead of being resumed once more.
    MAX_STARTS.name: f"{FLOW_START.tries}",
}


def deployments_folder() -> Path:
    """The folder ``deployments``: of this package where it was installed from a wheel, else of its clone.

    Raises:
        RequestError: there is neither.
    """
    package = Path(str(files("terramosaic_flows")))
    in_wheel, in_clone = package / "deployments", package.parents[1] / "deployments"
    for folder in (in_wheel, in_clone):
        if (folder / PREFECT_FILE).is_file():
            return folder
    raise RequestError(
        f"deployments: {PREFECT_FILE} is neither in {in_wheel} nor in {in_clone}; install terramosaic again"
    )


def api_url(port: int) -> str:
    """Where the server's API is."""
    return f"http://{HOST}:{port}/api"


def service_environment(home: Path, port: int, login: str | None) -> dict[str, str]:
    """The environment of everything that belongs to this server: the user's, with what must be so.

    The database is the user's if PREFECT_SERVER_DATABASE_CONNECTION_URL names one, else a file in ``home``.

    Args:
        home: folder for what Prefect keeps.
        port: of the server.
        login: ``user:password`` that the server asks for, and its clients give; none leaves it open.

    Raises:
        TerramosaicError: the models to offer are named, and are none.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER_SERVER}
    # How often and how long are matters of taste, and may be set outside.
    return (
        _BATCHES
        | _RETENTION
        | _PACE
        | RUN_ENVIRONMENT
        | {OUT.name: str(home / "maps"), MODEL.name: first_model()}
        | kept
        | _QUIET
        | {
            "PREFECT_HOME": str(home),
            "PREFECT_API_URL": api_url(port),
            "PREFECT_SERVER_API_HOST": HOST,
            # Not every page of the web, as by default. By this name, which goes before Prefect's other one.
            "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": f"http://{HOST}:{port}",
        }
        | ({"PREFECT_SERVER_API_AUTH_STRING": login, "PREFECT_API_AUTH_STRING": login} if login else {})
    )
