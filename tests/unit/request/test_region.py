"""Regions and UTM zones: splits, exceptions, the antimeridian, tiles."""

import pytest
import shapely
from pyproj import Transformer

from terramosaic.ground.grid import Rect, rect_from_bounds
from terramosaic.ground.zones import zone_areas
from terramosaic.request.area import area_from_box, area_from_geojson, area_from_tile


def zones(area):
    return [zone.epsg for zone in zone_areas(area)]


def test_box_in_one_zone_fills_its_rectangle():
    (zone,) = zone_areas(area_from_box(13.4, 45.5, 13.9, 45.9))
    assert zone.epsg == 32633
    assert zone.outline is None


def test_box_over_two_zones_is_split_on_the_boundary():
    west, east = zone_areas(area_from_box(11.9, 45, 12.1, 45.1))
    assert (west.epsg, east.epsg) == (32632, 32633)
    for zone, limit in ((west, 12.0), (east, 12.0)):
        to_lonlat = Transformer.from_crs(zone.epsg, 4326, always_xy=True)
        x, _ = to_lonlat.transform(*shapely.get_coordinates(zone.outline).T)
        reach = x.max() if zone is west else x.min()
        assert reach == pytest.approx(limit, abs=1e-9)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((4, 60, 5, 61), [32632]),  # Norway: zone 32 reaches west to 3°E
        ((2, 60, 5, 61), [32631, 32632]),
        ((10, 78, 20, 79), [32633]),  # Svalbard: 33 is 12 degrees wide and there is no 32
        ((33, -0.1, 33.2, 0.1), [32636, 32736]),  # over the equator
        ((179.9, 65, -179.9, 65.1), [32601, 32660]),  # over the antimeridian, the short way
        ((6, 45, 12, 45.1), [32632]),  # touching its neighbours in a line is not lying in them
    ],
)
def test_zones(box, expected):
    assert zones(area_from_box(*box)) == expected


def test_antimeridian_box_has_two_parts_and_the_right_area():
    across = area_from_box(179.9, 10, -179.9, 10.2)
    beside = area_from_box(10.0, 10, 10.2, 10.2)
    assert len(across.parts) == 2
    assert across.square_kilometres == pytest.approx(beside.square_kilometres, rel=1e-5)


@pytest.mark.parametrize(
    ("tile", "epsg", "left", "top"),
    [
        ("33TWL", 32633, 499980, 5100000),  # corners of real items
        ("29RKH", 32629, 199980, 2800020),
        ("T32TQM", 32632, 699960, 5100000 - 400000 + 40),
        ("60CWE", 32760, 499980, 2000020),
    ],
)
def test_tile_corner_is_that_of_the_product(tile, epsg, left, top):
    found_epsg, rect = area_from_tile(tile).tile
    assert found_epsg == epsg
    assert (rect.bounds[0], rect.bounds[3]) == (left, top)
    assert rect.shape == (10980, 10980)


def test_tile_over_the_antimeridian_is_split_not_stretched():
    area = area_from_tile("60CWE")
    assert area.square_kilometres == pytest.approx(109.8**2, rel=0.01)
    assert all(part.bounds[2] - part.bounds[0] < 5 for part in area.parts)


def test_tile_is_mapped_in_its_own_zone_only():
    (zone,) = zone_areas(area_from_tile("32TQM"))
    assert zone.epsg == 32632


@pytest.mark.parametrize("tile", ["33IWL", "61TWL", "33TZZ", "33TAA", "32XMG", "33T"])
def test_tiles_that_do_not_exist(tile):
    with pytest.raises(ValueError, match="MGRS tile"):
        area_from_tile(tile)


def test_polygon_wider_than_half_the_world_is_refused_with_the_cure():
    ring = [[-179, 10], [179, 10], [179, 11], [-179, 11], [-179, 10]]
    with pytest.raises(ValueError, match="split it at the antimeridian"):
        area_from_geojson({"type": "Polygon", "coordinates": [ring]})


def test_rect_covers_touched_pixels_but_not_dust():
    # Row 500000 has northing 5 000 000 at its top edge.
    assert rect_from_bounds((500000, 4999980, 500020, 5000000)) == Rect(500000, 50000, 2, 2)
    assert rect_from_bounds((500000 - 1e-5, 4999980, 500020 + 1e-5, 5000000)) == Rect(500000, 50000, 2, 2)
    assert rect_from_bounds((499999, 4999979, 500020, 5000001)) == Rect(499999, 49999, 4, 3)


def test_rect_arithmetic():
    a, b = Rect(0, 0, 10, 20), Rect(5, 15, 10, 20)
    assert a.intersection(b) == Rect(5, 15, 5, 5)
    assert a.union(b) == Rect(0, 0, 15, 35)
    assert a.intersection(Rect(100, 100, 5, 5)).is_empty
    assert b.slices(Rect(4, 10, 20, 40)) == (slice(1, 11), slice(5, 25))
    assert Rect(-5, 7, 10, 1).snap(8) == Rect(-8, 0, 16, 8)
    assert rect_from_bounds(b.bounds) == b
