"""Files over HTTP: whole, or a range of bytes, as readers of cloud-optimized GeoTIFFs ask for them."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from terramosaic.errors import OutputError
from terramosaic.storage import objects as store
from terramosaic.storage.files import FileFacts
from terramosaic.storage.location import Location, is_remote

#: Bytes that are read at once.
_CHUNK = 2**20

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

#: By the ends of names; what is not known here is not shown by browsers, but saved.
_TYPES = {
    ".tif": "image/tiff; application=geotiff; profile=cloud-optimized",
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".xml": "application/xml",
    ".vrt": "application/xml",
    ".qml": "application/xml",
    ".geojson": "application/geo+json",
    ".parquet": "application/vnd.apache.parquet",
}


def etag(*parts: object) -> str:
    """A tag of what has these parts; they are hashes, sizes and times."""
    return f'"{"-".join(str(part) for part in parts)}"'


def is_known(request: Request, tag: str) -> bool:
    """Whether who asks has it already."""
    given = request.headers.get("if-none-match", "")
    return given.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in given.split(",")]


def file_response(request: Request, place: Location, facts: FileFacts) -> Response:
    """A file, or the part of it that is asked for.

    Args:
        request: may ask for one range of bytes; of several, the whole file is given.
        place: the file.
        facts: what is known of it.

    Raises:
        OutputError: it cannot be read, or the store does not answer.
    """
    version = "".join(char for char in facts.version if char.isalnum() or char in "-_.")
    tag = etag(facts.size, version)
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "no-cache",
        "Content-Type": media_type(place.name),
    }
    if is_known(request, tag):
        return Response(status_code=304, headers=headers)
    start, stop, status = 0, facts.size, 200
    wanted = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if wanted and request.headers.get("if-range", tag) == tag and (wanted[1] or wanted[2]):
        start, stop = _span(wanted[1], wanted[2], facts.size)
        if start >= stop:
            return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{facts.size}"})
        status = 206
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{facts.size}"
    headers["Content-Length"] = str(stop - start)
    if request.method == "HEAD" or start == stop:
        return Response(status_code=status, headers=headers)
    return StreamingResponse(_content(place, start, stop), status_code=status, headers=headers)


def media_type(name: str) -> str:
    """The type that a file is served as, by its name."""
    suffix = f".{name.rpartition('.')[2].lower()}"
    return _TYPES.get(suffix) or (
        "text/plain; charset=utf-8"
        if (mimetypes.guess_type(name)[0] or "").startswith("text/plain")
        else "application/octet-stream"
    )


def _span(first: str, last: str, size: int) -> tuple[int, int]:
    """The first byte and the one behind the last, as a range says them: ``0-99``, ``100-`` or, of the end, ``-100``."""
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _content(place: Location, start: int, stop: int) -> Iterator[bytes]:
    if is_remote(place):
        for begin in range(start, stop, 8 * _CHUNK):
            yield store.read_range(place, begin, min(stop, begin + 8 * _CHUNK))
        return
    try:
        with place.open("rb") as file:
            file.seek(start)
            left = stop - start
            while left > 0 and (chunk := file.read(min(_CHUNK, left))):
                left -= len(chunk)
                yield chunk
    except OSError as error:
        raise OutputError(f"{place.name} cannot be read: {error.strerror or error}") from error
