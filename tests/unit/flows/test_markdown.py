"""What items say is shown by Markdown as it is, in a line and in a cell of a table."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from rich.markdown import Markdown

from terramosaic.errors import one_line
from terramosaic_flows.markdown import code, escaped

#: What CommonMark, tables, bare links and HTML are made of, and some plain letters.
NASTY = st.text("`*_[]()<>&|~!#@:/\\.-+=1;{}\"'\n axw", max_size=30)


def shown(markdown: str) -> list[list[tuple[str, str]]]:
    """The kind and the text of what is in each line or cell."""
    tokens = Markdown(markdown).parsed
    lines = [token.children or [] for token in tokens if token.type == "inline"]
    return [[(child.type.removesuffix("_special"), child.content) for child in line] for line in lines]


def text(line: list[tuple[str, str]]) -> str:
    assert {kind for kind, _ in line} <= {"text"}
    return "".join(content for _, content in line)


@given(NASTY)
@example("S2A_33TWL_<img src=x onerror=alert(1)>&'\"")
@example("# no heading")
@example("1. no list")
@example("a | b")
@example("&lt;")
@example("__init__ _a_ a_b")
def test_text_stays_text(said):
    line = one_line(said)
    table = f"| x | y |\n| --- | --- |\n| {escaped(said)} | end |"
    assert [text(cell) for cell in shown(table)][2:] == [line, "end"]
    quoted = shown(f"> {escaped(said)}")
    assert [text(line) for line in quoted] == ([line] if line else [])


def test_bare_links_are_no_links():
    assert escaped("see https://a.example, www.a.example, me@a.example") == (
        "see https\\://a.example, www\\.a.example, me\\@a.example"
    )


def test_ids_stay_as_they_are():
    assert escaped("S2A_MSIL2A_20230815T100031_R122_T33TWL") == "S2A_MSIL2A_20230815T100031_R122_T33TWL"


@given(NASTY.filter(lambda said: bool(one_line(said)) and "\\" not in said))
def test_code_stays_code(said):
    table = f"| x | y |\n| --- | --- |\n| {code(said)} | end |"
    assert shown(table)[2:] == [[("code_inline", one_line(said))], [("text", "end")]]
