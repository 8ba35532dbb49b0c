"""Superseded products, passes and the ranking of acquisitions."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from shapely.geometry import box, mapping

from terramosaic.catalog.acquisitions import drop_superseded, group_by_pass, rank
from terramosaic.catalog.scene import Scene, scene_from_item


def scene(name="a", *, ground=(14, 46, 15, 47), day=15, hour=10, minute=0, cloud=0.0, **changes) -> Scene:
    """A scene by hand; ``ground`` is its footprint as west, south, east, north."""
    when = datetime(2023, 8, day, hour, minute, tzinfo=UTC)
    fields = {
        "id": name, "collection": "sentinel-2-l2a", "profile": "stac", "platform": "sentinel-2a",
        "datetime": when,
        "solar_day": (when + timedelta(hours=(ground[0] + ground[2]) / 30)).date(), "sensing_start": when,
        "mgrs_tile": "33TWL", "epsg": 32633, "processing_baseline": "05.09", "generation_time": when,
        "cloud_cover": cloud, "footprint": mapping(box(*ground)), "grid_bounds": None, "assets": {},
        "offset_rule": "", "item_assets": (),
    }  # fmt: skip
    return Scene(**(fields | changes))


def names(scenes):
    return [one.id for one in scenes]


def test_the_newest_baseline_then_the_newest_processing_stays():
    old = scene("old", processing_baseline="02.14", generation_time=datetime(2024, 1, 1, tzinfo=UTC))
    new = scene("new", processing_baseline="05.09")
    later = scene(
        "later", processing_baseline="05.09", generation_time=new.generation_time + timedelta(days=3)
    )
    unknown = scene("unknown", processing_baseline=None, generation_time=None)
    kept, dropped = drop_superseded([old, later, unknown, new])
    assert names(kept) == ["later"]
    assert [(one.id, reason) for one, reason in dropped] == [
        ("old", "superseded by later (processing baseline 05.09, not 02.14)"),
        ("unknown", "superseded by later (processing baseline 05.09, not unknown)"),
        ("new", "superseded by later (made 2023-08-18)"),
    ]
    assert drop_superseded(kept) == (kept, [])


def test_what_differs_in_platform_tile_or_datastrip_stays():
    first = scene("first")
    others = [
        scene("platform", platform="sentinel-2b"),
        scene("tile", mgrs_tile="33TWM"),
        scene("datastrip", sensing_start=first.sensing_start + timedelta(minutes=12)),
        scene("no tile", mgrs_tile=None),
        scene("no tile either", mgrs_tile=None),
        scene("no tile", mgrs_tile=None, ground=(15, 46, 16, 47)),
    ]
    assert drop_superseded([first, *others]) == ([first, *others], [])
    copies = [one.model_copy() for one in others]
    assert names(drop_superseded([first, *others, *copies])[0]) == names([first, *others])


def test_parts_that_a_tile_was_cut_into_are_no_copies_of_each_other():
    west, east = scene("west", ground=(14, 46, 14.5, 47)), scene("east", ground=(14.5, 46, 15, 47))
    whole = scene("whole", ground=(14, 46, 15, 47), processing_baseline="05.00")
    assert drop_superseded([east, west]) == ([east, west], [])
    assert names(drop_superseded([whole, east])[0]) == ["whole", "east"]  # half of it is nowhere else
    drawn_otherwise = scene("other", ground=(14.01, 46.02, 14.52, 47.01), processing_baseline="05.00")
    assert names(drop_superseded([drawn_otherwise, west, east])[0]) == ["west", "east"]


@pytest.fixture(scope="module")
def real_scenes(shared_data):
    items = json.loads((shared_data / "stac-items/planetary-computer_200_items.json").read_text())["features"]
    return [scene_from_item(item) for item in items]


def test_complementary_datastrips_of_a_real_datatake_stay(real_scenes):
    kept, dropped = drop_superseded(real_scenes)
    assert (len(kept), dropped) == (200, [])
    halves = [one for one in kept if one.mgrs_tile == "13TDE" and one.datetime.day == 20]
    assert {f"{one.sensing_start:%H%M%S}" for one in halves} == {"174100", "175258"}
    assert len({(one.platform, one.datetime, one.mgrs_tile) for one in real_scenes}) == 194


def test_real_items_reprocessed_and_repeated_are_dropped(real_scenes):
    again = [
        one.model_copy(update={"id": f"{one.id}_again", "processing_baseline": "05.12"})
        for one in real_scenes
    ]
    kept, dropped = drop_superseded([*real_scenes, *again])
    assert {one.id for one in kept} == {one.id for one in again}
    assert len(dropped) == 200


def test_real_items_group_by_pass(real_scenes):
    acquisitions = group_by_pass(real_scenes)
    assert [(one.of_pass.solar_day.day, len(one.scenes)) for one in acquisitions] == [
        (20, 31), (21, 22), (22, 17), (23, 29), (24, 2), (25, 30), (26, 22), (27, 17), (28, 30),
    ]  # fmt: skip


def test_the_ground_decides_the_order_within_an_acquisition():
    scenes = [
        scene("b", mgrs_tile="33TWM"),
        scene("d", mgrs_tile="33TWL", minute=2),
        scene("c", mgrs_tile="33TWL"),
        scene("a", mgrs_tile="33TWL"),
    ]
    for order in (scenes, scenes[::-1]):
        (acquisition,) = group_by_pass(order)
        assert names(acquisition.scenes) == ["a", "c", "d", "b"]


def test_a_pass_over_the_antimeridian_is_one_acquisition():
    west = scene("west", ground=(-180, 60, -178, 61), hour=22, minute=1, mgrs_tile="01VCG")
    east = scene("east", ground=(178, 60, 180, 61), hour=22, minute=0, mgrs_tile="60VXM")
    assert (west.solar_day, east.solar_day) == (date(2023, 8, 15), date(2023, 8, 16))
    (both,) = group_by_pass([east, west])
    assert (both.of_pass.solar_day, names(both.scenes)) == (date(2023, 8, 15), ["west", "east"])
    # The next orbit sees the eastern side only, and the other satellite comes five days later.
    next_orbit = scene("next", ground=(170, 60, 172, 61), hour=23, minute=41)
    other = scene("other", ground=(178, 60, 180, 61), day=20, hour=22, platform="sentinel-2b")
    days = group_by_pass([east, west, next_orbit, other])
    assert [(one.of_pass.solar_day.day, len(one.scenes)) for one in days] == [(15, 2), (16, 1), (21, 1)]


REGION = box(14, 46, 16, 47)


def ranked(*scenes):
    return rank(group_by_pass(scenes), REGION)


def test_coverage_and_cloud_are_measured_on_the_region():
    # One footprint over its western half, one over its eastern quarter and as much outside.
    west = scene("west", ground=(13, 45, 15, 48), cloud=10)
    east = scene("east", ground=(15.5, 45, 16.5, 48), cloud=40)
    (found,) = ranked(west, east)
    assert found.coverage == pytest.approx(0.75)
    assert found.cloud == pytest.approx((2 * 10 + 1 * 40) / 3)
    (full,) = ranked(scene("a", ground=(13, 45, 15.5, 48)), scene("b", ground=(15, 45, 17, 48)))
    assert full.coverage == 1


def test_ground_counts_not_degrees():
    tall = rank(group_by_pass([scene(ground=(14, 0, 15, 60))]), box(14, 0, 15, 80))
    assert tall[0].coverage == pytest.approx(0.8660254 / 0.9848078)


def test_the_last_bits_of_an_area_do_not_rank():
    """Under the same cloud everywhere the newer one is first, however the weighted mean of two parts is rounded."""
    whole, differences = scene("whole", ground=(14, 46, 16, 47), day=20, cloud=10.1), set()
    for middle in (14 + step / 16 for step in range(1, 32)):
        west = scene("west", ground=(14, 46, middle, 47), day=10, cloud=10.1)
        east = scene("east", ground=(middle, 46, 16, 47), day=10, cloud=10.1)
        first, second = ranked(west, east, whole)
        assert (first.of_pass.solar_day.day, second.of_pass.solar_day.day) == (20, 10)
        differences.add(first.cloud - second.cloud)
    assert max(differences) > 0


def test_rank_is_by_coverage_in_steps_then_cloud_then_date():
    half = scene("half", ground=(14, 46, 15, 47), day=10, cloud=0)
    sliver_less = scene("sliver less", ground=(14, 46, 15.98, 47), day=11, cloud=5)
    full = scene("full", ground=(14, 46, 16, 47), day=12, cloud=30)
    older = scene("older", ground=(14, 46, 16, 47), day=13, cloud=5)
    newer = scene("newer", ground=(14, 46, 16, 47), day=14, cloud=5)
    untold = scene("untold", ground=(14, 46, 16, 47), day=15, cloud=None)
    expected = ["newer", "older", "sliver less", "full", "untold", "half"]
    for order in (
        [half, sliver_less, full, older, newer, untold],
        [untold, newer, older, full, sliver_less, half],
    ):
        assert [one.scenes[0].id for one in ranked(*order)] == expected


def test_what_does_not_touch_the_region_is_left_out():
    beside = scene("beside", ground=(16, 46, 17, 47), day=12)  # shares an edge only
    assert ranked(beside, scene("far", ground=(50, 0, 51, 1))) == []
    assert [one.scenes[0].id for one in ranked(beside, scene("there", day=13))] == ["there"]


def test_coverage_over_the_antimeridian():
    region = box(179, 60, 180, 61).union(box(-180, 60, -179, 61))
    ring = [[179.5, 60], [-179, 60], [-179, 61], [179.5, 61], [179.5, 60]]
    crossing = {
        "id": "crossing",
        "assets": {},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"datetime": "2023-08-15T22:00:00Z", "proj:epsg": 32601},
    }
    (found,) = rank(group_by_pass([scene_from_item(crossing)]), region)
    assert found.coverage == pytest.approx(0.75)
