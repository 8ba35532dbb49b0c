"""What of an output folder may be looked at: its finished runs, their files, and the documents of its catalog.

Whatever a browser asks for is looked up here by name. Nothing is opened whose place a request says: a file is served
if, all links followed, it lies in a finished run or is a document of the catalog.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from terramosaic.errors import OutputError, RequestError, TerramosaicError, one_line, printable
from terramosaic.planning.folder import ACQUISITIONS, RunFolder
from terramosaic.planning.run_folders import DEPTH, folders_below
from terramosaic.publishing.catalog import is_run_item
from terramosaic.publishing.collections import CATALOG, COLLECTIONS
from terramosaic.publishing.index import INDEX
from terramosaic.publishing.views import FOLDER as VIEWS
from terramosaic.storage.files import FileFacts, exists, facts_of, pointed_at, read_json
from terramosaic.storage.location import Location, is_remote, location
from terramosaic.storage.roots import is_within_roots, require_within_roots
from terramosaic.watch.collection import NEWEST as NEWEST_MARK
from terramosaic.watch.collection import newest_in
from terramosaic.watch.generation import FOLDER as NEWEST
from terramosaic.watch.stable_paths import CURRENT

#: Seconds for which a look at the folder holds.
_FRESH = 3.0

#: Bytes of a name that file systems take.
_LONGEST = 255

#: Items that are read from a store at the same time.
_READS = 16

#: Documents of catalogs, tables, pages and views over all runs, in an output folder or in a region's below it.
_DOCUMENT = re.compile(
    rf"(?:[^/]+/){{0,{DEPTH - 1}}}(?:{re.escape(CATALOG)}|collection\.json|{COLLECTIONS}/[^/]+\.json"
    r"|series-[0-9a-f]{12}\.html"
    rf"|{re.escape(INDEX)}|{VIEWS}/(?:[^/]+/)?[^/]+\.(?:gti\.gpkg|vrt|qml))"
)
#: Of a watched region: its newest mosaics.
_NEWEST = re.compile(rf"(?:[^/]+/){{0,{DEPTH - 1}}}newest/.+")


@dataclass(frozen=True)
class ShelvedRun:
    """A finished run.

    Attributes:
        name: its folder, from the output folder on.
        folder: where it is.
        item: its STAC item.
        version: changes with the item.
    """

    name: str
    folder: RunFolder
    item: Mapping[str, Any]
    version: str

    @property
    def is_newest(self) -> bool:
        """Whether it is no run, but the newest mosaics of a watched region's runs."""
        return _is_newest_item(self.item)


