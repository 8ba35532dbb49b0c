"""What holds for a flow run that a worker started, and not for a flow that is called as a function."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from functools import cache
from pathlib import Path

from prefect import runtime

from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.json_log import always_about
from terramosaic.planning.places import places_of, require_places_within_roots
from terramosaic.request.request import RegionRequest
from terramosaic.settings import MAX_STARTS
from terramosaic.storage.location import is_url
from terramosaic.storage.retries import FLOW_START
from terramosaic.storage.tally import RUN, describe_run

#: Seconds between two looks at whether the worker is there.
_LOOK_EVERY = 1.0


def begin_deployed_run() -> None:
    """What a flow run begins with if a worker started it; nothing outside a deployment.

    Its lines are about it, and what it does counts for it. The engine's log lines go into the flow run's log, the
    process ends with its worker, and a crash loop is refused.

    Raises:
        TerramosaicError: the run was started too often.
    """
    always_about(flow_run=str(runtime.flow_run.id or ""))
    if is_deployed():
        os.environ[RUN] = str(runtime.flow_run.id)
        describe_run(name=str(runtime.flow_run.name), flow=str(runtime.flow_run.flow_name))
        # Prefect hands on what PREFECT_LOGGING_EXTRA_LOGGERS names, by itself from warnings up.
        logging.getLogger("terramosaic").setLevel(logging.INFO)
        end_with_parent()
        _refuse_crash_loop()


@cache
def end_with_parent() -> None:
    """Ends this process, as if the machine were lost, once the process that started it is gone.

    A worker that was killed no longer tells the server that its runs live, and so they are started again. What it left
    behind would do their work twice, and tell the server its own end of a run that may long be complete.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="end-with-worker", daemon=True).start()


def _refuse_crash_loop() -> None:
    """Ends a run that was resumed again and again and never came through.

    Only a crash is resumed by itself; this makes it a failure.

    Raises:
        TerramosaicError: the run was started more often than `MAX_STARTS` allows.
    """
    most = MAX_STARTS.whole_number(FLOW_START.tries)
    if runtime.flow_run.run_count > most:
        raise TerramosaicError(
            f"this run was started {most} times and never came to an end; see the log of its last start. "
            "Finished blocks are kept: a new run with the same request goes on from there"
        )


def refuse_relative(*paths: tuple[str, str]) -> None:
    """Refuses relative paths in a deployment.

    Args:
        paths: each the name of a field, and its path.

    Raises:
        RequestError: one line for each path that is relative.
    """
    if not is_deployed():
        return
    wrong = [(field, path) for field, path in paths if not Path(path).expanduser().is_absolute()]
    if wrong:
        raise RequestError(
            "\n".join(
                f"{field}: {path!r} is relative, and a worker runs in a folder that is deleted afterwards; "
                "give an absolute path"
                for field, path in wrong
            )
        )


def refuse_places(request: RegionRequest) -> None:
    """Refuses a request whose output or inputs are named by relative paths, or lie beyond this deployment's roots.

    Raises:
        RequestError: one line for each place.
    """
    require_places_within_roots(request)
    # A URL means the same place from every folder.
    refuse_relative(*((field, place) for field, place in places_of(request) if not is_url(place)))


def is_deployed() -> bool:
    """Whether a worker started this flow run from a deployment."""
    return bool(runtime.deployment.id)
