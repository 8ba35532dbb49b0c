"""Python in the docs as modules, so that it can be checked like any other code: Markdown's blocks and notebooks' cells.

    python -m tools.doc_blocks OUT

Writes a module for each ```python block of the Markdown files and one for each notebook, named by file and line.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> Iterator[tuple[str, str]]:
    """Name and text of each piece of Python in README.md, CONTRIBUTING.md, docs/ and deployments/."""
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deployments/**/*.md")]):
        text = path.read_text(encoding="utf-8")
        for found in _BLOCK.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield f"{_word(path)}_line_{line}", found[1]
    for path in sorted(ROOT.glob("docs/**/*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        yield (
            _word(path),
            "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"),
        )


def _word(path: Path) -> str:
    return re.sub(r"\W", "_", str(path.relative_to(ROOT).with_suffix("")))


def main() -> None:
    """Writes the modules."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("*.py"):
        old.unlink()
    for name, text in blocks():
        (out / f"{name}.py").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
