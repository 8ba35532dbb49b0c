"""When and from where the made-up world is seen: two tiles, two overpasses, and what each product says of itself."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terramosaic.demo.sky import Weather

EPSG = 32632
#: The middle meridian of zone 32 in the Ligurian Sea, where there is no land: nobody takes the world for a real place.
#: The western edge of all real tiles whose second letter is N in this zone, and the top of our cut-out, both on the
#: 60 m pixels of the real tiles 32TMP and 32TNP.
SEAM_EASTING, TOP = 499_980, 4_850_040
#: Real neighbours share 9 780 m here: the western tile ends at easting 509 760.
OVERLAP = 978
NATURAL_SIZE = 1830


@dataclass(frozen=True)
class Tile:
    """One tile's cut-out: ``size`` x ``size`` pixels of 10 m whose left column is ``col`` in the world."""

    mgrs: str
    col: int
    size: int
    left: int
    """Easting of its western edge, metres."""

    @property
    def bounds(self) -> tuple[int, int, int, int]:
        """(left, bottom, right, top) in metres of EPSG:32632."""
        return self.left, TOP - 10 * self.size, self.left + 10 * self.size, TOP


def overlap_of(size: int) -> int:
    """Pixels that the two tiles share: as much as real ones do, less in smaller worlds; on the 60 m grid."""
    return OVERLAP if size >= NATURAL_SIZE else size * OVERLAP // NATURAL_SIZE // 6 * 6


def tiles(size: int) -> tuple[Tile, Tile]:
    """The western and the eastern tile."""
    west = size - overlap_of(size)
    return (
        Tile("32TMP", 0, size, SEAM_EASTING - 10 * west),
        Tile("32TNP", west, size, SEAM_EASTING),
    )


@dataclass(frozen=True)
class Overpass:
    """One overpass: orbit and product as a real one of that day would have them, and its weather.

    Attributes:
        platform: ``S2A`` or ``S2B``.
        sensed: start of the datatake, UTC; what item and product names carry.
        datastrip: start of the datastrip, UTC.
        generated: when the product was made, UTC.
        baseline: processing baseline; from 04.00 on pixels carry ``offset``.
        offset: what is added to every valid digital number, 0 or 1000.
        relative_orbit, absolute_orbit: numbers of the orbit.
        sun_zenith, sun_azimuth: means, degrees.
        weather: the sky.
        swath_edge: where the swath ends in the east, as parts of the world's width at its top and at its bottom.
    """

    platform: str
    sensed: dt.datetime
    datastrip: dt.datetime
    generated: dt.datetime
    baseline: str
    offset: int
    relative_orbit: int
    absolute_orbit: int
    sun_zenith: float
    sun_azimuth: float
    weather: Weather
    swath_edge: tuple[float, float] = (9.0, 9.0)


#: Same land, eight days apart. The first was made again with a collection-1 baseline, so it carries the +1000 although
#: it is the older one: the baseline decides, not the date.
OVERPASSES = (
    Overpass(
        platform="S2A",
        sensed=dt.datetime(2020, 4, 11, 10, 20, 31, 24000, dt.UTC),
        datastrip=dt.datetime(2020, 4, 11, 10, 26, 8, tzinfo=dt.UTC),
        generated=dt.datetime(2023, 6, 28, 8, 14, 50, tzinfo=dt.UTC),
        baseline="05.09",
        offset=1000,
        relative_orbit=65,
        absolute_orbit=25087,
        sun_zenith=37.6,
        sun_azimuth=155.9,
        weather=Weather("spring showers", 0.27, 0.04, 170, (0.35, 0.45, 1.1), 105, 47),
    ),
    Overpass(
        platform="S2B",
        sensed=dt.datetime(2020, 4, 19, 10, 36, 29, 24000, dt.UTC),
        datastrip=dt.datetime(2020, 4, 19, 10, 36, 34, tzinfo=dt.UTC),
        generated=dt.datetime(2020, 4, 19, 13, 45, 32, tzinfo=dt.UTC),
        baseline="02.14",
        offset=0,
        relative_orbit=108,
        absolute_orbit=16293,
        sun_zenith=34.1,
        sun_azimuth=159.1,
        weather=Weather("fair weather", 0.055, 0.012, 110, (0.75, 0.55, 0.6), 94, 36),
        swath_edge=(1.03, 0.88),
    ),
)


def item_id(overpass: Overpass, tile: Tile) -> str:
    """Planetary Computer's way to name a product's item, with a mark that this product does not exist."""
    return (
        f"DEMO_{overpass.platform}_MSIL2A_{overpass.sensed:%Y%m%dT%H%M%S}_R{overpass.relative_orbit:03}"
        f"_T{tile.mgrs}_{overpass.generated:%Y%m%dT%H%M%S}"
    )


def swath_end(overpass: Overpass, size: int) -> tuple[float, float]:
    """Eastings of the swath's eastern end at the world's top and bottom edge, metres."""
    west, east = tiles(size)
    width = east.bounds[2] - west.left
    return west.left + overpass.swath_edge[0] * width, west.left + overpass.swath_edge[1] * width


def inside_swath(overpass: Overpass, tile: Tile, gsd: int) -> NDArray[np.bool_]:
    """Which pixels of a tile's grid of ``gsd`` metres have their middle in the swath, (n, n)."""
    middles = (np.arange(tile.size * 10 // gsd) + 0.5) * gsd
    top, bottom = swath_end(overpass, tile.size)
    end = top + (bottom - top) * middles / (10 * tile.size)
    return (tile.left + middles)[None, :] < end[:, None]
