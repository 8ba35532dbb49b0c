"""Room made in an output folder: block rasters of complete runs go, and runs that nobody goes on with.

Of a complete run its block rasters have served. Receipts with their hashes, previews and tokens stay, so that it is
recognised, verified, assessed and told of as before. Should a mosaic of it be damaged, its blocks are computed again.

A run is stale if it has no item, nothing was written to it for days, nobody holds its lease, no collection names it,
and no watched region keeps it: what a watch could not map stays on its record, for it is not tried again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from terramosaic.block.receipt import is_passing, told_blocks
from terramosaic.errors import LeaseHeldError, OutputError, TerramosaicError
from terramosaic.planning.folder import RunFolder, is_complete, read_plan
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import (
    list_facts,
    pointed_at,
    remove,
    remove_folder,
    sweep_partials,
)
from terramosaic.storage.lease import holder, lease
from terramosaic.storage.location import Location, is_remote, location
from terramosaic.storage.scratch import half_written
from terramosaic.upkeep.listing import named_in
from terramosaic.upkeep.runs import Run, run_at, runs_below

#: What is leased in the output folder by who cleans it.
_LEASE = "clean-lease"

#: After so long without a file written, by default, nobody goes on with a run.
STALE_AFTER = timedelta(days=7)


@dataclass(frozen=True)
class Removal:
    """What may go of a run: its block rasters, or all of it.

    Attributes:
        run: the run.
        what: goes of it.
        files: names of those that go, from its folder on.
        size: of these in bytes.
    """

    run: Run
    what: Literal["block rasters", "the run"]
    files: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Kept:
    """A run that would have gone, in part or whole, and why it stays."""

    run: Run
    reason: str


def what_may_go(out: str | Location, *, stale_after: timedelta = STALE_AFTER) -> Iterator[Removal | Kept]:
    """Looks through an output folder or bucket; nothing is written or removed.

    Args:
        out: the folder or URL.
        stale_after: how long nothing must have been written to a run that is not complete.

    Raises:
        RequestError: there is no such folder, or it is a run itself.
        OutputError: it cannot be read, or the store does not answer.
    """
    place = location(out)
    named = dict[Location, frozenset[str]]()
    for run in runs_below(place):
        parent = run.folder.path.parent
        if parent not in named:
            named[parent] = named_in(parent)
        found = _of_run(run, named[parent], stale_after)
        if found is not None:
            yield found


def remove_what_may_go(
    out: str | Location, removals: list[Removal], *, stale_after: timedelta = STALE_AFTER
) -> Iterator[Removal | Kept]:
    """Removes what was found, each after another look at it; who is killed leaves runs as they are known to be.

    Args:
        out: the folder or URL.
        removals: see `what_may_go`.
        stale_after: as it was asked for there.

    Yields:
        What is gone; or a run that stays after all, for something has changed since.

    Raises:
        LeaseHeldError: another one cleans there.
        OutputError: something could not be removed, or the store does not answer.
    """
    place = location(out)
    with lease(place / _LEASE, owner="cleaning") as held:
        if not is_remote(place):
            # Of runs that a killed one was removing.
            for parent in {place, *(one.run.folder.path.parent for one in removals)}:
                sweep_partials(parent, deep=False)
        for removal in removals:
            held.check()
            run = run_at(removal.run.name, removal.run.folder.path)
            again = _of_run(run, named_in(run.folder.path.parent), stale_after)
            if isinstance(again, Kept):
                yield again
            elif again is None or again.what != removal.what:
                yield Kept(run, "it is not as it was found a moment ago")
            elif again.what == "block rasters":
                yield _clear(again)
            else:
                _discard(run.folder)
                yield again


def _of_run(run: Run, named: frozenset[str], stale_after: timedelta) -> Removal | Kept | None:
    if run.state == "complete":
        return _of_complete(run)
    if run.state == "unreadable":
        return Kept(run, run.reason)
    if run.state == "damaged":
        return Kept(
            run, f"it is damaged ({run.reason}); map the same request again, which makes good what is missing"
        )
    if run.state == "running" or run.age < stale_after.total_seconds():
        return None
    reason = _why_kept(run, named)
    if reason:
        return Kept(run, reason)
    return Removal(run, "the run", tuple(run.files), run.size)


def _why_kept(run: Run, named: frozenset[str]) -> str:
    if run.is_watched:
        return "it is a watched region's, which keeps what it could not map on record"
    name = run.folder.path.name
    if name in named:
        return "a collection names it"
    if _has_links(run.folder.path):
        return "it holds links to folders elsewhere, and whether these are written to is not known"
    try:
        plan = read_plan(run.folder.path)
    except TerramosaicError as error:
        return error.text
    if plan.run_id != name:
        return f"its folder is not called {plan.run_id}, as its run is"
    held = holder(run.folder.lease)
    return f"it is held by {held}" if held else ""


def _of_complete(run: Run) -> Removal | Kept | None:
    begin = f"{run.folder.blocks.name}/"
    if not any(name.startswith(begin) and name.endswith(".tif") for name in run.files):
        return None
    try:
        plan = read_plan(run.folder.path)
        if reason := _why_blocks_stay(run, plan):
            return Kept(run, reason)
        receipts = told_blocks(plan)
    except TerramosaicError as error:
        return Kept(run, error.text)
    names = {
        f"{begin}{block.id}/{run.folder.block_raster(block, raster).name}"
        for block in plan.blocks
        if block.id in receipts
        for raster in receipts[block.id].files
        if is_passing(raster)
    }
    going = {name: run.files[name].size for name in sorted(names) if name in run.files}
    return Removal(run, "block rasters", tuple(going), sum(going.values())) if going else None


def _why_blocks_stay(run: Run, plan: Plan) -> str:
    folder = run.folder
    if plan.run_id != folder.path.name:
        return f"its folder is not called {plan.run_id}, as its run is"
    if _has_links(folder.blocks):
        return "its blocks are links to elsewhere"
    if not is_complete(plan):
        return "it is not complete"
    held = holder(folder.lease)
    if held is None and run.is_watched:
        held = holder(folder.path.parent.parent / "lease")
    return f"it is held by {held}" if held else ""


def _clear(removal: Removal) -> Removal | Kept:
    """Removes block rasters, while nobody adds to what the run says of itself."""
    folder = removal.run.folder
    try:
        with lease(folder.lease, owner="cleaning") as held:
            if not is_complete(read_plan(folder.path)):
                return Kept(removal.run, "it is not complete any more")
            for name in removal.files:
                if held.lost.is_set():
                    return Kept(removal.run, "another one has taken its lease meanwhile")
                remove(_file(folder.path, name))
    except LeaseHeldError as error:
        return Kept(removal.run, str(error))
    return removal


def _discard(folder: RunFolder) -> None:
    """Removes a run: on a disk at once, by another name; in a store its plan goes last, by which it is found again."""
    path = folder.path
    if is_remote(path):
        for name in list_facts(path):
            if path / name != folder.plan_file:
                remove(_file(path, name))
        remove(folder.plan_file)
    else:
        with _gone(path) as elsewhere:
            remove_folder(elsewhere)
    latest = path.parent / "latest"
    if is_remote(latest):
        if pointed_at(latest) == path:
            remove(latest)
    elif latest.is_symlink() and str(latest.readlink()) == path.name:
        remove(latest)


@contextmanager
def _gone(path: Path) -> Iterator[Path]:
    """A folder by a name that nobody looks at; should its remover be killed, the next one goes on."""
    try:
        with half_written(path.parent, path.name) as elsewhere:
            path.rename(elsewhere)
            yield elsewhere
    except OSError as error:
        raise OutputError(
            f"{path} could not be removed: {error.strerror or error}; remove it yourself"
        ) from error


def _file(folder: Location, name: str) -> Location:
    for part in name.split("/"):
        folder = folder / part
    return folder


def _has_links(folder: Location) -> bool:
    """Whether a folder is a link, or some folder in it is."""
    if is_remote(folder):
        return False
    return folder.is_symlink() or any(
        (Path(parent) / name).is_symlink() for parent, names, _ in os.walk(folder) for name in names
    )


def total(removals: list[Removal]) -> tuple[int, int]:
    """Files and bytes that go."""
    return sum(len(one.files) for one in removals), sum(one.size for one in removals)
