"""The run folder: where each stage finds its inputs and leaves its outputs."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from engine.bundle import load_bundle
from engine.encode import layers
from engine.errors import RequestError
from engine.files import replace_link, write_text
from engine.plan import Block, Plan, Zone


@dataclass(frozen=True)
class RunFolder:
    """Names of everything in ``OUT/RUN_ID``."""

    path: Path

    @classmethod
    def of(cls, plan: Plan) -> RunFolder:
        """The folder of a plan's run."""
        return cls(Path(plan.request.out).expanduser() / plan.run_id)

    @property
    def plan_file(self) -> Path:
        return self.path / "plan.json"

    @property
    def item_file(self) -> Path:
        return self.path / "item.json"

    @property
    def report_file(self) -> Path:
        return self.path / "report.html"

    @property
    def quicklooks(self) -> Path:
        return self.path / "quicklooks"

    def offset_file(self, scene_id: str) -> Path:
        """Where the offset decision of a scene and its evidence from pixels are recorded."""
        # A catalog may call its items what it likes; their ids must not lead out of the folder.
        return self.path / "offsets" / f"{quote(scene_id, safe='')}.json"

    def receipt_file(self, block: Block) -> Path:
        """Written last: a block with a receipt is done."""
        return self.path / "blocks" / block.id / "block.json"

    def block_raster(self, block: Block, layer: str) -> Path:
        """A block's raster of one layer."""
        return self.path / "blocks" / block.id / f"{layer}.tif"

    def mosaic(self, plan: Plan, zone: Zone, layer: str) -> Path:
        """The mosaic of one layer; its name tells the zone only when there are several."""
        suffix = f"_{zone.epsg}" if len(plan.zones) > 1 else ""
        return self.path / f"{layer}{suffix}.tif"


def write_plan(plan: Plan) -> RunFolder:
    """Makes the run folder with its ``plan.json``.

    One that is there already stays, unless it says something else: a run is named by what decides its pixels, and the
    same pixels may by now be found under another path or signed by another catalog.
    """
    folder = RunFolder.of(plan)
    if not folder.plan_file.exists() or _but_created(read_plan(folder.path)) != _but_created(plan):
        write_text(folder.plan_file, plan.model_dump_json(indent=1))
    return folder


def read_plan(path: str | Path) -> Plan:
    """The plan in a run folder or a ``plan.json``; a folder that was moved is the run's output folder from then on.

    Raises:
        RequestError: there is none, or it is not one of this version.
    """
    file = Path(path)
    file = file / "plan.json" if file.is_dir() else file
    try:
        return _plan_below(str(file.resolve().parent.parent), file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"plan: cannot read {file}: {error.strerror}") from error
    except ValidationError as error:
        raise RequestError(
            f"plan: {file} is not a plan of this version ({error.error_count()} fields differ)"
        ) from error


@lru_cache(maxsize=2)
def _plan_below(out: str, text: str) -> Plan:
    """A plan's text read, with its output folder. Kept, for each block's task reads the same; a country's has 15 MB."""
    plan = Plan.model_validate_json(text)
    return plan.model_copy(update={"request": plan.request.model_copy(update={"out": out})})


def mosaics_of(plan: Plan) -> dict[str, Path]:
    """The mosaics that a run has, or will have, by name."""
    names = layers(plan.request, load_bundle(plan.request.model))
    paths = [RunFolder.of(plan).mosaic(plan, zone, name) for zone in plan.zones for name in names]
    return {path.stem: path for path in paths}


def is_complete(plan: Plan) -> bool:
    """Whether everything that a run publishes is there; its block rasters may be gone by then."""
    folder = RunFolder.of(plan)
    return all(path.exists() for path in (folder.item_file, folder.report_file, *mosaics_of(plan).values()))


def _but_created(plan: Plan) -> dict[str, Any]:
    return plan.model_dump(mode="json", exclude={"created"})


def link_latest(folder: RunFolder) -> None:
    """Points ``OUT/latest`` at the run, where the file system knows links."""
    with contextlib.suppress(OSError):
        replace_link(folder.path.parent / "latest", folder.path.name)
