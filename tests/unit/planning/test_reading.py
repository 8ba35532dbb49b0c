"""What a run is expected to read: whole strips for scattered clouds, whole tiles of files, what scenes really cover."""

from __future__ import annotations

from pathlib import Path

import pytest
from shapely.geometry import box, mapping

from terramosaic.planning.plan import Plan
from tests.unit.planning.test_identity import BOX, item, planned

WEST, SOUTH, EAST, NORTH = BOX


def read(made: Plan) -> float:
    return made.figures.read_gigabytes


def fetched(made: Plan) -> float:
    quote = made.figures.quote
    assert quote is not None
    return quote.network_gigabytes


def two(cloud: float, *, ground: tuple[float, float, float, float] | None = None) -> list[dict]:
    """A scene of so much cloud, all over or over a part, and one that ranks after it."""
    first, second = item("first", 15, cloud=cloud), item("second", 20, cloud=39.0)
    return [first if ground is None else {**first, "geometry": mapping(box(*ground))}, second]


def test_few_clouds_make_most_of_the_next_acquisition_be_read(tmp_path: Path) -> None:
    alone = planned(tmp_path, items=two(5.0), composite="single")
    clear, some, many, all_ = (
        planned(tmp_path, items=two(cloud), **fields)
        for cloud, fields in ((0.0, {}), (5.0, {}), (30.0, {}), (5.0, {"composite": "median"}))
    )
    assert 1 < read(clear) / read(alone) < 1.4
    assert 1.5 < read(some) / read(alone) < read(many) / read(alone) < 1.9
    assert read(all_) == pytest.approx(2 * read(alone))
    # A tile is fetched for one pixel of it.
    assert 1.8 < fetched(some) / fetched(alone) < 2


def test_scenes_are_read_as_far_as_they_reach(tmp_path: Path) -> None:
    left = (WEST - 0.5, SOUTH - 0.5, (WEST + EAST) / 2, NORTH + 0.5)
    whole, half = (
        planned(tmp_path, items=two(5.0, ground=ground)[:1], composite="single") for ground in (None, left)
    )
    assert read(half) == pytest.approx(read(whole) / 2, rel=0.1)
    # Where the first one ends the next is read, whatever clouds there are.
    assert read(planned(tmp_path, items=two(0.0, ground=left))) > 1.3 * read(whole)


def test_small_regions_are_fetched_in_tiles(tmp_path: Path) -> None:
    small, large = (WEST, SOUTH, WEST + 0.02, SOUTH + 0.015), (WEST, SOUTH, WEST + 0.9, SOUTH + 0.6)
    few, many = (planned(tmp_path, region, two(5.0)[:1]) for region in (small, large))
    assert fetched(few) > 5 * read(few)
    assert read(many) < 1.5 * fetched(many) < 3 * read(many)


def test_tiles_that_overlap_are_both_looked_into(tmp_path: Path) -> None:
    items = [item("one", 15, cloud=10.0), item("other", 15, cloud=10.0, tile="33TVL")]
    alone, both = (planned(tmp_path, items=each) for each in (items[:1], items))
    assert both.figures.acquisitions == 1
    assert 1.5 * read(alone) < read(both) < 2 * read(alone)
