"""The runs in an output folder: where each is, what it maps, how far it is, and what it takes of the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from shapely.errors import ShapelyError
from shapely.geometry import shape

from terramosaic.errors import RequestError, TerramosaicError, printable
from terramosaic.planning.finished import sizes_in
from terramosaic.planning.folder import ACQUISITIONS, RunFolder, read_plan
from terramosaic.planning.run_folders import folders_below
from terramosaic.storage.files import FileFacts, exists, list_facts, read_json
from terramosaic.storage.lease import holder
from terramosaic.storage.location import Location, is_remote, location
from terramosaic.storage.scratch import is_being_written

#: ``complete``: its item is there, and all files that it names; ``damaged``: the item is there, and not all of them;
#: ``running``: it has no item, and somebody holds its lease, or writes to it, or did so a moment ago; ``unfinished``:
#: it has none; ``unreadable``: neither its item nor its plan can be read by this version.
State = Literal["complete", "damaged", "running", "unfinished", "unreadable"]

#: Seconds without a written file after which nobody is at work any more, as far as that can be seen from elsewhere:
#: rows of windows are written as they are done, though the system may keep some back for a while.
AT_WORK = 900


@dataclass(frozen=True)
class Run:
    """A run in an output folder.

    Attributes:
        name: its folder, from the output folder on.
        folder: where it is.
        state: how far it is.
        reason: what is wrong, where it is damaged or unreadable.
        place: latitude and longitude of the middle of what it maps; None where it cannot be told.
        days: the first and the last day of its imagery, ISO; empty where it cannot be told.
        model: title of its model.
        targets: what it makes.
        files: all that it holds, by names from its folder on.
    """

    name: str
    folder: RunFolder
    state: State
    reason: str = ""
    place: tuple[float, float] | None = None
    days: tuple[str, ...] = ()
    model: str = ""
    targets: tuple[str, ...] = ()
    files: Mapping[str, FileFacts] = field(default_factory=dict, repr=False)

    @cached_property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(facts.size for facts in self.files.values())

    @cached_property
    def modified(self) -> float:
        """When it was last written to, in seconds since 1970; of a run without a file, long ago."""
        return max((facts.modified for facts in self.files.values()), default=0.0)

    @property
    def age(self) -> float:
        """Seconds since then."""
        return max(0.0, time.time() - self.modified)

    @property
    def is_watched(self) -> bool:
        """Whether it is of a watched region, whose flow decides what becomes of it."""
        return self.folder.path.parent.name == ACQUISITIONS

    def as_json(self) -> dict[str, Any]:
        """It for other programs."""
        return {
            "run": self.name,
            "folder": self.folder.location,
            "state": self.state,
            "reason": self.reason,
            "latitude": self.place and self.place[0],
            "longitude": self.place and self.place[1],
            "first_day": self.days[0] if self.days else None,
            "last_day": self.days[-1] if self.days else None,
            "model": self.model,
            "targets": list(self.targets),
            "files": len(self.files),
            "bytes": self.size,
            "modified": self.modified,
            "is_watched": self.is_watched,
        }


def runs_below(out: str | Location) -> Iterator[Run]:
    """All runs in an output folder or bucket, in the order of their folders' names; also those of regions below it.

    Links are not followed. A run whose files nobody can read here is told as unreadable.

    Raises:
        RequestError: there is no such folder, or it is a run itself.
        OutputError: it cannot be read, or the store does not answer.
    """
    place = location(out)
    if not is_remote(place) and not place.is_dir():
        raise RequestError(
            f"out: there is no folder {printable(str(place))}; give the folder that runs lie in"
        )
    if exists(place / "plan.json"):
        raise RequestError(f"out: {printable(str(place))} is a run; give the folder that it lies in")
    for name, folder in folders_below(place):
        yield run_at(name, folder)


def run_at(name: str, folder: Location) -> Run:
    """What is known of a run.

    Args:
        name: what to call it.
        folder: where it is.
    """
    at, files = RunFolder(folder), dict[str, FileFacts]()
    try:
        files = list_facts(folder)
        sizes = sizes_in(at.item_file)
        if sizes is not None:
            return _finished(name, at, files, sizes)
        plan = read_plan(at.path)
    except TerramosaicError as error:
        return Run(name, at, "unreadable", error.text, files=files)
    newest = max((facts.modified for facts in files.values()), default=0.0)
    is_running = time.time() - newest < AT_WORK or holder(at.lease) is not None or is_being_written(at.path)
    middle = _middle(plan.region)
    days = sorted({f"{scene.solar_day:%Y-%m-%d}" for scene in plan.leading.values()})
    return Run(
        name,
        at,
        "running" if is_running else "unfinished",
        place=middle,
        days=tuple(days[:1] + days[-1:]),
        model=plan.bundle.title,
        targets=plan.request.targets,
        files=files,
    )


def _finished(
    name: str, at: RunFolder, files: Mapping[str, FileFacts], sizes: Mapping[str, int | None]
) -> Run:
    item = read_json(at.item_file) or {}
    told = item.get("properties", {})
    wrong = [
        f"{file} is missing" if file not in files else f"{file} has another size than its item says"
        for file, size in sizes.items()
        if file not in files or size not in (None, files[file].size)
    ]
    moments = (told.get("start_datetime"), told.get("end_datetime") or told.get("datetime"))
    model = told.get("terramosaic:model")
    return Run(
        name,
        at,
        "damaged" if wrong else "complete",
        "; ".join(wrong[:3]) + (f"; {len(wrong) - 3} more" if len(wrong) > 3 else ""),
        place=_middle(item.get("geometry")),
        days=tuple(str(moment)[:10] for moment in moments if moment),
        model=str(model.get("title", "")) if isinstance(model, dict) else "",
        targets=tuple(map(str, told.get("terramosaic:targets") or ())),
        files=files,
    )


def _middle(geometry: Any) -> tuple[float, float] | None:
    try:
        point = shape(geometry).centroid
    except (ShapelyError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return None if point.is_empty else (point.y, point.x)
