"""Where outputs are: a folder of this machine, or a URL in an object store, such as ``s3://bucket/maps``.

A place is a `pathlib.Path` or a `upath.UPath`: both join with ``/`` and know ``name``, ``stem`` and ``parent``. What is
read and written there goes through `terramosaic.storage.files`. Object stores are imported when the first URL is met.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from terramosaic.errors import OutputError

if TYPE_CHECKING:
    from typing_extensions import TypeIs
    from upath import UPath

    Location: TypeAlias = Path | UPath
else:
    # Annotations are never evaluated; importing upath for them would cost every command its time.
    Location = Path

#: Stores in which an object appears whole or not at all, and what to install for each. A server of files over some
#: network (sftp, smb, webdav) shows uploads while they grow, and so is left out: mount it.
_PACKAGES = {
    "s3": "terramosaic[s3]",
    "s3a": "terramosaic[s3]",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "memory": "fsspec",
}


def is_url(text: str) -> bool:
    """Whether a text names a place by a URL, which is the same from every folder and machine."""
    return "://" in text


def is_remote(place: Location) -> TypeIs[UPath]:
    """Whether a place is in an object store."""
    return not isinstance(place, Path)


def location(text: str | Location) -> Location:
    """The place that a folder's name or a URL means; nothing is asked of the store.

    Raises:
        OutputError: the URL is of no store that is known here, or the package for it is missing.
    """
    if not isinstance(text, str):
        return text
    if not is_url(text):
        return Path(text).expanduser()
    parts = urlsplit(text)
    if parts.scheme in ("file", "local"):
        return Path(unquote(parts.path))
    if parts.scheme not in _PACKAGES:
        raise OutputError(
            f"out: {text!r} is in no store that is known; take a folder, or a URL that begins with "
            f"{', '.join(sorted(f'{scheme}://' for scheme in _PACKAGES if scheme != 'memory'))}"
        )
    if not parts.netloc:
        raise OutputError(f"out: {text!r} names no bucket; write it as {parts.scheme}://bucket/maps")
    return _in_store(text.rstrip("/"), parts.scheme)


def anchored(text: str) -> str:
    """A folder's name or a URL as it means the same place for a process that stands elsewhere.

    Raises:
        OutputError: see `location`.
    """
    place = location(text)
    return str(place) if is_remote(place) else str(place.resolve())


def _in_store(url: str, scheme: str) -> UPath:
    from upath import UPath  # for start-up time: stores alone need it

    try:
        # fsspec remembers what it listed, and so would not see what other processes write.
        place = UPath(url, use_listings_cache=False)
        place.fs  # noqa: B018  (here the store's package is imported)
    except ImportError as error:
        raise OutputError(
            f"out: {url} needs a package that is not installed; pip install '{_PACKAGES[scheme]}'"
        ) from error
    return place
