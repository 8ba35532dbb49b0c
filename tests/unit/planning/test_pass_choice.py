"""Which pass a window is cut from: by its place and the passes, not by the region."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from shapely.geometry import box

from terramosaic.catalog.backscatter import backscatter_from_item
from terramosaic.catalog.backscatter_passes import BackscatterPass
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.planning.pass_choice import WindowPasses

NOON = datetime(2023, 8, 15, 12, tzinfo=UTC)
AROUND = Rect(490_000, 50_000, 2_000, 2_000)
WINDOW = Rect(490_800, 50_800, 200, 200)


def over(rect: Rect, day: int, *, second: int = 0) -> BackscatterPass:
    """A pass of one slice whose footprint is drawn around some pixels."""
    footprint = as_geojson(lonlat_of(box(*rect.bounds), 32633))
    moment = f"2023-08-{day:02}T05:00:{second:02}Z"
    item: dict[str, Any] = {
        "type": "Feature", "id": f"S1A_{day}_{second}_rtc", "collection": "sentinel-1-rtc", "geometry": footprint,
        "properties": {"datetime": moment, "start_datetime": moment, "proj:epsg": 32633, "platform": "sentinel-1a"},
        "assets": {key: {"href": f"https://example.com/{key}.tif"} for key in ("vv", "vh")},
    }  # fmt: skip
    return BackscatterPass((backscatter_from_item(item),))


def ranked(*passes: BackscatterPass, paired: bool = False) -> list[int]:
    return [one.number for one in WindowPasses(passes, NOON, 32633, AROUND, paired=paired).of(WINDOW)]


def west_to(col: int) -> Rect:
    return Rect(490_000, 50_000, 2_000, col - 50_000)


def test_the_pass_that_covers_more_of_the_window_is_first_then_the_nearer() -> None:
    whole, near = over(AROUND, 1), over(west_to(50_920), 15)
    assert ranked(near, whole) == [1, 0]
    # Steps of 5 %: what lacks less is as good as whole.
    assert ranked(over(west_to(50_997), 15), whole) == [0, 1]
    assert ranked(over(AROUND, 13), whole, over(AROUND, 14)) == [2, 0, 1]


def test_imagery_may_reach_500_m_beyond_a_footprint_and_comes_last_there() -> None:
    """Providers simplify footprints: blocks count on that much, and so do windows."""
    near, far = over(west_to(50_770), 15), over(west_to(50_801), 1)
    assert ranked(near, far) == [1, 0]
    assert ranked(near) == [0]
    assert ranked(over(west_to(50_740), 15)) == []


def test_a_choice_hangs_on_what_lies_over_the_window_alone() -> None:
    """Slices that another region has found beside it change neither a pass's time nor its rank."""
    later, earlier = over(AROUND, 17), over(AROUND, 13)
    moment = earlier.start + timedelta(days=2, seconds=-20)  # nearer to the earlier one by 40 s
    elsewhere = over(Rect(490_000, 50_000, 500, 2_000), 17).scenes[0]
    start = later.start - timedelta(minutes=5)
    first = elsewhere.model_copy(update={"id": "first", "key": "first", "sensing_start": start})

    def best(*passes: BackscatterPass) -> datetime:
        found = WindowPasses(passes, moment, 32633, AROUND, paired=False).of(WINDOW)[0]
        return found.slices[0].sensing_start

    assert best(earlier, later) == earlier.start
    assert best(earlier, BackscatterPass((first, *later.scenes))) == earlier.start
    assert BackscatterPass((first, *later.scenes)).days_from(moment) < earlier.days_from(moment)


@pytest.mark.parametrize("rect", [AROUND, WINDOW, Rect(489_000, 49_000, 9_000, 9_000)])
def test_a_choice_does_not_hang_on_the_block(rect: Rect) -> None:
    passes = over(west_to(50_880), 15), over(AROUND, 2), over(west_to(50_780), 16)
    (first, second, third) = WindowPasses(passes, NOON, 32633, rect, paired=False).of(WINDOW)
    assert (first.number, second.number, third.number) == (1, 0, 2)
    assert second.coverage == pytest.approx(0.4, abs=0.001) and third.coverage == 0


def test_an_acquisition_is_paired_with_the_pass_that_covers_a_window_wholly() -> None:
    whole, near, far = over(AROUND, 14), over(west_to(50_920), 15), over(AROUND, 1)
    assert ranked(near, whole, far) == [1, 2, 0]
    assert ranked(near, whole, far, paired=True) == [1]
    assert ranked(near, over(west_to(50_860), 14), paired=True) == [0, 1]


def test_where_one_pass_is_the_best_for_all_windows_one_look_tells() -> None:
    def found(*passes: BackscatterPass) -> int | None:
        choice = WindowPasses(passes, NOON, 32633, AROUND, paired=True)
        one = choice.one_for_all(Rect(490_300, 50_300, 1_000, 1_000))
        return one and one.number

    assert found(over(AROUND, 1), over(AROUND, 14)) == 1
    assert found(over(AROUND, 14), over(west_to(50_900), 12)) == 0
    # The nearer one is the best for some of them.
    assert found(over(AROUND, 14), over(west_to(50_900), 15)) is None
    assert found(over(west_to(51_290), 14)) is None


def test_of_a_pass_the_slices_over_a_block_are_read_alone() -> None:
    """A country's pass has dozens, and each would be opened to see that it has nothing there."""
    here, far = (
        over(Rect(490_000, 50_000, 900, 900), 15),
        over(Rect(491_500, 50_000, 900, 900), 15, second=25),
    )
    choice = WindowPasses(
        [BackscatterPass((*here.scenes, *far.scenes)), over(west_to(50_700), 2)],
        NOON,
        32633,
        AROUND,
        paired=False,
    )
    assert choice.slices_under(Rect(490_500, 50_780, 200, 200)) == [here.scenes, ()]
    assert choice.slices_under(Rect(490_930, 50_100, 540, 500))[0] == (*here.scenes, *far.scenes)
