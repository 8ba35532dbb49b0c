"""The documentation's site: every page is in it, every link leads somewhere, the references leave nothing out."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

import terramosaic
from terramosaic.errors import TerramosaicError
from terramosaic.request.request import RegionRequest
from tools import docs_site

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "pages"
    docs_site.write_pages(folder)
    return folder


@pytest.fixture(scope="module")
def named():
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    return [
        page
        for section in site["nav"]
        for entries in section.values()
        for e in entries
        for page in e.values()
    ]


def test_every_page_is_in_the_navigation_once(pages, named):
    assert sorted(named) == sorted(str(path.relative_to(pages)) for path in pages.rglob("*.md"))


def test_every_link_leads_to_a_page_and_its_heading(pages):
    for path in pages.rglob("*.md"):
        for target, anchor in re.findall(r"\]\(([^)\s#:]*)(?:#([^)\s]*))?\)", _prose(path)):
            page = pages / target if target else path
            assert page.is_file(), f"{path.name}: {target}"
            if anchor and page.suffix == ".md":
                headings = re.findall(r"^#+ (.*)$", _prose(page), re.M)
                assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, (
                    f"{path.name}: {target}#{anchor}"
                )


def _prose(path):
    return re.sub(r"^```.*?^```", "", path.read_text(), flags=re.M | re.S)


def test_a_link_that_leads_nowhere_stops_the_build():
    link = re.match(docs_site._LINK, "[x](gone.md)")
    with pytest.raises(SystemExit, match=r"docs: \[x\]\(gone\.md\) leads nowhere"):
        docs_site._led(link, "docs")


def test_the_fields_of_a_request_are_told(pages):
    text = (pages / "request.md").read_text()
    assert all(
        f"\n| `{name}` | {field.description[:20]}" in text
        for name, field in RegionRequest.model_fields.items()
    )


def test_whatever_is_public_has_its_place_in_the_reference(pages):
    told = re.findall(r"^::: (\S+)$", (pages / "python.md").read_text(), re.M)
    for name in terramosaic.__all__:
        thing = getattr(terramosaic, name)
        if not (isinstance(thing, type) and issubclass(thing, TerramosaicError)):
            assert f"{thing.__module__}.{name}" in told


def test_programs_find_every_page(pages, named):
    index = (pages / "llms.txt").read_text()
    assert all(f"({page.removesuffix('.md')}.html)" in index for page in named)


def test_notebooks_keep_what_they_showed(tmp_path):
    cell = {
        "cell_type": "code",
        "source": ["1 + 1"],
        "outputs": [
            {"data": {"text/html": ["<b>\n\n", "two</b>"], "text/plain": ["2"]}},
            {"text": ["said\n"]},
            {"data": {"image/png": "AAAA\n"}},
        ],
    }
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": [cell]}))
    text = docs_site._notebook(path)
    assert "```python\n1 + 1\n```" in text
    assert '<div class="output"><b> two</b></div>' in text
    assert "```text\nsaid\n```" in text
    assert 'src="data:image/png;base64,AAAA"' in text
