"""HTML that is safe by construction: what is put into a template is escaped, unless it is HTML already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from string import Template

#: Between groups of three digits, and between a number and its unit: no line may break there.
THIN, UNBROKEN = "\u202f", "\u00a0"


class Html(str):
    """Text that is HTML; any other string is text that still has to be escaped."""

    __slots__ = ()


def fill(template: str, **values: object) -> Html:
    """Puts values into the template's ``$names``; those that are not `Html` are escaped."""
    safe = {name: value if isinstance(value, Html) else escape(str(value)) for name, value in values.items()}
    return Html(Template(template).substitute(safe))


def join(parts: Iterable[Html]) -> Html:
    """One piece out of several."""
    return Html("\n".join(parts))


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> Html:
    """A table that scrolls sideways where the screen is narrow.

    Args:
        header: heads of the columns.
        rows: cells, text or `Html`.
        numbers: columns that are set flush right.
    """

    def cells(tag: str, row: Sequence[object]) -> Html:
        return join(
            fill(f"<{tag}{' class=n' if index in numbers else ''}>$cell</{tag}>", cell=cell)
            for index, cell in enumerate(row)
        )

    body = join(fill("<tr>$cells</tr>", cells=cells("td", row)) for row in rows)
    return fill(
        '<div class="scroll" tabindex="0"><table><thead><tr>$head</tr></thead>'
        "<tbody>$body</tbody></table></div>",
        head=cells("th", header),
        body=body,
    )


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """A list of names and values."""
    items = join(
        fill("<div><dt>$name</dt><dd>$value</dd></div>", name=name, value=value) for name, value in pairs
    )
    return fill('<dl class="facts">$items</dl>', items=items)


def folded(summary: str, content: Html, *, opened: bool = False) -> Html:
    """Content that the reader unfolds."""
    template = f"<details{' open' if opened else ''}><summary>$summary</summary>$content</details>"
    return fill(template, summary=summary, content=content)


def stacked(parts: Iterable[tuple[str, str, float]]) -> Html:
    """A bar of parts, each a label, a colour and a size; for the eye only, the numbers stand beside it."""
    stripes = join(
        fill(
            '<span style="flex-grow:$size;background:$colour" title="$label"></span>',
            size=f"{part:.6g}",
            colour=colour,
            label=label,
        )
        for label, colour, part in parts
        if part > 0
    )
    return fill('<div class="stack" aria-hidden="true">$stripes</div>', stripes=stripes)


def read_template(package: str, name: str) -> str:
    """A file that lies beside the modules of a package."""
    return files(package).joinpath(name).read_text(encoding="utf-8")


def code(text: str) -> Html:
    """An identifier."""
    return fill("<code>$text</code>", text=text)


def when(text: str) -> Html:
    """A date, at whose hyphens no line breaks."""
    return fill("<time>$text</time>", text=text)


def counted(count: int, noun: str) -> str:
    """``1 block``, ``2 blocks``."""
    return f"{number(count)} {noun}{'' if count == 1 else 's'}"


def number(value: float, digits: int = 0) -> str:
    """``12 345.6``, with a true minus sign."""
    return f"{value:,.{digits}f}".replace(",", THIN).replace("-", "\u2212")


def figure(value: float) -> str:
    """A number with about three digits that tell something."""
    size = abs(value)
    if 0 < size < 0.005:
        return f"<{THIN}0.01"
    return number(value, 0 if size >= 100 else 1 if size >= 10 else 2)


def percent(share: float) -> str:
    """A share; a small one that is not zero never reads as zero."""
    if 0 < share < 0.0005:
        return f"<{THIN}0.1{UNBROKEN}%"
    return f"{number(100 * share, 1)}{UNBROKEN}%"


def duration(seconds: float) -> str:
    """``8.3 s``, ``4 min 10 s`` or ``3 h 05 min``."""
    if seconds < 60:
        return f"{number(seconds, 1)}{UNBROKEN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{UNBROKEN}min {rest:02d}{UNBROKEN}s"
    return f"{minutes // 60}{UNBROKEN}h {minutes % 60:02d}{UNBROKEN}min"


def size(count: float) -> str:
    """Bytes as kB, MB or GB (powers of ten)."""
    for unit, step in (("GB", 1e9), ("MB", 1e6)):
        if count >= step:
            return f"{figure(count / step)}{UNBROKEN}{unit}"
    return f"{number(count / 1e3, 0 if count >= 1e4 else 1)}{UNBROKEN}kB"
