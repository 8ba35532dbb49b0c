"""The run folder: where each stage finds its inputs and leaves its outputs, and how files come to be whole."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.errors import OutputError, RequestError
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
        return self.path / "offsets" / f"{scene_id}.json"

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
    """Makes the run folder with its ``plan.json``; one that is there already stays as it is."""
    folder = RunFolder.of(plan)
    if not folder.plan_file.exists():
        write_text(folder.plan_file, plan.model_dump_json(indent=1))
    return folder


def read_plan(path: str | Path) -> Plan:
    """The plan in a run folder or a ``plan.json``.

    Raises:
        RequestError: there is none, or it is not one of this version.
    """
    file = Path(path)
    file = file / "plan.json" if file.is_dir() else file
    try:
        return Plan.model_validate_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"plan: cannot read {file}: {error.strerror}") from error
    except ValidationError as error:
        raise RequestError(f"plan: {file} is not a plan of this version ({error.error_count()} fields differ)") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path`` to write to; renamed to ``path`` when the block ends well, removed otherwise.

    Raises:
        OutputError: the file could not be written.
    """
    partial = path.with_name(f".{path.name}.{_here()}.{os.getpid()}.{threading.get_ident()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(path)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error}; make room or choose another output folder") from error
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a small file whole or not at all."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def read_json(path: Path) -> Any | None:
    """A JSON file's content, or None if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def sweep_partials(folder: RunFolder) -> None:
    """Removes what processes of this machine left half-written when they died."""
    for partial in folder.path.rglob(".*.partial"):
        host, pid = partial.name.split(".")[-4:-2] if partial.name.count(".") >= 4 else ("", "")
        if host == _here() and not _is_alive(pid):
            partial.unlink(missing_ok=True)


def link_latest(folder: RunFolder) -> None:
    """Points ``OUT/latest`` at the run, where the file system knows links."""
    latest = folder.path.parent / "latest"
    partial = latest.with_name(f".latest.{_here()}.{os.getpid()}.0.partial")
    with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)
        partial.symlink_to(folder.path.name, target_is_directory=True)
        partial.replace(latest)


def _here() -> str:
    return socket.gethostname().replace(".", "-")


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True
