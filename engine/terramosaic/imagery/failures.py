"""What GDAL says when a file cannot be read, and what that means: it has texts, and numbers of its errors. Pure."""

from __future__ import annotations

import re
from typing import Final

from rasterio._err import CPLE_BaseError
from rasterio.errors import CRSError, RasterioError

from terramosaic.errors import one_line
from terramosaic.storage.retries import PASSING_STATUS

#: What reading a raster may fail with, and what a file. Of damaged headers rasterio lets errors of GDAL through as they
#: are.
RASTER_FAILURES: Final = (RasterioError, CPLE_BaseError, CRSError)
FAILURES: Final = (*RASTER_FAILURES, OSError)

_STATUS = re.compile(r"(?:HTTP response code:|the server answers) ([45]\d\d)")
_OF_A_BAND = re.compile(r".*, band \d+: (.*)")
_NO_SUCH_OBJECT, _NO_ACCESS = {12, 13}, {14, 15, 16}
_NO_RASTER = "not recognized as"

#: What no other try will mend.
_HOPELESS = (_NO_RASTER, "Could not resolve host", "certificate", "Access Key Id")

#: The status of a range that begins behind a file's end.
_BEYOND_ITS_END = 416


def status_of(error: BaseException) -> int:
    """The HTTP status that a failure tells, or 0."""
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0


def is_refusal(error: BaseException) -> bool:
    """Whether who asks may not read the file."""
    return status_of(error) in (401, 403) or _number(error) in _NO_ACCESS


def is_missing(error: BaseException) -> bool:
    """Whether there is no such file."""
    is_gone = status_of(error) in (404, 410) or _number(error) in _NO_SUCH_OBJECT
    return is_gone or "No such file" in str(error)


def is_no_raster(error: BaseException) -> bool:
    """Whether what is there is none of the formats that are read."""
    return _NO_RASTER in str(error)


def is_too_short(error: BaseException) -> bool:
    """Whether a server has less of a file than the file says of itself."""
    return status_of(error) == _BEYOND_ITS_END


def is_hopeless(error: BaseException) -> bool:
    """Whether no other try will mend it."""
    status = status_of(error)
    return (0 < status < 500 and status not in PASSING_STATUS) or any(
        mark in str(error) for mark in _HOPELESS
    )


def line_of(error: BaseException) -> str:
    """GDAL's line without the name that the file has there, which may hold a signature."""
    # Of what fails in the midst rasterio says no more than that there is a cause.
    if found := _OF_A_BAND.fullmatch(one_line(error.__cause__ or "")):
        return f"{found[1]}"
    return re.sub(r"'/vsi\w+/[^']*' ", "the file is ", one_line(error))


def _number(error: BaseException) -> int | None:
    return getattr(error.__cause__ or error.__context__, "errno", None)
