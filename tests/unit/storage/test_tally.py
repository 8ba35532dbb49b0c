"""What a process has done is in a file of its own where somebody asked for it, and never at the work's cost."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from terramosaic.storage import tally
from terramosaic.storage.tally import FOLDER, RUN, count, describe_run, flush, told_in


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    monkeypatch.setattr(tally, "_TALLY", tally._Tally())
    monkeypatch.setenv(FOLDER, str(tmp_path))
    return tmp_path


def test_nobody_asked_and_nothing_is_written(monkeypatch, tmp_path):
    monkeypatch.delenv(FOLDER, raising=False)
    monkeypatch.chdir(tmp_path)
    count("windows", 5)
    describe_run(name="a")
    flush()
    assert list(tmp_path.iterdir()) == []


def test_sums_are_told_by_labels_and_of_a_run(fresh, monkeypatch):
    monkeypatch.setenv(RUN, "run-1")
    count("windows", 5)
    count("windows", 7)
    count("retries", what="file", kind="missing")
    count("retries", what="task", kind="StoreError")
    describe_run(name="33TWL 2023-08")
    flush()
    ((file, told),) = told_in(fresh)
    assert (told.run, told.facts, told.is_alive) == ("run-1", {"name": "33TWL 2023-08"}, True)
    assert told.sums == {
        ("windows", ()): 12,
        ("retries", (("kind", "missing"), ("what", "file"))): 1,
        ("retries", (("kind", "StoreError"), ("what", "task"))): 1,
    }
    assert file.name.startswith(f"{os.getpid()}-") and [*fresh.iterdir()] == [file]


def test_a_thousand_counts_in_two_seconds_are_one_file_written_twice(fresh, monkeypatch):
    now, writes = [100.0], []
    monkeypatch.setattr(tally.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(
        tally.Path, "write_text", lambda self, *_, **__: writes.append(self) or self.touch() or 0
    )
    for _ in range(1000):
        count("windows")
        now[0] += 0.002
    assert len(writes) <= 2


def test_a_process_that_ends_writes_what_is_left_and_its_children_count_for_themselves(fresh):
    code = (
        "import os\n"
        "from terramosaic.storage.tally import count\n"
        "count('windows', 1)\ncount('windows', 2)\n"
        "child = os.fork()\n"
        "if not child:\n    count('windows', 100)\n    os._exit(0)\n"
        "os.waitpid(child, 0)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert sorted(one.sums["windows", ()] for _, one in told_in(fresh)) == [3, 100]
    assert not any(one.is_alive for _, one in told_in(fresh))


@pytest.mark.parametrize("wrong", ["gone", "file"])
def test_a_folder_that_cannot_be_written_costs_nothing(fresh, monkeypatch, wrong):
    (fresh / "file").write_text("")
    monkeypatch.setenv(FOLDER, str(fresh / wrong / "deep"))
    count("windows", 5)
    flush()
    count("windows", 5)


def test_files_of_another_kind_are_passed_over(fresh):
    for name, text in (("1-1.json", "{"), ("2-1.json", "[]"), ("3-1.json", '{"run": 1, "facts": 2}')):
        (fresh / name).write_text(text)
    assert list(told_in(fresh)) == []
