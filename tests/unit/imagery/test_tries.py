"""One reading of a file has its tries, its pauses, and an end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from terramosaic.imagery import tries
from terramosaic.imagery.tries import Tries
from terramosaic.storage.gdal_names import time_limits
from terramosaic.storage.retries import ASSET


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    monkeypatch.setattr(tries, "time", clock := Clock())
    return clock


def failed(attempt: int) -> Any:
    outcome = SimpleNamespace(exception=lambda: OSError("busy"))
    return SimpleNamespace(attempt_number=attempt, outcome=outcome)


def test_the_last_try_is_the_last_of_its_kind(clock):
    made = Tries(lambda _: 3, lambda _: None)
    assert [made.stop(failed(number)) for number in (1, 2, 3)] == [False, False, True]


def test_nothing_is_tried_and_no_pause_goes_beyond_the_time(clock):
    made = Tries(lambda _: 99, lambda _: None)
    clock.now += ASSET.within - 3
    assert not made.stop(failed(1))
    assert all(made.wait(failed(number)) <= 2 for number in range(1, 9))
    clock.now += 2.5
    assert made.stop(failed(2)) and made.wait(failed(2)) == 0


def test_what_a_server_asks_for_is_waited_for_once_it_is_known_and_no_longer_than_there_is_time(clock):
    asked = iter([None, 20.0])
    made = Tries(lambda _: 99, lambda _: next(asked))
    assert not made.stop(failed(1)) and not made.stop(failed(2)) and made.wait(failed(1)) >= 20
    clock.now += ASSET.within - 15
    assert made.stop(failed(3)) and made.later == "; its server asks to come back in 20 s"


def test_limits_of_a_request_shrink_with_the_time():
    seconds = ("GDAL_HTTP_TIMEOUT", "GDAL_HTTP_CONNECTTIMEOUT", "GDAL_HTTP_LOW_SPEED_TIME")
    assert [float(time_limits(ASSET.within)[name]) for name in seconds] == [ASSET.within, 10, ASSET.silence]
    assert [float(time_limits(4)[name]) for name in seconds] == [4, 4, 4]
    assert [float(time_limits(-1)[name]) for name in seconds] == [1, 1, 1]
