"""What is made of all acquisitions that a collection names, beside it."""

from __future__ import annotations

from typing import Any

from terramosaic.planning.folder import ACQUISITIONS, RunFolder
from terramosaic.publishing.catalog import is_run_item, write_index, write_views
from terramosaic.publishing.index import INDEX
from terramosaic.storage.files import facts_of, read_jsons
from terramosaic.watch.collection import COLLECTION, MapCollection


def update_index(collection: MapCollection) -> None:
    """Brings the table of items and the views of layers up to date, where the collection was written since.

    Raises:
        OutputError: a file could not be read or written.
        LeaseLostError: another process writes the collection by now.
    """
    folder = collection.folder
    index, named = facts_of(folder / INDEX), facts_of(folder / COLLECTION)
    if named is None or (index is not None and index.modified > named.modified):
        return
    items = items_of(collection)
    write_views(folder, items, collection.require_lease)
    write_index(folder, items, collection.require_lease)


def items_of(collection: MapCollection) -> dict[str, dict[str, Any]]:
    """The items of the acquisitions that are mapped, by their folders from the collection on."""
    runs = [held.run_id for held in collection.mapped]
    items = read_jsons([RunFolder(collection.folder / ACQUISITIONS / run).item_file for run in runs])
    return {
        f"{ACQUISITIONS}/{run}": item
        for run, item in zip(runs, items, strict=True)
        if item is not None and is_run_item(item)
    }
