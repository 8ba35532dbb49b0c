"""The pages of the documentation's site, ready to be built: `make docs` runs this, and then MkDocs over what it writes.

    python -m tools.docs_site OUT

Takes docs/ as it is, and beside it: pages of other folders; links to files that are no pages, as plain text; notebooks
with their outputs, as Markdown; a table of the fields of a request, made of `RegionRequest`; and `llms.txt`
(https://llmstxt.org), which lists all pages with their first sentence. A page that mkdocs.yml does not name, and a link
that leads nowhere, fail the build.
"""

from __future__ import annotations

import json
import posixpath
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic_core import PydanticUndefined

from terramosaic.request.request import RegionRequest

ROOT = Path(__file__).resolve().parents[1]

#: Pages that lie elsewhere in the repository, and what they are called in the site, which has a first page of its own.
_ELSEWHERE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "README.md": "index.md",
    "deployments/README.md": "deployments.md",
}
_FIELDS = "<!-- fields of the request -->"
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)\s#]*)(#[^)\s]*)?\)")


def write_pages(out: Path) -> None:
    """Writes the folder of pages anew."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(ROOT / "docs", out)
    for source, page in _ELSEWHERE.items():
        if not (out / page).exists():
            _write(out / page, (ROOT / source).read_text(encoding="utf-8"), posixpath.dirname(source))
    for path in sorted((ROOT / "docs").rglob("*.md")):
        _write(out / path.relative_to(ROOT / "docs"), path.read_text(encoding="utf-8"), "docs")
    for path in sorted(out.rglob("*.ipynb")):
        _write(path.with_suffix(".md"), _notebook(path), "docs")
        path.unlink()
    (out / "llms.txt").write_text(_index(out), encoding="utf-8")


def _write(path: Path, text: str, folder: str) -> None:
    text = _LINK.sub(lambda link: _led(link, folder), text).replace(_FIELDS, _fields())
    path.write_text(text, encoding="utf-8")


def _led(link: re.Match[str], folder: str) -> str:
    """A link of a page that lies in ``folder`` of the repository, as the site has it."""
    words, target, anchor = link[1], link[2], link[3] or ""
    if not target or "://" in target or target.startswith("mailto:"):
        return link[0]
    path = posixpath.normpath(posixpath.join(folder, target))
    if (ROOT / path / "README.md").is_file():
        path = f"{path}/README.md"
    if not (ROOT / path).exists():
        raise SystemExit(f"{folder or '.'}: {link[0]} leads nowhere")
    if path in _ELSEWHERE:
        return f"[{words}]({_ELSEWHERE[path]}{anchor})"
    if path.startswith("docs/"):
        return f"[{words}]({re.sub('ipynb$', 'md', path.removeprefix('docs/'))}{anchor})"
    return f"{words} (`{path}`)"


def _notebook(path: Path) -> str:
    """A notebook's cells and what they showed."""
    parts: list[str] = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        parts += [_shown(output) for output in cell.get("outputs", [])]
    return "\n\n".join(parts) + "\n"


def _shown(output: dict[str, Any]) -> str:
    data = output.get("data", {})
    if "text/html" in data:
        # On a line: Markdown ends a block of HTML at an empty one.
        return f'<div class="output">{" ".join("".join(data["text/html"]).split())}</div>'
    if "image/png" in data:
        return f'<img alt="" src="data:image/png;base64,{"".join(data["image/png"]).strip()}">'
    text = "".join(output.get("text", data.get("text/plain", "")))
    return f"```text\n{text.rstrip()}\n```"


def _fields() -> str:
    """A row for each field of a request."""
    rows = ["| field | what it is | default |", "| --- | --- | --- |"]
    for name, field in RegionRequest.model_fields.items():
        examples = "".join(f"<br>`{_cell(example)}`" for example in field.examples or [])
        rows.append(f"| `{name}` | {_cell(field.description or '')}{examples} | {_default(field)} |")
    return "\n".join(rows)


def _default(field: Any) -> str:
    if field.is_required():
        return "must be given"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, PydanticUndefined, "", (), {}, []) else f"`{_cell(value)}`"


def _cell(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def _index(pages: Path) -> str:
    """The text of `llms.txt`: sections and pages as the site's navigation has them."""
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    lines = [f"# {site['site_name']}", "", f"> {site['site_description']}", ""]
    for section in site["nav"]:
        ((title, entries),) = section.items()
        lines += [f"## {title}", ""]
        for entry in entries:
            ((name, page),) = entry.items()
            lines.append(f"- [{name}]({page.removesuffix('md')}html){_said(pages / page)}")
        lines.append("")
    return "\n".join(lines)


def _said(page: Path) -> str:
    """The first sentence of a page, after a colon; nothing where it has none."""
    for part in page.read_text(encoding="utf-8").split("\n\n"):
        if part and part[0] not in "#!|<:*->" and not part.startswith("```"):
            words = _LINK.sub(lambda link: link[1], " ".join(part.split()))
            return ": " + re.split(r"(?<=[.:])\s", words)[0].rstrip(":")
    return ""


def main() -> None:
    """Writes the pages."""
    write_pages(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
