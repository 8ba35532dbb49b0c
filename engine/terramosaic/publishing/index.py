"""A folder of runs as one table: ``items.parquet`` holds the items of all of them, in stac-geoparquet.

A row for each run, as https://github.com/stac-utils/stac-geoparquet/blob/main/spec/stac-geoparquet-spec.md has it, for
DuckDB, GeoPandas, QGIS and what reads STAC. The items are whole but for what would give a table columns without end:

- Properties that are mappings, whose keys are scenes, passes and layers, are texts of JSON.
- Links to the scenes are left out; the link ``alternate`` leads to the item, which has them.

Hrefs are relative to the table, so that a folder that is moved stays right; where an item knows its URL, they are URLs.
"""

from __future__ import annotations

import json
import logging
import posixpath
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urljoin, urlsplit

from terramosaic.errors import one_line
from terramosaic.storage.scratch import scratch_folder

logger = logging.getLogger(__name__)

INDEX = "items.parquet"


def table_of(items: Mapping[str, Mapping[str, Any]]) -> bytes | None:
    """The table of items, by what is installed for it; None where no item can be put into one.

    Args:
        items: of runs, by the names of their folders from the table on.

    Returns:
        A file of stac-geoparquet; of the same items the same bytes.
    """
    rows = [_row(folder, item) for folder, item in sorted(items.items())]
    if not rows:
        return None
    try:
        return _written(rows)
    except Exception as error:  # of items that somebody has changed, each column may fail in its own way
        sound = [row for row in rows if _is_sound(row)]
        if not sound or len(sound) == len(rows):
            logger.warning("%s is not made: %s", INDEX, one_line(error))
            return None
        logger.warning("%s is without %d damaged items", INDEX, len(rows) - len(sound))
        return _written(sound)


def is_ours(content: bytes) -> bool:
    """Whether a table is one of runs, and not a catalog of imagery that lies there, too."""
    import pyarrow
    from pyarrow import parquet

    try:
        return "terramosaic:run_id" in parquet.read_schema(pyarrow.BufferReader(content)).names
    except pyarrow.ArrowException:
        return False


def missing() -> str:
    """The package that tables are written with, where it is not installed; else nothing."""
    try:
        import stac_geoparquet.arrow  # noqa: F401
    except ImportError as error:
        return str(error.name)
    return ""


@cache
def tell_stale(package: str) -> None:
    """Warns, once a process, of a table that is there and cannot be kept up to date. That there is none is no fault."""
    logger.warning(
        "%s is not kept up to date: pip install 'terramosaic[vectors]' (%s is missing)", INDEX, package
    )


def _written(rows: Sequence[dict[str, Any]]) -> bytes:
    from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

    with TemporaryDirectory(dir=scratch_folder()) as folder:
        path = Path(folder) / INDEX
        to_parquet(parse_stac_items_to_arrow(rows).read_all(), path, compression="zstd")
        return path.read_bytes()


def _is_sound(row: dict[str, Any]) -> bool:
    try:
        return bool(_written([row]))
    except Exception:
        return False


def _row(folder: str, item: Mapping[str, Any]) -> dict[str, Any]:
    links = [link for link in item.get("links", []) if link.get("rel") != "derived_from"]
    itself = next((link["href"] for link in links if link.get("rel") == "self"), None)

    def moved(thing: Mapping[str, Any]) -> dict[str, Any]:
        return {**thing, "href": _from_table(folder, itself, thing["href"])}

    own = {"rel": "alternate", "href": "./item.json", "type": "application/geo+json", "title": "the item"}
    return {
        **item,
        "properties": {name: _flat(value) for name, value in item["properties"].items()},
        "links": [moved(link) for link in (*links, own)],
        "assets": {name: moved(asset) for name, asset in item["assets"].items()},
    }


def _flat(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict) else value


def _from_table(folder: str, itself: str | None, href: str) -> str:
    if urlsplit(href).scheme or href.startswith("/"):
        return href
    return urljoin(itself, href) if itself else f"./{posixpath.normpath(posixpath.join(folder, href))}"
