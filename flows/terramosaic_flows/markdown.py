"""Markdown that shows text as it is: what items say of themselves is neither link, nor markup, nor a new cell."""

from __future__ import annotations

import re

from terramosaic.errors import one_line

#: What CommonMark, GitHub's tables, its bare links and HTML would take for theirs. Underscores within words are text,
#: so that ids stay as they are; signs of lists, headings and quotes count at the beginning only.
_SIGNS = re.compile(
    r"[\\`*\[\]<>&|~@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|^[-+=#]|^\d+[.)](?!\S)", re.IGNORECASE
)


def escaped(text: object) -> str:
    """A text in one line, which Markdown shows as it is."""
    return _SIGNS.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", one_line(text))


def code(text: object) -> str:
    """A path or an id as code, also in a cell of a table."""
    line = one_line(text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", line)), default=0))
    padding = " " if "`" in line else ""
    return f"{fence}{padding}{line}{padding}{fence}"
