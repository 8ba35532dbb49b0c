"""Leases among threads and processes, also when these are killed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from terramosaic.errors import LeaseHeldError
from terramosaic.storage.lease import lease
from tests.faults.lease import Tally, race_processes, race_threads
from tests.support.leases import each_on_its_own_machine, lease_place, on_another_machine


@pytest.fixture(params=["disk", "disk without locks", "memory"])
def folder(request, tmp_path, monkeypatch):
    return lease_place(request.param, tmp_path, monkeypatch)


def test_many_threads_and_never_two_holders(folder):
    """A few rounds of those that ``python -m tests.faults.lease`` runs by the thousand."""
    tally = Tally()
    with each_on_its_own_machine():
        for number in range(5):
            race_threads(tally, f"{folder}/{number}")
    assert not tally.broken and not tally.failures
    assert tally.taken >= 5 and tally.taken + tally.refused == 5 * 16 * 15


def test_many_processes_and_never_two_holders_also_when_they_are_killed(tmp_path):
    tally = Tally()
    for number in range(5):
        race_processes(tally, str(tmp_path / f"{number}"))
    assert not tally.broken and not tally.failures and not tally.kept_out
    assert tally.killed >= 5


def test_a_holder_that_was_killed_is_taken_over_at_once_on_its_own_machine_and_after_expiry_elsewhere(
    tmp_path,
):
    program = (
        "import sys, time; from terramosaic.storage.lease import lease\n"
        "with lease(sys.argv[1], owner='victim', ttl=300): print('held', flush=True); time.sleep(60)"
    )
    folder = str(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", program, folder], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"held\n"
        with (
            pytest.raises(LeaseHeldError, match=f"victim \\(process {process.pid} on"),
            lease(folder, owner="b"),
        ):
            pass
        process.kill()
    with on_another_machine(), pytest.raises(LeaseHeldError, match="victim"), lease(folder, owner="far"):
        pass
    with lease(folder, owner="b") as held:
        assert held.note.owner == "b"
        held.check()
