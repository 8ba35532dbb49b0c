"""Leases: one holder at a time, expiry by the place's clock, takeover, loss; on disks and in a store in memory."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
import uuid

import pytest

from terramosaic.errors import ChangedError, LeaseHeldError, LeaseLostError, OutputError, StoreError
from terramosaic.storage.files import (
    list_facts,
    read_json,
    read_text,
    read_version,
    remove,
    write_text,
    write_text_if,
)
from terramosaic.storage.lease import lease
from terramosaic.storage.location import location
from terramosaic.storage.locks import KernelLock
from tests.support.leases import age, lease_place, on_another_machine

WRITE = "terramosaic.storage.lease.write_text_if"


@pytest.fixture(params=["disk", "disk without locks", "memory"])
def folder(request, tmp_path, monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(tmp_path / "scratch"))
    return lease_place(request.param, tmp_path, monkeypatch)


@pytest.fixture
def unlocked(tmp_path, monkeypatch):
    """Where the note is all there is."""
    return lease_place("disk without locks", tmp_path, monkeypatch)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    return lease_place("disk", tmp_path, monkeypatch)


def hold(folder, owner):
    return lease(folder, owner=owner, ttl=120, renews=False)


def place_of(folder):
    return location(folder) / "lease.json"


def note_in(folder):
    return read_json(place_of(folder))


def write_note(folder, **facts):
    """A note that is there already."""
    note = {
        "owner": "another", "host": "host", "pid": os.getpid(), "kernel": "another", "token": uuid.uuid4().hex,
        "since": 1_800_000_000.0, "ttl": 120.0,
    }  # fmt: skip
    write_text(place_of(folder), json.dumps(note | facts))


def no_answer(*_):
    raise StoreError("out: no answer")


def test_another_one_is_told_who_holds_it_since_when_and_for_how_long(folder):
    write_note(folder, owner="run a1 of watch-region")
    with pytest.raises(LeaseHeldError) as refused, hold(folder, "b"):
        pass
    line = str(refused.value)
    assert "\n" not in line and refused.value.exit_code == 6
    assert (
        f"is held by run a1 of watch-region (process {os.getpid()} on host) since 2027-01-15 08:00:00 UTC"
        in line
    )
    assert "for 120 s after it was last heard of" in line


def test_one_holds_it_at_a_time(folder):
    with hold(folder, "a"), pytest.raises(LeaseHeldError, match=f"held by a \\(process {os.getpid()} on"):
        hold(folder, "b").__enter__()
    with hold(folder, "b"):
        pass


def test_released_it_is_free_at_once_and_leaves_one_small_note(folder, tmp_path):
    for owner in ("a", "b", "c"):
        with hold(folder, owner) as held:
            held.check()
        assert note_in(folder)["owner"] == owner and note_in(folder)["released"]
    assert set(list_facts(location(folder))) - {"lock"} == {"lease.json"}
    assert not (tmp_path / "scratch").exists() or not list((tmp_path / "scratch").iterdir())


def test_a_thread_that_was_late_renews_nothing_that_was_released(folder):
    with hold(folder, "a") as held:
        pass
    before = read_text(place_of(folder))
    with pytest.raises(LeaseLostError, match="was released"):
        held.check()
    assert read_text(place_of(folder)) == before and not held.lost.is_set()


def test_released_also_when_the_work_fails(folder):
    with pytest.raises(ZeroDivisionError), hold(folder, "a"):
        raise ZeroDivisionError
    with hold(folder, "b"):
        pass


def test_a_note_that_was_not_renewed_is_taken_over_and_its_holder_learns_it(unlocked):
    with hold(unlocked, "slow") as slow:
        age(unlocked, 60)
        with pytest.raises(LeaseHeldError), hold(unlocked, "early"):
            pass
        age(unlocked, 60)
        with hold(unlocked, "next") as heir:
            for _ in range(2):
                with pytest.raises(LeaseLostError, match="slow"):
                    slow.check()
            assert slow.lost.is_set()
            slow.release()
            heir.check()


def test_renewing_keeps_others_out(unlocked):
    with hold(unlocked, "a") as held:
        for _ in range(3):
            age(unlocked, 119)
            held.check()
            with pytest.raises(LeaseHeldError), hold(unlocked, "b"):
                pass


def test_a_holder_that_slept_goes_on_if_nobody_came(unlocked):
    with hold(unlocked, "sleeper") as held:
        age(unlocked, 1200)
        held.check()
        with pytest.raises(LeaseHeldError, match="sleeper"), hold(unlocked, "b"):
            pass


def machine_clock(patch, years):
    """From now on the machine's clock is off."""
    now = time.time() + years * 365 * 86400
    patch.setattr("terramosaic.storage.lease.time.time", lambda: now)


