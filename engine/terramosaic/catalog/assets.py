"""An item's files: where they lie and what the item tells of them, whatever the item is of."""

from __future__ import annotations

import datetime as dt
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from terramosaic.catalog import metadata
from terramosaic.catalog.hrefs import Origin
from terramosaic.catalog.profiles import Profile, is_signed
from terramosaic.errors import CatalogError, printable
from terramosaic.url_secrets import expiry_of, keep

#: Where items of users' own files say when these were written, and that their hrefs held secrets.
MODIFIED, CAME_SIGNED = "terramosaic:modified", "terramosaic:came_signed"


class AssetRef(BaseModel):
    """An item's file.

    Attributes:
        band: what it holds: ESA's name of a band, ``SCL``, ``VV``, ``VH`` or ``DEM``.
        key: the asset's name in the item.
        href: absolute URL or path, without secrets; `terramosaic.catalog.profiles.sign` makes it readable.
        offset: what the item's metadata says must be subtracted from its numbers, 0 or 1000.
        checksum: the file's, if the item tells; a multihash, or whatever the catalog calls one.
        size: the file's in bytes, if the item tells and it is asked for.
        modified: of a user's own file, when it was written, as it was when it was planned.
        came_signed: whether the item's href held a signature or a login, which nobody else signs anew.
        expires: when that signature ends, if it says so.
    """

    model_config = ConfigDict(frozen=True)

    band: str
    key: str
    href: str
    offset: int = 0
    checksum: str | None = None  # 0.1 did not keep it
    size: int | None = None
    modified: str = ""
    came_signed: bool = False
    expires: dt.datetime | None = None

    @property
    def name(self) -> str:
        """The file's name, which stays where a catalog is moved or signed."""
        return self.href.partition("?")[0].replace("\\", "/").rstrip("/").rpartition("/")[2]


class Source(Protocol):
    """An item that files are read of: a scene, or a tile of heights."""

    @property
    def id(self) -> str:
        """The item's id."""
        ...

    @property
    def collection(self) -> str:
        """The item's collection, empty if it names none."""
        ...

    @property
    def key(self) -> str:
        """Names it among the items of its run."""
        ...

    @property
    def profile(self) -> str:
        """Name of the profile that decides how its hrefs are signed."""
        ...

    @property
    def origin(self) -> Origin:
        """Where it was found, which decides what its assets may name."""
        ...

    @property
    def assets(self) -> Mapping[str, AssetRef]:
        """Its files by what they hold."""
        ...


def asset_ref(
    item: Mapping[str, Any],
    band: str,
    key: str,
    profile: Profile,
    *,
    offset: int = 0,
    size: int | None = None,
) -> AssetRef:
    """An asset's file, without the secrets in its href, which this process keeps in mind."""
    told = item["assets"][key]["href"]
    href = keep(told)
    return AssetRef(
        band=band,
        key=key,
        href=href,
        offset=offset,
        checksum=metadata.checksum(item["assets"][key]),
        size=size,
        modified=str(item["assets"][key].get(MODIFIED, "")),
        came_signed=(href != told or item["assets"][key].get(CAME_SIGNED) is True)
        and not is_signed(href, profile.name),
        expires=expiry_of(told),
    )


def own_size(item: Mapping[str, Any], key: str) -> int | None:
    """Bytes of a user's own file, as its item tells; of others' scenes they are not kept."""
    asset = item["assets"][key]
    return int(asset["file:size"]) if asset.get(MODIFIED) else None


def size_and_time(path: Path) -> tuple[int, str]:
    """Bytes of a file on this machine, and when it was written, in words.

    Raises:
        OSError: it is not there.
    """
    facts = path.stat()
    written = dt.datetime.fromtimestamp(facts.st_mtime, dt.UTC)
    return facts.st_size, written.isoformat(timespec="milliseconds")


def require_files(source: Source) -> None:
    """Refuses what would be read for ever, such as pipes; whether a file is there is seen when it is read.

    An item from the network names no file of this machine that is opened (see `terramosaic.catalog.hrefs`), and nothing
    is told of those that it tries.

    Raises:
        CatalogError: an asset on this machine is something else than a file.
    """
    for asset in source.assets.values():
        if source.origin != "disk" or "://" in asset.href:
            continue
        try:
            mode = Path(asset.href).stat().st_mode
        except OSError:
            continue
        if not stat.S_ISREG(mode):
            raise CatalogError(
                f"asset {asset.key} of item {printable(source.key)} is no file: {asset.href} is a folder, "
                "a pipe or a device"
            )
