"""Where outputs are: a folder of this machine, or a URL in an object store, such as ``s3://bucket/maps``.

A place is a `pathlib.Path` or an `ObjectPath`: both join with ``/`` and know ``name``, ``stem`` and ``parent``. What is
read and written there goes through `terramosaic.storage.files`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from terramosaic.errors import OutputError, printable
from terramosaic.url_secrets import bare, has_login

if TYPE_CHECKING:
    from typing_extensions import TypeIs

#: Stores in which an object appears whole or not at all. A server of files over some network (sftp, smb, webdav) shows
#: uploads while they grow, and so is left out: mount it.
_STORES = ("s3", "s3a", "gs", "az", "abfs", "abfss", "memory")


@dataclass(frozen=True)
class ObjectPath:
    """A place in an object store, to be joined and taken apart as paths are.

    Attributes:
        bucket: its URL, such as ``s3://maps``.
        key: of an object, or what its objects' keys begin with.
    """

    bucket: str
    key: PurePosixPath

    def __truediv__(self, part: str) -> ObjectPath:
        return ObjectPath(self.bucket, self.key / part)

    def with_name(self, name: str) -> ObjectPath:
        """The place beside it of that name."""
        return ObjectPath(self.bucket, self.key.with_name(name))

    @property
    def parent(self) -> ObjectPath:
        """The folder that it is in."""
        return ObjectPath(self.bucket, self.key.parent)

    @property
    def name(self) -> str:
        """The last part of its key."""
        return self.key.name

    @property
    def stem(self) -> str:
        """The same without its suffix."""
        return self.key.stem

    @property
    def suffix(self) -> str:
        """Of its name, with the dot."""
        return self.key.suffix

    def __str__(self) -> str:
        return f"{self.bucket}/{self.key}" if self.key.parts else self.bucket


Location: TypeAlias = Path | ObjectPath


def is_url(text: str) -> bool:
    """Whether a text names a place by a URL, which is the same from every folder and machine."""
    return "://" in text


def is_remote(place: Location) -> TypeIs[ObjectPath]:
    """Whether a place is in an object store."""
    return not isinstance(place, Path)


def location(text: str | Location) -> Location:
    """The place that a folder's name or a URL means; nothing is asked of the store.

    Raises:
        OutputError: the URL is of no store that is known here.
    """
    if not isinstance(text, str):
        return text
    if not is_url(text):
        return Path(text).expanduser()
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise OutputError(f"out: {printable(bare(text))!r} is no URL ({error})") from error
    if parts.scheme in ("file", "local"):
        return Path(unquote(parts.path))
    if parts.scheme not in _STORES:
        raise OutputError(
            f"out: {printable(bare(text))!r} is in no store that is known; take a folder, or a URL that begins with "
            f"{', '.join(sorted(f'{scheme}://' for scheme in _STORES if scheme != 'memory'))}"
        )
    if has_login(text):
        raise OutputError(
            f"out: {printable(bare(text))!r} was given a login, which would be written down with it; a store's keys "
            "belong into the environment (AWS_ACCESS_KEY_ID and what is like it)"
        )
    if not parts.netloc:
        raise OutputError(f"out: {text!r} names no bucket; write it as {parts.scheme}://bucket/maps")
    return ObjectPath(f"{parts.scheme}://{parts.netloc}", PurePosixPath(parts.path.strip("/")))


def anchored(text: str) -> str:
    """A folder's name or a URL as it means the same place for a process that stands elsewhere.

    Raises:
        OutputError: see `location`.
    """
    place = location(text)
    return str(place) if is_remote(place) else str(place.resolve())
