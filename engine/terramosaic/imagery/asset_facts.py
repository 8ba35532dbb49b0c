"""What is told of a scene's files without reading them: so that one that changes behind its item is known for it."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from terramosaic.catalog.assets import AssetRef, Source, size_and_time
from terramosaic.catalog.hrefs import refusal
from terramosaic.catalog.profiles import sign
from terramosaic.errors import CatalogError, RequestError

#: Files that are asked about at the same time.
_AT_ONCE = 8


class AssetFacts(BaseModel):
    """A file as it was at a moment.

    Attributes:
        size: in bytes; None if its server does not say.
        etag: what its server calls this version of it; empty if it does not, or the file is on a disk.
        modified: when it was written, as its server or disk says; empty if it does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    size: int | None = None
    etag: str = ""
    modified: str = ""

    def change_since(self, before: AssetFacts) -> str:
        """In what a file is another than it was before, or nothing; what either time was not told does not count."""
        if None not in (self.size, before.size) and self.size != before.size:
            return f"it has {self.size} bytes, and had {before.size}"
        if self.etag and before.etag:
            return f"its ETag is {self.etag}, and was {before.etag}" if self.etag != before.etag else ""
        if self.modified and before.modified and self.modified != before.modified:
            return f"it was written {self.modified}, and had been {before.modified}"
        return ""


def require_as_planned(scene: Source) -> None:
    """Refuses a user's own file that is another than the plan was made for: its pixels would be another run's.

    Raises:
        RequestError: one has changed; says in what.
    """
    for asset in scene.assets.values():
        if not asset.modified:
            continue
        facts = _facts_of(asset, scene)
        if facts and (change := facts.change_since(AssetFacts(size=asset.size, modified=asset.modified))):
            raise RequestError(
                f"imagery: {asset.href} is not the file that was planned with: {change}; plan the request again, of "
                "the file as it is now that is another run"
            )


def asset_facts(scene: Source) -> dict[str, AssetFacts]:
    """What is told of a scene's files, by band: by the disk, or over HTTP in a request for a byte of each.

    Nothing is told of files that are read through an object store's own protocol (``s3://``), nor of what does not
    answer now.
    """
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="facts") as pool:
        found = pool.map(lambda asset: _facts_of(asset, scene), scene.assets.values())
        return {band: facts for band, facts in zip(scene.assets, found, strict=True) if facts is not None}


def changes_since(scene: Source, before: Mapping[str, AssetFacts]) -> dict[str, str]:
    """In what a scene's files are others by now than they were, by band, for those that are; see `AssetFacts`."""
    now = asset_facts(scene) if before else {}
    changes = {band: now[band].change_since(facts) for band, facts in before.items() if band in now}
    return {band: change for band, change in changes.items() if change}


def _facts_of(asset: AssetRef, scene: Source) -> AssetFacts | None:
    if refusal(asset.href, scene.origin):
        return None
    with suppress(OSError, CatalogError):
        if asset.href.startswith(("http://", "https://")):
            from terramosaic.storage.http import told_of  # for start-up time

            headers = told_of(sign(asset.href, scene.profile))
            told = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "")
            return AssetFacts(
                size=int(told) if told.isdecimal() else None,
                etag=headers.get("etag", ""),
                modified=headers.get("last-modified", ""),
            )
        if "://" not in asset.href.removeprefix("file://"):
            size, modified = size_and_time(Path(asset.href.removeprefix("file://")))
            return AssetFacts(size=size, modified=modified)
    return None
