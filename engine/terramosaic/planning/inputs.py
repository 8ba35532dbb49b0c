"""Inputs that a run can read imagery for, and why there is none for others that models can take."""

from __future__ import annotations

from collections.abc import Collection

from terramosaic.bands import L2A, RGB
from terramosaic.errors import RequestError
from terramosaic.model.manifest import COORDINATES
from terramosaic.planning.optical import PRODUCTS, OpticalBands, is_of_sentinel_2
from terramosaic.request.request import RegionRequest

#: Inputs that blocks are read for.
READ = (*PRODUCTS, "S1RTC", "DEM")

#: Those whose acquisitions a run can be of.
LEADING = (*PRODUCTS, "S1RTC")

_WHY_NOT = {
    "S1GRD": "catalogs have it as amplitudes in radar geometry, neither calibrated nor on the ground",
    "NDVI": "it is what maps are made of, not what catalogs have",
    "LULC": "it is what maps are made of, not what catalogs have",
}


def require_read(inputs: Collection[str]) -> None:
    """Refuses inputs that no imagery is read for.

    Raises:
        RequestError: there are such; says why.
    """
    for name in inputs:
        if name not in (*READ, COORDINATES):
            why = _WHY_NOT.get(name, "this version does not find it in catalogs")
            raise RequestError(
                f"inputs: {name} cannot be read: {why}; take {', '.join((*READ, COORDINATES))}"
            )
    if set(LEADING).isdisjoint(inputs):
        raise RequestError(
            f"inputs: {' and '.join(inputs)} alone is of no day and no pass; name one of {', '.join(LEADING)}, too"
        )


def require_catalogs(request: RegionRequest) -> None:
    """Refuses catalogs that nothing would be looked for in.

    Raises:
        RequestError: one is of Sentinel-2, or of what no imagery is read for.
    """
    for name in request.catalogs:
        if name == L2A:
            raise RequestError("catalogs: where S2L2A is, catalog and collection say; leave it out here")
        if name == RGB:
            raise RequestError(
                "catalogs: S2RGB is made of S2L2A, which catalog and collection say; leave it out here"
            )
        if name not in READ:
            raise RequestError(f"catalogs: {name} is not read; take {', '.join(READ[1:])}")


def require_composite(request: RegionRequest) -> None:
    """Refuses a composite that what leads cannot have.

    Raises:
        RequestError: a median is asked for, of radar.
    """
    if is_led_by_radar(request) and request.composite == "median":
        raise RequestError(
            "composite: median is of Sentinel-2's clear observations; of Sentinel-1 alone take best, a pass a window"
        )


def require_clouds(request: RegionRequest, optical: OpticalBands | None) -> None:
    """Refuses to skip what lies under cloud where nothing tells what does.

    Args:
        request: what is asked for.
        optical: its bands of Sentinel-2, if that is an input.

    Raises:
        RequestError: it is asked for, of radar or of L1C alone.
    """
    if request.under_cloud == "skip" and not (optical and optical.tells_clouds):
        raise RequestError(
            f"under_cloud: skip needs the scene classification of S2L2A, and {', '.join(request.inputs)} has none; "
            "take generate"
        )


def is_led_by_radar(request: RegionRequest) -> bool:
    """Whether passes of Sentinel-1 are a run's acquisitions: where it is an input, and Sentinel-2 is none."""
    return not is_of_sentinel_2(request.inputs)
