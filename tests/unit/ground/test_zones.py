"""Geometry at the antimeridian, and the area of what is drawn in any direction."""

from __future__ import annotations

import json

import pytest
from shapely.geometry import GeometryCollection, LineString, MultiPolygon, Point, Polygon, box, mapping
from shapely.geometry.polygon import orient

from terramosaic.ground.zones import Area, as_geojson, beside, in_one_piece

SPLIT = box(179.5, 60, 180, 61).union(box(-180, 60, -179.6, 61))


@pytest.mark.parametrize("meridian", [179.9, -179.9])
def test_what_was_split_at_the_antimeridian_is_in_one_piece(meridian):
    joined = beside(SPLIT, meridian)
    west, _, east, _ = joined.bounds
    assert joined.geom_type == "Polygon" and east - west == pytest.approx(0.9)
    assert west < meridian < east


@pytest.mark.parametrize("region", [SPLIT, box(13, 45, 14, 46)])
def test_a_meridian_in_a_region_has_all_of_it_beside_it(region):
    meridian, whole = in_one_piece(region)
    west, _, east, _ = whole.bounds
    assert west < meridian < east and whole.area == pytest.approx(region.area)


def test_the_area_of_a_region_is_the_same_whichever_way_its_rings_run():
    shells, hole = (box(13, 45, 13.1, 45.1), box(14, 45, 14.1, 45.1)), box(13.02, 45.02, 13.08, 45.08)
    one, lake = (Area(shape).square_kilometres for shape in (shells[0], hole))
    for first in (1, -1):
        for second in (1, -1):
            both = MultiPolygon([orient(shells[0], first), orient(shells[1], second)])
            assert Area(both).square_kilometres == pytest.approx(2 * one)
            ring = Polygon(orient(shells[0], first).exterior, [orient(hole, second).exterior])
            assert Area(ring).square_kilometres == pytest.approx(one - lake)
    touching = GeometryCollection([shells[0], LineString([(15, 45), (16, 45), (16, 46)])])
    assert Area(touching).square_kilometres == pytest.approx(one)


@pytest.mark.parametrize(
    "geometry",
    [
        box(0, 0, 1, 2),
        Polygon([(0, 0), (9, 0), (9, 9)], [[(1, 0.5), (2, 0.5), (2, 1)]]),
        MultiPolygon([box(0, 0, 1, 1), box(2, -0.0, 3, 1e-300)]),
        MultiPolygon([Polygon(), box(0, 0, 0.1, 1 / 3)]),
        Polygon([(0, 0, 1), (9, 0, 2), (9, 9, 3)]),
        Polygon(),
        MultiPolygon(),
        Point(1, 2),
    ],
)
def test_geojson_is_what_a_file_would_hold(geometry):
    assert repr(as_geojson(geometry)) == repr(json.loads(json.dumps(mapping(geometry))))
