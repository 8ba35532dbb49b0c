"""Small documents by path or URL, such as a region's GeoJSON: read whole, up to a bound."""

from __future__ import annotations

import re
from pathlib import Path

from terramosaic.errors import OutputError
from terramosaic.storage.location import is_url, location
from terramosaic.storage.objects import read_beginning
from terramosaic.storage.retries import HTTP
from terramosaic.url_secrets import bare, whole

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
    if document.lower().startswith(("http://", "https://")):
        from terramosaic.storage.http import fetch  # for start-up time

        return fetch(document, most)
    try:
        place = location(document)
        if isinstance(place, Path):
            if place.is_fifo() and not str(place).startswith(_OPEN_FILES):
                raise OSError("it is a pipe")  # and may never end
            with place.open("rb") as file:
                return _bounded(file.read(most + 1), most)
        content = read_beginning(place, most + 1, HTTP.within)
        if content is None:
            raise OSError(f"no whole answer in {HTTP.within:g} s: it comes too slowly")
        return _bounded(content, most)
    except FileNotFoundError as error:
        raise OSError("there is no such file") from error
    except OutputError as error:
        raise OSError(str(error).removeprefix("out: ")) from error
    except OSError as error:
        raise OSError(error.strerror or str(error)) from error


def _bounded(content: bytes, most: int) -> bytes:
    if len(content) > most:
        raise OSError(f"it is larger than {most / 1e6:g} MB")
    return content
