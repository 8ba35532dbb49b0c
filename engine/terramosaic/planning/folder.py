"""The run folder: where each stage finds its inputs and leaves its outputs."""

from __future__ import annotations

import hashlib
import logging
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from terramosaic.errors import RequestError
from terramosaic.model.manifest import COORDINATES
from terramosaic.planning.earlier import plan_in
from terramosaic.planning.finished import Flaw, flaws_in
from terramosaic.planning.plan import Block, Plan, Zone
from terramosaic.storage.files import (
    FileFacts,
    exists,
    facts_of,
    list_facts,
    point_latest,
    pointed_at,
    read_bytes,
    remove,
    sweep_partials,
    write_json,
)
from terramosaic.storage.location import Location, is_remote, location

logger = logging.getLogger(__name__)

#: The folder of a watched region's runs, beside the collection that names them.
ACQUISITIONS = "acquisitions"

#: Bytes of a scene's name in the names of files.
_LONGEST_STEM = 150

#: Threads that ask for a plan at once wait for the first of them instead of parsing it each.
_PARSING = threading.Lock()


@dataclass(frozen=True)
class RunFolder:
    """Names of everything in ``OUT/RUN_ID``."""

    path: Location

    @classmethod
    def of(cls, plan: Plan) -> RunFolder:
        """The folder of a plan's run."""
        return cls(location(plan.request.out) / plan.run_id)

    @property
    def location(self) -> str:
        """The folder as text that names it for any process: an absolute path, or a URL."""
        return str(self.path if is_remote(self.path) else self.path.resolve())

    @property
    def plan_file(self) -> Location:
        return self.path / "plan.json"

    @property
    def item_file(self) -> Location:
        return self.path / "item.json"

    @property
    def report_file(self) -> Location:
        return self.path / "report.html"

    @property
    def verification_file(self) -> Location:
        """What came of the last verification."""
        return self.path / "verification.json"

    @property
    def assessment_file(self) -> Location:
        """What came of the last assessment."""
        return self.path / "assessment.json"

    @property
    def lease(self) -> Location:
        """What is leased by who adds to what a finished run says of itself."""
        return self.path / "lease"

    @property
    def quicklooks(self) -> Location:
        return self.path / "quicklooks"

    @property
    def blocks(self) -> Location:
        return self.path / "blocks"

    @property
    def scenes(self) -> Location:
        return self.path / "scenes"

    def scene_file(self, scene: str) -> Location:
        """Where it is recorded what is decided about the scene that a key names, with the evidence."""
        return self.scenes / f"{file_stem(scene)}.json"

    @property
    def failed_assets(self) -> Location:
        return self.path / "failed"

    def failed_asset_file(self, scene: str, band: str) -> Location:
        """Where it is marked that a scene's file failed for good, for as long as this attempt at the run lasts."""
        return self.failed_assets / f"{file_stem(scene)}_{band}.json"

    def receipt_file(self, block: Block) -> Location:
        """Written last: a block with a receipt is done."""
        return self.blocks / block.id / "block.json"

    def block_raster(self, block: Block, layer: str) -> Location:
        """A block's raster of one layer."""
        return self.blocks / block.id / f"{layer}.tif"

    def mosaic(self, plan: Plan, zone: Zone, layer: str) -> Location:
        """The mosaic of one layer."""
        return self.path / mosaic_name(layer, zone.epsg, len(plan.zones))

    @property
    def places_file(self) -> Location:
        """Where the windows are taken to lie, of a run that asks them."""
        return self.path / f"{COORDINATES}.parquet"

    def begin(self) -> None:
        """Begins a new attempt at the run: what a killed one left half-written goes, and marks of files that failed."""
        sweep_partials(self.path)
        for name in list_facts(self.failed_assets):
            remove(self.failed_assets / name)


