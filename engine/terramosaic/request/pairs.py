"""Fields that are pairs of a name and what it has, as they are written on a command line and in a form."""

from __future__ import annotations

import re
from collections.abc import Mapping

from terramosaic.errors import printable

#: A comma between pairs of inputs and their catalogs: behind it stands an input's name, which begins with a capital.
#: Any other is of a path or a URL.
_BEFORE_AN_INPUT = re.compile(r",(?=\s*[A-Z][A-Za-z0-9]*\s*=)")


def pairs_in(text: str, example: str) -> dict[str, str]:
    """The pairs of ``LULC=112,NDVI=160``.

    Raises:
        ValueError: one is no pair, or a name comes twice.
    """
    return _pairs(text.split(","), example)


def catalogs_in(text: str, example: str) -> dict[str, str]:
    """The pairs of ``S1RTC=https://a.org/x,y/stac,DEM=earth-search``: a catalog may hold commas.

    Raises:
        ValueError: one is no pair, or a name comes twice.
    """
    return _pairs([piece.rstrip().rstrip(",") for piece in _BEFORE_AN_INPUT.split(text)], example)


def require_one_reading(catalogs: Mapping[str, str]) -> None:
    """Refuses catalogs that, written as pairs, would be read as others.

    Raises:
        ValueError: a path or a URL holds what reads as the next pair.
    """
    for name, catalog in catalogs.items():
        if found := _BEFORE_AN_INPUT.search(catalog):
            rest = printable(catalog[found.start() :], 60)
            raise ValueError(
                f"the catalog of {name} holds '{rest}', which reads as the next pair; give it another path, or "
                "write its comma as %2C where it is a URL"
            )


def _pairs(pieces: list[str], example: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in filter(None, (piece.strip() for piece in pieces)):
        name, equals, said = (part.strip() for part in pair.partition("="))
        if not equals:
            raise ValueError(f"'{printable(pair, 60)}' is no pair of a name and what it has; write {example}")
        if name in found:
            raise ValueError(f"{printable(name, 60)} is said twice; say it once")
        found[name] = said
    return found
