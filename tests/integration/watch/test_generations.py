"""Generations of the newest mosaics: readers see one or the next, whatever breaks off."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic.errors import ChangedError, LeaseLostError, OutputError
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import zone_areas
from terramosaic.planning.folder import read_plan
from terramosaic.storage.lease import lease
from terramosaic.storage.location import location
from terramosaic.watch.collection import MapCollection
from terramosaic.watch.newest import update_newest
from tests.integration.conftest import LAND, Catalog
from tests.integration.watch.newest_region import newest, put, watch
from tests.support.earlier import newest_as_0_1_left_it

PLACE = Rect(LAND.row, LAND.col, 300, 300)
FIRST, SECOND = "2023-08-15", "2023-08-20"
LAYERS = ("NDVI", "NDVI_std", "quality", "acquired")


def run_of(out: Path, day: str) -> str:
    """The run that a collection holds of a day."""
    (run,) = (held.run_id for held in MapCollection(out).mapped if held.of_pass.solar_day.isoformat() == day)
    return run


class Grown:
    """A watched region on disk: a second day is mapped, which the newest mosaics do not know yet.

    Attributes:
        folder: its output folder; the first day lies in a generation, and there is one from before.
        before: the newest pixels without the second day.
        after: with it.
    """

    def __init__(self, work: Path) -> None:
        (work / "catalog").mkdir(parents=True)
        catalog, self.folder = Catalog(work / "catalog"), work / "maps"
        request = catalog.request(
            PLACE, self.folder, datetime="2023-01-01/..", targets=("NDVI",), extras=("std",)
        )
        self.areas = zone_areas(request.area())
        cloudy = np.full((150, 150), 4)
        cloudy[:, :50] = 9
        put(catalog, FIRST, place=PLACE)
        watch(request, FIRST)
        update_newest(MapCollection(self.folder), self.areas, [run_of(self.folder, FIRST)])
        put(catalog, SECOND, place=PLACE, level=300, scl=cloudy)
        watch(request, SECOND, newest=False)
        self.before = newest(self.folder, LAYERS)
        updated = self.copy(work / "updated")
        self.update(updated)
        self.after = newest(updated, LAYERS)
        assert not any(np.array_equal(self.before[name], self.after[name]) for name in ("NDVI", "acquired"))

    def copy(self, folder: Path) -> Path:
        """The region in another folder."""
        return Path(shutil.copytree(self.folder, folder, symlinks=True))

    def update(self, folder: Path, **options) -> None:
        """Brings a copy's newest mosaics up to date."""
        update_newest(MapCollection(location(str(folder)), **options), self.areas)

    def version_of(self, pixels: dict[str, np.ndarray]) -> str:
        """Which of the two these layers are, all of them."""
        for name, version in (("before", self.before), ("after", self.after)):
            if all(np.array_equal(pixels[layer], version[layer]) for layer in LAYERS):
                return name
        return "mixed"


@pytest.fixture(scope="module")
def grown(tmp_path_factory) -> Grown:
    """Made once; tests take copies."""
    return Grown(tmp_path_factory.mktemp("grown"))


def by_collection(out) -> dict[str, np.ndarray]:
    """What a reader sees who goes by the collection."""
    assets = json.loads((out / "collection.json").read_text())["assets"]
    pixels = {}
    for layer in LAYERS:
        with rasterio.open(out / assets[f"newest-{layer}"]["href"]) as dataset:
            pixels[layer] = dataset.read(1)
    return pixels


def generations(out) -> list[str]:
    return sorted(path.name for path in (out / "newest").iterdir() if path.is_dir() and not path.is_symlink())


