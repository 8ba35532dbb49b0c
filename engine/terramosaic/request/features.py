"""Several regions in one request: the features of a GeoJSON file, each mapped into a folder of its own."""

from __future__ import annotations

import hashlib
import logging
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from terramosaic.errors import NoScenesError, NothingLeftError, RequestError, TerramosaicError
from terramosaic.request.files import read_region
from terramosaic.request.periods import periods_of
from terramosaic.request.region import GeoJsonFile
from terramosaic.request.request import RegionRequest, request_of

logger = logging.getLogger(__name__)

#: What is no failure of the other regions.
_NOTHING_TO_MAP = (NoScenesError, NothingLeftError)

#: Letters of a name in a path; file systems take 255 bytes.
_MOST_LETTERS = 100

#: What a feature may be called by where the request names no property.
_ID = "id"


def requests_of(request: RegionRequest) -> dict[str, RegionRequest]:
    """One request for each region and, of a series, for each period of each; by the names of these.

    A run that is by itself has no name.

    Raises:
        RequestError: the regions' file or the period is not usable; says how.
    """
    return {
        " ".join(filter(None, (region, period))): of_period
        for region, of_region in regions_of(request).items()
        for period, of_period in periods_of(of_region).items()
    }


def regions_of(request: RegionRequest) -> dict[str, RegionRequest]:
    """One request for each region, by the region's name.

    A file of several features is as many regions. Each has the name that one of its properties gives it, and its runs
    lie in a folder of that name. Features without a geometry are passed over, with a warning. Everything else is one
    region without a name, and its request as it is.

    Raises:
        RequestError: the file cannot be read, two features have one name, or one is no usable region; says which.
    """
    features = _features(request)
    if len(features) < 2:
        return {"": request}
    requests: dict[str, RegionRequest] = {}
    for number, feature in enumerate(features, 1):
        name = folder_name(_name_of(feature, request.region_name, number))
        if feature.get("geometry") is None:
            logger.warning("region %s has no geometry and is passed over", name)
            continue
        if name in requests:
            raise RequestError(
                f"region: two features are called {name!r}; name them apart by the property {request.region_name!r}"
            )
        fields = {key: getattr(request, key) for key in request.model_fields_set - {"region", "out"}}
        try:
            requests[name] = request_of(
                region={"geojson": feature}, out=f"{request.out.rstrip('/')}/{name}", **fields
            )
        except RequestError as error:
            raise RequestError(f"region {name}: {str(error).removeprefix('region: ')}") from None
    if not requests:
        raise RequestError(f"region: none of its {len(features)} features has a geometry")
    return requests


def raise_failures(
    failures: Mapping[str, TerramosaicError],
    regions: int,
    left_to_others: Sequence[str] = (),
    *,
    noun: str = "region",
) -> None:
    """Raises what some of so many regions, or periods, failed with; does nothing where none has.

    A region in which there is nothing to map is no failure of the others: it is told by a warning.

    Args:
        failures: errors by the regions' names.
        regions: how many there are.
        left_to_others: a line for each that another run works on.
        noun: what each of them is.

    Raises:
        TerramosaicError: of the kind of the first one, a line for each region.
    """
    empty = {name: error for name, error in failures.items() if isinstance(error, _NOTHING_TO_MAP)}
    if len(empty) < regions:
        failures = {name: error for name, error in failures.items() if name not in empty}
        for name, error in empty.items():
            logger.warning("%s %s: %s", noun, name, error)
    if not failures:
        return
    first = next(iter(failures.values()))
    if regions == 1:
        raise first
    lines = [f"{noun} {name}: {error}" for name, error in list(failures.items())[1:]]
    mapped = regions - len(failures) - len(empty.keys() - failures.keys()) - len(left_to_others)
    others = "; the others are mapped" if mapped > 0 else ""
    raise first.within(f"{noun} {next(iter(failures))}").among(
        f"failed, {len(failures)} of {regions} {noun}s{others}", [*lines, *left_to_others]
    )


def noun_of(request: RegionRequest) -> str:
    """What the runs of a request are told apart by."""
    return "region" if request.every == "none" else "period"


def folder_name(text: str) -> str:
    """A name as part of a path or a key: ASCII letters, digits and dashes, never empty."""
    letters = [letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter)]
    plain = re.sub(r"[^A-Za-z0-9]+", "-", "".join(letters)).strip("-") or "region"
    if len(plain) > _MOST_LETTERS or any(letter.isalpha() and not letter.isascii() for letter in letters):
        # Names in other scripts would all be the same without their letters.
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
        return f"{plain[:_MOST_LETTERS].rstrip('-')}-{digest[:6]}"
    return plain


def _features(request: RegionRequest) -> list[dict[str, Any]]:
    """The features of a file, each with the file's CRS; none where it is no FeatureCollection."""
    if not isinstance(request.region, GeoJsonFile):
        return []
    document = read_region(request.region.path)
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        return []
    features = document.get("features")
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        return []  # what is wrong is said where the region is read
    crs = {"crs": document["crs"]} if document.get("crs") is not None else {}
    return [crs | feature for feature in features]


def _name_of(feature: dict[str, Any], wanted: str, number: int) -> str:
    properties = feature.get("properties")
    named = properties.get(wanted) if isinstance(properties, dict) else None
    given = named if named is not None else feature.get(_ID)
    return str(given) if given is not None else f"region-{number}"
