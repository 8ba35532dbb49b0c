"""How numbers are stored: scales, nodata, classes."""

import numpy as np
import pytest

from terramosaic.block.encoding import second_classes, stored_classes, stored_percents, stored_values
from terramosaic.model.bundle import load_bundle
from terramosaic.planning.layers import NODATA, layers_of
from terramosaic.request.request import RegionRequest

BUNDLE = load_bundle("demo")


def made(*, targets=("S1GRD", "NDVI", "LULC"), **options):
    request = RegionRequest(region=(13, 45, 14, 46), datetime="2023", targets=targets, **options)
    return {layer.name: layer for layer in layers_of(request, BUNDLE)}


def test_layers_of_a_request():
    assert list(made()) == [
        "S1GRD", "NDVI", "LULC", "LULC_confidence", "LULC_disagreement", "acquired", "quality"
    ]  # fmt: skip
    assert list(made(targets=("LULC", "NDVI"), extras=("std", "confidence"))) == [
        "LULC", "LULC_confidence", "LULC_disagreement", "NDVI", "NDVI_std", "acquired", "quality"
    ]  # fmt: skip


def test_encodings_are_those_of_the_design():
    found = made(targets=("S1GRD", "S1RTC", "NDVI", "LULC"))
    for name in ("S1GRD", "S1RTC"):
        layer = found[name]
        assert (layer.dtype, layer.scale, layer.nodata, layer.unit, layer.bands) == (
            "int16",
            0.01,
            -32768,
            "dB",
            ("VV", "VH"),
        )
    assert (found["NDVI"].dtype, found["NDVI"].scale) == ("int16", 0.0001)
    lulc = found["LULC"]
    assert (lulc.dtype, lulc.nodata, lulc.overviews) == ("uint8", 0, "mode")
    assert [item.value for item in lulc.classes] == [1, 2, 4, 5, 7, 8, 9, 10, 11]
    assert lulc.colormap[1] == (0x41, 0x9B, 0xDF, 255) and lulc.colormap[0][3] == 0


@pytest.mark.parametrize(("name", "low", "high", "step"), [("NDVI", -1, 1, 1e-4), ("S1GRD", -60, 20, 1e-2)])
def test_values_come_back_within_half_a_step(name, low, high, step):
    layer = made()[name]
    values = np.random.default_rng(0).uniform(low, high, (len(layer.bands), 50, 50)).astype(np.float32)
    valid = np.random.default_rng(1).random((50, 50)) > 0.3
    stored = stored_values(layer, values, valid)
    assert stored.dtype == np.int16
    assert (stored[:, ~valid] == NODATA).all()
    assert np.abs(stored * layer.scale - values)[:, valid].max() <= step / 2 * (1 + 1e-3)


def test_values_out_of_range_are_clipped_and_never_become_nodata():
    layer = made()["S1GRD"]
    values = np.array([[[-1e9, 1e9]], [[-327.68, 327.68]]], np.float32)
    stored = stored_values(layer, values, np.ones((1, 2), bool))
    assert stored.ravel().tolist() == [-32767, 32767, -32767, 32767]


def test_float32_is_stored_as_it_is():
    layer = made(dtype="float32")["NDVI"]
    values = np.array([[[0.123456789, 0.5]]], np.float32)
    stored = stored_values(layer, values, np.array([[True, False]]))
    assert stored.dtype == np.float32 and stored[0, 0].tolist() == [values[0, 0, 0], NODATA]
    assert layer.scale == 1


def test_no_data_class_is_never_chosen_and_ties_go_to_the_first():
    layer = made()["LULC"]
    probabilities = np.zeros((10, 1, 4), np.float32)
    probabilities[0, 0, :] = 0.9  # the model's "no data" is the most probable everywhere
    probabilities[[1, 2], 0, 0] = 0.05
    probabilities[9, 0, 1] = 0.1
    probabilities[5, 0, 3] = 0.08
    classes, percent = stored_classes(layer, BUNDLE, probabilities, np.array([[True, True, False, True]]))
    assert classes.ravel().tolist() == [1, 11, 0, 7]
    assert percent.ravel().tolist() == [5, 10, 255, 8]


def test_the_second_class_is_the_best_of_the_others_and_none_where_no_other_has_a_chance():
    layer = made(targets=("LULC",), extras=("second",))["LULC_second"]
    probabilities = np.zeros((10, 1, 4), np.float32)
    probabilities[0] = 0.5  # "no data" is no second, either
    probabilities[[3, 6], 0, 0] = 0.1, 0.3
    probabilities[[1, 2], 0, 1] = 0.2
    probabilities[9, 0, 2] = 0.5
    probabilities[[1, 9], 0, 3] = 0.5
    second = second_classes(layer, BUNDLE, probabilities, np.array([[True, True, True, False]]))
    assert second.ravel().tolist() == [4, 2, 0, 0] and second.dtype == np.uint8


def test_probabilities_are_percents_by_class():
    layer = made(targets=("LULC",), extras=("probabilities",))["LULC_probabilities"]
    assert layer.bands[:2] == ("no data", "water") and len(layer.bands) == 10
    shares = np.array([[[0.004, 1.2]], [[0.996, 0.5]]], np.float32)
    assert stored_percents(shares, np.array([[True, False]])).tolist() == [[[0, 255]], [[100, 255]]]
