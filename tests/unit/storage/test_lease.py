"""Leases: one holder at a time, expiry by an injected clock, takeover, loss; on disk and in a store in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from contextlib import ExitStack

import pytest

from terramosaic.errors import LeaseHeldError, LeaseLostError, OutputError, StoreError
from terramosaic.storage.files import create_text, list_facts, read_text, write_text
from terramosaic.storage.lease import lease
from terramosaic.storage.location import location


@pytest.fixture(params=["disk", "memory"])
def folder(request, tmp_path):
    return str(tmp_path / "lock") if request.param == "disk" else f"memory://locks/{uuid.uuid4().hex}"


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def hold(folder, owner, clock):
    return lease(folder, owner=owner, ttl=120, clock=clock, renews=False)


def test_another_one_is_told_who_holds_it_since_when_and_until_when(folder, clock):
    with hold(folder, "run a1 of watch-region", clock), pytest.raises(LeaseHeldError) as refused:
        clock.now += 30
        with hold(folder, "b", clock):
            pass
    line = str(refused.value)
    assert "\n" not in line and refused.value.exit_code == 6
    assert f"is held by run a1 of watch-region (process {os.getpid()} on " in line
    assert "since 2027-01-15 08:00:00 UTC, until 2027-01-15 08:02:00 UTC" in line


def test_released_it_is_free_at_once_and_leaves_one_small_file(folder, clock):
    for owner in ("a", "b", "c"):
        with hold(folder, owner, clock) as held:
            held.renew()
            held.check()
    assert list(list_facts(location(folder))) == ["000009.json"]


def test_a_thread_that_was_late_renews_nothing_that_was_released(folder, clock):
    with hold(folder, "a", clock) as held:
        pass
    held.renew()
    assert json.loads(read_text(location(folder) / "000002.json"))["released"]
    assert list(list_facts(location(folder))) == ["000002.json"]


def test_released_also_when_the_work_fails(folder, clock):
    with pytest.raises(ZeroDivisionError), hold(folder, "a", clock):
        raise ZeroDivisionError
    with hold(folder, "b", clock):
        pass


def test_an_expired_lease_is_taken_over_and_its_holder_learns_it(folder, clock):
    with hold(folder, "slow", clock) as slow:
        clock.now += 119.9
        with pytest.raises(LeaseHeldError), hold(folder, "early", clock):
            pass
        clock.now += 0.1
        with hold(folder, "next", clock) as heir:
            for act in (slow.check, slow.renew):
                with pytest.raises(LeaseLostError, match="slow"):
                    act()
            assert slow.lost.is_set()
            slow.release()
            heir.renew()
            heir.check()


def test_a_holder_gives_up_before_others_may_take_over(folder, clock):
    with hold(folder, "a", clock) as held:
        clock.now += 99
        held.check()
        clock.now += 2
        with pytest.raises(LeaseLostError):
            held.check()
        with pytest.raises(LeaseHeldError), hold(folder, "b", clock):
            pass


def test_renewing_keeps_others_out_beyond_the_first_expiry(folder, clock):
    with hold(folder, "a", clock) as held:
        for _ in range(10):
            clock.now += 60
            held.renew()
            with pytest.raises(LeaseHeldError), hold(folder, "b", clock):
                pass
    assert held.note.since == 1_800_000_000 and held.note.expires == 1_800_000_600


def test_one_who_was_slow_to_create_a_number_that_was_removed_since_does_not_hold_it(
    folder, clock, monkeypatch
):
    """It saw 1 expired, and slept; meanwhile 2 was created, renewed as 3, and removed: its own 2 counts for nothing."""
    with hold(folder, "first", clock), ExitStack() as stack:
        clock.now += 200
        quick = []

        def create_late(place, text):
            if not quick:
                quick.append(None)
                quick[0] = stack.enter_context(hold(folder, "quick", clock))
                quick[0].renew()
                create_text(place, text)
                assert sorted(list_facts(location(folder))) == ["000002.json", "000003.json"]
                with pytest.raises(LeaseHeldError, match="quick"), hold(folder, "third", clock):
                    pass
            else:
                create_text(place, text)

        monkeypatch.setattr("terramosaic.storage.lease.create_text", create_late)
        with pytest.raises(LeaseHeldError, match="quick"), hold(folder, "late", clock):
            pass
        assert list(list_facts(location(folder))) == ["000003.json"]
        quick[0].renew()
        quick[0].check()


def test_an_answer_that_was_lost_on_its_way_is_no_refusal(folder, clock, monkeypatch):
    """The store made the note, the answer got lost, and the client asked again: it is there, and it is our own."""

    def create_twice(place, text):
        create_text(place, text)
        create_text(place, text)

    monkeypatch.setattr("terramosaic.storage.lease.create_text", create_twice)
    with hold(folder, "a", clock) as held:
        held.renew()
        held.check()


def test_a_place_that_does_not_answer_for_a_while_loses_no_lease(tmp_path, clock, monkeypatch):
    with lease(str(tmp_path), owner="a", ttl=120, clock=clock, renews=False) as held:
        with monkeypatch.context() as patch:
            patch.setattr(
                "terramosaic.storage.lease.create_text", lambda *_: _raise(StoreError("out: no answer"))
            )
            with pytest.raises(StoreError):
                held.renew()
        held.check()
        held.renew()
    assert not held.lost.is_set()


def _raise(error):
    raise error


def test_a_thread_renews_it_and_tries_again_after_a_failure(folder, monkeypatch):
    calls = []

    def fail_once(place, text):
        calls.append(place.name)
        if len(calls) == 2:
            raise StoreError("out: no answer")
        create_text(place, text)

    monkeypatch.setattr("terramosaic.storage.lease.create_text", fail_once)
    with lease(folder, owner="a", ttl=0.6) as held:
        time.sleep(1.2)
        held.check()
    assert len(calls) >= 4 and calls[1] == calls[2]


def test_many_threads_and_never_two_holders(folder):
    inside, most, turns, refused = [0], [0], [0], [0]
    counting = threading.Lock()

    def work(number):
        for _ in range(15):
            try:
                with lease(folder, owner=f"thread {number}", ttl=30):
                    with counting:
                        inside[0] += 1
                        turns[0] += 1
                        most[0] = max(most[0], inside[0])
                    time.sleep(0.001)
                    with counting:
                        inside[0] -= 1
            except LeaseHeldError:
                refused[0] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and turns[0] >= 1 and turns[0] + refused[0] == 16 * 15


def test_a_holder_that_was_killed_is_taken_over_at_once_on_its_own_machine_and_after_expiry_elsewhere(
    tmp_path,
):
    program = (
        "import sys, time; from terramosaic.storage.lease import lease\n"
        "with lease(sys.argv[1], owner='victim', ttl=300): print('held', flush=True); time.sleep(60)"
    )
    folder = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with (
            pytest.raises(LeaseHeldError, match=f"victim \\(process {process.pid} on"),
            lease(str(folder), owner="b"),
        ):
            pass
        process.kill()
    note = folder / "000001.json"
    elsewhere = json.loads(note.read_text()) | {"machine": "another"}
    mine = note.read_text()
    write_text(note, json.dumps(elsewhere))
    with pytest.raises(LeaseHeldError), lease(str(folder), owner="b"):
        pass
    write_text(note, mine)
    with lease(str(folder), owner="b") as held:
        assert json.loads(read_text(folder / "000002.json"))["owner"] == "b"
        held.check()


def test_a_place_that_cannot_be_used_says_so_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="could not be written") as refused,
        lease(str(tmp_path / "file" / "lock"), owner="a"),
    ):
        pass
    assert "\n" not in str(refused.value) and not isinstance(refused.value, LeaseHeldError)
