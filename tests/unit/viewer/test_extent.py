"""Which tiles a mosaic touches: also over the antimeridian, and of mosaics that cross it."""

from __future__ import annotations

import math

import pytest

from terramosaic.ground.grid import Rect
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Zone
from terramosaic.viewer.layers import Extent
from terramosaic.viewer.tiles import degrees_of

NDVI = Layer("NDVI", "value", ("NDVI",), "int16", -32768, scale=0.0001)


def extent(epsg: int, easting: int, northing: int, side: int = 1000) -> Extent:
    """Of a square of so many pixels whose north-western corner lies there."""
    zone = Zone(
        epsg=epsg,
        row=(10_000_000 - northing) // 10,
        col=easting // 10,
        height=side,
        width=side,
        outline=None,
        blocks=(),
    )
    assert zone.rect == Rect(zone.row, zone.col, side, side)
    return Extent.of(NDVI, zone)


def test_a_mosaic_lies_where_its_corners_and_sides_are():
    found = extent(32633, 495_000, 5_000_000)
    assert found.west == pytest.approx(15 - 5000 / 78_700, abs=1e-3)
    assert found.east == pytest.approx(15 + 5000 / 78_700, abs=1e-3)
    assert found.touches(14.9, 45, 15, 46) and found.touches(15, 45.1, 15, 45.1)
    assert not found.touches(15.1, 45, 16, 46) and not found.touches(14, 45.2, 16, 46)


def test_a_mosaic_over_the_antimeridian_touches_both_sides():
    """Zone 60 ends at 180 degrees; a mosaic of it may reach beyond."""
    found = extent(32660, 825_000, 1_000_000, 2000)
    assert found.west < 180 < found.east
    assert found.touches(179.9, 8, 180, 9) and found.touches(-180, 8, -179.95, 9)
    assert not found.touches(-179.5, 8, -179, 9) and not found.touches(178, 8, 179.5, 9)


def test_tiles_lie_as_openstreetmap_has_them():
    assert degrees_of(0, 0, 0) == pytest.approx((-180, -85.051129, 180, 85.051129))
    west, south, east, north = degrees_of(12, 2151, 1493)
    x, y = (9.06 + 180) / 360 * 4096, (1 - math.asinh(math.tan(math.radians(43.72))) / math.pi) * 2048
    assert (int(x), int(y)) == (2151, 1493)
    assert west < 9.06 < east and south < 43.72 < north
