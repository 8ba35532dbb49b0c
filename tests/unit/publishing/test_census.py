"""A mosaic counted: exact figures of all pixels, of whatever type, however large."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from terramosaic.errors import OutputError
from terramosaic.mosaic.statistics import counts_of
from terramosaic.planning.layers import Layer
from terramosaic.publishing import census
from terramosaic.publishing.census import Census, census_of
from terramosaic.publishing.reduced import read_reduced
from tests.unit.publishing.test_quicklook import ANY, CLASSES, NODATA, QUALITY, S1, mosaic

FLOATS = Layer("S1GRD", "value", ("VV", "VH"), "float32", NODATA, unit="dB")
SHARES = Layer("LULC_confidence", "percent", ("confidence",), "uint8", 255, unit="%")


def counted(path: Path, layer: Layer, pixels: np.ndarray) -> Census:
    mosaic(path, layer, pixels)
    return census_of(path, layer, read_reduced(path, layer, 4, ANY))


def some(layer: Layer, low: float, high: float) -> np.ndarray:
    rng = np.random.default_rng(1)
    pixels = rng.uniform(low, high, (len(layer.bands), 700, 1100)).astype(layer.dtype)
    pixels[:, 100:200, :300] = layer.nodata
    return pixels


@pytest.mark.parametrize(
    ("layer", "low", "high"),
    [(S1, -3000, 500), (FLOATS, -30, 5), (SHARES, 0, 101)],
    ids=["int16", "float32", "uint8"],
)
def test_statistics_are_those_of_all_pixels(tmp_path, monkeypatch, layer, low, high):
    monkeypatch.setattr(census, "_COLUMNS", 512)
    pixels = some(layer, low, high)
    pixels[:, 5, 7] = high + 10  # what an overview's mean would smooth
    found = counted(tmp_path / "m.tif", layer, pixels)
    valid = pixels[0] != layer.nodata
    assert found.valid_share == pytest.approx(valid.mean())
    for band, figures in zip(pixels, found.statistics, strict=True):
        values = band[valid] * float(layer.scale)
        assert (figures.minimum, figures.maximum) == pytest.approx((values.min(), values.max()), rel=1e-6)
        assert figures.mean == pytest.approx(values.mean(dtype=float))
        assert figures.stddev == pytest.approx(values.std(dtype=float))
        if layer is not FLOATS:
            ordinal = np.percentile(values, [2, 50, 98], method="inverted_cdf")
            assert (figures.percentile_2, figures.median, figures.percentile_98) == pytest.approx(ordinal)


def test_classes_are_counted_at_full_resolution(tmp_path):
    pixels = np.full((1, 1100, 700), 2, np.uint8)
    pixels[0, ::10, ::10] = 7  # the mode of overviews would lose these
    found = counted(tmp_path / "m.tif", QUALITY, pixels)
    assert found.counts[0, 7] == 110 * 70
    assert found.counts[0, 2] == 1100 * 700 - 110 * 70
    assert found.counts.sum() == 1100 * 700
    assert found.statistics == ()


@pytest.mark.parametrize("layer", [S1, FLOATS, CLASSES])
def test_an_empty_mosaic_has_no_figures(tmp_path, layer):
    pixels = np.full((len(layer.bands), 30, 40), layer.nodata, layer.dtype)
    found = counted(tmp_path / "m.tif", layer, pixels)
    assert (found.valid_share, found.statistics) == (0, ())


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_every_number_of_a_type_has_its_place(dtype):
    kind = np.iinfo(dtype)
    found = counts_of(np.array([kind.min, kind.min, 1, kind.max], dtype))
    assert len(found) == kind.max - kind.min + 1
    assert (found[0], found[1 - kind.min], found[-1], found.sum()) == (2, 1, 1, 4)


def test_a_broken_mosaic_is_named(tmp_path):
    pixels = some(S1, -3000, 500)
    path = mosaic(tmp_path / "S1GRD.tif", S1, pixels)
    reduced = read_reduced(path, S1, 4, ANY)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(OutputError, match=r"S1GRD\.tif cannot be read"):
        census_of(path, S1, reduced)
