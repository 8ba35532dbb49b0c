"""Results as Markdown, printed as they come and written to ``$OUT/results.md`` where that is set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


class Results:
    """Collects tables; each is printed and saved at once, so that a run that is cut off leaves what it had."""

    def __init__(self, title: str) -> None:
        self._parts: list[str] = []
        self._add(f"# {title}")

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Adds a table."""
        lines = [f"## {title}", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
        lines += ["| " + " | ".join(_shown(cell) for cell in row) + " |" for row in rows]
        self._add("\n".join(lines))

    def note(self, text: str) -> None:
        """Adds a line."""
        self._add(text)

    def _add(self, part: str) -> None:
        self._parts.append(part)
        print(part, end="\n\n", flush=True)
        if out := os.environ.get("OUT"):
            Path(out, "results.md").write_text("\n\n".join(self._parts) + "\n", encoding="utf-8")


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.2e}" if 0 < abs(cell) < 0.01 else f"{cell:,.4g}"
    return str(cell)
