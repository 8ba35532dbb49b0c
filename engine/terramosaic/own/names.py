"""Which band and which day names tell: of files, and of a file's own bands."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from terramosaic.bands import ESA_BAND, of_esa

#: A band by ESA's name between marks; behind it, in ESA's files, the size of its pixels.
_BAND = re.compile(rf"(?:^|(?<=[_\-. ]))({ESA_BAND})(?:[_\-.]([126]0)m)?(?=[_\-. ]|$)", re.IGNORECASE)
_DAY = re.compile(
    r"(?<!\d)((?:19|20)\d\d)[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])"
    r"(?:[T_ -]?([01]\d|2[0-3]):?([0-5]\d):?([0-5]\d)?)?(?!\d)"
)


def band_in(stem: str) -> tuple[str, str, int] | None:
    """The band in a file's name, the name without it, and the metres of its pixels (0 where it does not say).

    The last one counts: ``T33TWL_20230815_B02_10m`` is band B02 of ``T33TWL_20230815``.
    """
    found = None
    for found in _BAND.finditer(stem):  # noqa: B007
        pass
    if found is None:
        return None
    rest = f"{stem[: found.start()]} {stem[found.end() :]}".strip("_-. ")
    return of_esa(found[1]), re.sub(r"[_\-. ]*\s[_\-. ]*", "_", rest), int(found[2] or 0)


def day_in(name: str) -> datetime | None:
    """The first moment in a name, in UTC; noon where it tells a day alone, so that it is that day everywhere."""
    found = _DAY.search(name)
    if found is None:
        return None
    year, month, day = map(int, found.group(1, 2, 3))
    hour, minute, second = (int(part or 0) for part in found.group(4, 5, 6)) if found[4] else (12, 0, 0)
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
