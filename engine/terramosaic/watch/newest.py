"""Mosaics of the newest pixels: of all acquisitions that are mapped, each pixel's last clear one.

    OUT/newest/NDVI.tif ...      as a run's mosaics
    OUT/newest/acquired.tif      of which day each pixel is
    OUT/newest/newest.json       which acquisitions are in them; written last

New acquisitions are laid over what is there, so an update reads those and nothing else. Where one was replaced, or the
numbers are of another kind by now, all is made anew from the runs that the collection holds. A pixel without any clear
acquisition is of the last cloudy one, and `quality` says so.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from datetime import date
from functools import partial
from typing import Any

import pystac

from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import ZoneArea
from terramosaic.mosaic.assemble import origin_tags
from terramosaic.planning.folder import RunFolder, mosaic_name, read_plan
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import exists, list_facts, read_json, remove, sweep_partials, write_text
from terramosaic.storage.location import Location, is_remote
from terramosaic.watch.collection import ACQUISITIONS, MapCollection
from terramosaic.watch.overlay import ACQUIRED, Source, lay_over

logger = logging.getLogger(__name__)

FOLDER = "newest"
_STATE = "newest.json"
_EPOCH = date(1970, 1, 1)


def update_newest(
    collection: MapCollection, areas: Sequence[ZoneArea], mapped: Collection[date] = ()
) -> None:
    """Brings the mosaics of newest pixels up to date with the collection.

    Args:
        collection: what is mapped.
        areas: the region's part in each UTM zone.
        mapped: solar days that were mapped since the last time, perhaps again and under the same name.

    Raises:
        OutputError: a file could not be read or written.
    """
    target = collection.folder / FOLDER
    state = _State.read(target)
    held = {day: item.run_id for day, item in collection.mapped.items()}
    fresh = {day: run for day, run in held.items() if state.seen(day) != run or day in mapped}
    if not fresh:
        return
    if not is_remote(target):
        target.mkdir(parents=True, exist_ok=True)
    sweep_partials(target)
    runs = _runs(collection.folder, fresh)
    if state.is_outdated(fresh, runs, areas):
        # Without it, what is broken off from here on is made anew as well.
        remove(target / _STATE)
        state, runs = _State(), _runs(collection.folder, held)
    encoding = state.encoding or next((run.encoding for run in runs), [])
    good = [run for run in runs if run.encoding == encoding]
    for day in {run.day for run in runs} - {run.day for run in good}:
        logger.warning("the newest mosaics are made without %s: its numbers are of another kind", day)
    done = state.runs | {run.day: held[run.day] for run in good}
    zones = dict(state.zones)
    if good:
        plan = read_plan(good[0].folder)
        mosaics = _Mosaics(target, areas, _wanted(plan))
        zones |= mosaics.lay_over(good, state.zones, partial(_tags, plan, done))
        if not state.runs:
            mosaics.remove_others()
        collection.put_assets(plan, mosaics.assets(zones))
    left_out = {day: run for day, run in held.items() if day not in done}
    _State(encoding, zones, done, left_out).write(target)


@dataclass(frozen=True)
class _State:
    """What the mosaics were made from.

    Attributes:
        encoding: of what kind their numbers are; see `_encoding_of`.
        zones: pixels of each zone's mosaics, by EPSG code.
        runs: the runs that are in them, by solar day.
        left_out: runs of the collection that are not: of another encoding, or removed by somebody.
    """

    encoding: list[str] = field(default_factory=list)
    zones: dict[int, Rect] = field(default_factory=dict)
    runs: dict[date, str] = field(default_factory=dict)
    left_out: dict[date, str] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Location) -> _State:
        """The state that is written there; an empty one if there is none."""
        document = read_json(folder / _STATE)
        if document is None:
            return cls()
        days = {
            part: {date.fromisoformat(day): run for day, run in document[part].items()}
            for part in ("runs", "left_out")
        }
        zones = {int(epsg): Rect(*numbers) for epsg, numbers in document["zones"].items()}
        return cls(document["encoding"], zones, **days)

    def write(self, folder: Location) -> None:
        """Writes it down; from then on the mosaics are what it says."""
        document = {
            "encoding": self.encoding,
            "zones": {epsg: astuple(rect) for epsg, rect in self.zones.items()},
            "runs": {day.isoformat(): run for day, run in sorted(self.runs.items())},
            "left_out": {day.isoformat(): run for day, run in sorted(self.left_out.items())},
        }
        write_text(folder / _STATE, json.dumps(document, indent=1))

    def seen(self, day: date) -> str | None:
        """The run of a day that was looked at, whether it is in the mosaics or left out."""
        return self.runs.get(day) or self.left_out.get(day)

    def is_outdated(self, fresh: Collection[date], runs: Sequence[_Run], areas: Sequence[ZoneArea]) -> bool:
        """Whether what is new, the newest first, cannot be laid over these mosaics."""
        if not self.runs:
            return False
        rects = {area.epsg: area.rect for area in areas}
        return (
            # Pixels of a run that was replaced cannot be told from the others of its day.
            any(day in self.runs for day in fresh)
            or any(run.day > max(self.runs) and run.encoding != self.encoding for run in runs[:1])
            or any(rect != rects.get(epsg) for epsg, rect in self.zones.items())
        )


@dataclass(frozen=True)
class _Run:
    """An acquisition's run, without its plan, which may be large."""

    day: date
    folder: Location
    encoding: list[str]
    zones: dict[int, Rect]

    def covers(self, area: ZoneArea) -> bool:
        """Whether it has mosaics of a zone, pixel for pixel."""
        return self.zones.get(area.epsg) == area.rect

    def source(self, epsg: int, names: Sequence[str]) -> Source:
        """Its mosaics in one of its zones."""
        rasters = {
            name: self.folder / mosaic_name(name, epsg, len(self.zones))
            for name in names
            if name != ACQUIRED.name
        }
        return Source((self.day - _EPOCH).days, rasters)


