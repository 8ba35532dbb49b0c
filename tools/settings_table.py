"""The table of settings in docs/operations.md, made of `terramosaic.settings`.

python -m tools.settings_table          writes it
python -m tools.settings_table --check  ends with 1 where the page has another one
"""

from __future__ import annotations

import sys
from pathlib import Path

from terramosaic.settings import SETTINGS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operations.md"

_BEGIN, _END = "<!-- made by tools/settings_table.py -->\n", "<!-- end of what it makes -->\n"


def table() -> str:
    """The settings as a table of Markdown."""
    rows = [
        ("variable", "what it does", "where it is not set", "read by"),
        ("---",) * 4,
        *((f"`{each.name}`", each.meaning, each.default, each.reader) for each in SETTINGS),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(page: str) -> str:
    """A page with the table as it is to be.

    Raises:
        ValueError: it has no place for it, or several.
    """
    parts = page.split(_BEGIN)
    if len(parts) != 2 or parts[1].count(_END) != 1:
        raise ValueError(f"there must be {_BEGIN.strip()} once, and {_END.strip()} once after it")
    before, after = parts[0], parts[1].partition(_END)[2]
    return f"{before}{_BEGIN}\n{table()}\n{_END}{after}"


def main() -> None:
    """Writes the page, or says whether it would be changed."""
    page = PAGE.read_text(encoding="utf-8")
    made = with_table(page)
    if "--check" not in sys.argv:
        PAGE.write_text(made, encoding="utf-8")
    elif made != page:
        differs = next(
            (new for old, new in zip(page.splitlines(), made.splitlines(), strict=False) if old != new), ""
        )
        sys.exit(
            f"docs/operations.md: the table of settings is out of date: python -m tools.settings_table\n{differs}"
        )


if __name__ == "__main__":
    main()
