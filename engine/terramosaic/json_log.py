"""The log as one JSON object a line, for whoever collects logs; and which run and block a line is about.

Each object has ``time`` (UTC), ``level``, ``logger`` and ``message``, and where they are known ``run`` (the run's id),
``block`` and ``flow_run`` (Prefect's id); ``error`` is a traceback.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from datetime import UTC, datetime
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

#: What a line may be about. A record may bring it along, as those of Prefect and of worker processes do.
FIELDS = ("run", "block", "flow_run")

_NOTHING: Mapping[str, str] = {}
_ABOUT: ContextVar[Mapping[str, str]] = ContextVar("about", default=_NOTHING)
_ALWAYS: dict[str, str] = {}


@contextmanager
def about(**what: str) -> Iterator[None]:
    """What the lines are about that are logged within, in this thread and where `ContextPool` takes it.

    Args:
        what: some of `FIELDS`.
    """
    token = _ABOUT.set({**_ABOUT.get(), **what})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def about_run(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Makes what a function logs be about the run whose plan is its first argument, ``plan``."""

    @wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        plan = args[0] if args else kwargs.get("plan")
        with about(run=str(getattr(plan, "run_id", ""))):
            return function(*args, **kwargs)

    return wrapped


def always_about(**what: str) -> None:
    """What all lines of this process are about, unless they say another thing."""
    _ALWAYS.update(what)


def what_about() -> dict[str, str]:
    """What a line is about that is logged here and now."""
    return {**_ALWAYS, **_ABOUT.get()}


class ContextPool(ThreadPoolExecutor):
    """Threads whose lines are about what those are about who gave them their work."""

    def submit(
        self, fn: Callable[Parameters, Result], /, *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Future[Result]:
        """As `ThreadPoolExecutor.submit`."""
        return super().submit(partial(copy_context().run, fn, *args, **kwargs))


class JsonLines(logging.Formatter):
    """Records as JSON objects, one a line. Takes the arguments that any configuration of logging gives a formatter."""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def format(self, record: logging.LogRecord) -> str:
        """One line without a line break, whatever the record holds."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        told |= what_about()
        # Prefect's records have an id, and those of other processes what they were about there.
        told |= {name: str(value) for name in FIELDS if (value := record.__dict__.get(name))}
        if flow_run := record.__dict__.get("flow_run_id"):
            told["flow_run"] = str(flow_run)
        if record.exc_info:
            told["error"] = self.formatException(record.exc_info)
        return json.dumps(told, ensure_ascii=False, default=str)
