"""Keeps what an output folder has of all its runs, made anew from their items, by one process at a time.

Whoever has published a run makes catalog, collections, table and views from all items that there are then. It does so
under a lease, and replaces documents only as it has read them: of two runs that end at the same moment the later one
names both.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from terramosaic.errors import ChangedError, LeaseHeldError, LeaseLostError
from terramosaic.planning.folder import RunFolder, is_watched
from terramosaic.planning.plan import Plan
from terramosaic.publishing import index
from terramosaic.publishing.collections import (
    CATALOG,
    COLLECTIONS,
    collection_id,
    documents,
    is_of_region,
    is_ours,
    runs_in,
)
from terramosaic.publishing.views import FOLDER, MARK, views_of
from terramosaic.storage.files import (
    Version,
    exists,
    list_facts,
    read_json,
    read_jsons,
    read_version,
    remove,
    sub_folders,
    write_bytes_if,
    write_text_if,
)
from terramosaic.storage.lease import Lease, lease
from terramosaic.storage.location import Location, is_remote, location
from terramosaic.storage.retries import CATALOG_LEASE

logger = logging.getLogger(__name__)

_LEASE = "catalog-lease"

#: Seconds after which the lease of a process that died on another machine is free.
_TTL = 30

#: Small files that are read at the same time.
_READS = 16


def list_run(plan: Plan) -> None:
    """Makes the catalog of an output folder name a run that was published; of a watched region its own code does so."""
    if not is_watched(plan):
        update_catalog(location(plan.request.out))


def is_listed(plan: Plan) -> bool:
    """Whether the catalog names a run already, or another one does."""
    if is_watched(plan):
        return True
    collection = read_json(location(plan.request.out) / COLLECTIONS / f"{collection_id(plan)}.json")
    return collection is not None and RunFolder.of(plan).path.name in runs_in(collection)


def update_catalog(out: Location) -> None:
    """Makes catalog and collections of an output folder anew from its runs' items.

    Others that do so are waited for; where they take too long, a line of the log says so, and the next run makes up for
    it.

    Raises:
        OutputError: a file could not be read or written.
    """
    for pause in (*CATALOG_LEASE.pauses, None):
        try:
            with lease(out / _LEASE, owner="the catalog", ttl=_TTL) as held:
                _write(out, held)
            return
        except (LeaseHeldError, LeaseLostError, ChangedError) as error:
            if pause is None:
                logger.warning("%s does not name all runs: %s; the next run makes up for it", out, error)
                return
        time.sleep(pause)


def _write(out: Location, held: Lease) -> None:
    items = items_in(out)
    write_index(out, items, held.check)
    write_views(out, items, held.check)
    # Collections come after what else names their runs: by them it is known whether a run is listed.
    made = {path: json.dumps(document, indent=1) for path, document in documents(items, out).items()}
    for path, text in made.items():
        found = read_version(out / path)
        if found is not None and path == CATALOG and not is_ours(found.text):
            logger.warning("%s is of somebody else and stays as it is", out / path)
        elif found is None or found.text != text:
            held.check()
            if not is_remote(out):
                (out / path).parent.mkdir(exist_ok=True)
            write_text_if(out / path, text, found.version if found else None)
    for name in list_facts(out / COLLECTIONS):
        # The runs of this region were removed.
        if is_of_region(name) and f"{COLLECTIONS}/{name}" not in made:
            held.check()
            remove(out / COLLECTIONS / name)


def write_index(
    out: Location, items: Mapping[str, Mapping[str, Any]], require_lease: Callable[[], None]
) -> None:
    """Brings the table of all items of a folder up to date, where there is what writes one.

    Args:
        out: the folder.
        items: of its runs, by the names of their folders from there on.
        require_lease: raises an error if this process may not write it any more.

    Raises:
        ChangedError: another one has written it meanwhile.
        OutputError: it could not be read or written.
    """
    if package := index.missing():
        if exists(out / index.INDEX):
            index.tell_stale(package)
        return
    table, place = index.table_of(items), out / index.INDEX
    found = read_version(place)
    if found is not None and not index.is_ours(found.content):
        logger.warning("%s is of somebody else and stays as it is", place)
    elif table is not None and (found is None or found.content != table):
        require_lease()
        write_bytes_if(place, table, found.version if found else None)
    elif found is not None and not items:
        require_lease()
        remove(place)


def write_views(
    out: Location, items: Mapping[str, Mapping[str, Any]], require_lease: Callable[[], None]
) -> None:
    """Brings the views of a folder's layers up to date; see `write_index`."""
    made = views_of(items, lambda names: _texts(out, names))
    there = [f"{FOLDER}/{name}" for name in list_facts(out / FOLDER)]
    gone = [name for name in there if name not in made and not name.split("/")[-1].startswith(".")]
    found = _versions(out, [*made, *gone])
    for name, content in made.items():
        before = found[name]
        if before is None or (before.content != content and MARK.encode() in before.content):
            require_lease()
            if not is_remote(out):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
            write_bytes_if(out / name, content, before.version if before else None)
    for name in gone:
        before = found[name]
        if before is not None and MARK.encode() in before.content:
            require_lease()
            remove(out / name)


def _versions(out: Location, names: Sequence[str]) -> dict[str, Version | None]:
    """Small files as they are now; of a store several at a time."""
    with ThreadPoolExecutor(_READS, thread_name_prefix="catalog") as pool:
        return dict(zip(names, pool.map(lambda name: read_version(out / name), names), strict=True))


def _texts(out: Location, names: Sequence[str]) -> list[str | None]:
    return [found.text if found else None for found in _versions(out, names).values()]


def items_in(out: Location) -> dict[str, dict[str, Any]]:
    """The items of the runs in an output folder, by the names of the runs' folders; what is damaged is left out."""
    names = sub_folders(out)
    items = read_jsons([RunFolder(out / name).item_file for name in names])
    return {
        name: item for name, item in zip(names, items, strict=True) if item is not None and is_run_item(item)
    }


def is_run_item(document: Mapping[str, Any]) -> bool:
    """Whether a document is the item of a run."""
    told = document.get("properties")
    return document.get("type") == "Feature" and isinstance(told, dict) and "terramosaic:run_id" in told
