"""Half-written files: swept once nobody writes them, and not before."""

import os
import subprocess
import sys
import time
from pathlib import Path

from terramosaic.storage.scratch import partial_name, sweep_partials

_DAY = 24 * 3600


def test_only_files_without_a_writer_are_swept(tmp_path: Path) -> None:
    folder = tmp_path / "blocks" / "0-0"
    folder.mkdir(parents=True)
    code = "from terramosaic.storage.scratch import partial_name; print(partial_name('NDVI.tif'))"
    of_the_dead = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    _, name, suffix, _, *rest = partial_name("NDVI.tif").split(".")
    elsewhere = ".".join(["", name, suffix, "pod-7", *rest])

    ages = {partial_name("NDVI.tif"): 2 * _DAY, of_the_dead: 0, elsewhere: _DAY - 600}
    ages |= {elsewhere.replace("pod-7", "pod-8"): _DAY + 600, ".kept.partial": 2 * _DAY, "NDVI.tif": 2 * _DAY}
    for file, age in ages.items():
        (folder / file).write_text("half")
        os.utime(folder / file, (time.time() - age,) * 2)
    sweep_partials(tmp_path)

    # Gone: of a process of this machine that ended, and of another machine, not written to for a day.
    gone = {file for file in ages if not (folder / file).exists()}
    assert gone == {of_the_dead, elsewhere.replace("pod-7", "pod-8")}
