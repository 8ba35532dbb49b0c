"""Intersections with what of an outline lies nearby are those with the whole of it, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
from shapely.geometry import MultiPolygon, Polygon, box

from terramosaic.ground.nearby import Nearby
from tests.support.country import country

_COUNTRY = country(40_000, vertices=3000)


def _places(count: int) -> list[Polygon]:
    """Slanted quadrilaterals of all sizes over the country and around it, some of them across its whole width."""
    rng = np.random.RandomState(0)
    west, south, east, north = _COUNTRY.bounds
    found = []
    for _ in range(count):
        middle = rng.uniform([west - 0.5, south - 0.5], [east + 0.5, north + 0.5])
        half = rng.uniform(0.02, 2.0, 2)
        corners = np.array([[-1, -1], [1, -0.8], [0.9, 1], [-0.8, 0.9]]) * half
        found.append(Polygon(middle + corners))
    return found


def test_what_is_shared_with_it_is_the_same_to_the_last_bit():
    nearby, parts, reduced = Nearby(_COUNTRY), 0, 0
    for place in _places(300):
        around = nearby.around(place)
        found, wanted = place.intersection(around), place.intersection(_COUNTRY)
        assert found.wkb == wanted.wkb
        parts += 0 < wanted.area < place.area
        reduced += shapely.get_num_coordinates(around) < 0.5 * shapely.get_num_coordinates(_COUNTRY)
    assert parts > 100 and reduced > 100


@pytest.mark.parametrize(
    ("place", "wanted"),
    [
        (box(3.2, 3.2, 3.3, 3.3), 0.0),  # in the hole
        (box(5.2, 5.2, 5.3, 5.3), 0.01),  # far from any vertex
        (box(20.2, 5.2, 20.3, 5.3), 0.01),  # in the other polygon
        (box(12.2, 5.2, 12.3, 5.3), 0.0),  # between them
        (box(40, 5, 41, 6), 0.0),
    ],
)
def test_a_place_without_a_vertex_nearby_lies_inside_or_outside_as_it_did(place, wanted):
    hole = [(3, 3), (3, 4), (4, 4), (4, 3)]
    outline = MultiPolygon([Polygon([(0, 0), (10, 0), (10, 10), (0, 10)], [hole]), box(18, 0, 28, 10)])
    assert place.intersection(Nearby(outline).around(place)).area == pytest.approx(wanted)
