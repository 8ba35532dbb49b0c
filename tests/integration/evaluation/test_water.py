"""A bundle's water graded on chips in Sen1Floods11's layout, whose masks are made so that the figures are known."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from terramosaic.bands import S2L2A_BANDS
from terramosaic.cli.app import cli
from terramosaic.errors import CatalogError, RequestError
from terramosaic.evaluation.chips import chips_in, starts
from terramosaic.evaluation.water import evaluate_water
from terramosaic.model.bundle import load_bundle
from tests.support.terramesh import example

#: Sides of a chip that four windows cover.
HEIGHT, WIDTH = 300, 250


def write(path: Path, pixels: np.ndarray, bands: tuple[str, ...] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=pixels.shape[1], width=pixels.shape[2], count=len(pixels), dtype=pixels.dtype
    ) as file:  # fmt: skip
        file.write(pixels)
        file.descriptions = bands or (None,) * len(pixels)
    return path


@pytest.fixture(scope="module")
def dn(shared_data) -> np.ndarray:
    """A picture whose left third is water, as the demo bundle sees it: dark, and darkest in the infrared."""
    patch = example(shared_data, "637U_59R_1_3")["S2L2A"].astype(np.int16)
    wide = np.pad(patch, ((0, 0), (0, HEIGHT - 224), (0, WIDTH - 224)), mode="reflect")
    wide[:, :, :80] = np.linspace(600, 20, 12)[:, None, None]
    wide[:, :20, -30:] = 0
    return wide


@pytest.fixture(scope="module")
def water(dn) -> np.ndarray:
    """What the demo bundle takes for water: it judges each pixel by itself."""
    from terramosaic.model.generator import WindowRandomness
    from terramosaic.model.opening import open_generator

    bundle = load_bundle("demo")
    order = [S2L2A_BANDS.index(band) for band in bundle.bands]
    found = np.zeros((HEIGHT, WIDTH), np.int16)
    generator = open_generator(bundle, ["LULC"])
    for row in (0, HEIGHT - 224):
        for col in (0, WIDTH - 224):
            window = (slice(row, row + 224), slice(col, col + 224))
            made = generator.generate(
                {"S2L2A": dn[order][None, :, *window].astype(np.float32).clip(1)},
                {"LULC": WindowRandomness()},
            )["LULC"][0]
            found[window] = made[1:].argmax(axis=0) == 0
    assert 0.2 < found.mean() < 0.6
    return found


def test_water_in_known_places_and_no_data_left_out(dn, water, tmp_path):
    mask = water.copy()
    mask[:100] = -1
    mask[100:110] = 1 - mask[100:110]
    mask[-1] = 7
    l1c = np.insert(dn, 10, 1234, axis=0)
    write(tmp_path / "S2Hand/Ghana_1_S2Hand.tif", l1c)
    write(tmp_path / "LabelHand/Ghana_1_LabelHand.tif", mask[None])
    # What else the data set holds.
    write(tmp_path / "JRCWaterHand/Ghana_1_JRCWaterHand.tif", np.ones_like(mask)[None])
    write(tmp_path / "S1OtsuLabelHand/Ghana_1_S1OtsuLabelHand.tif", np.ones_like(mask)[None])
    write(tmp_path / "S1Hand/Ghana_1_S1Hand.tif", np.zeros((2, HEIGHT, WIDTH), np.float32))
    found = evaluate_water(load_bundle("demo"), tmp_path)
    assert (found.chips, found.l1c, found.offset, found.left_out) == (1, 1, 0, {})
    known = (mask == 0) | (mask == 1)
    known[:20, -30:] = False
    (neither, mask_alone), (map_alone, both) = found.confusion.counts
    assert found.unknown == (~known).sum() and found.confusion.count == known.sum()
    assert both == (known & (water == 1) & (mask == 1)).sum()
    assert map_alone == (known & (water == 1) & (mask == 0)).sum() > 0
    assert mask_alone == (known & (water == 0) & (mask == 1)).sum() > 0
    assert found.figures["iou"] == pytest.approx(both / (both + map_alone + mask_alone))
    assert found.figures["producers_accuracy"] == pytest.approx(both / (both + mask_alone))
    assert neither == (known & (water == 0) & (mask == 0)).sum()


def test_bands_are_taken_by_name_where_the_file_tells_names(dn, water, tmp_path):
    names = tuple(band.replace("B0", "B") for band in S2L2A_BANDS[::-1])
    write(tmp_path / "images/a.tif", dn[::-1].copy(), names)
    write(tmp_path / "masks/a.tif", water[None].astype(np.uint8))
    found = evaluate_water(load_bundle("demo"), tmp_path)
    assert (found.chips, found.l1c, found.figures["iou"]) == (1, 0, 1)


def test_an_offset_that_the_pixels_show_is_taken_off(shared_data, tmp_path):
    stored = example(shared_data, "433D_629L_3_1")["S2L2A"].astype(np.int32)
    mask = np.zeros((1, 224, 224), np.uint8)
    found = []
    for name, dn in (("stored", stored), ("removed", np.maximum(stored - 1000, 1))):
        write(tmp_path / name / "a_S2.tif", dn.astype(np.uint16))
        write(tmp_path / name / "a_mask.tif", mask)
        found.append(evaluate_water(load_bundle("demo"), tmp_path / name))
    assert [each.offset for each in found] == [1, 0]
    np.testing.assert_array_equal(found[0].confusion.counts, found[1].confusion.counts)


def test_chips_and_masks_find_each_other(tmp_path):
    one, twelve = np.zeros((1, 8, 8), np.int16), np.zeros((12, 8, 8), np.int16)
    for name in ("chip_1", "chip_2", "chip_3"):
        write(tmp_path / f"image/{name}.tif", twelve)
    for name in ("chip_1", "chip_2"):
        write(tmp_path / f"truth/{name}.tif", one)
    write(tmp_path / "image/x_S2.tif", twelve)
    for name in ("x_water", "x_lakes"):
        write(tmp_path / f"truth/{name}.tif", one)
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    chips, left_out = chips_in(tmp_path)
    assert [(chip.key, chip.mask.stem) for chip in chips] == [("chip_1", "chip_1"), ("chip_2", "chip_2")]
    assert left_out.keys() == {"chip_3", "x_S2", "broken.tif"} and left_out["chip_3"] == "it has no mask"
    assert left_out["x_S2"] == "several rasters could be its mask: x_lakes.tif, x_water.tif"


def test_windows_cover_a_chip():
    assert list(starts(512, 224, 192)) == [0, 192, 288]
    assert list(starts(224, 224, 192)) == [0] and list(starts(416, 224, 192)) == [0, 192]


def test_chips_that_cannot_be_used_are_left_out_by_name(dn, water, tmp_path):
    write(tmp_path / "a_S2.tif", dn)
    write(tmp_path / "a_mask.tif", water[None, :200])
    write(tmp_path / "b_S2.tif", dn[:, :200])
    write(tmp_path / "b_mask.tif", water[None, :200])
    write(tmp_path / "c_S2.tif", dn)
    write(tmp_path / "c_mask.tif", np.full_like(water, -1)[None])
    write(tmp_path / "d_S2.tif", (dn / 10_000).astype(np.float32))
    write(tmp_path / "d_mask.tif", water[None])
    with pytest.raises(
        CatalogError, match="no chip can be used: a_S2: it has 300 x 250 pixels, and its mask"
    ):
        evaluate_water(load_bundle("demo"), tmp_path)
    write(tmp_path / "e_S2.tif", dn)
    write(tmp_path / "e_mask.tif", water[None])
    found = evaluate_water(load_bundle("demo"), tmp_path)
    assert found.left_out.keys() == {"a_S2", "b_S2", "c_S2", "d_S2"} and found.chips == 1
    assert "should have 224" in found.left_out["b_S2"] and "neither 0 nor 1" in found.left_out["c_S2"]
    assert "no digital numbers" in found.left_out["d_S2"]


def test_what_is_asked_wrong(tmp_path):
    for folder, said in (
        (tmp_path / "none", "there is no folder"),
        (tmp_path, "no GeoTIFF of 12 or 13 bands"),
    ):
        with pytest.raises(RequestError, match=said):
            evaluate_water(load_bundle("demo"), folder)


def run(*arguments):
    return CliRunner().invoke(cli, ["evaluate", *arguments])


def test_a_precision_that_the_device_does_not_compute_in_is_refused(tmp_path):
    done = run("demo", "--water", str(tmp_path), "--precision", "fp16")
    assert str(done.exception).startswith("precision: a cpu computes in fp32 alone")


def test_the_command(dn, water, tmp_path):
    write(tmp_path / "a_S2.tif", np.insert(dn, 10, 1234, axis=0))
    write(tmp_path / "a_mask.tif", water[None])
    done = run("demo", "--water", str(tmp_path))
    assert done.exit_code == 0, done.output
    text = " ".join(done.output.split())
    for part in ("1 chips, water of LULC", "100.0%", "45.4%", "water in both", "(L1C)", "is not TerraMind"):
        assert part in text
    told = json.loads(run("demo", "--water", str(tmp_path), "--json").stdout)
    assert (
        told["precision"] == "fp32"
        and told["iou"] == 1
        and told["pixels"]["water_in_both"] == int(water[20:].sum() + water[:20, :-30].sum())
    )
