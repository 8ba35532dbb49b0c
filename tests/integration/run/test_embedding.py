"""Embeddings as a map: a pixel a patch, on the grid of patches, averaged over the windows that see one."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate

from terramosaic import map_region, verify
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import NODATA, QUALITY_NODATA
from terramosaic.storage.files import remove
from tests.integration.conftest import LAND
from tests.support.pixels import read
from tests.unit.model.toy_terramind import make_toy

#: Where four blocks meet, over a part of the hole; it begins and ends within patches.
RECT = Rect(LAND.row + 420, LAND.col + 600, 330, 200)
#: A part of it, and of what lies beside it.
BESIDE = Rect(LAND.row + 500, LAND.col + 650, 130, 230)


@pytest.fixture(scope="module")
def mapped(land, tmp_path_factory) -> Callable[..., MapResult]:
    """Makes maps with the toy, of which an embedding is the mean reflectance of a patch in each band."""
    toy = str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))
    out = tmp_path_factory.mktemp("mapped")

    def mapped(targets=("embedding",), rect=RECT, **options) -> MapResult:
        fields = {"model": toy, "steps": 1, "keep_imagery": True, **options}
        return map_region(land.request(rect, out, targets=targets, **fields))

    return mapped


@pytest.fixture(scope="module")
def run(mapped) -> MapResult:
    return mapped(("NDVI", "embedding"))


def embedding_of(run: MapResult) -> tuple[np.ndarray, Rect]:
    """Its numbers, and the patches they are of."""
    with rasterio.open(run.mosaics["embedding"]) as file:
        assert file.res == (160, 160)
        left, _, _, top = file.bounds
        corner = round((10_000_000 - top) / 160), round(left / 160)
        assert (left, top) == (corner[1] * 160, 10_000_000 - corner[0] * 160)
        return file.read(), Rect(*corner, *file.shape)


def by_patch(pixels: np.ndarray, rect: Rect, patches: Rect, fill: float) -> np.ndarray:
    """Pixels of a raster under patches: (bands, rows, 16, columns, 16); ``fill`` beyond it."""
    whole = Rect(patches.row * 16, patches.col * 16, patches.height * 16, patches.width * 16)
    shared = rect.intersection(whole)
    laid = np.full((len(pixels), *whole.shape), fill, float)
    laid[:, *shared.slices(whole)] = pixels[:, *shared.slices(rect)]
    return laid.reshape(len(pixels), patches.height, 16, patches.width, 16)


def test_a_pixel_is_what_the_encoder_makes_of_its_patch(run):
    """The toy's is the mean of its pixels, whatever window sees it; of missing ones, of what fills them."""
    found, patches = embedding_of(run)
    assert patches == RECT.cells(16)
    seen = by_patch(*read(run.mosaics["quality"]), patches, QUALITY_NODATA) != QUALITY_NODATA
    np.testing.assert_array_equal(found[0] != NODATA, seen.any(axis=(2, 4))[0])
    assert (found[0] == NODATA).any()
    imagery = by_patch(*read(run.mosaics["imagery"]), patches, 0)
    whole = (imagery > 0).all(axis=(0, 2, 4))
    assert 30 < whole.sum() < whole.size
    wanted = imagery.mean(axis=(2, 4)) * 1e-4
    np.testing.assert_allclose(found[:, whole], wanted[:, whole], rtol=6e-4)
    np.testing.assert_array_equal(found, found.astype(np.float16))


def test_other_targets_are_as_if_it_were_not_made(run, mapped):
    alone, first = mapped(("NDVI",)), mapped(("embedding", "NDVI"))
    for other in (alone, first):
        np.testing.assert_array_equal(read(run.mosaics["NDVI"])[0], read(other.mosaics["NDVI"])[0])
    np.testing.assert_array_equal(embedding_of(run)[0], embedding_of(first)[0])


def test_ground_decides(run, mapped):
    (one, here), (other, there) = embedding_of(run), embedding_of(mapped(rect=BESIDE))
    shared = here.intersection(there)
    one, other = one[:, *shared.slices(here)], other[:, *shared.slices(there)]
    # A patch at a region's rim has a pixel in it, or not.
    both = (one[0] != NODATA) & (other[0] != NODATA)
    assert both.mean() > 0.6
    np.testing.assert_array_equal(one[:, both], other[:, both])


def test_it_opens_in_xarray_with_its_own_pixels(run):
    array = run["embedding"].open()
    found, patches = embedding_of(run)
    assert array.dims == ("band", "y", "x") and array.shape == (12, *patches.shape)
    assert array.attrs["long_name"][:2] == ("dim 0", "dim 1")
    assert (array.x.values[0], array.y.values[0]) == (
        patches.col * 160 + 80, 10_000_000 - patches.row * 160 - 80
    )  # fmt: skip
    np.testing.assert_array_equal(array.values, np.where(found == NODATA, np.nan, found))


def test_it_is_a_cog_of_half_precision(run):
    path = run.mosaics["embedding"]
    assert cog_validate(path, quiet=True)[0]
    with rasterio.open(path) as file:
        assert file.descriptions == tuple(f"dim {number}" for number in range(12))
        assert file.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16"
        assert file.nodata == NODATA
        assert "each patch of 160 m" in file.tags()["TIFFTAG_IMAGEDESCRIPTION"]


def test_item_and_report_tell_it(run):
    asset = json.loads(run.item.read_text())["assets"]["embedding"]
    _, patches = embedding_of(run)
    assert asset["proj:shape"] == list(patches.shape)
    assert asset["proj:transform"][:3] == [160, 0, patches.col * 160]
    band = asset["bands"][11]
    assert (band["name"], band["data_type"], band["raster:spatial_resolution"]) == ("dim 11", "float16", 160)
    page = run.report.read_text()
    assert "Embedding of patches" in page
    assert f"12 bands, {patches.width} × {patches.height} pixels of 160 m" in page
    assert "The first three of 12 dimensions" in page


def test_it_is_verified(run, mapped):
    for each in (run, mapped(strides={"embedding": 96}, targets=("NDVI", "embedding"))):
        found = verify(each, windows=8, write=False)
        assert found.passed and found.verified == found.drawn > 0, found
    path = run.mosaics["embedding"]
    kept = path.read_bytes()
    try:
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as file:
            changed = file.read()
            changed[5, 3:9, 2:8] += 0.01
            file.write(changed)
        differing = verify(run, write=False).differing
        assert differing and all(window.mosaics.keys() == {"embedding"} for window in differing)
    finally:
        path.write_bytes(kept)


def test_windows_may_lie_closer(run, mapped):
    """More windows see a patch; of the toy that all make the same of what was seen."""
    closer = mapped(strides={"embedding": 96}, targets=("NDVI", "embedding"))
    np.testing.assert_array_equal(read(run.mosaics["NDVI"])[0], read(closer.mosaics["NDVI"])[0])
    one, other = embedding_of(run)[0], embedding_of(closer)[0]
    np.testing.assert_array_equal(one == NODATA, other == NODATA)
    assert np.isclose(one, other, rtol=2e-3).mean() > 0.8


def test_a_run_that_lost_a_block_is_made_whole_again(mapped):
    run = mapped(seed=1)
    wanted = run.mosaics["embedding"].read_bytes()
    folder, (block, *_) = RunFolder.of(run.plan), run.plan.blocks
    for path in (folder.block_raster(block, "embedding"), run.mosaics["embedding"], run.item):
        remove(path)
    again = mapped(seed=1)
    assert again.folder == run.folder
    assert again.mosaics["embedding"].read_bytes() == wanted
