"""The catalogs of output folders as their owner leaves them: runs that were removed by hand are no more in them."""

from __future__ import annotations

from collections.abc import Mapping

from terramosaic.planning.folder import RunFolder
from terramosaic.publishing.catalog import update_catalog
from terramosaic.publishing.collections import CATALOG, COLLECTIONS, is_ours, runs_in
from terramosaic.storage.files import exists, list_facts, read_json, read_version
from terramosaic.storage.location import Location, location
from terramosaic.upkeep.runs import runs_below


def list_again(out: str | Location) -> None:
    """Makes catalogs, tables and views of an output folder, and of those below it, anew where they have one.

    A watched region's are its own. A catalog that names a run without an item stays: the run may be made good yet.

    Raises:
        OutputError: something cannot be read or written, or the store does not answer.
    """
    place = location(out)
    folders = {run.folder.path.parent for run in runs_below(place) if not run.is_watched}
    for folder in sorted({place, *folders}, key=str):
        found = read_version(folder / CATALOG)
        if found is not None and is_ours(found.text) and not _has_broken_off(folder):
            update_catalog(folder)


def named_in(out: Location) -> frozenset[str]:
    """The folders of the runs that the collections of an output folder name."""
    found = set[str]()
    for name in list_facts(out / COLLECTIONS):
        if name.endswith(".json") and "/" not in name:
            content = read_json(out / COLLECTIONS / name)
            if isinstance(content, Mapping):
                found.update(runs_in(content))
    return frozenset(found)


def _has_broken_off(folder: Location) -> bool:
    runs = [RunFolder(folder / name) for name in named_in(folder)]
    return any(exists(run.plan_file) and not exists(run.item_file) for run in runs)
