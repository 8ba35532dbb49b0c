"""Maps where several passes of Sentinel-1 meet: each window of one, the same in every region and on every lattice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from shapely.geometry import Polygon

from terramosaic import MapResult, map_region, verify
from terramosaic.ground.grid import Rect
from terramosaic.planning.layers import QUALITY_FILLED
from tests.integration.conftest import Catalog
from tests.integration.watch.newest_region import watch
from tests.support.pixels import assert_same_on_shared_pixels, read
from tests.support.radar import write_rtc
from tests.support.scenes import write_scene
from tests.unit.model.toy_terramind import make_toy

GROUND = Rect(490_002, 50_004, 1100, 1100)
PLACE = Rect(GROUND.row + 240, GROUND.col + 380, 300, 260)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


def west_of(top: int, slope: float = 1 / 3) -> tuple[Polygon, Callable[[np.ndarray], np.ndarray]]:
    """A swath whose rim begins in a column and runs to the south-west: its footprint, and what cuts pixels to it."""
    left, bottom, _, north = GROUND.bounds
    low = left + (top - GROUND.height * slope) * 10
    rim = [(left + top * 10, north), (low, bottom)]

    def cut(pixels: np.ndarray) -> np.ndarray:
        rows, cols = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
        return np.where(cols + rows * slope < top, pixels, 0).astype(np.float32)

    return Polygon([(left, north), *rim, (left, bottom)]), cut


def east_of(top: int, slope: float = 1 / 3) -> tuple[Polygon, Callable[[np.ndarray], np.ndarray]]:
    """The same of a swath that lies to the east."""
    swath, cut = west_of(top, slope)
    whole = Polygon.from_bounds(*GROUND.bounds)
    return whole.difference(swath), lambda pixels: pixels - cut(pixels)


@pytest.fixture(scope="module")
def rims(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Two passes that overlap by a few pixels only, three days apart."""
    folder = tmp_path_factory.mktemp("rims")
    catalog = Catalog(folder)
    for name, day, orbit, (swath, cut) in (
        ("west", 14, 49863, west_of(620)),
        ("east", 17, 49907, east_of(580)),
    ):
        start = f"2023-08-{day} 05:00:00+00:00"
        catalog.add(
            write_rtc(
                folder, GROUND, name=f"S1A_{name}_rtc", start=start, orbit=orbit, change=cut, swath=swath
            )
        )
    return catalog


def mapped(catalog: Catalog, toy: str, out: Path, rect: Rect = PLACE, **fields: Any) -> MapResult:
    given = {"model": toy, "targets": ("NDVI", "LULC"), "steps": 1, "seed": 5, "inputs": ("S1RTC",)}
    return map_region(catalog.request(rect, out, **given | fields))


@pytest.mark.slow
def test_a_target_is_valid_where_windows_of_its_own_lattice_saw_the_ground(
    rims: Catalog, toy: str, tmp_path: Path
) -> None:
    """A pixel that one lattice saw of a pass may lie beyond the rim of the pass that the other's windows are of."""
    own = mapped(rims, toy, tmp_path / "own", strides={"LULC": 112})
    alike = {stride: mapped(rims, toy, tmp_path / str(stride), stride=stride) for stride in (192, 112)}
    seen = {}
    for name, stride in (("NDVI", 192), ("LULC", 112), ("LULC_confidence", 112), ("LULC_disagreement", 112)):
        pixels = read(own.mosaics[name])[0]
        np.testing.assert_array_equal(pixels, read(alike[stride].mosaics[name])[0], err_msg=name)
        seen[name] = pixels[0] != (-32768 if name == "NDVI" else 0)
    assert (seen["NDVI"] != seen["LULC"]).any()
    # What is of no target tells of both.
    days = read(own.mosaics["acquired"])[0][0]
    np.testing.assert_array_equal(days > 0, seen["NDVI"] | seen["LULC"])
    assert verify(own, windows=20, write=False).passed


