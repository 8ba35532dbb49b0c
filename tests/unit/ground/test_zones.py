"""Geometry at the antimeridian."""

from __future__ import annotations

import pytest
from shapely.geometry import box

from terramosaic.ground.zones import beside, in_one_piece

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
