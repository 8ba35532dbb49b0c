"""Where a file itself says that it has no data there is none, however it says so, on every grid and scale."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp
from rasterio.warp import transform_bounds

from terramosaic.bands import S2L2A_BANDS
from terramosaic.errors import UnusableFileError
from terramosaic.ground.grid import Rect, rect_from_bounds
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.stack import Imagery, StackReader
from tests.support.scenes import AsPlanned, as_scene, dn_of, write_scene

RECT = Rect(490002, 50004, 600, 600)
HOLES = np.zeros((600, 600), bool)
HOLES[:240, 120:420] = True
COARSE = HOLES[::2, ::2]


@pytest.fixture
def item(tmp_path):
    return write_scene(tmp_path, RECT)


def rewritten(item, band, **profile):
    """A band's file, opened to be written anew."""
    path = item["assets"][band]["href"]
    with rasterio.open(path) as file:
        kept = file.profile
    del kept["nodata"]
    return rasterio.open(path, "w", **kept | profile)


def by_value(item, band, pixels, holes):
    """The holes hold a number that is declared to be none."""
    with rewritten(item, band, nodata=65_535) as file:
        file.write(np.where(holes, 65_535, pixels), 1)


def by_mask_inside(item, band, pixels, holes):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rewritten(item, band) as file:
        file.write(pixels, 1)
        file.write_mask(~holes)


def by_mask_beside(item, band, pixels, holes):
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False), rewritten(item, band) as file:
        file.write(pixels, 1)
        file.write_mask(~holes)


def by_alpha(item, band, pixels, holes):
    with rewritten(item, band, count=2) as file:
        file.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
        file.write(pixels, 1)
        file.write(np.where(holes, 0, 65_535).astype(np.uint16), 2)


def by_alpha_beside_no_data(item, band, pixels, holes):
    with rewritten(item, band, count=2, nodata=0) as file:
        file.colorinterp = (ColorInterp.gray, ColorInterp.alpha)
        file.write(pixels, 1)
        file.write(np.where(holes, 0, 65_535).astype(np.uint16), 2)


WAYS = [by_value, by_mask_inside, by_mask_beside, by_alpha, by_alpha_beside_no_data]


@pytest.mark.parametrize("declare", WAYS)
def test_declared_holes_are_no_data(item, declare):
    ten, twenty = dn_of("B04", 600, 600), dn_of("B05", 300, 300)
    declare(item, "B04", ten, HOLES)
    declare(item, "B05", twenty, COARSE)
    expected = {
        "B04": np.where(HOLES, 0, ten),
        "B05": np.kron(np.where(COARSE, 0, twenty), np.ones((2, 2), np.uint16)),
    }
    part = Rect(RECT.row + 101, RECT.col + 53, 401, 377)
    outside = Rect(RECT.row - 7, RECT.col - 5, 50, 200)
    with SceneReader(as_scene(item), 32633) as reader:
        for band, whole in expected.items():
            np.testing.assert_array_equal(reader.read(band, RECT), whole)
            np.testing.assert_array_equal(reader.read(band, part), whole[part.slices(RECT)])
            into = np.full((2, *part.shape), 7, np.uint16)
            np.testing.assert_array_equal(reader.read(band, part, into[1]), whole[part.slices(RECT)])
            assert (into[0] == 7).all()
            np.testing.assert_array_equal(reader.read(band, outside)[7:, 5:], whole[:43, :195])
            assert 0.18 < np.mean(reader.overview(band) == 0) < 0.22


@pytest.mark.parametrize("declare", WAYS)
def test_the_same_holes_are_seen_on_the_neighbouring_zones_grid(item, declare, tmp_path):
    """A file with zeros there is the truth: it was read right before."""
    pixels = dn_of("B04", 600, 600)
    plain = as_scene(write_scene(tmp_path / "plain", RECT, holes=HOLES))
    declare(item, "B04", pixels, HOLES)
    with SceneReader(plain, 32632) as truth, SceneReader(as_scene(item), 32632) as reader:
        around = rect_from_bounds(transform_bounds("EPSG:32633", "EPSG:32632", *RECT.bounds))
        expected = truth.read("B04", around)
        assert 0.6 < np.mean(expected > 0) < 0.8
        np.testing.assert_array_equal(reader.read("B04", around), expected)


def test_classes_may_declare_another_number_too(item):
    classes = np.full((300, 300), 4, np.uint8)
    with rewritten(item, "SCL", nodata=255) as file:
        file.write(np.where(COARSE, 255, classes), 1)
    with SceneReader(as_scene(item), 32633) as reader:
        found = reader.read("SCL", RECT)
    assert (found[HOLES] == 0).all() and (found[~HOLES] == 4).all()


def test_a_file_that_is_another_one_than_its_item_says_is_refused_by_name(item):
    path = item["assets"]["B04"]["href"]
    with rasterio.open(path) as file:
        pixels, kept = file.read(), file.profile
    with rasterio.open(path, "w", **kept | {"crs": "EPSG:32632"}) as file:
        file.write(pixels)
    scene = as_scene(item)
    with (
        SceneReader(scene, 32633) as reader,
        pytest.raises(
            UnusableFileError, match=r"^asset B04 of .* comes in EPSG:32632, and its item says EPSG:32633"
        ) as error,
    ):
        reader.read("B04", RECT)
    assert error.value.scene == scene.key and path in str(error.value)


def shortened(item, band):
    """A band's file without its lower half."""
    path = item["assets"][band]["href"]
    with rasterio.open(path) as file:
        kept, pixels = file.profile, file.read()
    with rasterio.open(path, "w", **kept | {"height": kept["height"] // 2}) as file:
        file.write(pixels[:, : kept["height"] // 2])


def test_beyond_its_end_a_file_has_no_data_and_no_zero_to_be_put_right(item):
    shortened(item, "B08")
    scene, below = as_scene(item), Rect(RECT.row + 300, RECT.col, 300, 600)
    with SceneReader(scene, 32633) as reader:
        for _ in range(2):  # before it is open, and then
            holes = reader.declared_holes("B08", RECT)
            assert not holes[:300].any() and holes[300:].all()
        assert reader.declared_holes("B08", Rect(RECT.row, RECT.col, 300, 600)) is None
        assert reader.declared_holes("B8A", below) is None
    with StackReader(
        Imagery(32633, S2L2A_BANDS, ((scene,),), "best", AsPlanned()), RECT, np.ones(RECT.shape, bool)
    ) as stack:
        valid = np.concatenate([strip.valid for strip in stack.strips()])
    assert valid[:300].all() and not valid[300:].any()


def test_what_the_files_say_is_kept_for_whoever_decides(item):
    with rasterio.open(item["assets"]["B04"]["href"], "r+") as file:
        file.scales, file.offsets = [0.0001], [-0.1]
    with SceneReader(as_scene(item), 32633) as reader:
        assert reader.verdicts == {}
        reader.overviews(["B04", "B05"], 256)
        assert {band: verdict.tagged_offset for band, verdict in reader.verdicts.items()} == {
            "B04": 1000,
            "B05": None,
        }
