"""What commands share that look into a finished run: how far they are, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, TextColumn

from terramosaic.cli.consoles import ERR, OUT
from terramosaic.errors import TerramosaicError


class Finding(Protocol):
    """What came of it."""

    @property
    def failure(self) -> TerramosaicError | None:
        """What is to be raised, if anything."""

    def model_dump_json(self, *, indent: int | None = None) -> str:
        """It as JSON."""


_Found = TypeVar("_Found", bound=Finding)


@contextmanager
def counted_bar(name: str, unit: str, total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar in a terminal; what it gives is told how many are done, and of how many."""
    with Progress(*Progress.get_default_columns(), TextColumn(f"{{task.completed}} of {{task.total}} {unit}"),
                  console=ERR, transient=True, disable=not ERR.is_terminal) as bar:  # fmt: skip
        task = bar.add_task(name, total=total)
        yield lambda done, drawn: bar.update(task, completed=done, total=drawn)


def tell(found: _Found, show: Callable[[Console, _Found], None], *, as_json: bool) -> None:
    """Prints what came of it, and raises what that is a reason for.

    Raises:
        TerramosaicError: its failure.
    """
    if as_json:
        click.echo(found.model_dump_json(indent=1))
    else:
        show(OUT, found)
    if found.failure is not None:
        raise found.failure
