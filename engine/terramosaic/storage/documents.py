"""Small documents by path or URL, such as a region's GeoJSON: read whole, up to a bound."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from terramosaic.errors import reason_of
from terramosaic.storage.location import is_url

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def shown(location: str) -> str:
    """The location for messages and records: without what a URL may hold of signatures and passwords."""
    if not is_url(location):
        return location
    try:
        parts = urlsplit(location)
    except ValueError:  # no URL, after all
        return location.partition("?")[0]
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def read_document(location: str, most: int) -> bytes:
    """A document's bytes.

    Args:
        location: path, or URL: ``https``, or any that fsspec knows, such as ``s3`` and ``file``.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, or is larger; the text says why in one line, without the location.
    """
    if not is_url(location):
        try:
            return _whole(Path(location).expanduser().open("rb"), most)
        except OSError as error:
            raise OSError(error.strerror or str(error)) from error
    if location.startswith(("http://", "https://")):
        from terramosaic.storage.http import fetch  # for start-up time, as fsspec below

        return fetch(location, most)
    return _over_fsspec(location, most)


def _whole(opened: AbstractContextManager[IO[bytes]], most: int) -> bytes:
    with opened as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(f"it is larger than {most / 1e6:g} MB")
    return content


def _over_fsspec(url: str, most: int) -> bytes:
    import fsspec  # for start-up time: stores alone need it

    try:
        return _whole(fsspec.open(url, "rb"), most)
    except FileNotFoundError as error:
        raise OSError("there is no such file") from error
    except ImportError as error:
        raise OSError(f"{reason_of(error)}; for s3:// that is pip install 'terramosaic[s3]'") from error
    except Exception as error:
        # Each of fsspec's file systems has errors of its own.
        raise OSError(reason_of(error)) from error
