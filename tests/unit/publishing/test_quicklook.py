"""Pictures of mosaics: right colours, transparent gaps, one pixel frame for all layers and true colour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
from PIL import ImageColor

from terramosaic.bands import S2L2A_BANDS
from terramosaic.block.preview import PREVIEW_BANDS, preview_rect
from terramosaic.errors import DamagedBlocksError, OutputError
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.assemble import profile_of
from terramosaic.mosaic.cog import halve_average, halve_mode, write_cog
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import (
    QUALITY_CLOUD,
    QUALITY_EDGE,
    QUALITY_FILLED,
    QUALITY_SEA,
    REFLECTANCE,
    Category,
    Layer,
)
from terramosaic.publishing.quicklook import draw, true_colour
from terramosaic.publishing.reduced import ReducedMosaic, read_reduced

NODATA = -32768
#: The zone decides nothing where pixels are those of the grid.
ANY = Rect(0, 0, 1, 1)
NDVI = Layer("NDVI", "value", ("NDVI",), "int16", NODATA, scale=0.0001)
S1 = Layer("S1GRD", "value", ("VV", "VH"), "int16", NODATA, unit="dB", scale=0.01)
DEM = Layer("DEM", "value", ("DEM",), "int16", NODATA, unit="m")
EMBEDDING = Layer(
    "embedding",
    "embedding",
    ("dim 0", "dim 1", "dim 2", "dim 3"),
    "float32",
    NODATA,
    target="embedding",
    cell=16,
)
QUALITY = Layer("quality", "flags", ("quality",), "uint8", 255, overviews="mode")
CLASSES = Layer(
    "LULC", "class", ("class",), "uint8", 0, overviews="mode",
    classes=(Category(1, "water", (65, 155, 223)), Category(2, "trees", (57, 125, 73))),
)  # fmt: skip


def rgba(layer: Layer, stored: list, factor: int = 1) -> np.ndarray:
    pixels = np.asarray(stored, layer.dtype)
    picture = draw(ReducedMosaic(layer, pixels.reshape(len(layer.bands), *pixels.shape[-2:]), factor))
    return np.asarray(picture.image.convert("RGBA"))


def mosaic(path: Path, layer: Layer, pixels: np.ndarray) -> Path:
    write_cog(path, [pixels], profile_of(layer, Rect(0, 0, *pixels.shape[1:]).geobox(32633), {}))
    return path


class TestOverview:
    @pytest.mark.parametrize(("layer", "halve"), [(S1, halve_average), (QUALITY, halve_mode)])
    @pytest.mark.parametrize("factor", [1, 2, 4, 8])
    def test_is_the_mosaic_halved_again_and_again(self, tmp_path, layer, halve, factor):
        # 1100 pixels have overviews by 2 and 4; the step to 8 is made here.
        rng = np.random.default_rng(1)
        pixels = rng.integers(0, 9, (len(layer.bands), 1100, 530)).astype(layer.dtype)
        pixels[:, 40:60, 300:] = layer.nodata
        expected = pixels
        for _ in range(factor.bit_length() - 1):
            expected = halve(expected, layer.nodata)
        reduced = read_reduced(mosaic(tmp_path / "m.tif", layer, pixels), layer, factor, ANY)
        np.testing.assert_array_equal(reduced.stored, expected)
        np.testing.assert_array_equal(reduced.valid, expected[0] != layer.nodata)

    @pytest.mark.parametrize("factor", [1, 4, 16, 32, 64])
    def test_of_patches_lies_over_those_of_pixels(self, tmp_path, factor):
        """In the frame of the zone, which begins within a patch; three dimensions are enough."""
        zone, layer = Rect(1003, 3009, 2100, 1300), EMBEDDING
        own = layer.rect(zone)
        pixels = np.arange(own.height * own.width, dtype=np.float32).reshape(1, *own.shape) % 2000
        pixels = np.concatenate([pixels, pixels + 1, pixels + 2, pixels + 3]).astype(np.float16)
        pixels[:, 5, 7] = layer.nodata
        path = tmp_path / "embedding.tif"
        write_cog(path, [pixels], profile_of(layer, layer.geobox(zone, 32633), {}))
        reduced = read_reduced(path, layer, factor, zone)
        assert reduced.stored.shape == (3, -(-2100 // factor), -(-1300 // factor))
        if factor <= 16:
            row, col = (
                (1003 + 50 * factor + (factor - 1) // 2) // 16,
                (3009 + 60 * factor + (factor - 1) // 2) // 16,
            )
            assert reduced.stored[1, 50, 60] == pixels[1, row - own.row, col - own.col]
        picture = draw(reduced)
        assert picture.image.size == reduced.stored.shape[:0:-1]
        assert "first three of 4 dimensions" in picture.caption
        if factor == 1:
            gap = np.asarray(picture.image)[..., 3] == 0
            assert gap.sum() == 256 and gap[(own.row + 5) * 16 - 1003, (own.col + 7) * 16 - 3009]

    def test_reads_no_more_than_it_needs(self, tmp_path, monkeypatch):
        path = mosaic(tmp_path / "m.tif", S1, np.ones((2, 1100, 530), np.int16))
        monkeypatch.setattr("terramosaic.publishing.reduced.halve_average", lambda pixels, nodata: 1 / 0)
        assert read_reduced(path, S1, 4, ANY).stored.shape == (2, 275, 133)

    def test_statistics_are_physical_and_over_valid_pixels(self):
        stored = np.array([[[NODATA, -1000, -1200]], [[NODATA, -2000, -1600]]], np.int16)
        vv, vh = ReducedMosaic(S1, stored, 1).statistics()
        assert (vv.minimum, vv.mean, vv.maximum, vv.stddev) == pytest.approx((-12, -11, -10, 1))
        assert (vh.minimum, vh.median, vh.maximum) == pytest.approx((-20, -18, -16))

    def test_without_data_there_are_no_statistics(self):
        reduced = ReducedMosaic(S1, np.full((2, 3, 4), NODATA, np.int16), 1)
        assert reduced.statistics() == ()
        assert not np.asarray(draw(reduced).image)[..., 3].any()

    def test_a_broken_mosaic_is_named(self, tmp_path):
        (tmp_path / "NDVI.tif").write_bytes(b"II*\0 and nothing more")
        with pytest.raises(OutputError, match=r"NDVI\.tif cannot be read"):
            read_reduced(tmp_path / "NDVI.tif", NDVI, 2, ANY)


class TestPictures:
    def test_ndvi_has_its_fixed_colours_and_gaps_are_transparent(self):
        picture = rgba(NDVI, [[[-2000, -9999, 9000, 10000, NODATA]]])[0]
        low, high = ImageColor.getrgb("#4a6a8a"), ImageColor.getrgb("#064626")
        assert [tuple(pixel) for pixel in picture[:4]] == [(*low, 255)] * 2 + [(*high, 255)] * 2
        assert tuple(picture[4]) == (0, 0, 0, 0)

    def test_ndvi_gets_darker_from_straw_to_forest(self):
        picture = rgba(NDVI, [[np.arange(2000, 9001, 500)]])[0].astype(int)
        luminance = picture[:, :3] @ (0.2126, 0.7152, 0.0722)
        assert (np.diff(luminance) < 0.5).all()

    def test_backscatter_is_red_green_and_their_ratio_blue(self):
        rng = np.random.default_rng(2)
        vv, vh = rng.integers(-2000, -500, (2, 40, 40))
        stored = np.stack([vv, vh]).astype(np.int16)
        picture = draw(ReducedMosaic(S1, stored, 1))
        red, green, blue = picture.scales
        image = np.asarray(picture.image)
        for index, (scale, band) in enumerate(((red, vv), (green, vh), (blue, vv - vh))):
            expected = np.clip((band / 100 - scale.low) / (scale.high - scale.low), 0, 1) * 255
            np.testing.assert_allclose(image[..., index], expected, atol=1)
        assert {scale.unit for scale in picture.scales} == {"dB"}

    def test_probabilities_mix_the_colours_of_their_classes(self):
        layer = Layer(
            "LULC_probabilities", "percent", ("water", "trees"), "uint8", 255, unit="%", measure="probabilities",
            classes=(Category(1, "water", (200, 0, 0)), Category(2, "trees", (0, 100, 50))),
        )  # fmt: skip
        pixels = rgba(layer, [[[100, 50, 255]], [[0, 50, 255]]])[0]
        assert pixels.tolist() == [[200, 0, 0, 255], [100, 50, 25, 255], [0, 0, 0, 0]]

    def test_generated_reflectance_is_seen_in_its_true_colours(self):
        layer = Layer("S2L2A", "value", S2L2A_BANDS, "int16", NODATA, scale=REFLECTANCE, target="S2L2A")
        stored = np.full((12, 20, 20), 500)
        stored[S2L2A_BANDS.index("B04"), :, :10] = 3000
        stored[S2L2A_BANDS.index("B02"), :, 10:] = 3000
        stored[:, 0, 0] = NODATA
        picture = rgba(layer, stored)
        assert picture[5, 5].tolist() == [255, 0, 0, 255]
        assert picture[5, 15].tolist() == [0, 0, 255, 255]
        assert picture[0, 0, 3] == 0

    def test_days_have_colours_and_others_none(self):
        layer = Layer(
            "acquired", "days", ("day", "pass"), "uint16", 0,
            classes=(Category(19584, "2023-08-15", (1, 2, 3)), Category(19589, "2023-08-20", (4, 5, 6))),
        )  # fmt: skip
        stored = np.array([[[19584, 0, 19589]], [[1079, 0, 2122]]], np.uint16)
        picture = draw(ReducedMosaic(layer, stored, 1))
        assert np.asarray(picture.image)[0].tolist() == [[1, 2, 3, 255], [0, 0, 0, 0], [4, 5, 6, 255]]
        assert [swatch.label for swatch in picture.swatches] == ["2023-08-15", "2023-08-20"]

    def test_relief_is_lit_from_the_north_west(self):
        rows, cols = np.mgrid[:60, :60]
        hill = (400 - 8 * np.hypot(rows - 30, cols - 30)).astype(np.int16)
        picture = rgba(DEM, [hill]).astype(int).sum(axis=-1)
        assert picture[20, 20] > picture[40, 40] + 60
        assert abs(picture[20, 40] - picture[40, 20]) < 12

    @pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1)])
    def test_relief_of_a_sliver_can_be_drawn(self, shape):
        assert rgba(DEM, [np.full(shape, 7)]).shape == (*shape, 4)

    def test_classes_have_the_colours_of_the_bundle(self):
        picture = rgba(CLASSES, [[[0, 1, 2]]])[0]
        assert [tuple(pixel) for pixel in picture[1:]] == [(65, 155, 223, 255), (57, 125, 73, 255)]
        assert picture[0, 3] == 0

    def test_the_worst_flag_is_the_one_that_is_seen(self):
        alone = {
            bit: tuple(rgba(QUALITY, [[[bit]]])[0, 0])
            for bit in (0, QUALITY_CLOUD, QUALITY_FILLED, QUALITY_EDGE)
        }
        assert len(set(alone.values())) == 4
        edge, cloud = rgba(
            QUALITY, [[[QUALITY_FILLED | QUALITY_EDGE, QUALITY_CLOUD | QUALITY_FILLED | QUALITY_EDGE]]]
        )[0]
        assert tuple(edge) == alone[QUALITY_EDGE]
        assert tuple(cloud) == alone[QUALITY_CLOUD]
        assert rgba(QUALITY, [[[255]]])[0, 0, 3] == 0
        # The sea is the least of them, and has no place in the legend of runs without heights.
        with_heights = replace(QUALITY, flags=(*QUALITY.flags, QUALITY_SEA))
        sea = rgba(with_heights, [[[QUALITY_SEA, QUALITY_SEA | QUALITY_FILLED]]])[0]
        assert tuple(sea[0]) not in alone.values() and tuple(sea[1]) == alone[QUALITY_FILLED]
        assert [len(layer.bits) for layer in (QUALITY, with_heights)] == [5, 6]


class TestTrueColour:
    """A zone of two blocks whose edges lie off the preview's grid; a preview's pixel tells its place."""

    ZONE = Rect(1002, 2003, 45, 90)

    def run(self, tmp_path, factor=4):
        left, right = Rect(1002, 2003, 45, 45), Rect(1002, 2048, 45, 45)
        blocks = [SimpleNamespace(id=f"b{index}", rect=rect) for index, rect in enumerate((left, right))]
        plan = SimpleNamespace(
            preview_factor=factor,
            is_led_by_radar=False,
            request=SimpleNamespace(out=str(tmp_path)),
            bundle=SimpleNamespace(bands=PREVIEW_BANDS),
            run_id="run",
            blocks=blocks,
        )
        for block in blocks:
            rect = preview_rect(block.rect, factor)
            rows, cols = np.mgrid[rect.row : rect.row_end, rect.col : rect.col_end] * factor
            ground = np.stack([rows - 1000, cols - 2000, cols - 2000]).astype(np.uint16) * 25
            path = RunFolder.of(plan).block_raster(block, "S2")
            path.parent.mkdir(parents=True)
            profile = {"height": rect.height, "width": rect.width, "count": 3, "dtype": "uint16", "nodata": 0}
            with rasterio.open(
                path, "w", "GTiff", crs="EPSG:32633", transform=rect.transform, **profile
            ) as file:
                file.write(ground)
        receipt = SimpleNamespace(hash_of=lambda _: None)
        return plan, SimpleNamespace(rect=self.ZONE, blocks=blocks), dict.fromkeys(("b0", "b1"), receipt)

    def test_has_the_frame_of_overviews_and_each_pixel_in_its_place(self, tmp_path):
        picture = true_colour(*self.run(tmp_path))
        image = np.asarray(picture.image).astype(int)
        assert image.shape == (-(-45 // 4), -(-90 // 4), 4)
        assert (image[..., 3] == 255).all()
        # Green is the pixel's column and red its row; both rise evenly, over the seam of the blocks too.
        for line in (image[3, 1:-2, 1], image[1:-1, 5, 0]):
            steps = np.diff(line)
            assert (steps > 0).all()
            assert steps.max() <= 2 * steps.min() + 4

    def test_a_missing_preview_and_one_of_another_hash_are_named(self, tmp_path):
        plan, zone, receipts = self.run(tmp_path)
        RunFolder.of(plan).block_raster(zone.blocks[1], "S2").unlink()
        with pytest.raises(DamagedBlocksError, match=r"a block is .* \(b1\)"):
            true_colour(plan, zone, receipts)
        receipts["b0"] = SimpleNamespace(hash_of=lambda _: "of others")
        with pytest.raises(DamagedBlocksError) as error:
            true_colour(plan, zone, receipts)
        assert error.value.blocks == ("b0", "b1")

    def test_the_stretch_is_taken_from_clear_ground(self, tmp_path):
        plan, zone, receipts = self.run(tmp_path)
        everywhere = np.asarray(true_colour(plan, zone, receipts).image)
        clear = np.zeros(everywhere.shape[:2], bool)
        clear[:, :8] = True  # the west, where columns are low and so the land is dark
        west = np.asarray(true_colour(plan, zone, receipts, clear).image)
        assert (west[:, 4, 1] > everywhere[:, 4, 1]).all()
        assert (west[:, 12:, 1] == 255).all()
        # A clear spot too small to tell anything does not decide.
        clear[:] = False
        clear[0, 0] = True
        np.testing.assert_array_equal(np.asarray(true_colour(plan, zone, receipts, clear).image), everywhere)
