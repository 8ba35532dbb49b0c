"""Whether a run is finished: all that it publishes is there, and is as its item says.

The item is written last and tells sizes and hashes of all the others. Sizes are compared each time that a run is
recognised, hashes where somebody asks for it. Block rasters may be gone by then.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from terramosaic.storage.files import facts_of, read_json
from terramosaic.storage.hashes import multihash_of
from terramosaic.storage.location import Location
from terramosaic.storage.scratch import LocalCopy


class Flaw(NamedTuple):
    """A file of a finished run that is not as it should be, and what is wrong with it."""

    path: Location
    reason: str


def flaws_in(
    folder: Location, item: Location, wanted: Collection[str], *, hashes: bool = False
) -> list[Flaw]:
    """What is missing or damaged of all that a run publishes.

    Args:
        folder: the run's.
        item: its item.
        wanted: names of the files that the item must name.
        hashes: whether files are read and their hashes compared, too.

    Raises:
        OutputError: the folder, or the store that it lies in, cannot be read.
    """
    content = read_json(item)
    if content is None:
        return [Flaw(item, "it is missing or damaged")]
    told = _assets_in(content)
    if told is None or not told.keys() >= set(wanted):
        return [Flaw(item, "it does not name all that the run publishes")]
    found = ((folder / name, _flaw(folder / name, asset, hashes)) for name, asset in told.items())
    return [Flaw(path, reason) for path, reason in found if reason]


def _assets_in(item: dict[str, Any]) -> dict[str, dict[str, Any]] | None:
    """What an item tells of the files beside it, by their names; None if it is no item."""
    assets = item.get("assets")
    if item.get("type") != "Feature" or not isinstance(assets, dict):
        return None
    told = {}
    for asset in assets.values():
        href = asset.get("href") if isinstance(asset, dict) else None
        if not isinstance(href, str) or not _is_beside(href):
            return None
        told[href.removeprefix("./")] = asset
    return told


def _is_beside(href: str) -> bool:
    """Whether an href leads to a file of the run: what is damaged goes, and that must be nobody else's."""
    return (
        not href.startswith(("/", "\\"))
        and ":" not in href
        and ".." not in href.replace("\\", "/").split("/")
    )


def _flaw(path: Location, asset: dict[str, Any], hashes: bool) -> str:
    """What is wrong with a file, or nothing."""
    facts = facts_of(path)
    if facts is None:
        return "it is missing"
    size, checksum = asset.get("file:size"), asset.get("file:checksum")
    if size is not None and facts.size != size:
        return f"it has {facts.size} bytes, and its item says {size}"
    if hashes and checksum is not None:
        with LocalCopy(path) as local:
            if multihash_of(local) != checksum:
                return "its hash is not the one that its item says"
    return ""
