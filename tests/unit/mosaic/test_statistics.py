"""What a mosaic tells GIS programs of its numbers: exact figures in the file, and a table of classes beside it."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio

from terramosaic.ground.grid import Rect
from terramosaic.mosaic.assemble import write_mosaic
from terramosaic.mosaic.class_table import class_table
from terramosaic.planning.layers import Category, Layer

NODATA = -32768
INTEGERS = Layer("S1GRD", "value", ("VV", "VH"), "int16", NODATA, unit="dB", scale=0.01)
FLOATS = Layer("NDVI", "value", ("NDVI",), "float32", NODATA)
CLASSES = Layer(
    "LULC", "class", ("class",), "uint8", 0, overviews="mode",
    classes=(Category(1, "water", (65, 155, 223)), Category(7, "built <area>", (196, 40, 27))),
)  # fmt: skip


def write(path, layer, pixels, rows=7):
    pieces = (pixels[:, row : row + rows] for row in range(0, pixels.shape[1], rows))
    write_mosaic(path, pieces, Rect(0, 0, *pixels.shape[1:]).geobox(32633), layer, {})
    return path


@pytest.mark.parametrize(("layer", "low", "high"), [(INTEGERS, -3000, 500), (FLOATS, -1, 1)])
def test_figures_in_the_file_are_those_of_all_pixels_as_stored(tmp_path, layer, low, high):
    pixels = np.random.default_rng(1).uniform(low, high, (len(layer.bands), 50, 90)).astype(layer.dtype)
    pixels[0, 3, 4], pixels[0, 40, 80] = low - 10, high + 10  # an overview would lose them
    pixels[:, 10:20, :30] = layer.nodata
    with rasterio.open(write(tmp_path / "m.tif", layer, pixels)) as dataset:
        for band, values in enumerate(pixels, start=1):
            tags, valid = dataset.tags(band), values[values != layer.nodata].astype(float)
            told = {name: float(text) for name, text in tags.items() if name.startswith("STATISTICS_")}
            assert told == pytest.approx(
                {
                    "STATISTICS_MINIMUM": valid.min(),
                    "STATISTICS_MAXIMUM": valid.max(),
                    "STATISTICS_MEAN": valid.mean(),
                    "STATISTICS_STDDEV": valid.std(),
                    "STATISTICS_VALID_PERCENT": 100 * valid.size / values.size,
                }
            )


def test_without_a_pixel_there_are_no_figures(tmp_path):
    with rasterio.open(
        write(tmp_path / "m.tif", INTEGERS, np.full((2, 20, 20), NODATA, np.int16))
    ) as dataset:
        assert not any("STATISTICS" in name for name in dataset.tags(1))


def test_bytes_do_not_hang_on_how_rows_are_cut(tmp_path):
    pixels = np.random.default_rng(1).uniform(-3000, 500, (2, 50, 90)).astype(np.int16)
    files = [write(tmp_path / f"{rows}.tif", INTEGERS, pixels, rows) for rows in (7, 50)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_classes_have_a_table_of_only_those_there_can_be(tmp_path):
    path = write(tmp_path / "m.tif", CLASSES, np.ones((1, 20, 20), np.uint8))
    band = ElementTree.parse(f"{path}.aux.xml").getroot().find("PAMRasterBand")
    rows = [[cell.text for cell in row.iter("F")] for row in band.iter("Row")]
    assert rows == [
        ["0", "no data", "0", "0", "0", "0"],
        ["1", "water", "65", "155", "223", "255"],
        ["7", "built <area>", "196", "40", "27", "255"],
    ]
    names = [name.text for name in band.iter("Category")]
    assert [names[value] for value in (0, 1, 7)] == ["no data", "water", "built <area>"]
    assert len(names) == 8
    assert class_table(CLASSES) == path.with_name("m.tif.aux.xml").read_text()
