"""Windows that have seen nothing but cloud, where a request skips them."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic import map_region, plan, verify
from terramosaic.errors import EmptyMapError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.gaps import SKIPPED
from terramosaic.planning.layers import QUALITY_CLOUD, QUALITY_NODATA, QUALITY_SKIPPED
from terramosaic.publishing.record import gather
from tests.integration.conftest import Catalog
from tests.support.pixels import assert_same_on_shared_pixels, read
from tests.support.scenes import write_scene

#: A scene on the lattice of windows of 224 every 192, clear in the west.
SCENE = Rect(192 * 2400, 192 * 200, 1200, 1800)
CLEAR = 500
RECT = Rect(SCENE.row + 100, SCENE.col + 100, 700, 1500)
TARGETS = ("NDVI", "LULC")


@pytest.fixture(scope="module")
def cloudy(tmp_path_factory) -> Catalog:
    """A scene that is clouded from a column on, but for a pixel of the classification in the far east."""
    folder = tmp_path_factory.mktemp("cloudy")
    scl = np.full((SCENE.height // 2, SCENE.width // 2), 4)
    scl[:, CLEAR // 2 :] = 9
    scl[200, 700] = 4
    catalog = Catalog(folder)
    catalog.add(write_scene(folder / "a", SCENE, scl=scl))
    return catalog


@pytest.fixture(scope="module")
def generated(cloudy, tmp_path_factory) -> MapResult:
    return map_region(cloudy.request(RECT, tmp_path_factory.mktemp("generated"), targets=TARGETS))


@pytest.fixture(scope="module")
def skipped(cloudy, tmp_path_factory) -> MapResult:
    return map_region(
        cloudy.request(RECT, tmp_path_factory.mktemp("skipped"), targets=TARGETS, under_cloud="skip")
    )


def under_windows_that_saw_ground() -> np.ndarray:
    """Which pixels of the region lie under a window with a clear pixel, as the definition says it."""
    clear = np.zeros(SCENE.shape, bool)
    clear[:, :CLEAR] = True
    clear[400:402, 1400:1402] = True
    lattice, found = Lattice(192, 224, 16), np.zeros(RECT.shape, bool)
    for i in lattice.rows(RECT):
        for j in lattice.cols(RECT):
            window = lattice.window(i, j)
            if clear[window.intersection(SCENE).slices(SCENE)].any():
                found[window.intersection(RECT).slices(RECT)] = True
    return found


def test_they_have_no_data_and_the_others_are_as_they_were(generated, skipped):
    mapped = under_windows_that_saw_ground()
    assert 0.3 < mapped.mean() < 0.7
    (with_all, rect), (without, _) = (read(each.mosaics["NDVI"]) for each in (generated, skipped))
    assert rect == RECT
    nodata = skipped.plan.layer("NDVI").nodata
    np.testing.assert_array_equal(without[0] != nodata, mapped)
    # Where all windows over a pixel were generated, nothing has changed.
    lattice, untouched = Lattice(192, 224, 16), mapped.copy()
    for i in lattice.rows(RECT):
        for j in lattice.cols(RECT):
            shared = lattice.window(i, j).intersection(RECT).slices(RECT)
            untouched[shared] &= mapped[shared].all()
    assert untouched.any()
    np.testing.assert_array_equal(with_all[0][untouched], without[0][untouched])


def test_quality_keeps_its_flags_and_tells_what_was_skipped(generated, skipped):
    (before, _), (after, _) = (read(each.mosaics["quality"]) for each in (generated, skipped))
    left_out = ~under_windows_that_saw_ground()
    assert (after[0] != QUALITY_NODATA).all()
    np.testing.assert_array_equal((after[0] & QUALITY_SKIPPED) > 0, left_out)
    np.testing.assert_array_equal(after[0] & ~np.uint8(QUALITY_SKIPPED), before[0])
    assert ((after[0] & QUALITY_CLOUD) > 0)[left_out].all()
    assert QUALITY_SKIPPED not in generated.plan.layer("quality").bits


def test_what_was_skipped_is_told_as_a_gap(skipped):
    facts, left_out = gather(skipped.plan), ~under_windows_that_saw_ground()
    assert facts.valid_pixels == (~left_out).sum()
    assert facts.gaps == pytest.approx({SKIPPED: left_out.mean()}, abs=1e-3)
    assert any("under cloud alone and was skipped" in line for line in facts.warnings)


def test_the_map_does_not_depend_on_blocks_and_windows_verify(cloudy, skipped, tmp_path):
    inner = Rect(RECT.row + 130, RECT.col + 250, 300, 700)
    request = cloudy.request(inner, tmp_path, targets=TARGETS, under_cloud="skip", block_size=1024)
    assert_same_on_shared_pixels(skipped, map_region(request))
    found = verify(skipped.folder, windows=20, write=False)
    assert found.passed and found.verified == found.drawn > 0


def test_a_map_of_cloud_alone_is_empty(cloudy, tmp_path):
    rect = Rect(SCENE.row + 600, SCENE.col + 900, 200, 200)
    with pytest.raises(EmptyMapError):
        map_region(cloudy.request(rect, tmp_path, targets=("NDVI",), under_cloud="skip"))


def test_where_nothing_tells_of_clouds_it_is_refused(cloudy, tmp_path):
    request = cloudy.request(RECT, tmp_path, under_cloud="skip", inputs=("S2L1C",))
    with pytest.raises(RequestError, match="S2L1C"):
        plan(request)