def test_at_a_swaths_rim_regions_agree(rims: Catalog, toy: str, tmp_path: Path) -> None:
    """Windows stick out of a region that one pass covers, into another one that does not touch it."""
    both = mapped(rims, toy, tmp_path / "both")
    beside = Rect(GROUND.row + 400, GROUND.col + 495, 140, 145)
    east = mapped(rims, toy, tmp_path / "east", beside)
    assert east.plan.radar is not None
    assert [round(one.coverage, 2) for one in east.plan.radar.passes] == [1, 0]
    assert_same_on_shared_pixels(both, east)
    # The window that ends in columns 495 to 524 is of the other pass for the most part, and so of nothing else.
    flags = read(east.mosaics["quality"])[0][0]
    assert (flags[:, :29] & QUALITY_FILLED > 0).all() and (flags[:, 29:] & QUALITY_FILLED == 0).any()


@pytest.mark.parametrize("inputs", [("S1RTC",), ("S2L2A", "S1RTC")])
def test_what_will_be_mapped_is_estimated_by_window_without_the_edges_of_swaths(
    rims: Catalog, toy: str, tmp_path: Path, inputs: tuple[str, ...]
) -> None:
    """A window at a rim shows one pass, of which it lacks a part: less than both passes cover together."""
    rims.add(write_scene(rims.folder / "s2", Rect(GROUND.row, GROUND.col, 1098, 1098)))
    place = Rect(GROUND.row + 120, GROUND.col + 120, 608, 608)
    made = mapped(rims, toy, tmp_path, place, inputs=inputs, targets=("NDVI",))
    kept = int((read(made.mosaics["NDVI"])[0] != -32768).sum())
    figures, pixels = made.plan.figures, place.height * place.width
    assert figures.covered_share == 1 and figures.mapped_share is not None
    assert kept == pytest.approx(figures.mapped_share * pixels, rel=0.002)
    assert 0.01 < 1 - kept / pixels < 0.05
    item = json.loads((made.folder / "item.json").read_text())["properties"]
    assert sum(item["terramosaic:gaps"].values()) == pytest.approx(1 - kept / pixels, abs=1e-5)
    # Counts tell it exactly where radar goes beside; where it leads, a rest may be of its files.
    assert set(item["terramosaic:gaps"]) - {"in the files"} == {"no radar"}


def test_a_pass_that_comes_later_maps_no_acquisition_again(toy: str, tmp_path: Path) -> None:
    """Nor does a nearer one: what stands can be made again. Whoever wants it removes the run, or its pass has gone."""
    catalog, out = Catalog(tmp_path / "items"), tmp_path / "out"
    catalog.folder.mkdir()
    small = Rect(GROUND.row + 300, GROUND.col + 300, 60, 60)
    given = {"model": toy, "targets": ("NDVI",), "steps": 1, "inputs": ("S2L2A", "S1RTC")}

    def add(day: int, orbit: int) -> Path:
        name, start = f"S1A_{day}_rtc", f"2023-08-{day} 05:00:00+00:00"
        catalog.add(write_rtc(tmp_path / name, GROUND, name=name, start=start, orbit=orbit))
        return catalog.folder / f"{name}.json"

    def looked() -> tuple[int, list[str], set[str]]:
        found = watch(catalog.request(small, out, **given | {"datetime": "2023-08"}), "2023-08-31")
        of_passes = [one.label[:10] for made in found.new.values() if made.radar for one in made.radar.passes]
        runs = {file.resolve().parent.name for file in (out / "acquisitions").glob("*/plan.json")}
        return found.found, of_passes, runs

    catalog.add(write_scene(tmp_path / "s2", GROUND))
    first = add(18, 49919)
    found, of_passes, runs = looked()
    assert (found, of_passes, len(runs)) == (1, ["2023-08-18"], 1)
    for later in ((22, 49977), (16, 49890)):
        add(*later)
        assert looked() == (1, [], runs)
    first.unlink()
    found, of_passes, more = looked()
    assert (found, of_passes, len(more)) == (1, ["2023-08-16"], 2)
