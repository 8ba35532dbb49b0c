"""Seeded schedules of faults: a few of those that ``python -m tests.faults.schedules`` runs by the hundred."""

from __future__ import annotations

from collections import Counter

import pytest

pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
pytest.importorskip("obstore", reason="obstore is not installed")

from terramosaic import map_region
from terramosaic.storage.location import location
from tests.faults.schedule import STORE_FAULTS, Schedule
from tests.faults.schedules import Range, Result, shooting_range, table

#: In a store: two at once, killed, and answers that come twice, late or not; on a disk: an outage, and a kill.
SAMPLE = (8, 12)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Range:
    with shooting_range(tmp_path_factory.mktemp("schedules")) as opened:
        yield opened


def test_a_number_draws_the_same_schedule_for_ever():
    assert [Schedule.of(number) for number in range(50)] == [Schedule.of(number) for number in range(50)]
    assert Schedule.of(11).kinds == ["store: failed after all", "store: lost", "worker killed at a file"]
    kinds = Counter(kind for number in range(200) for kind in Schedule.of(number).kinds)
    assert {f"store: {how}" for how in STORE_FAULTS} <= kinds.keys()
    assert len(kinds) == 19 and min(kinds.values()) > 2, kinds


@pytest.mark.slow
@pytest.mark.parametrize("number", SAMPLE)
def test_a_map_comes_out_as_if_nothing_had_happened(place, number):
    result = place.run(Schedule.of(number))
    assert not result.wrong and result.verified == 6 and not result.redone, result


@pytest.mark.slow
def test_the_judge_sees_what_is_wrong(place, tmp_path):
    result, schedule = Result(0, []), Schedule.of(0)
    made = map_region(place.request(schedule.variant, str(tmp_path)))
    place.judge(schedule, location(str(tmp_path)), result)
    assert not result.wrong and result.verified == 6
    path = made.mosaics["LULC"]
    content = bytearray(path.read_bytes())
    # The last tile of the full resolution is written last.
    content[-40] ^= 255
    path.write_bytes(content)
    place.judge(schedule, location(str(tmp_path)), result)
    assert len(result.wrong) == 2 and "LULC.tif: its hash" in result.wrong[0], result.wrong
    assert "LULC has other bytes" in result.wrong[1] and result.differing == 200 * 230
    assert "| all | 1 |" in table([vars(result) | {"kinds": ["a"], "ends": [["done"]]}])
