"""Styles of GIS programs: the same colours for the same pixels as in the report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from PIL import ImageColor

from terramosaic.ground.grid import Rect
from terramosaic.mosaic.assemble import write_mosaic
from terramosaic.planning.layers import Layer
from terramosaic.publishing.census import census_of
from terramosaic.publishing.quicklook import draw
from terramosaic.publishing.record import LayerRecord
from terramosaic.publishing.reduced import ReducedMosaic
from terramosaic.publishing.styles import files_beside
from tests.unit.publishing.test_quicklook import CLASSES, DEM, NDVI, QUALITY, S1

SHAPE = (40, 60)
REFLECTANCE = Layer(
    "S2L2A", "value", ("B02", "B03", "B04", "B08"), "int16", -32768, scale=0.0001, target="S2L2A"
)


def record(folder: Path, layer: Layer, pixels: np.ndarray) -> LayerRecord:
    path, rect = folder / f"{layer.name}.tif", Rect(0, 0, *SHAPE)
    pixels = pixels.reshape(-1, *SHAPE).astype(layer.dtype)
    write_mosaic(path, iter([pixels]), layer.geobox(rect, 32633), layer, {})
    reduced = ReducedMosaic(layer, pixels, 1)
    census, zone = census_of(path, layer, reduced), SimpleNamespace(rect=rect, epsg=32633)
    return LayerRecord(zone, layer, path, 0, "", census, draw(reduced), None)


def some(low: float, high: float, bands: int = 1) -> np.ndarray:
    return np.random.default_rng(1).uniform(low, high, (bands, *SHAPE))


def renderer(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text).find("pipe/rasterrenderer")


def as_qgis(text: str, values: np.ndarray) -> np.ndarray:
    """What QGIS makes of bands in physical units by a style: uint8 (height, width, 3)."""
    style = renderer(text)
    if style.get("type") == "paletted":
        table = {
            int(one.get("value")): ImageColor.getrgb(one.get("color")) for one in style.iter("paletteEntry")
        }
        return np.array([[table[int(value)] for value in row] for row in values[0]], np.uint8)
    if style.get("type") == "singlebandpseudocolor":
        items = list(style.iter("item"))
        at = [float(item.get("value")) for item in items]
        colours = np.array([ImageColor.getrgb(item.get("color")) for item in items])
        return np.stack([np.interp(values[0], at, channel) for channel in colours.T], axis=-1)
    gamma = float(ElementTree.fromstring(text).find("pipe/brightnesscontrast").get("gamma"))
    channels = []
    for name in ("red", "green", "blue"):
        band = values[int(style.get(f"{name}Band")) - 1]
        low, high = (
            float(style.find(f"{name}ContrastEnhancement/{end}Value").text) for end in ("min", "max")
        )
        channels.append(255 * np.clip((band - low) / (high - low), 0, 1) ** (1 / gamma))
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize(
    ("layer", "pixels"),
    [
        (NDVI, some(-3000, 9500)),
        (
            Layer("LULC_confidence", "percent", ("c",), "uint8", 255, unit="%", measure="confidence"),
            some(0, 101),
        ),
        (CLASSES, some(1, 3)),
        (QUALITY, some(0, 32)),
        (REFLECTANCE, some(100, 4000, 4)),
    ],
    ids=["ndvi", "percent", "classes", "flags", "reflectance"],
)
def test_colours_are_the_report_s(tmp_path, layer, pixels):
    made = record(tmp_path, layer, pixels)
    values = pixels.astype(layer.dtype) * layer.scale
    picture = np.asarray(made.quicklook.image.convert("RGB")).astype(float)
    found = as_qgis(files_beside(made)[f"{layer.name}.qml"], values)
    np.testing.assert_allclose(found, picture, atol=3)


def test_backscatter_opens_as_two_polarisations_and_as_the_report_s_composite(tmp_path):
    pixels = np.concatenate([some(-2500, 200), some(-3200, -400)])
    pixels[:, :5, :5] = S1.nodata
    made = record(tmp_path, S1, pixels)
    files = files_beside(made)
    assert set(files) == {"S1GRD.qml", "S1GRD_composite.vrt", "S1GRD_composite.qml"}
    style = renderer(files["S1GRD.qml"])
    assert [style.get(f"{name}Band") for name in ("red", "green", "blue")] == ["1", "2", "1"]
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with rasterio.open(tmp_path / "S1GRD_composite.vrt") as dataset:
        stored = dataset.read()
        assert dataset.descriptions == ("VV", "VH", "VV − VH")
        assert dataset.scales == (0.01, 0.01, 0.01)
    np.testing.assert_array_equal(stored[:2], pixels.astype(np.int16))
    np.testing.assert_array_equal(stored[2], stored[0] - stored[1])
    valid = stored[0] != S1.nodata
    picture = np.asarray(made.quicklook.image.convert("RGB")).astype(float)
    found = as_qgis(files["S1GRD_composite.qml"], stored * 0.01)
    np.testing.assert_allclose(found[valid], picture[valid], atol=1)


def test_legends_name_what_there_is_and_nothing_else(tmp_path):
    flags = np.zeros(SHAPE)
    flags[:3], flags[3:6], flags[6:9] = 1, 5, 255
    legend = {
        int(one.get("value")): one.get("label")
        for one in renderer(files_beside(record(tmp_path, QUALITY, flags))["quality.qml"]).iter(
            "paletteEntry"
        )
    }
    assert legend == {
        0: "no flag",
        1: "generated under cloud",
        5: "generated under cloud + edge of data",
    }
    # Of classes all, also those that are not there: maps of two places are to look alike.
    style = renderer(files_beside(record(tmp_path, CLASSES, np.ones(SHAPE)))["LULC.qml"])
    assert [one.get("label") for one in style.iter("paletteEntry")] == ["water", "trees"]


def test_heights_are_shown_from_the_lowest_to_the_highest(tmp_path):
    items = list(renderer(files_beside(record(tmp_path, DEM, some(200, 900)))["DEM.qml"]).iter("item"))
    assert 200 <= float(items[0].get("value")) < 230
    assert items[0].get("label").endswith(" m")


def test_what_the_report_mixes_is_shown_by_its_first_band(tmp_path):
    layer = replace(
        CLASSES, name="LULC_probabilities", kind="percent", bands=("water", "trees"), nodata=255,
        measure="probabilities", overviews="average", unit="%",
    )  # fmt: skip
    style = renderer(files_beside(record(tmp_path, layer, some(0, 100, 2)))["LULC_probabilities.qml"])
    assert (style.get("type"), style.get("band")) == ("singlebandpseudocolor", "1")


def test_a_mosaic_without_data_has_no_style(tmp_path):
    assert not files_beside(record(tmp_path, NDVI, np.full(SHAPE, NDVI.nodata)))
