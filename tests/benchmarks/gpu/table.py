"""Results as Markdown, printed as they come and kept in a folder: rows as JSON, and ``results.md`` written of them.

Each row is kept when it is known, by whichever process has it, so that a run that is cut off leaves what it had.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: The table that stands last.
STEPS = "Steps"


class Results:
    """Notes and tables of a folder. Several processes may add to it, one after the other."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._rows, self._page = folder / "rows.jsonl", folder / "results.md"

    def clear(self) -> None:
        """Begins anew."""
        self._rows.unlink(missing_ok=True)

    def row(self, title: str, head: Sequence[str], row: Sequence[object]) -> None:
        """Adds a row to the table of that title."""
        shown = [_shown(cell) for cell in row]
        self._add({"title": title, "head": list(head), "row": shown}, f"{title}: {' | '.join(shown)}")

    def table(self, title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Adds a table."""
        for row in rows:
            self.row(title, head, row)

    def note(self, text: str) -> None:
        """Adds a line."""
        self._add({"note": text}, text)

    def render(self) -> str:
        """All of it as Markdown: the steps last, everything else in the order in which it began."""
        parts: dict[str, list[str]] = {}
        for line in self._rows.read_text(encoding="utf-8").splitlines():
            entry: dict[str, Any] = json.loads(line)
            if "note" in entry:
                parts[f"note {len(parts)}"] = [entry["note"]]
                continue
            title, head = entry["title"], entry["head"]
            if title not in parts:
                parts[title] = [f"## {title}", "", _line(head), "|" + " --- |" * len(head)]
            parts[title].append(_line(entry["row"]))
        steps = parts.pop(STEPS, [])
        return "\n\n".join("\n".join(part) for part in (*parts.values(), steps) if part) + "\n"

    def _add(self, entry: dict[str, Any], printed: str) -> None:
        with self._rows.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        partial = self._page.with_suffix(".partial")
        partial.write_text(self.render(), encoding="utf-8")
        partial.replace(self._page)
        print(printed, flush=True)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.2e}" if 0 < abs(cell) < 0.01 else f"{cell:,.4g}"
    return str(cell).replace("|", "\\|").replace("\n", " ")
