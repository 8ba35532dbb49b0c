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
from typing import TYPE_CHECKING, Any

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
    if name not in plugin_names():
        return None
    try:
        command = _load(_COMMANDS, name)
        if isinstance(command, click.Command):
            return command
        raise RequestError(f"{name}: it is installed and is no click command but a {type(command).__name__}")
    except RequestError as error:
        message = str(error)

        def fail() -> None:
            raise RequestError(message)

        # Whatever it is called with, the answer is why it does not work.
        takes_anything = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
        return click.Command(name, callback=fail, short_help=f"({message})", context_settings=takes_anything)


def load_runner(name: str) -> Runner:
    """The runner of a name.

    Raises:
        RequestError: none is installed, several are, or it cannot be loaded.
    """
    runner: Runner = _load(_RUNNERS, name)
    return runner


def _load(group: str, name: str) -> Any:
    found = entry_points(group=group, name=name)
    if not found:
        raise RequestError(
            f"{name}: nothing that is installed offers it; install terramosaic with its flows again"
        )
    if len(found) > 1:
        places = ", ".join(sorted(point.value for point in found))
        raise RequestError(f"{name}: several that are installed offer it ({places}); remove all but one")
    (point,) = found
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # whatever the other distribution's module does
        raise RequestError(f"{name}: it is installed and cannot be loaded: {one_line(error)}") from error
