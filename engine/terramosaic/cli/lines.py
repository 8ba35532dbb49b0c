"""Lines for terminals and pipes: folded between words, so that a path or an id can be copied as it is."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from terramosaic.publishing.numbers import THIN, UNBROKEN


def plain(text: str) -> str:
    """With spaces that can be typed, so that one finds the text."""
    return text.replace(THIN, " ").replace(UNBROKEN, " ")


def show_line(console: Console, text: str, *, style: str = "") -> None:
    """Prints a text; a terminal has it folded between words, a pipe in one line.

    A word that is longer than the terminal is wide is left to the terminal: what is copied from there has no break.
    """
    for line in _folded(console, plain(text), 0):
        _print(console, Text(line, style=style))


def show_facts(console: Console, facts: Mapping[str, str]) -> None:
    """Prints names and values below each other, the values indented alike."""
    indent = max(map(len, facts), default=0) + 2
    for name, value in facts.items():
        first, *others = _folded(console, plain(value), indent)
        _print(console, Text.assemble((f"{name:{indent}}", "bold"), first))
        for line in others:
            _print(console, Text(" " * indent + line))


def _folded(console: Console, text: str, indent: int) -> list[str]:
    if not console.is_terminal:
        return [text]
    width = max(20, console.width - indent)
    lines = textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
    return lines or [""]


def _print(console: Console, line: Text) -> None:
    console.print(line, soft_wrap=True, highlight=False)
