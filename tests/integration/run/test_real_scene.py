"""Real Sentinel-2 through the whole line: NDVI exact against the files, and the model sees the files' numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from terramosaic import map_region, plan
from terramosaic.bands import S2L2A_BANDS
from terramosaic.ground.grid import Rect
from terramosaic.imagery.stack import Imagery, StackReader
from tests.conftest import SHARED_DATA
from tests.support.pixels import assert_same_on_shared_pixels
from tests.support.real_scene import cases, ndvi_error
from tests.support.scenes import AsPlanned

NAMES = [
    "pc_29RKH_20200219_pb0214", "pc_29RKH_20200219_pb0509", "es_29RKH_20200219_pb0214", "es_29RKH_20200219_pb0509",
    "38D_378R_2_3", "637U_59R_1_3", "433D_629L_3_1", "seam-33TWL-33TWM",
]  # fmt: skip


@pytest.fixture(scope="module")
def real_cases(shared_data, tmp_path_factory):
    return {case.name: case for case in cases(shared_data, tmp_path_factory.mktemp("real"))}


def test_all_cases_are_there(shared_data, real_cases):
    assert list(real_cases) == NAMES


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="../shared/data is not there")
@pytest.mark.parametrize(
    ("name", "dtype", "allowed"),
    # What is stored is the same for all; what is read and computed is seen best in floating point.
    [
        *((name, "float32", 1e-6) for name in (NAMES[0], *NAMES[4:])),
        *(pytest.param(name, "float32", 1e-6, marks=pytest.mark.slow) for name in NAMES[1:4]),
        (NAMES[1], "int16", 0.5e-4 + 1e-7),
    ],
)
def test_ndvi_equals_that_of_the_files(real_cases, tmp_path, name, dtype, allowed):
    case = real_cases[name]
    result = map_region(case.request(tmp_path, dtype=dtype, targets=("NDVI",)))
    error, compared, pixels = ndvi_error(result.mosaics["NDVI"], case)
    assert error <= allowed
    assert compared > 0.4 * pixels > 0


@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="../shared/data is not there")
@pytest.mark.parametrize("name", ["pc_29RKH_20200219_pb0214", "pc_29RKH_20200219_pb0509", "433D_629L_3_1"])
def test_the_model_sees_the_files_numbers_after_the_offset_rule(real_cases, tmp_path, name):
    case = real_cases[name]
    made = plan(case.request(tmp_path))
    (scene,) = made.scenes.values()
    zone = made.zones[0]
    rect = Rect(zone.row, zone.col, min(zone.height, 600), min(zone.width, 600))
    imagery = Imagery(case.epsg, S2L2A_BANDS, ((scene,),), "best", AsPlanned())
    with StackReader(imagery, rect, np.ones(rect.shape, bool)) as stack:
        dn = np.concatenate([strip.dn for strip in stack.strips()], axis=1)
        valid = np.concatenate([strip.valid for strip in stack.strips()])
    assert valid.mean() > 0.9
    for index, band in enumerate(S2L2A_BANDS):
        expected, _ = case.truth(band, rect)
        np.testing.assert_array_equal(dn[index][valid], expected[valid])


@pytest.mark.slow
@pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="../shared/data is not there")
def test_blocks_batches_and_regions_do_not_show_on_real_imagery(real_cases, tmp_path):
    case = real_cases["pc_29RKH_20200219_pb0509"]
    west, south, east, north = case.region
    inner = (west + 0.3 * (east - west), south + 0.2 * (north - south), west + 0.7 * (east - west), north)
    big = map_region(case.request(tmp_path / "big", block_size=2048), batch_size=8)
    for name, region, block_size, batch_size in (("small", case.region, 512, 1), ("inner", inner, 1024, 8)):
        request = replace(case, region=region).request(tmp_path / name, block_size=block_size)
        assert_same_on_shared_pixels(big, map_region(request, batch_size=batch_size))
