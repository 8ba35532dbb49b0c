"""Mosaics of the newest pixels: of all acquisitions that are mapped, each pixel's last clear one.

    OUT/newest/GENERATION/    the mosaics; see `terramosaic.watch.generation`
    OUT/newest/NDVI.tif       the current one of them; see `terramosaic.watch.stable_paths`

An update lays new acquisitions over the current generation and writes the next one beside it. Then the collection
names that one, in a single write; what breaks off before has changed nothing that is seen. The generation before stays
for those who are reading it, until the next update.

Where a run was replaced, or the numbers are of another kind by now, all is made anew from the runs that the collection
holds. A pixel without any clear acquisition is of the last cloudy one, and `quality` says so.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from terramosaic.catalog import Pass
from terramosaic.errors import OutputError, RequestError
from terramosaic.ground.zones import ZoneArea
from terramosaic.mosaic.assemble import acquisition_tag, description, origin_tags
from terramosaic.planning.folder import ACQUISITIONS, RunFolder, read_plan
from terramosaic.planning.layers import ACQUIRED, Layer, acquired_layer
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import exists, list_facts, remove_folder, sweep_partials
from terramosaic.storage.location import Location, is_remote
from terramosaic.watch.collection import MapCollection
from terramosaic.watch.generation import FOLDER, Generation, Mosaics, assets_of, name_in, new_name
from terramosaic.watch.newest_item import ITEM, write_item
from terramosaic.watch.overlay import lay_over
from terramosaic.watch.stable_paths import point

logger = logging.getLogger(__name__)


def update_newest(collection: MapCollection, areas: Sequence[ZoneArea], mapped: Collection[str] = ()) -> None:
    """Brings the mosaics of newest pixels up to date with the collection.

    Args:
        collection: what is mapped.
        areas: the region's part in each UTM zone.
        mapped: runs that were made since the last time, perhaps again under the same name.

    Raises:
        OutputError: a file could not be read or written.
        LeaseLostError: another process writes the collection by now.
    """
    collection.require_lease()
    folder, name = collection.folder / FOLDER, name_in(collection)
    sweep_partials(folder)
    current = Generation.read(folder / name)
    if current is not None:
        # The last update may have been broken off before this.
        point(folder, name, current.mosaics)
    held = {each.run_id: each.of_pass for each in collection.mapped}
    fresh = {
        run: of_pass
        for run, of_pass in held.items()
        if current is None or not current.has_seen(run) or run in mapped
    }
    if not fresh:
        return
    before, runs = current, _runs(collection.folder, fresh)
    if current is not None and _is_outdated(current, held, fresh, runs, areas):
        before, runs = None, _runs(collection.folder, held)
    good = [run for run in runs if run.mosaics.is_like(before.mosaics if before else runs[0].mosaics)]
    for run in runs:
        if run not in good:
            logger.warning("the newest mosaics are made without %s: its numbers are of another kind", run.day)
    done = (before.runs if before else {}) | {run.run_id: run.day for run in good}
    left_out = {run: of_pass.solar_day for run, of_pass in held.items() if run not in done}
    if good:
        all_of_them = [run.mosaics for run in good] + ([before.mosaics] if before else [])
        joined = all_of_them[0].with_layers_of(all_of_them[1:])
        acquired = acquired_layer(held[run] for run in done)
        layers = (acquired if layer.key == ACQUIRED.key else layer for layer in joined.layers)
        zones = {area.epsg: area.rect for area in areas}
        mosaics = replace(joined, layers=tuple(layers), zones=zones)
        tags = {acquisition_tag(held[run]): f"{held[run].solar_day}: run {run}" for run in done}
        _switch(collection, name, before, good, Generation(mosaics, done, left_out), tags)
    elif before is not None:
        replace(before, left_out=left_out).write(folder / name)


def _switch(
    collection: MapCollection,
    name: str,
    before: Generation | None,
    runs: Sequence[_Run],
    after: Generation,
    acquired_tags: Mapping[str, str],
) -> None:
    """Writes a generation, and lets the collection name it.

    Args:
        collection: which names the current one so far.
        name: of the current one.
        before: what the runs are laid over, if anything: the current one.
        runs: what is new, the newest first.
        after: what it will be.
        acquired_tags: what the file of days says of the acquisitions.
    """
    folder, plan = collection.folder / FOLDER, read_plan(runs[0].folder)
    _sweep(folder, name)
    new = new_name()
    if not is_remote(folder):
        (folder / new).mkdir(parents=True)
    for epsg, rect in after.mosaics.zones.items():
        sources = [
            run.mosaics.source(run.folder, epsg, run.of_pass)
            for run in runs
            if run.mosaics.zones.get(epsg) == rect
        ]
        if before is not None:
            sources.append(before.mosaics.source(folder / name, epsg))
        paths = after.mosaics.paths(folder / new, epsg)
        tags = partial(_tags, plan, after.runs, acquired_tags)
        lay_over(rect.geobox(epsg), after.mosaics.layers, sources, paths, tags)
    held = {each.run_id: each.of_pass for each in collection.mapped}
    write_item(collection.folder, new, after, plan, {run: held[run] for run in after.runs})
    after.write(folder / new)
    collection.put_assets(plan, assets_of(new, after.mosaics), f"./{FOLDER}/{new}/{ITEM}")
    point(folder, new, after.mosaics)


def _sweep(folder: Location, current: str) -> None:
    """Removes all generations but the current one: the one before, and what was broken off."""
    if is_remote(folder):
        there = {name.split("/")[0] for name in list_facts(folder) if "/" in name}
    else:  # a folder may be empty
        there = {path.name for path in folder.glob("*") if path.is_dir() and not path.is_symlink()}
    for name in there - {current}:
        try:
            remove_folder(folder / name)
        except OutputError as error:  # somebody reads from it, on a disk that holds files fast
            logger.warning("%s", error)


def _is_outdated(
    current: Generation,
    held: Mapping[str, Pass],
    fresh: Mapping[str, Pass],
    runs: Sequence[_Run],
    areas: Sequence[ZoneArea],
) -> bool:
    """Whether what is new cannot be laid over a generation.

    Args:
        current: the generation.
        held: the pass of each run that the collection holds.
        fresh: those of them that are new.
        runs: those of these that can be read, the newest first.
        areas: the region's part in each UTM zone.
    """
    # Pixels of a run cannot be told from the others of its day.
    replaced = any(run not in held or run in fresh for run in current.runs)
    late = not replaced and any(
        held[run].solar_day == of_pass.solar_day and held[run].order > of_pass.order
        for run in current.runs
        for of_pass in fresh.values()
    )
    return (
        replaced
        or late
        or any(
            run.day > max(current.runs.values()) and not run.mosaics.is_like(current.mosaics)
            for run in runs[:1]
        )
        # Versions before 0.2 wrote days without passes.
        or ACQUIRED.bands not in [layer.bands for layer in current.mosaics.layers]
        or current.mosaics.zones != {area.epsg: area.rect for area in areas}
    )


@dataclass(frozen=True)
class _Run:
    """An acquisition's run, without its plan, which may be large."""

    of_pass: Pass
    run_id: str
    folder: Location
    mosaics: Mosaics

    @property
    def day(self) -> date:
        """The solar day."""
        return self.of_pass.solar_day


def _runs(folder: Location, held: Mapping[str, Pass]) -> list[_Run]:
    """Those of the runs that are there and whole, the newest first."""
    found = []
    for run_id, of_pass in sorted(held.items(), key=lambda each: each[1].order, reverse=True):
        run = RunFolder(folder / ACQUISITIONS / run_id)
        try:
            plan = read_plan(run.path)
        except RequestError as error:  # somebody has removed it, or it is of an earlier version
            logger.warning("the newest mosaics are made without %s: %s", of_pass.solar_day, error)
            continue
        if exists(run.item_file):
            found.append(_Run(of_pass, run_id, run.path, Mosaics.of(plan)))
    return found


def _tags(
    plan: Plan, runs: Mapping[str, date], acquired_tags: Mapping[str, str], layer: Layer
) -> dict[str, str]:
    tags = origin_tags(plan, layer, [day.isoformat() for day in sorted(runs.values())])
    what = description(plan, layer)
    if layer.key == ACQUIRED.key:
        return {**tags, **acquired_tags, "TIFFTAG_IMAGEDESCRIPTION": what}
    return tags | {"TIFFTAG_IMAGEDESCRIPTION": f"{what}: the last clear acquisition"}
