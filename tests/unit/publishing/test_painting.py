"""Pixels that are painted later look as they do in the picture that decided their colours."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from terramosaic.planning.layers import REFLECTANCE, Category, Layer
from terramosaic.publishing.painting import Paint
from terramosaic.publishing.quicklook import draw
from terramosaic.publishing.reduced import ReducedMosaic

NODATA = -32768
SIZE = (40, 50)
NDVI = Layer("NDVI", "value", ("NDVI",), "int16", NODATA, scale=0.0001)
S1 = Layer("S1GRD", "value", ("VV", "VH"), "int16", NODATA, unit="dB", scale=0.01)
DEM = Layer("DEM", "value", ("DEM",), "int16", NODATA, unit="m")
CLASSES = (Category(1, "water", (65, 155, 223)), Category(2, "trees", (57, 125, 73)))
PERCENT = Layer(
    "LULC_confidence", "percent", ("c",), "uint8", 255, unit="%", target="LULC", measure="confidence"
)

LAYERS = {
    "NDVI": (NDVI, (-2000, 9000)),
    "backscatter": (S1, (-3000, 300)),
    "std": (replace(S1, name="S1GRD_std", measure="std"), (0, 400)),
    "own": (replace(NDVI, name="moisture"), (-500, 12_000)),
    "classes": (Layer("LULC", "class", ("LULC",), "uint8", 0, overviews="mode", classes=CLASSES), (0, 3)),
    "flags": (Layer("quality", "flags", ("quality",), "uint8", 255, overviews="mode"), (0, 32)),
    "days": (
        Layer("acquired", "days", ("day", "pass"), "uint16", 0, unit="d", overviews="mode",
              classes=tuple(replace(one, value=19_000 + one.value) for one in CLASSES)),
        (19_001, 19_003),
    ),
    "confidence": (PERCENT, (0, 101)),
    "disagreement": (replace(PERCENT, measure="disagreement"), (0, 101)),
    "probabilities": (
        replace(PERCENT, bands=("water", "trees"), measure="probabilities", classes=CLASSES), (0, 51)
    ),
    "imagery": (
        Layer("imagery", "imagery", ("B02", "B03", "B04", "B08"), "uint16", 0, scale=REFLECTANCE), (1, 4000)
    ),
    "reflectance": (
        Layer("S2L2A", "value", ("B02", "B03", "B04"), "int16", NODATA, scale=REFLECTANCE, target="S2L2A"),
        (0, 4000),
    ),
    "embedding": (
        Layer("embedding", "embedding", ("a", "b", "c", "d"), "float32", NODATA, target="embedding", cell=16),
        (-3, 4),
    ),
}  # fmt: skip


def reduced(layer: Layer, ends: tuple[int, int]) -> ReducedMosaic:
    rng = np.random.default_rng(4)
    stored = rng.integers(*ends, size=(len(layer.bands), *SIZE)).astype(layer.dtype)
    stored[:, :5] = layer.nodata
    return ReducedMosaic(layer, stored, 1)


@pytest.mark.parametrize("kind", LAYERS)
def test_pixels_have_the_colours_of_the_picture(kind):
    mosaic = reduced(*LAYERS[kind])
    picture = draw(mosaic)
    paint = Paint.of(mosaic.layer, picture)
    painted = paint.paint(mosaic.stored[list(paint.bands)]).astype(int)
    wanted = np.asarray(picture.image.convert("RGBA")).astype(int)
    shown = wanted[..., 3] > 0
    assert shown.any() and not shown[:5].any()
    np.testing.assert_array_equal(painted[..., 3], wanted[..., 3])
    # A stretch in physical units differs from one in stored steps by rounding.
    assert np.abs(painted - wanted)[shown].max() <= 1
    assert len(np.unique(painted[shown], axis=0)) > 1
    # A part of it looks as it does in the whole.
    part = paint.paint(mosaic.stored[list(paint.bands)][:, 7:20, 3:9])
    np.testing.assert_array_equal(part, painted[7:20, 3:9])


def test_elevation_has_its_tints_without_the_shade():
    stored = np.tile(np.linspace(0, 1000, 50).astype(np.int16), (1, 40, 1))
    paint = Paint.of(DEM, draw(ReducedMosaic(DEM, stored, 1)))
    painted = paint.paint(stored)
    assert (painted[0] == painted[-1]).all()
    assert painted[0, 0, :3].tolist() == [0x2F, 0x6E, 0x5B]
    assert painted[0, -1, :3].tolist() == [0xF4, 0xF2, 0xEE]


def test_a_mosaic_without_data_is_transparent():
    stored = np.full((1, 4, 4), NODATA, np.int16)
    paint = Paint.of(NDVI, draw(ReducedMosaic(NDVI, stored, 1)))
    assert not paint.paint(stored).any()
