"""Half-written files: swept once nobody writes them, and not before."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from terramosaic.storage.scratch import half_written, sweep_partials
from tests.support.leases import without_locks

_DAY = 24 * 3600

_WRITER = """
import sys, time
from pathlib import Path
from terramosaic.storage.scratch import half_written
with half_written(Path(sys.argv[1]), "NDVI.tif") as partial:
    partial.write_text("half")
    print(partial, flush=True)
    time.sleep(600)
"""


def start_writer(folder: Path, *command: str) -> tuple[subprocess.Popen[str], Path]:
    """A process that writes a file, and never gets ready; what it has written so far."""
    process = subprocess.Popen(
        [*command, sys.executable, "-c", _WRITER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_what_is_written_is_swept_when_its_writer_is_dead_and_not_before(tmp_path: Path) -> None:
    process, partial = start_writer(tmp_path / "blocks" / "0-0")
    os.utime(partial, (time.time() - 2 * _DAY,) * 2)
    with half_written(tmp_path, "plan.json") as own:
        own.write_text("half")
        sweep_partials(tmp_path)
        assert partial.exists() and own.exists()
        kill(process)
        sweep_partials(tmp_path, deep=False)
        assert partial.exists()
        sweep_partials(tmp_path)
        assert not list(partial.parent.iterdir()) and own.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["blocks"]


def can_have_a_container() -> bool:
    """Whether processes may be put in a container: numbers of their own for processes, one name for all hosts."""
    return subprocess.run([*CONTAINER, "true"], capture_output=True, check=False).returncode == 0


#: Its first process has number 1, and dies with this command.
CONTAINER = ("unshare", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc")

_SWEEP = """
import os, sys
from pathlib import Path
from terramosaic.storage.scratch import sweep_partials
assert os.getpid() == 1
sweep_partials(Path(sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform != "linux" or not can_have_a_container(), reason="no containers here")
def test_containers_of_one_name_whose_processes_have_one_number_sweep_only_the_dead(tmp_path: Path) -> None:
    """As two pods of one hostname on one volume, and as one that is started again and again: each is process 1."""
    living, of_the_living = start_writer(tmp_path, *CONTAINER)
    dead, of_the_dead = start_writer(tmp_path, *CONTAINER)
    kill(dead)
    subprocess.run([*CONTAINER, sys.executable, "-c", _SWEEP, str(tmp_path)], check=True)
    assert of_the_living.exists() and not of_the_dead.exists()
    kill(living)
    subprocess.run([*CONTAINER, sys.executable, "-c", _SWEEP, str(tmp_path)], check=True)
    assert not list(tmp_path.iterdir())


def test_of_other_machines_and_of_version_0_1_what_nobody_wrote_to_for_a_day_is_swept(tmp_path: Path) -> None:
    here = socket.gethostname().replace(".", "-")
    ages = {
        ".NDVI.tif.0123456789ab.0123.partial": _DAY - 600,
        ".NDVI.tif.0123456789ab.4567.partial": _DAY + 600,
        f".NDVI.tif.{here}.{os.getpid()}.140-1.partial": _DAY - 600,
        f".NDVI.tif.{here}.{os.getpid()}.140-2.partial": _DAY + 600,
        "NDVI.tif": 2 * _DAY,
    }
    for name, age in ages.items():
        (tmp_path / name).write_text("half")
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    sweep_partials(tmp_path)
    young = {name for name, age in ages.items() if age < _DAY}
    assert {path.name for path in tmp_path.iterdir()} == young | {"NDVI.tif"}


def test_where_there_are_no_locks_a_day_decides(tmp_path: Path) -> None:
    with without_locks(), half_written(tmp_path, "NDVI.tif") as partial:
        partial.write_text("half")
        sweep_partials(tmp_path)
        assert partial.exists()


def test_a_folder_may_be_half_written_too_and_what_became_whole_stays(tmp_path: Path) -> None:
    for is_whole in (False, True):
        with half_written(tmp_path, "bundle") as partial:
            partial.mkdir()
            (partial / "bundle.json").write_text("{}")
            if is_whole:
                partial.replace(tmp_path / "bundle")
        assert [path.name for path in tmp_path.iterdir()] == ["bundle"] * is_whole
