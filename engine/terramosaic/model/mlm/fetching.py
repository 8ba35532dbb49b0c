"""A bundle of what a model's STAC item describes: of a bundle's own item its files, else a packed model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.mlm.reading import ModelItem, read_item
from terramosaic.model.packing.pack import Packed, pack_model
from terramosaic.model.packing.spec import spec_of
from terramosaic.storage.documents import read_document, shown
from terramosaic.storage.files import whole_folder
from terramosaic.storage.location import is_url
from terramosaic.storage.scratch import scratch_folder

#: Bytes of a file that a bundle may have, and that is held in memory on its way.
_LARGEST_FILE = 16 * 2**30


def pack_item(location: str, out: Path, said: Mapping[str, Any] | None = None) -> Packed:
    """Makes a bundle of what an item describes.

    Args:
        location: path or URL of the item.
        out: the folder to make.
        said: content of a spec, in place of what the item tells or beside it.

    Raises:
        RequestError: the item is none of a model, or leaves something open that a map needs; names the field.
        ModelError: the files are not those that the item was written of, or are no model.
        OutputError: the folder is there already, or cannot be written.
    """
    item = read_item(location)
    if not item.bundle_files:
        return _packed(item, out, said or {})
    if said:
        raise RequestError(
            f"spec: {shown(location)} is the item of a bundle, which says all itself; leave it out"
        )
    return Packed(_fetched(item, out), ())


def _fetched(item: ModelItem, out: Path) -> Bundle:
    with whole_folder(out) as folder:
        for name, source in item.bundle_files.items():
            if "/" in name or name in ("", ".", ".."):
                raise ModelError(f"item: {name!r} is no name of a file in a bundle's folder")
            (folder / name).write_bytes(_content(name, source))
        checked = load_bundle(folder)
    return replace(checked, folder=out.resolve())


def _packed(item: ModelItem, out: Path, said: Mapping[str, Any]) -> Packed:
    spec = spec_of(item.spec(said), f"item: {shown(item.location)}")
    graph = item.graph
    if not is_url(graph):
        return pack_model(Path(graph), spec, out)
    with TemporaryDirectory(prefix="terramosaic-model-", dir=scratch_folder()) as folder:
        for source in (*item.weights, graph):
            path = Path(folder) / PurePosixPath(urlsplit(source).path).name
            path.write_bytes(_content("model", source))
        return pack_model(path, spec, out)


def _content(name: str, source: str) -> bytes:
    try:
        return read_document(source, _LARGEST_FILE)
    except OSError as error:
        raise ModelError(f"item: {name}: {shown(source)} cannot be read: {error}") from error