@pytest.mark.parametrize("years", [-30, 30])
def test_a_holder_whose_clock_is_years_off_holds_it_as_long_as_any_other(unlocked, years, monkeypatch):
    with monkeypatch.context() as patch:
        machine_clock(patch, years)
        held = hold(unlocked, "odd")
        held.__enter__()
    with pytest.raises(LeaseHeldError, match="odd"), hold(unlocked, "b"):
        pass
    age(unlocked, 121)
    with hold(unlocked, "b"):
        pass


@pytest.mark.parametrize("years", [-30, 30])
def test_one_whose_clock_is_years_off_takes_nothing_from_the_living(unlocked, years, monkeypatch):
    with hold(unlocked, "a") as held:
        machine_clock(monkeypatch, years)
        with pytest.raises(LeaseHeldError, match="held by a"), hold(unlocked, "odd"):
            pass
        held.check()


def test_with_the_lock_a_holder_that_slept_keeps_its_machine_out(disk):
    with hold(disk, "sleeper") as held:
        age(disk, 1200)
        with pytest.raises(LeaseHeldError, match="sleeper"), hold(disk, "b"):
            pass
        held.check()
        with on_another_machine(), pytest.raises(LeaseHeldError, match="sleeper"), hold(disk, "far"):
            pass


def test_with_the_lock_a_holder_that_slept_learns_that_another_machine_took_over(disk):
    with hold(disk, "sleeper") as held:
        age(disk, 121)
        with on_another_machine(), hold(disk, "far") as heir:
            with pytest.raises(LeaseLostError, match="sleeper"):
                held.check()
            assert held.lost.is_set()
            heir.check()


def test_the_living_note_of_another_machine_counts_though_the_lock_was_got(disk):
    write_note(disk, owner="far")
    with pytest.raises(LeaseHeldError, match="held by far"), hold(disk, "near"):
        pass
    age(disk, 121)
    with hold(disk, "near"):
        pass


def test_the_note_of_a_dead_holder_of_this_kernel_keeps_nobody_out(disk):
    """Its lock is free, and its note says that it holds the lease."""
    with hold(disk, "a") as held:
        kernel = held.note.kernel
    write_note(disk, owner="dead", kernel=kernel)
    with hold(disk, "heir") as held:
        held.check()


def test_a_holder_whose_note_is_anothers_or_gone_learns_it(folder):
    for change in (write_note, lambda folder: remove(place_of(folder))):
        with hold(folder, "a") as held:
            change(folder)
            with pytest.raises(LeaseLostError, match="taken over"):
                held.check()
            assert held.lost.is_set()
        remove(place_of(folder))


def test_a_holder_whose_folder_was_removed_learns_it(disk):
    with hold(disk, "a") as held:
        shutil.rmtree(disk)
        with pytest.raises(LeaseLostError), hold(disk, "b"):
            held.check()


