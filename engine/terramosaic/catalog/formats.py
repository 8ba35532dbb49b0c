"""What a catalog's file holds: one JSON document, a JSON item on each line, or stac-geoparquet."""

from __future__ import annotations

import json
from typing import Any

from terramosaic.errors import one_line

#: Endings of the files that are looked into where a catalog is a folder. Parquet may be anything, so it is named.
SUFFIXES = (".json", ".geojson", ".ndjson", ".jsonl")

_PARQUET = b"PAR1"


def document_of(content: bytes) -> Any:
    """A file's document; items on lines of their own, or in the rows of a table, are a list of items.

    Raises:
        ValueError: it is none of these, in one line.
    """
    if content.startswith(_PARQUET):
        return _items_of_parquet(content)
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is not JSON: it is nested too deeply") from None
    except ValueError as error:
        items = _items_on_lines(content)
        if items is None:
            raise ValueError(f"it is not JSON: {one_line(error)}") from error
        return items


def _items_on_lines(content: bytes) -> list[Any] | None:
    """The items of newline-delimited JSON; None if its first line is no JSON by itself.

    Raises:
        ValueError: a later line is none.
    """
    # The separator of GeoJSON text sequences (RFC 8142) may stand before each.
    lines = [line.strip(b"\x1e \t\r") for line in content.split(b"\n")]
    items: list[Any] = []
    for number, line in enumerate(lines, 1):
        try:
            if line:
                items.append(json.loads(line))
        except (ValueError, RecursionError) as error:
            if not items:
                return None
            raise ValueError(f"it is not JSON in line {number}: {one_line(error)}") from error
    return items


def _items_of_parquet(content: bytes) -> list[Any]:
    try:
        import pyarrow
        import pyarrow.parquet
        from stac_geoparquet.arrow import stac_table_to_items
    except ImportError as error:
        raise ValueError(
            f"it is stac-geoparquet: pip install 'terramosaic[vectors]' to read it ({error.name} is missing)"
        ) from error
    try:
        return list(stac_table_to_items(pyarrow.parquet.read_table(pyarrow.BufferReader(content))))
    except Exception as error:  # of a table of something else, each column may fail in its own way
        raise ValueError(f"it is no stac-geoparquet: {one_line(error)}") from error
