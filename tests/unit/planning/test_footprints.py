"""Footprints in a zone's metres: many scenes have the same one, and each of them is found."""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from shapely.affinity import translate
from shapely.geometry import Polygon, box
from shapely.geometry.base import BaseGeometry

from terramosaic.ground.grid import rect_from_bounds
from terramosaic.ground.zones import utm_of
from terramosaic.planning.footprints import Footprints

_EPSG = 32633
_WEST, _EAST = box(14.0, 46.0, 14.6, 46.5), Polygon([(14.4, 46.0), (15.0, 46.1), (14.9, 46.5), (14.5, 46.5)])


@dataclass(frozen=True)
class Drawn:
    geometry: BaseGeometry


def footprints(*shapes: BaseGeometry) -> Footprints[Drawn]:
    return Footprints(
        [Drawn(shape) for shape in shapes],
        _EPSG,
        rect_from_bounds(utm_of(box(14, 46, 15, 46.5), _EPSG).bounds),
    )


def place(west: float, south: float) -> BaseGeometry:
    left, bottom, *_ = utm_of(shapely.Point(west, south), _EPSG).bounds
    return box(left, bottom, left + 2000, bottom + 2000)


def test_scenes_with_the_same_footprint_are_all_found_in_their_order():
    # Equal, but not the same object, as items tell them.
    found = footprints(_WEST, _EAST, box(*_WEST.bounds), box(30, 0, 31, 1), _EAST, _WEST)
    assert len(found.scenes) == 5  # one lies elsewhere
    assert found.reaching(place(14.1, 46.2)) == [0, 2, 4]
    assert found.reaching(place(14.8, 46.3)) == [1, 3]
    assert found.reaching(place(14.5, 46.2)) == [0, 1, 2, 3, 4]
    assert found.drawn([2]) == found.drawn([0]) != found.drawn([1])


def test_a_place_beside_a_footprint_is_reached_within_its_slack():
    found, far = footprints(_WEST), place(13.9, 46.2)
    to_it = far.distance(*found.drawn([0]))
    for away, is_reached in ((450, True), (550, False)):
        beside = translate(far, to_it - away)
        assert found.reach(beside) is is_reached
        assert found.reaching(beside) == [0] * is_reached


def test_shares_of_a_place_are_those_of_all_footprints_together():
    found = footprints(_WEST, _EAST, _WEST)
    edge = place(14.59, 46.2)  # half of it beyond the western one, under the eastern one
    assert 0.1 < found.share_under([0], edge) < 0.9
    assert found.share_under([0, 2], edge) == found.share_under([0], edge)
    assert found.share_under([0, 1], edge) == 1
    assert found.share_under([0], place(14.1, 46.2)) == 1
    assert found.share_under([0], place(14.8, 46.3)) == 0


def test_the_ground_is_the_union_of_what_is_drawn():
    found = footprints(_WEST, _EAST, _WEST)
    together = shapely.union_all(found.drawn(range(3)))
    assert found.ground.symmetric_difference(together).area < 1e-6 * together.area
