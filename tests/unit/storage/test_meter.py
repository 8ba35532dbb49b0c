"""What a process takes is shared out among the work in it, and in sum nothing is lost or counted twice."""

from __future__ import annotations

import threading

import pytest

from terramosaic.storage.meter import METER, Meter, Taken


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_time_is_shared_by_those_that_run() -> None:
    clock = Clock()
    meter = Meter(clock)
    clock.now += 7  # nobody's
    with meter.piece() as first:
        clock.now += 4
        meter.read(10)
        with meter.piece() as second:
            clock.now += 2
            meter.read(6)
            assert second() == Taken(1, 3)
            assert first() == Taken(5, 13)
        clock.now += 1
        assert (first(), second()) == (Taken(6, 13), Taken(1, 3))
    clock.now += 9
    assert first() == Taken(6, 13)


def test_pieces_that_took_the_same_are_told_apart() -> None:
    clock = Clock()
    meter = Meter(clock)
    with meter.piece() as outer:
        with meter.piece() as inner:
            assert outer() == inner()
        clock.now += 3
        assert (outer(), inner()) == (Taken(3, 0), Taken())


def test_a_piece_that_fails_takes_no_more() -> None:
    clock = Clock()
    meter = Meter(clock)
    with pytest.raises(ValueError, match="broken"), meter.piece() as broken:
        clock.now += 1
        raise ValueError("broken")
    with meter.piece() as next_one:
        clock.now += 2
        assert (broken(), next_one()) == (Taken(1, 0), Taken(2, 0))


def test_threads_together_take_what_the_process_took() -> None:
    found: list[Taken] = []

    def work() -> None:
        with METER.piece() as so_far:
            METER.read(5)
            sum(range(300_000))
            found.append(so_far())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and all(each.processor_seconds >= 0 for each in found)
    assert (
        0 < sum(each.read_bytes for each in found) <= 20 and sum(each.processor_seconds for each in found) > 0
    )
