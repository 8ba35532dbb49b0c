"""Regions that come in another coordinate reference system than degrees of WGS 84: what names it, and the way back."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import shapely
from pyproj import CRS, Transformer
from pyproj.exceptions import ProjError
from shapely.geometry.base import BaseGeometry

from terramosaic.errors import one_line, printable

_DEGREES = CRS.from_epsg(4326)

#: Longest straight piece, in metres, of an outline that is reprojected, as for that of a tile.
_DENSIFY_METRES = 5_000.0

#: Metres of outline beyond which coordinates are no place on earth; a country's coast has some 100 000 km.
_LONGEST_METRES = 5e9


def crs_name(member: Any) -> str | None:
    """What GeoJSON's ``crs`` member names, which GDAL still writes, in words that PROJ knows; None where it is null.

    Raises:
        ValueError: it names none.
    """
    match member:
        case None:
            return None
        case str(name) | {"type": "name", "properties": {"name": str(name)}}:
            return name
        case {"type": "EPSG", "properties": {"code": int(code) | str(code)}}:
            return f"EPSG:{code}"
    raise ValueError(
        f"crs {printable(member, 60)} is no name such as EPSG:32633; transform the region to EPSG:4326"
    )


def in_degrees(geometry: BaseGeometry, crs: str | None) -> BaseGeometry:
    """A geometry in lon/lat of WGS 84.

    Args:
        geometry: east before north, whatever the order of the CRS's axes, as in GeoJSON.
        crs: its CRS by authority and code, as a URN, WKT or PROJJSON; None for lon/lat.

    Raises:
        ValueError: there is no such CRS, no known way from it to WGS 84, or the coordinates do not lie in it.
    """
    if crs is None:
        return geometry
    way = _way_from(crs)
    if way is None:
        return geometry
    transformer, longest_piece = way
    if longest_piece:
        if not geometry.length <= _LONGEST_METRES / _DENSIFY_METRES * longest_piece:
            raise ValueError(f"coordinates do not lie in crs {_short(crs)}")
        geometry = shapely.segmentize(geometry, longest_piece)
    moved = shapely.transform(geometry, lambda xy: np.column_stack(transformer.transform(xy[:, 0], xy[:, 1])))
    if not np.isfinite(shapely.get_coordinates(moved)).all():
        raise ValueError(f"coordinates do not lie in crs {_short(crs)}")
    return moved


@lru_cache(maxsize=32)
def _way_from(name: str) -> tuple[Transformer, float] | None:
    """The transformation, and the longest piece of an outline in the CRS's units, or 0; None where nothing moves."""
    try:
        if "+" in name.partition("[")[0]:  # PROJ's own strings name files of this machine
            raise ValueError("a code such as EPSG:32633 is wanted")
        crs = CRS.from_user_input(name)
        if crs.equals(_DEGREES, ignore_axis_order=True):
            return None
        if not (crs.is_projected or crs.is_geographic):
            raise ValueError("it is neither geographic nor projected")
        # A "ballpark" transformation is one that takes two datums for the same: hundreds of metres.
        transformer = Transformer.from_crs(crs, _DEGREES, always_xy=True, allow_ballpark=False)
    except (ProjError, ValueError) as error:
        raise ValueError(
            f"crs {_short(name)} cannot be transformed to EPSG:4326: {printable(one_line(error), 120)}"
        ) from error
    metres = crs.axis_info[0].unit_conversion_factor if crs.is_projected and crs.axis_info else 0.0
    return transformer, _DENSIFY_METRES / metres if metres else 0.0


def _short(name: str) -> str:
    return printable(name.replace("urn:ogc:def:crs:EPSG::", "EPSG:"), 60)
