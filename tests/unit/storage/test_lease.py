"""Leases: one holder at a time, expiry by an injected clock, takeover, loss; on disks and in a store in memory."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import uuid
from contextlib import ExitStack

import pytest

from terramosaic.errors import LeaseHeldError, LeaseLostError, OutputError, StoreError
from terramosaic.storage.files import create_text, list_facts, read_text, write_text
from terramosaic.storage.lease import lease
from terramosaic.storage.lease_disk import DiskLock
from terramosaic.storage.lease_notes import this_machine
from terramosaic.storage.location import location
from tests.support.leases import lease_place, on_another_machine


@pytest.fixture(params=["disk", "disk without locks", "memory"])
def folder(request, tmp_path, monkeypatch):
    return lease_place(request.param, tmp_path, monkeypatch)


@pytest.fixture(params=["disk without locks", "memory"])
def unlocked(request, tmp_path, monkeypatch):
    """Where notes are all there is."""
    return lease_place(request.param, tmp_path, monkeypatch)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    return lease_place("disk", tmp_path, monkeypatch)


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


def notes_in(folder):
    return sorted(name for name in list_facts(location(folder)) if name != "lock")


def write_note(folder, number, **facts):
    """A note that is there already."""
    note = {
        "owner": "another", "host": "host", "machine": this_machine(), "pid": os.getpid(), "token": uuid.uuid4().hex,
        "since": 1_800_000_000.0, "expires": 1_800_000_120.0, "released": False,
    }  # fmt: skip
    write_text(location(folder) / f"{number:06d}.json", json.dumps(note | facts))


def test_another_one_is_told_who_holds_it_since_when_and_until_when(folder, clock):
    with hold(folder, "run a1 of watch-region", clock), pytest.raises(LeaseHeldError) as refused:
        clock.now += 30
        with hold(folder, "b", clock):
            pass
    line = str(refused.value)
    assert "\n" not in line and refused.value.exit_code == 6
    assert f"is held by run a1 of watch-region (process {os.getpid()} on " in line
    assert "since 2027-01-15 08:00:00 UTC, until 2027-01-15 08:02:00 UTC" in line


def test_released_it_is_free_at_once_and_leaves_one_small_note(folder, clock):
    for owner in ("a", "b", "c"):
        with hold(folder, owner, clock) as held:
            held.renew()
            held.check()
    assert notes_in(folder) == ["000009.json"]


def test_a_thread_that_was_late_renews_nothing_that_was_released(folder, clock):
    with hold(folder, "a", clock) as held:
        pass
    held.renew()
    with pytest.raises(LeaseLostError, match="was released"):
        held.check()
    assert json.loads(read_text(location(folder) / "000002.json"))["released"]
    assert notes_in(folder) == ["000002.json"]


def test_released_also_when_the_work_fails(folder, clock):
    with pytest.raises(ZeroDivisionError), hold(folder, "a", clock):
        raise ZeroDivisionError
    with hold(folder, "b", clock):
        pass


def test_by_its_note_alone_an_expired_lease_is_taken_over_and_its_holder_learns_it(unlocked, clock):
    with hold(unlocked, "slow", clock) as slow:
        clock.now += 119.9
        with pytest.raises(LeaseHeldError), hold(unlocked, "early", clock):
            pass
        clock.now += 0.1
        with hold(unlocked, "next", clock) as heir:
            for act in (slow.check, slow.renew):
                with pytest.raises(LeaseLostError, match="slow"):
                    act()
            assert slow.lost.is_set()
            slow.release()
            heir.renew()
            heir.check()


def test_by_its_note_alone_a_holder_gives_up_before_others_may_take_over(unlocked, clock):
    with hold(unlocked, "a", clock) as held:
        clock.now += 99
        held.check()
        clock.now += 2
        with pytest.raises(LeaseLostError):
            held.check()
        with pytest.raises(LeaseHeldError), hold(unlocked, "b", clock):
            pass


def test_renewing_keeps_others_out_beyond_the_first_expiry(folder, clock):
    with hold(folder, "a", clock) as held:
        for _ in range(10):
            clock.now += 60
            held.renew()
            with pytest.raises(LeaseHeldError), hold(folder, "b", clock):
                pass
    assert held.note.since == 1_800_000_000 and held.note.expires == 1_800_000_600


def test_with_the_lock_a_holder_that_slept_keeps_its_machine_out_and_goes_on(disk, clock):
    with hold(disk, "sleeper", clock) as held:
        clock.now += 1200
        with pytest.raises(LeaseHeldError, match="sleeper"), hold(disk, "b", clock):
            pass
        held.check()
        assert held.note.expires == clock.now + 120
        with on_another_machine(), pytest.raises(LeaseHeldError, match="sleeper"), hold(disk, "far", clock):
            pass


def test_with_the_lock_a_holder_that_slept_learns_that_another_machine_took_over(disk, clock):
    with hold(disk, "sleeper", clock) as held:
        clock.now += 121
        with on_another_machine(), hold(disk, "far", clock) as heir:
            for act in (held.check, held.renew, held.check):
                with pytest.raises(LeaseLostError, match="sleeper"):
                    act()
            assert held.lost.is_set()
            heir.check()


def test_the_living_note_of_another_machine_counts_though_the_lock_was_got(disk, clock):
    with on_another_machine(), hold(disk, "far", clock):
        pass
    write_note(disk, 3, owner="far", machine="another", kernel="another")
    with pytest.raises(LeaseHeldError, match="held by far"), hold(disk, "near", clock):
        pass
    clock.now += 120
    with hold(disk, "near", clock):
        pass


def test_a_check_reads_the_note(folder, clock):
    """As if the clock of whoever took it over went wrong."""
    with hold(folder, "a", clock) as held:
        write_note(folder, 2)
        with pytest.raises(LeaseLostError, match="taken over"):
            held.check()
        assert held.lost.is_set()


def test_a_holder_whose_folder_was_removed_learns_it(disk, clock):
    with hold(disk, "a", clock) as held:
        shutil.rmtree(disk)
        with pytest.raises(LeaseLostError), hold(disk, "b", clock):
            held.check()


def test_one_who_was_slow_to_create_a_number_that_was_removed_since_does_not_hold_it(
    unlocked, clock, monkeypatch
):
    """It saw 1 expired, and slept; meanwhile 2 was created, renewed as 3, and removed: its own 2 counts for nothing."""
    with hold(unlocked, "first", clock), ExitStack() as stack:
        clock.now += 200
        quick = []

        def create_late(place, text):
            if not quick:
                quick.append(None)
                quick[0] = stack.enter_context(hold(unlocked, "quick", clock))
                quick[0].renew()
                create_text(place, text)
                assert notes_in(unlocked) == ["000002.json", "000003.json"]
                with pytest.raises(LeaseHeldError, match="quick"), hold(unlocked, "third", clock):
                    pass
            else:
                create_text(place, text)

        monkeypatch.setattr("terramosaic.storage.lease_notes.create_text", create_late)
        with pytest.raises(LeaseHeldError, match="quick"), hold(unlocked, "late", clock):
            pass
        assert notes_in(unlocked) == ["000003.json"]
        quick[0].renew()
        quick[0].check()


def test_one_who_listed_while_notes_changed_does_not_hold_it(unlocked, clock, monkeypatch):
    """Twice its listing comes too early for the note that is created, and too late for the one that is removed."""
    with hold(unlocked, "holder", clock) as held:
        held.renew()
        seen = []

        def list_while_the_holder_renews(place):
            before = list_facts(place)
            if len(seen) < 2:
                with monkeypatch.context() as patch:
                    patch.setattr("terramosaic.storage.lease_notes.list_facts", list_facts)
                    seen.append(notes_in(place))
                    held.renew()
                # Of the notes that were removed meanwhile, it came to 1 in time.
                return {name: facts for name, facts in before.items() if name == "000001.json"}
            return before

        monkeypatch.setattr("terramosaic.storage.lease_notes.list_facts", list_while_the_holder_renews)
        with pytest.raises(LeaseHeldError, match="holder"), hold(unlocked, "late", clock):
            pass
        assert seen == [["000002.json"], ["000001.json", "000003.json"]]
        held.check()


def test_notes_are_removed_from_the_lowest_up_and_none_above_one_that_stays(folder, clock, monkeypatch):
    for number in (1, 2, 3):
        write_note(folder, number, released=True)
    asked = []

    def stay(place):
        asked.append(place.name)
        if place.name == "000002.json":
            raise StoreError("out: no answer")

    monkeypatch.setattr("terramosaic.storage.lease_notes.remove", stay)
    with hold(folder, "a", clock):
        assert asked == ["000001.json", "000002.json"]


def test_an_answer_that_was_lost_on_its_way_is_no_refusal(folder, clock, monkeypatch):
    """The store made the note, the answer got lost, and the client asked again: it is there, and it is our own."""

    def create_twice(place, text):
        create_text(place, text)
        create_text(place, text)

    monkeypatch.setattr("terramosaic.storage.lease_notes.create_text", create_twice)
    with hold(folder, "a", clock) as held:
        held.renew()
        held.check()


def test_a_note_whose_answer_never_came_is_found_by_the_next_try(folder, clock, monkeypatch):
    with hold(folder, "a", clock) as held:

        def create_unheard(place, text):
            create_text(place, text)
            raise StoreError("out: no answer")

        clock.now += 40
        with monkeypatch.context() as patch:
            patch.setattr("terramosaic.storage.lease_notes.create_text", create_unheard)
            with pytest.raises(StoreError):
                held.renew()
        clock.now += 10
        held.renew()
        held.check()
        assert held.note.expires == clock.now + 120
    assert notes_in(folder) == ["000004.json"] and held.note.released


def test_a_place_that_does_not_answer_for_a_while_loses_no_lease(folder, clock, monkeypatch):
    def no_answer(*_):
        raise StoreError("out: no answer")

    with hold(folder, "a", clock) as held:
        with monkeypatch.context() as patch:
            patch.setattr("terramosaic.storage.lease_notes.create_text", no_answer)
            with pytest.raises(StoreError):
                held.renew()
        held.check()
        held.renew()
    assert not held.lost.is_set()


def test_a_thread_renews_it_and_tries_again_after_a_failure(folder, clock, monkeypatch):
    names = []
    renewed = threading.Event()

    def fail_once(place, text):
        names.append(place.name)
        if len(names) == 2:
            raise StoreError("out: no answer")
        create_text(place, text)
        if len(names) == 4:
            renewed.set()

    monkeypatch.setattr("terramosaic.storage.lease_notes.create_text", fail_once)
    # The clock stands, so a slow machine loses nothing.
    with lease(folder, owner="a", ttl=0.1, clock=clock) as held:
        assert renewed.wait(60)
        held.check()
    assert names[:4] == ["000001.json", "000002.json", "000002.json", "000003.json"]


def test_with_the_lock_a_process_number_that_is_in_use_again_keeps_nobody_out(disk, clock):
    with hold(disk, "a", clock) as held:
        kernel = held.note.kernel
    write_note(disk, 3, kernel=kernel, pid=os.getpid())
    with hold(disk, "b", clock):
        pass


def test_notes_of_version_0_1_0_which_knew_no_lock_are_respected(disk, clock):
    write_note(disk, 41, owner="old")
    with pytest.raises(LeaseHeldError, match="held by old"), hold(disk, "new", clock):
        pass
    for over in ({"expires": clock.now}, {"released": True}, {"pid": 2**22 + 1}):
        write_note(disk, 50, owner="old", **over)
        with hold(disk, "new", clock):
            pass
        shutil.rmtree(disk)


def test_the_file_of_the_lock_stays(disk, clock):
    inodes = set()
    for owner in ("a", "b"):
        with hold(disk, owner, clock):
            pass
        inodes.add((location(disk) / "lock").stat().st_ino)
    assert len(inodes) == 1


def test_one_who_has_the_lock_and_has_left_no_note_yet_is_told_of_as_far_as_it_is_known(disk, clock):
    with hold(disk, "the last one", clock):
        pass
    lock = DiskLock(location(disk))
    assert lock.acquire()
    try:
        with pytest.raises(LeaseHeldError, match="has not said yet who it is") as refused:
            hold(disk, "b", clock).__enter__()
        assert "the last one" not in str(refused.value)
    finally:
        lock.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_that_knows_no_locks_is_told_once(tmp_path, clock, monkeypatch, caplog, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("terramosaic.storage.lease_disk._warned", set())
    for name in "abc":
        with hold(str(tmp_path / name), "a", clock) as held:
            assert not held.note.kernel
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"knows no locks ({os.strerror(number)})" in caplog.text


def test_a_place_that_cannot_be_used_says_so_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="could not be written") as refused,
        lease(str(tmp_path / "file" / "lock"), owner="a"),
    ):
        pass
    assert "\n" not in str(refused.value) and not isinstance(refused.value, LeaseHeldError)
