"""The Python of the first pages runs as written, over imagery at hand in place of a catalog elsewhere."""

from __future__ import annotations

import pytest

from terramosaic.ground.grid import Rect
from tools.doc_blocks import blocks

PAGES = {name: text for name, text in blocks() if name.startswith(("README", "docs_start", "docs_prefect"))}


@pytest.fixture
def here(land, tmp_path, monkeypatch):
    """What the pages name and a test has not, and what stands for it; outputs go to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    left, bottom, right, top = (
        land.request(Rect(490_002, 50_004, 300, 300), tmp_path).region.area().outline.bounds
    )
    return {
        "(13.4, 45.5, 13.9, 45.9)": repr((left, bottom, right, top)),
        '{"tile": "33TWL"}': repr([left, bottom, right, top]),
        '"earth-search"': repr(str(land.folder)),
        '"/data/maps"': repr(str(tmp_path / "maps")),
    }


def test_they_map_with_and_without_prefect():
    assert len(PAGES) == 3
    assert sum("terramosaic_flows" in text for text in PAGES.values()) == 1


@pytest.mark.parametrize("name", PAGES)
def test_block_runs(request, here, tmp_path, name):
    text = PAGES[name]
    if "terramosaic_flows" in text:
        request.getfixturevalue("server")
    replaced = [words for words in here if words in text]
    assert len(replaced) >= 2, "the page names other imagery now; say here what stands for it"
    for words in replaced:
        text = text.replace(words, here[words])
    names: dict[str, object] = {}
    exec(compile(text, f"{name}.py", "exec"), names)
    assert list(tmp_path.rglob("NDVI.tif"))
    if "ndvi" in names:
        assert -1 <= float(names["ndvi"].min()) <= float(names["ndvi"].max()) <= 1
    if "cover" in names:
        assert "water" in names["cover"].attrs["flag_meanings"]
