"""How much the command says: ``--quiet``, ``--verbose`` and ``--debug``, wherever a person writes them.

Exit codes, errors and what was asked for (paths, tables, JSON on stdout) are the same with each of them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import click

from terramosaic.errors import RequestError
from terramosaic.json_log import JsonLines
from terramosaic.settings import is_log_json

#: The options as they may be written, and what they are.
_SPELLINGS = {
    "-q": "--quiet",
    "--quiet": "--quiet",
    "-v": "--verbose",
    "--verbose": "--verbose",
    "--debug": "--debug",
}


class _Stderr(logging.Handler):
    """Writes to what stderr is by then: a bar that moves there takes its place, and lines go above it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except Exception:  # as all handlers do: what is logged ends no command
            self.handleError(record)


def to_the_front(arguments: Sequence[str]) -> list[str]:
    """A command line with these options before the subcommand, where click looks for them.

    After ``--`` a word is no option.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [_SPELLINGS[word] for word in arguments[:end] if word in _SPELLINGS]
    others = [word for word in arguments[:end] if word not in _SPELLINGS]
    return [*dict.fromkeys(options), *others, *arguments[end:]]


def set_up(*, quiet: bool, verbose: bool, debug: bool) -> None:
    """Makes logging and stderr say as much as was asked for.

    Raises:
        RequestError: it is asked for less and for more at once.
    """
    if quiet and (verbose or debug):
        raise RequestError("--quiet: it cannot go with --verbose or --debug; leave one out")
    root, engine = logging.getLogger(), logging.getLogger("terramosaic")
    if not root.handlers:
        handler = _Stderr()
        handler.setFormatter(log_formatter("%(levelname)s %(name)s: %(message)s"))
        root.addHandler(handler)
        # Warnings of the engine are for the user; those of the libraries under it are said again, plainly, as errors.
        root.setLevel(logging.INFO if debug else logging.ERROR)
    engine.setLevel(logging.INFO if verbose or debug else logging.ERROR if quiet else logging.WARNING)
    # Here, for start-up time: --help and --version do not come so far.
    from terramosaic.cli.consoles import ERR

    # Where the log is for a program, what is shown while a command works would stand between its lines.
    ERR.quiet = quiet or is_log_json()


def log_formatter(text: str) -> logging.Formatter:
    """How lines of the log look: a text, or JSON where the environment says so.

    Raises:
        RequestError: it says neither.
    """
    return JsonLines() if is_log_json() else logging.Formatter(text)


def is_quiet() -> bool:
    """Whether the command at work was asked for nothing but results and errors."""
    return _is("quiet")


def is_verbose() -> bool:
    """Whether the command at work was asked for what it does, and for names in full."""
    return _is("verbose") or _is("debug")


def _is(name: str) -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.find_root().params.get(name))