def file_stem(scene: str) -> str:
    """How a file is called that belongs to the scene of that key.

    A catalog may call its items what it likes: their names must not lead out of a folder, and file systems take 255
    bytes, a suffix and the end of a temporary name among them.
    """
    name = quote(scene, safe="")
    if len(name) <= _LONGEST_STEM:
        return name
    return f"{name[: _LONGEST_STEM - 17]}~{hashlib.sha256(scene.encode()).hexdigest()[:16]}"


def mosaic_name(layer: str, epsg: int, zones: int) -> str:
    """The file of a layer in one of so many zones; its name tells the zone only when there are several."""
    return f"{layer}_{epsg}.tif" if zones > 1 else f"{layer}.tif"


def is_watched(plan: Plan) -> bool:
    """Whether a run is of a watched region, which has a collection of its own beside its runs' folder."""
    return location(plan.request.out).name == ACQUISITIONS


def write_plan(plan: Plan) -> RunFolder:
    """Makes the run folder with its ``plan.json``.

    One that is there already stays, unless it says something else: a run is named by what decides its pixels, and the
    same pixels may by now be found under another path or signed by another catalog. A complete run's is as its item
    tells it, and says what it was made by.
    """
    folder = RunFolder.of(plan)
    held = _held_plan(folder)
    if held is not None and is_complete(plan):
        return folder
    if _but_created(held) != _but_created(plan):
        remove(folder.item_file)  # which tells how the plan was
        write_json(folder.plan_file, plan.model_dump(mode="json"))
    return folder


def _held_plan(folder: RunFolder) -> Plan | None:
    """The plan that is in a run folder; one that cannot be read is as good as none."""
    if not exists(folder.plan_file):
        return None
    try:
        return read_plan(folder.path)
    except RequestError as error:
        logger.warning("%s; it is written anew", error)
        return None


def as_begun(plan: Plan) -> Plan:
    """A plan with the layers of its run, where that was begun by a version that made fewer.

    Layers are in no run's id: a version that makes more of them takes what is finished as it is, rather than to compute
    all blocks again.

    Raises:
        OutputError: the folder, or the store that it lies in, cannot be read.
    """
    folder = RunFolder.of(plan)
    held = _held_plan(folder)
    if held is None or held.run_id != plan.run_id:
        return plan
    plan = _quoted_as(held, plan)
    if held.request.ndvi_limits != plan.request.ndvi_limits and is_complete(plan):
        logger.warning(
            "run %s is complete, and its warnings keep to the ndvi_limits that it was first asked for with: %s; for "
            "others, remove %s and run the same request again",
            plan.run_id, held.request.ndvi_limits or "none", folder.item_file,
        )  # fmt: skip
    flags = {layer.key: layer.flags for layer in held.layers}
    lacking = [layer.name for layer in plan.layers if layer.key not in flags]
    lacking += [
        f"flag {bit} of {layer.name}"
        for layer in plan.layers
        for bit in layer.bits
        if bit not in flags.get(layer.key, layer.flags)
    ]
    if not lacking:
        return plan
    logger.warning(
        "run %s was begun by version %s and has no %s; to have them too, remove %s and run the same request again",
        plan.run_id, held.engine_version, ", ".join(lacking), folder.location,
    )  # fmt: skip
    return plan.model_copy(update={"layers": held.layers})


def _quoted_as(held: Plan, plan: Plan) -> Plan:
    """A plan with what its run was first expected to take, by which it is judged."""
    first = {"device_minutes": held.figures.device_minutes, "quote": held.figures.quote}
    if held.figures.quote is None:
        return plan
    return plan.model_copy(update={"figures": plan.figures.model_copy(update=first)})


