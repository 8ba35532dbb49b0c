"""Worlds to map, made once per test session."""

from __future__ import annotations

import dataclasses
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from shapely.geometry import box
from xdist.scheduler import LoadFileScheduling

from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.request.request import RegionRequest
from tests.support.scenes import write_scene
from tests.support.services import Home

EPSG = 32633
#: 1500 x 1500 pixels: with blocks of 512 that are sixteen blocks, with 2048 four.
LAND = Rect(490_002, 50_004, 1500, 1500)


class Catalog:
    """A folder of items, and requests for parts of it."""

    def __init__(self, folder: Path, epsg: int = EPSG) -> None:
        self.folder, self.epsg = folder, epsg

    def add(self, item: dict) -> None:
        """One more item."""
        (self.folder / f"{item['id']}.json").write_text(json.dumps(item))

    def request(self, rect: Rect, out: Path, *, outline=None, **options) -> RegionRequest:
        """A request for exactly the pixels of a rectangle, or for an outline in the zone's metres."""
        if outline is None:
            # Half a pixel inside, so that reprojecting to degrees and back adds no row of pixels.
            left, bottom, right, top = rect.bounds
            outline = box(left + 4, bottom + 4, right - 4, top - 4)
        fields = {
            "datetime": "2023-08",
            "catalog": str(self.folder),
            "out": str(out),
            "block_size": 512,
            **options,
        }
        return RegionRequest(region=as_geojson(lonlat_of(outline, self.epsg)), **fields)


@pytest.fixture(scope="session")
def land(tmp_path_factory) -> Catalog:
    """Two acquisitions over one tile, with clouds and a hole of 200 x 300 pixels; the second has the offset."""
    folder = tmp_path_factory.mktemp("land")
    catalog = Catalog(folder)
    rng = np.random.default_rng(5)
    clouds = ndimage.gaussian_filter(rng.normal(size=(750, 750)), 12)
    scl = np.where(clouds > np.quantile(clouds, 0.85), 9, 4)
    holes = np.zeros(LAND.shape, bool)
    holes[602:802, 400:700] = True
    catalog.add(write_scene(folder / "a", LAND, name="S2A_33TWL_20230815", scl=scl, holes=holes))
    later = np.where(ndimage.shift(clouds, 200, mode="wrap") > np.quantile(clouds, 0.85), 8, 4)
    catalog.add(
        write_scene(
            folder / "b",
            LAND,
            name="S2B_33TWL_20230820",
            day="2023-08-20",
            offset=1000,
            scl=later,
            holes=holes,
            level=300,
            cloud=2.0,
        )
    )
    return catalog


@pytest.fixture
def quick_retries(monkeypatch):
    """Pauses between tries that are none; how often is tried stays as it is."""
    from terramosaic.imagery import tries
    from terramosaic.storage import http

    monkeypatch.setattr(tries, "ASSET", dataclasses.replace(tries.ASSET, pause=0.001))
    monkeypatch.setattr(http, "HTTP", dataclasses.replace(http.HTTP, pause=0.001))


@pytest.fixture
def run_here(monkeypatch, capsys, caplog) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command line in this process, with its exit code: to start another one takes seconds."""

    from terramosaic.cli.app import main

    def run_here(*arguments: str) -> subprocess.CompletedProcess[str]:
        caplog.set_level(logging.WARNING, "terramosaic")  # which the command changes, and this puts back
        monkeypatch.setattr(sys, "argv", ["terramosaic", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        return subprocess.CompletedProcess(arguments, end.value.code or 0, *capsys.readouterr())

    return run_here


@pytest.fixture(scope="session")
def server():
    """A Prefect server on loopback, with a database of its own: one for all tests of a process."""
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture(scope="session")
def up(tmp_path_factory) -> Iterator[Home]:
    """`terramosaic up` in a home of its own: one for all tests of a process."""
    home = Home(tmp_path_factory.mktemp("up") / "home", runner="processes:cpu")
    yield home
    home.close()


#: Files whose tests share a server, and so a process; those that take longest and mostly wait come first.
_TOGETHER = {
    "up": ("test_browser.py", "test_faults.py", "test_up.py"),
    "wheel": ("test_wheel.py",),
    "prefect": (
        "test_map_region.py",
        "test_runners.py",
        "test_watch.py",
        "test_doc_blocks.py",
        "test_dead_assets.py",
    ),
}
_GROUPS = {file: group for group, files in _TOGETHER.items() for file in files}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Says what comes first: so two processes end at about the same time."""
    order = list(_GROUPS)

    def turn(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.name
        return order.index(name) if name in order else len(order), "integration" not in item.path.parts

    items.sort(key=turn)


class ByServer(LoadFileScheduling):
    """Sends the tests of a file to one process, and those of all files that share a server."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return _GROUPS.get(Path(file).name, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByServer | None:
    """For `--dist loadfile`; xdist's own groups are not seen with pytest 9.2."""
    return ByServer(config, log) if config.getvalue("dist") == "loadfile" else None
