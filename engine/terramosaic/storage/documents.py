"""Small documents by path or URL, such as a region's GeoJSON: read whole, up to a bound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import IO, TYPE_CHECKING

from terramosaic.errors import OutputError
from terramosaic.storage.files import facts_of, read_bytes
from terramosaic.storage.location import is_url, location
from terramosaic.url_secrets import bare, whole

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


#: Where a shell's `<(...)` gives a program a pipe to read from.
_OPEN_FILES = ("/dev/", "/proc/self/fd/")


def shown(location: str) -> str:
    """The location for messages and records: without what a URL may hold of signatures and passwords."""
    return re.split("[?#]", bare(location))[0] if is_url(location) else bare(location)


def read_document(document: str, most: int) -> bytes:
    """A document's bytes.

    Args:
        document: path, or URL: ``https``, ``file``, or of an object store, such as ``s3``.
        most: bytes that it may have.

    Raises:
        OSError: it cannot be read, or is larger; the text says why in one line, without the location.
    """
    document = whole(document)
    if document.startswith(("http://", "https://")):
        from terramosaic.storage.http import fetch  # for start-up time

        return fetch(document, most)
    try:
        place = location(document)
        if isinstance(place, Path):
            if place.is_fifo() and not str(place).startswith(_OPEN_FILES):
                raise OSError("it is a pipe")  # and may never end
            return _whole(place.open("rb"), most)
        facts = facts_of(place)
        if facts is not None and facts.size > most:
            raise OSError(_too_large(most))
        return read_bytes(place)
    except FileNotFoundError as error:
        raise OSError("there is no such file") from error
    except OutputError as error:
        raise OSError(str(error).removeprefix("out: ")) from error
    except OSError as error:
        raise OSError(error.strerror or str(error)) from error


def _whole(opened: AbstractContextManager[IO[bytes]], most: int) -> bytes:
    with opened as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(_too_large(most))
    return content


def _too_large(most: int) -> str:
    return f"it is larger than {most / 1e6:g} MB"