def _runs(folder: Location, held: Mapping[date, str]) -> list[_Run]:
    """Those of the runs that are there and whole, the newest first."""
    found = []
    for day, run_id in sorted(held.items(), reverse=True):
        run = RunFolder(folder / ACQUISITIONS / run_id)
        try:
            plan = read_plan(run.path)
        except RequestError as error:  # somebody has removed it, or it is of an earlier version
            logger.warning("the newest mosaics are made without %s: %s", day, error)
            continue
        if exists(run.item_file):
            zones = {zone.epsg: zone.rect for zone in plan.zones}
            found.append(_Run(day, run.path, _encoding_of(plan), zones))
    return found


def _encoding_of(plan: Plan) -> list[str]:
    """What decides a run's layers, how their numbers are stored, and which model has made them."""
    request = plan.request
    return [*sorted(request.targets), *sorted(request.extras), request.dtype, plan.bundle.fingerprint]


def _wanted(plan: Plan) -> list[Layer]:
    """The layers, those that decide last: an update that is broken off before them is made again, to the same end."""
    *own, quality = plan.layers
    return [*own, ACQUIRED, quality]


class _Mosaics:
    """The mosaics of all layers and zones.

    Args:
        folder: where they are.
        areas: the region's part in each UTM zone.
        wanted: the layers, in the order in which they are written.
    """

    def __init__(self, folder: Location, areas: Sequence[ZoneArea], wanted: Sequence[Layer]) -> None:
        self._folder, self._areas, self._wanted = folder, areas, wanted
        self._names = [layer.name for layer in wanted]

    def lay_over(
        self, runs: Sequence[_Run], there: Collection[int], tags: Callable[[Layer], Mapping[str, str]]
    ) -> dict[int, Rect]:
        """Lays runs, the newest first, over the zones that are there; returns the pixels of those it has written."""
        written = {}
        for area in self._areas:
            sources = [run.source(area.epsg, self._names) for run in runs if run.covers(area)]
            if sources:
                paths = self._paths(area)
                before = [Source(None, paths)] if area.epsg in there else []
                lay_over(area, self._wanted, [*sources, *before], paths, tags)
                written[area.epsg] = area.rect
        return written

    def remove_others(self) -> None:
        """Removes mosaics of an earlier request's layers, which nobody keeps up to date any more."""
        own = {path.name for area in self._areas for path in self._paths(area).values()}
        for name in list_facts(self._folder):
            if name.endswith((".tif", ".tif.aux.xml")) and name.removesuffix(".aux.xml") not in own:
                remove(self._folder / name)

    def assets(self, zones: Collection[int]) -> dict[str, Any]:
        """As assets of the collection, with hrefs relative to it.

        Args:
            zones: EPSG codes of those that are there.
        """
        return {
            f"{FOLDER}-{path.stem}": {
                "href": f"./{FOLDER}/{path.name}",
                "title": f"{name}: the last clear acquisition of each pixel",
                "type": pystac.MediaType.COG,
                "roles": ["data"],
                "proj:code": f"EPSG:{area.epsg}",
            }
            for area in self._areas
            if area.epsg in zones
            for name, path in self._paths(area).items()
        }

    def _paths(self, area: ZoneArea) -> dict[str, Location]:
        zones = len(self._areas)
        return {name: self._folder / mosaic_name(name, area.epsg, zones) for name in self._names}


def _tags(plan: Plan, runs: Collection[date], layer: Layer) -> dict[str, str]:
    what = (
        "days since 1970-01-01 of the acquisition that each pixel is of"
        if layer is ACQUIRED
        else f"{layer.name} generated by {plan.bundle.title} from Sentinel-2 L2A: the last clear acquisition"
    )
    return origin_tags(plan, layer, [day.isoformat() for day in sorted(runs)]) | {
        "TIFFTAG_IMAGEDESCRIPTION": what
    }
