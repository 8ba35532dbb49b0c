"""What other distributions add to the command line, found by entry points: the engine itself knows nothing of them.

    [project.entry-points."terramosaic.commands"]   name = "module:click_command"
    [project.entry-points."terramosaic.runners"]    name = "module:function"

A runner maps a request in its own way: ``function(request, home=None)`` returns the results, and ``home`` is a folder
for its own files. rasterio's ``rio`` finds its commands alike.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from terramosaic.errors import RequestError, one_line

if TYPE_CHECKING:
    from terramosaic.mosaic.result import MapResult
    from terramosaic.request.request import RegionRequest

    Runner = Callable[[RegionRequest, Path | None], list[MapResult]]

_COMMANDS, _RUNNERS = "terramosaic.commands", "terramosaic.runners"


def plugin_names() -> list[str]:
    """Names of the commands that others add."""
    return sorted(entry_points(group=_COMMANDS).names)


def plugin_command(name: str) -> click.Command | None:
    """A command that another distribution adds; one that cannot be loaded says so when it is used."""
    if name not in entry_points(group=_COMMANDS).names:
        return None
    try:
        return cast(click.Command, _load(_COMMANDS, name))
    except RequestError as error:
        message = str(error)

        def fail() -> None:
            raise RequestError(message)

        return click.Command(name, callback=fail, short_help=f"({message})")


def load_runner(name: str) -> Runner:
    """The runner of a name.

    Raises:
        RequestError: none is installed, or it cannot be loaded.
    """
    return cast("Runner", _load(_RUNNERS, name))


def _load(group: str, name: str) -> Any:
    found = entry_points(group=group, name=name)
    if not found:
        raise RequestError(
            f"{name}: nothing that is installed offers it; install terramosaic with its flows again"
        )
    try:
        return next(iter(found)).load()
    except Exception as error:  # whatever the other distribution's module does
        raise RequestError(f"{name}: it is installed and cannot be loaded: {one_line(error)}") from error
