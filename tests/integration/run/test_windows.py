"""Windows and patches of other sizes than TerraMind's: a run asks its bundle for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from terramosaic import map_region, plan, verify
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.layers import PERCENT_NODATA
from tests.integration.conftest import LAND
from tests.support.pixels import assert_same_on_shared_pixels, read
from tests.unit.model.toy_terramind import make_toy

#: Where four blocks meet, over a part of the hole.
RECT = Rect(LAND.row + 420, LAND.col + 600, 240, 200)
TARGETS = ("S1GRD", "NDVI", "LULC")

#: Window, patch and stride of bundles; of the first the stride is what the bundle says, of the second two patches less.
SIZES = {(256, 16, 208): 208, (132, 12, 108): None}


@pytest.fixture(scope="module", params=SIZES)
def lattice(request: pytest.FixtureRequest) -> Lattice:
    window, patch, stride = request.param
    return Lattice(stride, window, patch)


@pytest.fixture(scope="module")
def toy(lattice: Lattice, tmp_path_factory) -> str:
    said = SIZES[lattice.side, lattice.patch, lattice.stride]
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle", lattice.side, lattice.patch, said))


@pytest.fixture(scope="module")
def mapped(land, toy: str, tmp_path_factory) -> MapResult:
    return map_region(
        land.request(RECT, tmp_path_factory.mktemp("mapped"), targets=TARGETS, model=toy, steps=2)
    )


def test_the_plan_has_the_models_windows(mapped: MapResult, lattice: Lattice) -> None:
    (each,) = mapped.plan.lattices
    assert each.lattice == lattice and mapped.plan.request.stride == lattice.stride
    item = json.loads((mapped.folder / "item.json").read_text())["properties"]
    assert item["terramosaic:stride"] == lattice.stride
    assert f"windows of {lattice.side} pixels every {lattice.stride}" in item["processing:lineage"]


def test_the_models_stride_need_not_be_said(
    mapped: MapResult, land, toy: str, lattice: Lattice, tmp_path: Path
):
    fields = {"targets": TARGETS, "model": toy, "steps": 2}
    said = plan(land.request(RECT, tmp_path, stride=lattice.stride, **fields))
    assert said.run_id == mapped.plan.run_id
    own = plan(land.request(RECT, tmp_path, strides={"LULC": lattice.stride}, **fields))
    assert own.run_id == mapped.plan.run_id and own.request.strides == {}


@pytest.mark.parametrize("block_size", [512, 2048])
def test_maps_do_not_depend_on_blocks_or_regions(
    mapped: MapResult, land, toy: str, block_size: int, tmp_path: Path
):
    rect = Rect(RECT.row + 60, RECT.col - 50, 150, 180)
    other = map_region(
        land.request(rect, tmp_path, targets=TARGETS, model=toy, steps=2, block_size=block_size)
    )
    assert_same_on_shared_pixels(mapped, other)


def test_each_window_is_computed_again_with_the_same_bits(mapped: MapResult) -> None:
    found = verify(mapped.folder, windows=10, write=False)
    assert found.passed and found.verified == found.drawn > 0 and found.failure is None


def test_patches_lie_on_the_ground(mapped: MapResult, lattice: Lattice) -> None:
    """The toy's classes are even in each patch: so they are where one window alone sees the ground, in its core."""
    confidence, rect = read(mapped.mosaics["LULC_confidence"])
    side, found = lattice.patch, []
    for i in lattice.rows(rect):
        for j in lattice.cols(rect):
            core = lattice.window(i, j).pad(lattice.stride - lattice.side).intersection(rect)
            for row in range(-(-core.row // side) * side, core.row_end - side + 1, side):
                for col in range(-(-core.col // side) * side, core.col_end - side + 1, side):
                    shown = confidence[0][Rect(row, col, side, side).slices(rect)]
                    if (shown != PERCENT_NODATA).all():
                        found.append(np.unique(shown).tolist())
    assert len(found) > 20 and {len(values) for values in found} == {1}
    assert len({value for (value,) in found}) > 1


@pytest.mark.parametrize(("fields", "told"), [
    ({"stride": 100}, "stride: is 100; windows of"),
    ({"strides": {"LULC": 1600}}, "strides: LULC: is 1600; windows of"),
])  # fmt: skip
def test_a_stride_that_the_model_cannot_have(land, toy: str, fields, told: str, tmp_path: Path) -> None:
    with pytest.raises(RequestError) as error:
        plan(land.request(RECT, tmp_path, targets=TARGETS, model=toy, **fields))
    assert str(error.value).startswith(told)