def read_plan(path: str | Location) -> Plan:
    """The plan in a run folder or a ``plan.json``; a folder that was moved is the run's output folder from then on.

    A file that did not change since it was last read is not read again: a thousand block tasks of one process parse it
    once.

    Args:
        path: a folder, a file, or the URL of either; ``OUT/latest`` is understood too.

    Raises:
        RequestError: there is none, it is damaged or not one of this version, or it is of 0.1 and its model is gone.
        OutputError: the store that it lies in failed.
    """
    file = pointed_at(location(path))
    if file.suffix != ".json" if is_remote(file) else file.is_dir():
        file = file / "plan.json"
    try:
        facts = facts_of(file)
        if facts is None:
            raise RequestError(
                f"plan: cannot read {file}: there is no such file; give a run's folder, such as OUT/latest"
            )
        with _PARSING:
            return _parsed(str(file if is_remote(file) else file.resolve()), facts)
    except OSError as error:
        raise RequestError(f"plan: cannot read {file}: {error.strerror or error}") from error
    except ValidationError as error:
        raise RequestError(
            f"plan: {file} is not a plan of this version ({error.error_count()} fields differ)"
        ) from error
    except ValueError as error:
        raise RequestError(
            f"plan: {file} is damaged: {error}; run the request again, which writes it anew"
        ) from error


@lru_cache(maxsize=4)
def _parsed(file: str, _: FileFacts) -> Plan:
    """The plan in a file that has these facts."""
    place = location(file)
    plan = plan_in(read_bytes(place))
    out = str(place.parent.parent).rstrip("/") or "/"
    return plan.model_copy(update={"request": plan.request.model_copy(update={"out": out})})


def mosaics_of(plan: Plan) -> dict[str, Location]:
    """The mosaics that a run has, or will have, by name."""
    folder = RunFolder.of(plan)
    paths = [folder.mosaic(plan, zone, layer.name) for zone in plan.zones for layer in plan.layers]
    return {path.stem: path for path in paths}


def tables_of(plan: Plan) -> dict[str, Location]:
    """The tables that a run has, or will have, beside its mosaics, by name."""
    return {COORDINATES: RunFolder.of(plan).places_file} if COORDINATES in plan.request.targets else {}


def is_complete(plan: Plan) -> bool:
    """Whether everything that a run publishes is there, and as its item says; its block rasters may be gone by then."""
    return not flaws_of(plan)


def flaws_of(plan: Plan, *, hashes: bool = False) -> list[Flaw]:
    """What is missing or damaged of all that a run publishes.

    Sizes are compared with what the item says each time that a run is recognised, hashes where somebody asks for it.

    Raises:
        OutputError: the folder, or the store that it lies in, cannot be read.
    """
    folder = RunFolder.of(plan)
    wanted = [
        path.name for path in (folder.report_file, *mosaics_of(plan).values(), *tables_of(plan).values())
    ]
    flaws = flaws_in(folder.path, folder.item_file, wanted, hashes=hashes)
    if not flaws:
        try:
            read_plan(folder.path)  # whose size may be as it was
        except RequestError as error:
            return [Flaw(folder.plan_file, error.text)]
    return flaws


def remove_flaws(plan: Plan, *, hashes: bool = False) -> bool:
    """Says whether a run is complete; of one that is damaged, what is damaged goes, so that it is made anew.

    With it goes the item, which is the sign that all is there. The plan stays: `write_plan` writes it anew.
    """
    folder, flaws = RunFolder.of(plan), flaws_of(plan, hashes=hashes)
    for path, reason in flaws:
        if exists(path):
            logger.warning("%s is made anew: %s", path, reason)
            if path != folder.plan_file:
                remove(path)
    if flaws:
        remove(folder.item_file)
    return not flaws


def _but_created(plan: Plan | None) -> dict[str, Any] | None:
    # What the run was first expected to take stays, to be compared with what it took.
    if plan is None:
        return None
    return plan.model_dump(mode="json", exclude={"created": True, "figures": {"device_minutes", "quote"}})


def link_latest(folder: RunFolder) -> None:
    """Points ``OUT/latest`` at the run, where the file system knows links; in a store it is a text with its id."""
    point_latest(folder.path)
