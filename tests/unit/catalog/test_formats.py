"""Files of many items, which are read one by one: the same values as `json` reads, wherever a read of the file ends."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from shapely.geometry import box

from terramosaic.catalog import formats
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.formats import items_in
from terramosaic.errors import CatalogError
from tests.unit.catalog.test_search import item

_VALUES = [
    {"a": [1, 2.5e-3, {"b": None}], "ü": '\\"]}, ☃ \ud83d'},
    {"id": "two", "nested": [[[]], {}]},
    12345,
    -1.25,
    "text, [",
    True,
]


def read(content: str | bytes) -> list[Any] | None:
    found = items_in(io.BytesIO(content if isinstance(content, bytes) else content.encode()))
    return None if found is None else list(found)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1_000_000])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("escaped", [True, False])
def test_items_are_what_json_reads_of_all_at_once(monkeypatch, size, indent, escaped):
    monkeypatch.setattr(formats, "_BYTES", size)
    collection = {"numberMatched": 6, "type": "FeatureCollection", "features": _VALUES, "links": [{"a": 1}]}

    def written(value: Any) -> bytes:
        return json.dumps(value, indent=indent, ensure_ascii=escaped).encode("utf-8", "surrogatepass")

    assert read(written(_VALUES)) == _VALUES
    assert read(written(collection) + b" \n") == _VALUES
    assert read(written(collection | {"features": []})) == []
    assert read(b" [ ] ") == []


@pytest.mark.parametrize(
    "document",
    [
        {"features": [1], "type": "FeatureCollection"},  # of what kind it is, is not known in time
        {"type": "FeatureCollection", "features": {"not": "a list"}},
        {"type": "FeatureCollection"},
        {"type": "Catalog", "features": [1]},
        {},
        7,
    ],
)
def test_another_document_is_left_to_be_read_whole(document):
    assert read(json.dumps(document)) is None


@pytest.mark.parametrize(
    "content", ["", " ", "{", "no", '{"type"', '{"type": 1,', '{"a": 1}', '{"a": 1}\n\n']
)
def test_so_is_what_is_none_or_one_item(content):
    assert read(content) is None


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('[{"a": 1}, {"a": ', "it is not JSON: Expecting value at letter 17"),
        ('[{"a": 1} {"a": 2}]', "it is not JSON: a comma is wanted at letter 10"),
        ("[1, 2", "it is not JSON: a comma is wanted"),
        ("[1]]", "it is not JSON: nothing more is wanted at letter 3"),
        (
            '{"type": "FeatureCollection", "features": [1], 3: 4}',
            "it is not JSON: a name is wanted at letter 48",
        ),
        (b'[1, "\xff"]', "it is not JSON: 'utf-8' codec can't decode"),
        ("[" * 200_000, "it is not JSON: it is nested too deeply"),
        ('{"a": 1}\n{"a": 2}\n{"a"\n', "it is not JSON in line 3"),
    ],
)
def test_what_is_broken_further_on_is_told_where(monkeypatch, content, told):
    monkeypatch.setattr(formats, "_BYTES", 4)
    with pytest.raises(ValueError, match="^" + told.replace("[", r"\[")):
        read(content)


def test_a_catalog_gives_its_items_while_it_reads_them(tmp_path):
    lines = "\n".join(json.dumps(item(name)) for name in ("one", "two"))
    (tmp_path / "items.ndjson").write_text(lines + "\n{broken")
    found = FileCatalog(tmp_path / "items.ndjson").stream([box(-180, -80, 180, 80)], None, None, None)
    assert [next(found)["id"], next(found)["id"]] == ["one", "two"]
    with pytest.raises(CatalogError, match=r"items\.ndjson cannot be read: it is not JSON in line 3"):
        next(found)
