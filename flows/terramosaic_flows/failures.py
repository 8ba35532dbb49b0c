"""How a flow ends: an error of the engine is the run's state message, word for word, and no traceback."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from prefect.states import Failed

from terramosaic.errors import TerramosaicError
from terramosaic.storage.tally import count, flush

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def fails_in_one_line(function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Makes a flow's function end Failed with the engine's line as the message.

    Prefect would say "Flow run encountered an exception: CatalogError: ..." before it. The exception stays in the
    state, so that who called the flow as a function gets it raised.
    """

    @functools.wraps(function)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
        flow = function.__name__.replace("_", "-")
        try:
            result = function(*args, **kwargs)
        except Exception as error:
            count("failures", what="run", kind=type(error).__name__)
            count("runs", flow=flow, outcome="failed")
            if not isinstance(error, TerramosaicError):
                raise
            return cast(Result, Failed(message=str(error), data=error))
        finally:
            flush()
        count("runs", flow=flow, outcome="completed")
        flush()
        return result

    # Types by name are of the flow's module; Prefect would look for them in this one.
    wrapped.__signature__ = inspect.signature(function, eval_str=True)  # type: ignore[attr-defined]
    return wrapped


def _tell_in_one_line(record: logging.LogRecord) -> bool:
    """Takes the traceback off what Prefect logs about an error of the engine; a bug keeps its traceback."""
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, TerramosaicError):
        record.exc_info = None
        if not record.args:
            # Of a flow run it says "Engine execution exited with unexpected exception", and not which.
            record.msg = str(error)
    return True


# Prefect's own loggers of flow and task runs. The same function is added once, however often this is imported.
for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(_tell_in_one_line)