#: Dies before its N-th change of the file system, in a process of its own for each N, until one is done.
DIE_AT_EACH_CHANGE = """
import os, shutil, signal, sys
from pathlib import Path
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import ZoneArea
from terramosaic.watch.collection import MapCollection
from terramosaic.watch.newest import update_newest

source, work, epsg, *numbers = sys.argv[1:]
areas = [ZoneArea(int(epsg), Rect(*map(int, numbers)), None)]
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink"}
left = 0

def count(event, arguments):
    global left
    # What is half-written and its lock, nobody looks at.
    if event in CHANGES and not (event == "os.remove" and ".partial" in str(arguments[0])):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

for number in range(1, 1000):
    out = Path(work) / f"{number:03}"
    shutil.copytree(source, out, symlinks=True)
    child = os.fork()
    if not child:
        left = number
        sys.addaudithook(count)
        update_newest(MapCollection(out), areas)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status != signal.SIGKILL:
        sys.exit(status)
"""


@pytest.mark.slow
def test_readers_see_one_generation_whenever_an_update_is_killed(grown, tmp_path):
    (area,) = grown.areas
    numbers = (area.epsg, area.rect.row, area.rect.col, area.rect.height, area.rect.width)
    program = [sys.executable, "-c", DIE_AT_EACH_CHANGE, str(grown.folder), str(tmp_path), *map(str, numbers)]
    subprocess.run(program, check=True, timeout=600)
    *killed, done = sorted(tmp_path.iterdir())
    # Each layer, what they were made from, the collection, and the link, at the least.
    assert len(killed) > len(LAYERS) + 3
    seen = []
    for out in [*killed, done]:
        seen.append((grown.version_of(by_collection(out)), grown.version_of(newest(out, LAYERS))))
        assert len(generations(out)) <= 2
    # The links follow the collection, and at once.
    ways = [("before", "before"), ("after", "before"), ("after", "after")]
    assert sorted(set(seen), key=ways.index) == ways and seen == sorted(seen, key=ways.index)
    for out in [*killed[:: max(1, len(killed) // 4)], killed[seen.index(ways[1])]]:
        grown.update(out)
        assert grown.version_of(by_collection(out)) == grown.version_of(newest(out, LAYERS)) == "after"
        assert len(generations(out)) <= 2 and not list((out / "newest").rglob("*.partial*"))


def test_the_generation_before_stays_until_the_next_update(grown, tmp_path):
    out = grown.copy(tmp_path / "maps")
    old = str((out / "newest" / "current").readlink())
    (oldest,) = set(generations(out)) - {old}
    grown.update(out)
    assert oldest not in generations(out) and old in generations(out) and len(generations(out)) == 2
    grown.update(out)  # nothing new
    assert old in generations(out)
    update_newest(MapCollection(out), grown.areas, [run_of(out, SECOND)])
    assert old not in generations(out) and len(generations(out)) == 2
    assert grown.version_of(newest(out, LAYERS)) == "after"


@pytest.mark.parametrize("moment", ["before it begins", "while it writes"])
def test_whoever_lost_the_lease_publishes_nothing(grown, tmp_path, moment):
    out = grown.copy(tmp_path / "maps")
    there = {path: path.lstat().st_mtime_ns for path in out.rglob("*.tif")}
    asked: list[int] = []
    with lease(out / "lease", owner="a", renews=False) as held:

        def check() -> None:
            asked.append(len(list(out.rglob("newest.json"))))
            if moment == "before it begins" or len(asked) > 1:
                heir = held.note.model_copy(update={"owner": "b", "token": "b"})
                (out / "lease" / "lease.json").write_text(heir.model_dump_json())
            held.check()

        with pytest.raises(LeaseLostError, match="taken over"):
            grown.update(out, require_lease=check)
        with pytest.raises(LeaseLostError):
            MapCollection(out, check).put(read_plan(next((out / "acquisitions").glob("*/plan.json"))))
    assert grown.version_of(by_collection(out)) == grown.version_of(newest(out, LAYERS)) == "before"
    if moment == "before it begins":
        assert {path: path.lstat().st_mtime_ns for path in out.rglob("*.tif")} == there
    else:  # it was lost when all but the collection was written
        assert asked[:2] == [2, 2] and len(generations(out)) == 2


def test_a_collection_that_another_has_written_meanwhile_is_not_overwritten(grown, tmp_path):
    out = grown.copy(tmp_path / "maps")
    late = MapCollection(out)
    changed = (out / "collection.json").read_text().replace('"license": "other"', '"license": "MIT"')
    (out / "collection.json").write_text(changed)
    with pytest.raises(ChangedError):
        update_newest(late, grown.areas)
    assert (out / "collection.json").read_text() == changed


def test_layers_are_laid_over_each_other_whatever_their_files_are_called(grown, tmp_path):
    """0.1 had ``NDVI_spread.tif`` where ``NDVI_std.tif`` is today."""
    out = grown.copy(tmp_path / "maps")
    run = out / "acquisitions" / run_of(out, FIRST)
    made = read_plan(run)
    layers = [replace(layer, name=layer.name.replace("_std", "_spread")) for layer in made.layers]
    (run / "plan.json").write_text(made.model_copy(update={"layers": tuple(layers)}).model_dump_json())
    (run / "NDVI_std.tif").rename(run / "NDVI_spread.tif")
    shutil.rmtree(out / "newest")
    grown.update(out)
    assert grown.version_of(newest(out, LAYERS)) == "after"
    # And a generation that has such names itself.
    (out / "newest" / "current" / "NDVI_std.tif").rename(out / "newest" / "current" / "NDVI_spread.tif")
    state = out / "newest" / "current" / "newest.json"
    state.write_text(state.read_text().replace('"NDVI_std"', '"NDVI_spread"'))
    first = json.loads(state.read_text())
    del first["checksum"]
    first["runs"] = {run_of(out, FIRST): FIRST}
    state.write_text(json.dumps(first))
    grown.update(out)
    assert grown.version_of(newest(out, LAYERS)) == "after"
    assert not (out / "newest" / "NDVI_spread.tif").is_symlink()


def test_a_damaged_generation_is_told_and_made_anew_where_it_was_removed(grown, tmp_path):
    out = grown.copy(tmp_path / "maps")
    current = (out / "newest" / "current").resolve()
    whole = (current / "NDVI.tif").read_bytes()
    (current / "NDVI.tif").write_bytes(whole[: len(whole) * 3 // 4])
    with pytest.raises(OutputError, match=r"NDVI\.tif could not be read: .*; remove its folder and run"):
        grown.update(out)
    shutil.rmtree(current)
    grown.update(out)
    assert grown.version_of(newest(out, LAYERS)) == "after"


def test_what_0_1_left_is_made_anew(grown, tmp_path):
    out = grown.copy(tmp_path / "maps")
    newest_as_0_1_left_it(out)
    assert grown.version_of(by_collection(out)) == grown.version_of(newest(out, LAYERS)) == "before"
    grown.update(out)
    assert grown.version_of(by_collection(out)) == grown.version_of(newest(out, LAYERS)) == "after"
    assert (out / "newest" / "NDVI.tif").is_symlink() and not (out / "newest" / "newest.json").exists()


def test_a_disk_without_links_has_virtual_rasters(grown, tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("pathlib.Path.symlink_to", refuse)
    out = grown.copy(tmp_path / "maps")
    newest_as_0_1_left_it(out)
    grown.update(out)
    assert grown.version_of(newest(out, LAYERS)) == "after"
    with (
        rasterio.open(out / "newest" / "NDVI.tif") as ours,
        rasterio.open(
            out / json.loads((out / "collection.json").read_text())["assets"]["newest-NDVI"]["href"]
        ) as theirs,
    ):
        assert ours.driver == "VRT" and theirs.driver == "GTiff"
        for what in ("bounds", "crs", "nodata", "scales", "units", "descriptions", "dtypes"):
            assert getattr(ours, what) == getattr(theirs, what)
    assert str(tmp_path) not in (out / "newest" / "NDVI.tif").read_text()