def test_one_who_was_slow_to_take_what_another_took_meanwhile_does_not_hold_it(unlocked, monkeypatch):
    write_note(unlocked)
    age(unlocked, 121)
    quick = []

    def write_late(place, text, version):
        if not quick:
            quick.append(hold(unlocked, "quick"))
            quick[0].__enter__()
        return write_text_if(place, text, version)

    monkeypatch.setattr(WRITE, write_late)
    with pytest.raises(LeaseHeldError, match="held by quick"), hold(unlocked, "late"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": "a"}', "\0\0"])
def test_a_damaged_note_counts_as_not_there_and_who_had_it_finds_out(folder, text, caplog):
    with on_another_machine(), hold(folder, "a") as first:
        write_text(place_of(folder), text)
        with hold(folder, "b") as second:
            assert "lease.json is damaged" in caplog.text and note_in(folder)["owner"] == "b"
            with pytest.raises(LeaseLostError):
                first.check()
            second.check()


def test_an_answer_that_was_lost_on_its_way_is_no_refusal(folder, monkeypatch):
    """The store wrote the note, the answer got lost, and the client asked again: it has changed, and is our own."""

    def write_twice(place, text, version):
        write_text_if(place, text, version)
        return write_text_if(place, text, version)

    monkeypatch.setattr(WRITE, write_twice)
    with hold(folder, "a") as held:
        held.check()


def test_a_note_whose_answer_never_came_is_found_by_the_next_try(folder, monkeypatch):
    def write_unheard(place, text, version):
        write_text_if(place, text, version)
        raise StoreError("out: no answer")

    with hold(folder, "a") as held:
        with monkeypatch.context() as patch:
            patch.setattr(WRITE, write_unheard)
            with pytest.raises(StoreError):
                held.check()
        held.check()
    assert note_in(folder)["released"] and not held.lost.is_set()


def test_a_place_that_does_not_answer_for_a_while_loses_no_lease(folder, monkeypatch):
    with hold(folder, "a") as held:
        with monkeypatch.context() as patch:
            patch.setattr(WRITE, no_answer)
            with pytest.raises(StoreError):
                held.check()
        held.check()
    assert not held.lost.is_set()


def test_a_thread_renews_it_and_tries_again_after_a_failure(folder, monkeypatch):
    renewals = []
    renewed = threading.Event()

    def fail_once(place, text, version):
        renewals.append(json.loads(text)["renewals"])
        if len(renewals) == 2:
            raise StoreError("out: no answer")
        found = write_text_if(place, text, version)
        if len(renewals) == 4:
            renewed.set()
        return found

    monkeypatch.setattr(WRITE, fail_once)
    with lease(folder, owner="a", ttl=0.1) as held:
        assert renewed.wait(60)
        held.check()
    assert renewals[:4] == [0, 1, 1, 2]


def test_the_file_of_the_lock_stays(disk):
    inodes = set()
    for owner in ("a", "b"):
        with hold(disk, owner):
            pass
        inodes.add((location(disk) / "lock").stat().st_ino)
    assert len(inodes) == 1


def test_one_who_has_the_lock_and_has_left_no_note_yet_is_told_of_as_far_as_it_is_known(disk):
    with hold(disk, "the last one"):
        pass
    lock = KernelLock(location(disk) / "lock")
    assert lock.acquire()
    try:
        with pytest.raises(LeaseHeldError, match="has not said yet who it is") as refused:
            hold(disk, "b").__enter__()
        assert "the last one" not in str(refused.value)
    finally:
        lock.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_that_knows_no_locks_is_told_once(tmp_path, monkeypatch, caplog, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refuse)
    monkeypatch.setattr("terramosaic.storage.locks._warned", set())
    for name in "abc":
        with hold(str(tmp_path / name), "a") as held:
            assert not held.note.kernel
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "knows no locks" in caplog.text


def test_a_place_that_cannot_be_used_says_so_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(OutputError, match="could not be written") as refused,
        lease(str(tmp_path / "file" / "lock"), owner="a"),
    ):
        pass
    assert "\n" not in str(refused.value) and not isinstance(refused.value, LeaseHeldError)


def test_a_file_is_replaced_only_as_it_was_read(folder):
    place = location(folder) / "collection.json"
    assert read_version(place) is None
    first = write_text_if(place, "1", None)
    found = read_version(place)
    assert (found.text, found.version) == ("1", first)
    with pytest.raises(ChangedError, match=r"collection\.json was changed by another") as refused:
        write_text_if(place, "2", None)
    assert "\n" not in str(refused.value)
    second = write_text_if(place, "2", first)
    with pytest.raises(ChangedError):
        write_text_if(place, "3", first)
    # What is there as it was wanted is no refusal: the answer to an earlier try may have got lost.
    assert write_text_if(place, "2", first) == second
    remove(place)
    with pytest.raises(ChangedError):
        write_text_if(place, "3", second)
    assert read_version(place) is None


def test_a_folder_in_the_notes_place_is_said_in_a_line(disk):
    (place_of(disk)).mkdir(parents=True)
    with pytest.raises(OutputError, match=r"lease\.json could not be read: Is a directory"), hold(disk, "a"):
        pass
