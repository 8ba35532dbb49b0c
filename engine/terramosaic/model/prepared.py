"""Graphs made ready for one device, kept in the user's cache folder: rewritten and optimised once, then only mapped.

An entry is a folder named by everything it was made from: the files' hashes, ONNX Runtime's version, the machine's kind
of processor, and the recipe. It is made beside its place and renamed, so that one under its name was whole; what its
files were then, a record in it tells. One that is not as it was is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnxruntime
from filelock import FileLock

from terramosaic.errors import ModelError
from terramosaic.model.bundle import Bundle
from terramosaic.model.surroundings import processor
from terramosaic.settings import CACHE
from terramosaic.storage.cache import cache_folder
from terramosaic.storage.files import read_json, write_json
from terramosaic.storage.hashes import sha256_of

logger = logging.getLogger(__name__)

#: Name of the graph in an entry; its weights lie beside it.
GRAPH = "graph.onnx"

#: The record of an entry's files.
_RECORD = "files.json"

#: Raised when entries made by an earlier version of the engine's own rewriting must not be used any more.
_GENERATION = 1


def prepared_graph(bundle: Bundle, file: str, recipe: str, make: Callable[[Path, Path], None]) -> Path:
    """The cached graph made from a bundle's file by a recipe; made now if it is not there yet.

    Threads and processes that want the same one wait for the first to make it.

    Args:
        bundle: a loaded bundle, whose files are as its manifest says.
        file: the graph's name in the bundle.
        recipe: names how it is made, with all options that change the result.
        make: called with the bundle's file and the path to write to; weights may be written beside that.

    Raises:
        ModelError: the cache folder cannot be written.
    """
    folder = cache_folder("graphs") / _key(bundle, file, recipe)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        if not _is_whole(folder):
            with FileLock(f"{folder}.lock"):
                if not _is_whole(folder):
                    if folder.exists():
                        logger.warning("%s is damaged and is made anew", folder)
                    logger.info("preparing %s of %s for this machine, once", file, bundle.name)
                    _make_whole(bundle.folder / file, folder, make)
    except OSError as error:
        raise ModelError(
            f"{folder}: prepared graphs cannot be kept there: {error.strerror or error}; make room, or name another "
            f"folder in {CACHE}"
        ) from error
    return folder / GRAPH


def _is_whole(folder: Path) -> bool:
    """Whether an entry is as it was made."""
    record = read_json(folder / _RECORD)
    if record is None:
        return False
    try:
        return GRAPH in record and all(sha256_of(folder / name) == sha256 for name, sha256 in record.items())
    except FileNotFoundError:
        return False


def _make_whole(source: Path, folder: Path, make: Callable[[Path, Path], None]) -> None:
    for leftover in folder.parent.glob(
        f"{folder.name}.*.partial"
    ):  # of a process that was killed: we hold the lock
        shutil.rmtree(leftover, ignore_errors=True)
    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir()
    try:
        make(source, partial / GRAPH)
        made = [path for path in partial.rglob("*") if path.is_file()]
        write_json(
            partial / _RECORD, {path.relative_to(partial).as_posix(): sha256_of(path) for path in made}
        )
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(folder)  # what is damaged, or an interrupted removal left
        partial.replace(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _key(bundle: Bundle, file: str, recipe: str) -> str:
    listed, weights = bundle.manifest.files, file.removesuffix(".onnx") + ".data"
    # Weights under another name may be anybody's, so they count for every graph.
    others = [weights] if weights in listed else [name for name in listed if not name.endswith(".onnx")]
    made_from = {
        "files": {name: listed[name].sha256 for name in (file, *others)},
        "onnxruntime": onnxruntime.__version__,
        "processor": processor(),
        "recipe": recipe,
        "generation": _GENERATION,
    }
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:32]
