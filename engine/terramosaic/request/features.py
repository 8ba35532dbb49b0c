"""Several regions in one request: the features of a GeoJSON file, each mapped into a folder of its own."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from terramosaic.errors import RequestError, TerramosaicError
from terramosaic.request.area import read_geojson
from terramosaic.request.region import GeoJson, GeoJsonFile
from terramosaic.request.request import RegionRequest, request_of

#: What a feature may be called by where the request names no property.
_ID = "id"


def requests_of(request: RegionRequest) -> dict[str, RegionRequest]:
    """One request for each region, by the region's name.

    A FeatureCollection of several features is as many regions. Each has the name that one of its properties gives it,
    and its runs lie in a folder of that name. Everything else is one region without a name, and its request as it is.

    Raises:
        RequestError: the file cannot be read, two features have one name, or one is no usable region; says which.
    """
    features = _features(request)
    if len(features) < 2:
        return {"": request}
    requests: dict[str, RegionRequest] = {}
    for number, feature in enumerate(features, 1):
        name = folder_name(_name_of(feature, request.region_name, number))
        if name in requests:
            raise RequestError(
                f"region: two features are called {name!r}; name them apart by the property {request.region_name!r}"
            )
        fields = {key: getattr(request, key) for key in request.model_fields_set - {"region", "out"}}
        try:
            requests[name] = request_of(
                region=GeoJson(geojson=feature), out=f"{request.out.rstrip('/')}/{name}", **fields
            )
        except (RequestError, ValueError) as error:
            raise RequestError(f"region {name}: {_first_line(error)}") from None
    return requests


def raise_failures(
    failures: dict[str, TerramosaicError], regions: int, left_to_others: Sequence[str] = ()
) -> None:
    """Raises what some of so many regions failed with; does nothing where none has.

    Args:
        failures: errors by the regions' names.
        regions: how many there are.
        left_to_others: a line for each that another run works on.

    Raises:
        TerramosaicError: of the kind of the first one, a line for each region.
    """
    if not failures:
        return
    first = next(iter(failures.values()))
    if regions == 1:
        raise first
    lines = [f"region {name}: {error}" for name, error in list(failures.items())[1:]]
    others = "; the others are mapped" if len(failures) + len(left_to_others) < regions else ""
    raise first.within(f"region {next(iter(failures))}").among(
        f"failed, {len(failures)} of {regions} regions{others}", [*lines, *left_to_others]
    )


def folder_name(text: str) -> str:
    """A name as part of a path or a key: ASCII letters, digits and dashes, never empty."""
    letters = [letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)]
    plain = re.sub(r"[^A-Za-z0-9]+", "-", "".join(letters)).strip("-") or "region"
    if any(letter.isalpha() and not letter.isascii() for letter in letters):
        # Names in other scripts would all be the same without their letters.
        return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"
    return plain


def _features(request: RegionRequest) -> list[dict[str, Any]]:
    if not isinstance(request.region, GeoJsonFile):
        return []
    document = read_geojson(request.region.path)
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        return []
    features = document.get("features")
    return (
        [feature for feature in features if isinstance(feature, dict)] if isinstance(features, list) else []
    )


def _name_of(feature: dict[str, Any], wanted: str, number: int) -> str:
    named = (feature.get("properties") or {}).get(wanted)
    given = named if named is not None else feature.get(_ID)
    return str(given) if given is not None else f"region-{number}"


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].removeprefix("region: ")
