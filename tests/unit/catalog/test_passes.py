"""Passes: tiles of one datatake are one, two flights over the same ground on one day are two."""

import itertools
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terramosaic.catalog.acquisitions import group_by_pass
from terramosaic.catalog.passes import Pass, labels_of, passes_of
from terramosaic.catalog.scene import scene_from_item
from tests.unit.catalog.test_acquisitions import scene


def ids(passes):
    return sorted(sorted(one.id for one in each) for each in passes)


def test_tiles_of_a_datatake_are_one_pass_though_each_tells_its_own_time():
    tiles = [scene(f"tile {minute}", minute=minute) for minute in (0, 4, 9, 17, 41)]
    assert ids(passes_of(tiles)) == [sorted(one.id for one in tiles)]


@pytest.mark.parametrize("orbits", [(79, 122), (None, None), (79, None)])
def test_two_flights_of_one_day_are_two(orbits):
    first = scene("first", relative_orbit=orbits[0], hour=9, minute=50)
    second = scene("second", relative_orbit=orbits[1], hour=11, minute=30)
    assert ids(passes_of([second, first])) == [["first"], ["second"]]


def test_two_satellites_some_minutes_apart_are_two():
    behind = scene("behind", platform="sentinel-2b", minute=8)
    assert ids(passes_of([scene("ahead"), behind])) == [["ahead"], ["behind"]]


def test_orbits_tell_where_the_clock_does_not():
    """A catalog that knows the day alone."""
    noon = [scene(f"{orbit}{tile}", relative_orbit=orbit) for orbit in (79, 122) for tile in "ab"]
    assert ids(passes_of(noon)) == [["122a", "122b"], ["79a", "79b"]]
    late = scene("late", relative_orbit=79, hour=23)
    assert ids(passes_of([noon[0], late])) == [["79a", "late"]]
    ten_days_on = scene("again", relative_orbit=79, day=25)
    assert ids(passes_of([noon[0], ten_days_on])) == [["79a"], ["again"]]


@pytest.mark.parametrize(
    ("platform", "orbit", "number"),
    [
        ("sentinel-2a", 79, 1079),
        ("sentinel-2b", 122, 2122),
        ("sentinel-2b", None, 2261),
        ("", None, 261),
        ("", 7, 7),
        ("sentinel-2", 7, 7),
    ],
)
def test_a_number_tells_passes_of_a_day_apart(platform, orbit, number):
    assert (
        Pass(date(2023, 8, 15), datetime(2023, 8, 15, 10, 10, tzinfo=UTC), platform, orbit).number == number
    )


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["sentinel-2a", "sentinel-2b"]),
            st.integers(0, 20),
            st.integers(0, 14),
            st.floats(0, 15),
            st.booleans(),
        ),
        max_size=30,
    ),
    st.randoms(use_true_random=False),
)
def test_whatever_is_told_scenes_are_grouped_as_they_were_flown(flown, random):
    """Orbits of 100.7 minutes, 143 until the ground track repeats; imaging takes a quarter of an hour of each."""
    scenes, truth = [], defaultdict(list)
    for number, (platform, day, orbit, minutes, tells) in enumerate(flown):
        revolution = day * 14 + orbit
        moment = datetime(2023, 8, 1, tzinfo=UTC) + timedelta(minutes=100.7 * revolution + minutes)
        fields = {"platform": platform, "relative_orbit": revolution % 143 + 1 if tells else None}
        scenes.append(scene(str(number), datetime=moment, sensing_start=moment, **fields))
        truth[platform, revolution].append(str(number))
    random.shuffle(scenes)
    found = passes_of(scenes)
    assert ids(found) == sorted(map(sorted, truth.values()))
    for one, other in itertools.combinations([Pass.of(each) for each in found], 2):
        assert not one.is_same(other)


def test_a_pass_is_the_same_when_other_scenes_of_it_are_known():
    early, late = (scene(minute=minute, relative_orbit=79) for minute in (0, 12))
    whole, part = Pass.of([early, late]), Pass.of([late])
    assert whole.is_same(part) and part.is_same(whole)
    assert not Pass.of([scene(relative_orbit=122)]).is_same(whole)
    # What earlier versions have mapped tells its day and moment alone.
    known = Pass(date(2023, 8, 15), datetime(2023, 8, 15, 10, tzinfo=UTC))
    assert known.is_same(whole)
    assert not known.is_same(Pass.of([scene(platform="sentinel-2b", hour=12)]))


def test_a_pass_is_called_by_its_day_where_that_will_do():
    passes = [
        Pass.of([scene(relative_orbit=79)]),
        Pass.of([scene(platform="sentinel-2b", minute=9)]),
        Pass.of([scene(day=17)]),
    ]
    assert labels_of(passes) == ["2023-08-15 sentinel-2a R079", "2023-08-15 sentinel-2b 10:09", "2023-08-17"]


@pytest.mark.parametrize(
    ("item_id", "properties", "orbit"),
    [
        ("a", {"sat:relative_orbit": 79}, 79),
        ("a", {"sat:relative_orbit": "079"}, 79),
        ("a", {"sat:relative_orbit": 79.0}, 79),
        ("a", {"sat:relative_orbit": None, "s2:product_uri": "{}.SAFE"}, 122),
        ("a", {"sentinel:product_id": "{}"}, 122),
        ("{}", {}, 122),
        ("a", {"sat:relative_orbit": 144}, None),
        ("a", {"sat:relative_orbit": [79]}, None),
        ("a", {}, None),
    ],
)
def test_the_relative_orbit_of_an_item(item_id, properties, orbit):
    name = "S2B_MSIL2A_20230820T100031_N0509_R122_T33TWL_20230820T143300"
    filled = {
        key: value.replace("{}", name) if isinstance(value, str) else value
        for key, value in properties.items()
    }
    item = {
        "id": item_id.replace("{}", name),
        "geometry": {"type": "Polygon", "coordinates": [[[14, 46], [15, 46], [15, 47], [14, 46]]]},
        "assets": {},
        "properties": {"datetime": "2023-08-20T10:00:31Z", "proj:epsg": 32633, **filled},
    }
    assert scene_from_item(item).relative_orbit == orbit


def test_acquisitions_come_in_order_of_time():
    late = scene("late", platform="sentinel-2a", hour=11)
    early = scene("early", platform="sentinel-2b", hour=9)
    assert [one.scenes[0].id for one in group_by_pass([late, early])] == ["early", "late"]
