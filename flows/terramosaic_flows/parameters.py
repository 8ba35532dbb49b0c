"""Flows whose parameters may be larger than a server takes: a region that is written out has megabytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import Flow
from prefect.settings import get_current_settings

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class _Flow(Flow[Parameters, Result]):
    """A flow that works with the parameters that it is called with, and tells the server of large ones in short."""

    def serialize_parameters(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Parameters as the server keeps them; it refuses them above a limit, and would fail the run."""
        told = super().serialize_parameters(parameters)
        most = get_current_settings().server.api.max_parameter_size
        for name, value in told.items():
            if len(json.dumps(value)) > most // max(1, len(told)):
                told[name] = f"<{type(parameters[name]).__name__}, too large for the server>"
        return told


def flow(**options: Any) -> Callable[[Callable[Parameters, Result]], Flow[Parameters, Result]]:
    """Prefect's decorator, for a flow that may be called with a region of megabytes; the arguments are the same."""

    def made(function: Callable[Parameters, Result]) -> Flow[Parameters, Result]:
        return _Flow(function, **options)

    return made