class Shelf:
    """The finished runs in an output folder or bucket, or a single one; looked at again when that is some seconds ago.

    Args:
        out: the folder or URL: of runs, of regions' folders with runs, or of one run.

    Raises:
        RequestError: there is no such folder, or it is beyond what this deployment may read.
        OutputError: it cannot be read, or the store does not answer.
    """

    def __init__(self, out: str | Location) -> None:
        place = pointed_at(location(out))
        require_within_roots(("out", str(place)))
        if not is_remote(place):
            if not place.is_dir():
                raise RequestError(
                    f"out: there is no folder {printable(str(place))}; give one with runs, or a run's own"
                )
            place = place.resolve()
        self.out = place
        self._single = place.name if exists(RunFolder(place).item_file) else None
        if self._single is None and exists(RunFolder(place).plan_file):
            raise RequestError(
                f"out: {printable(str(place))} is a run that is not finished; map the same request again, or give the "
                "folder that it lies in"
            )
        #: What names of runs and files count from.
        self.root = place if self._single is None else place.parent
        self._lock = threading.Lock()
        self._held: dict[str, ShelvedRun] = {}
        self._problems: dict[str, str] = {}
        self._looked = float("-inf")

    @property
    def runs(self) -> Mapping[str, ShelvedRun]:
        """The finished runs by name.

        Raises:
            OutputError: the folder cannot be read, or the store does not answer.
        """
        self._look(_FRESH)
        return self._held

    @property
    def problems(self) -> Mapping[str, str]:
        """What cannot be shown, by name, and why in a line."""
        return self._problems

    def run(self, name: str) -> ShelvedRun:
        """A run by its name.

        Raises:
            RequestError: there is none that is finished.
        """
        found = self.runs.get(name)
        if found is None:
            raise RequestError(
                f"run: there is no finished run {printable(name)!r} here; /runs.json lists those there are"
            )
        return found

    def file(self, name: str) -> tuple[Location, FileFacts]:
        """A file that may be served, by its name from the output folder on, and what is known of it.

        Raises:
            RequestError: there is none, or it is none of a finished run or catalog, or links lead out of these.
            OutputError: the folder cannot be read, or the store does not answer.
        """
        absent = RequestError(f"files: there is no file {printable(name)!r} here")
        parts = name.split("/")
        if any(not _is_plain(part) for part in parts):
            raise absent
        place = self.root
        for part in parts:
            place = place / part
        inner = self._real(place)
        if inner is None or not self._is_served(inner):
            raise absent
        facts = facts_of(place)
        if facts is None or (not is_remote(place) and not place.is_file()):
            raise absent
        return place, facts

    def told(self, error: Exception) -> str:
        """An error as a line for who asks, without where on this machine the folder is."""
        text = one_line(error)
        return text if is_remote(self.root) else text.replace(f"{self.root}/", "")

    def file_of(self, run: ShelvedRun, file: str) -> tuple[Location, FileFacts]:
        """A file of a run; see `file`."""
        return self.file(f"{run.name}/{file}")

    def _real(self, place: Location) -> str | None:
        """A place from the root on, links followed; None if they lead out, or where this deployment may not read."""
        if is_remote(place):
            start = f"{self.root}/"
            return str(place).removeprefix(start) if str(place).startswith(start) else None
        try:
            real = place.resolve()
            inner = real.relative_to(Path(str(self.root)).resolve()).as_posix()
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name that is too long, or beyond
            return None
        return inner if is_within_roots(str(real)) else None

    def _is_served(self, inner: str) -> bool:
        if any(not _is_plain(part) for part in inner.split("/")):
            return False
        runs = self.runs
        parts = inner.split("/")
        if any("/".join(parts[:count]) in runs for count in range(1, min(len(parts), DEPTH + 1))):
            return True
        return self._single is None and bool(_DOCUMENT.fullmatch(inner) or _NEWEST.fullmatch(inner))

    def _look(self, fresh: float) -> None:
        with self._lock:
            if time.monotonic() - self._looked < fresh:
                return
            found, problems = dict[str, ShelvedRun](), dict[str, str]()
            with ThreadPoolExecutor(_READS, thread_name_prefix="shelf") as pool:
                for name, read in pool.map(self._read, self._folders()):
                    if isinstance(read, ShelvedRun):
                        found[name] = read
                    elif read:
                        problems[name] = read
            self._held, self._problems = found, problems
            self._looked = time.monotonic()

    def _folders(self) -> list[tuple[str, Location]]:
        if self._single is not None:
            return [(self._single, self.out)]
        runs = list(folders_below(self.root))
        return [*runs, *self._newest(runs)]

    def _newest(self, runs: list[tuple[str, Location]]) -> Iterator[tuple[str, Location]]:
        """The newest mosaics of the watched regions that runs are of: by the path that stays, where there is one."""
        regions = {
            name.rpartition("/")[0].rpartition("/")[0]: place.parent.parent
            for name, place in runs
            if place.parent.name == ACQUISITIONS
        }
        for name, region in regions.items():
            with suppress(OutputError):  # the collection is damaged, and the runs are not
                generation = newest_in(region)
                if generation is not None:
                    folder, current = region / NEWEST, CURRENT
                    is_there = not is_remote(folder) and (folder / current).resolve().name == generation
                    found = current if is_there else generation
                    yield f"{name}/{NEWEST}/{found}".lstrip("/"), folder / found

    def _read(self, named: tuple[str, Location]) -> tuple[str, ShelvedRun | str | None]:
        """A run as it is now; why it cannot be shown, where that is so; None where it is not finished."""
        name, place = named
        folder = RunFolder(place)
        try:
            facts = facts_of(folder.item_file)
            if facts is None:
                return name, None
            before = self._held.get(name)
            if before is not None and before.version == facts.version:
                return name, before
            item = read_json(folder.item_file)
        except TerramosaicError as error:
            return name, self.told(error)
        if item is None or not (is_run_item(item) or _is_newest_item(item)):
            return name, "its item is damaged; map the same request again, which makes it anew"
        return name, ShelvedRun(name, folder, item, facts.version)


def _is_newest_item(item: Mapping[str, Any]) -> bool:
    told = item.get("properties")
    return isinstance(told, dict) and told.get(NEWEST_MARK) is True and "assets" in item


def _is_plain(part: str) -> bool:
    """Whether a part of a name is that of a file or folder to be shown: not hidden, half-written, or a way up."""
    is_name = 0 < len(part.encode("utf-8", "replace")) <= _LONGEST and part.isprintable() and "\\" not in part
    return is_name and not part.startswith(".")
