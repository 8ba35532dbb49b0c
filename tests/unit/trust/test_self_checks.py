"""Models that do not look at their input are found by their numbers; sound ones are not suspected."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from terramosaic.block.ndvi import NdviAgreement
from terramosaic.mosaic.statistics import counts_of
from terramosaic.planning.layers import Category, Layer
from terramosaic.trust.self_checks import (
    NdviLimits,
    doubts_about_layer,
    doubts_about_ndvi,
    doubts_about_range,
    doubts_about_tokens,
    shares_at_bound,
)

NDVI = Layer("NDVI", "value", ("NDVI",), "int16", -32768, scale=0.0001, target="NDVI", bounds=((0.25, 0.75),))
CLASSES = Layer(
    "LULC", "class", ("class",), "uint8", 0, target="LULC",
    classes=(Category(1, "water", (0, 0, 255)), Category(2, "trees", (0, 255, 0))),
)  # fmt: skip

RNG = np.random.default_rng(0)
LAND = RNG.normal(0.5, 0.2, 20_000).clip(-1, 1)


def agreement(made: np.ndarray | None, shown: np.ndarray = LAND) -> NdviAgreement:
    # Digital numbers that have this NDVI.
    red, infrared = (np.rint(2500 * (1 + sign * shown)).astype(np.uint16) for sign in (-1, 1))
    return NdviAgreement.of(red, infrared, made, np.ones(shown.shape, bool))


def counts(layer: Layer, values: np.ndarray) -> np.ndarray:
    return counts_of(np.rint(values / layer.scale).astype(layer.dtype))[None]


def ndvi_doubts(agreement, limits=None):
    return doubts_about_ndvi(agreement, limits or NdviLimits())


class TestNdvi:
    def test_one_that_follows_the_imagery_is_trusted(self):
        assert ndvi_doubts(agreement(LAND + RNG.normal(0, 0.05, LAND.shape))) == []

    def test_one_of_something_else_is_told(self):
        (line,) = ndvi_doubts(agreement(RNG.permutation(LAND) * 0.3 + 0.35))
        assert "correlation of" in line and "the weights you meant" in line

    def test_one_that_is_constant_is_told(self):
        (line,) = ndvi_doubts(agreement(np.full(LAND.shape, 0.5)))
        assert "does not vary with" in line

    def test_one_that_is_off_is_told_with_its_figures(self):
        (line,) = ndvi_doubts(agreement(LAND - 0.3))
        assert "-0.30" in line and "offset" in line

    def test_what_the_bound_of_samples_takes_is_not_the_models_fault(self):
        forest, bounds = RNG.normal(0.82, 0.12, LAND.shape).clip(-1, 1), (0.005, 0.649)
        red, infrared = (np.rint(2500 * (1 + sign * forest)).astype(np.uint16) for sign in (-1, 1))
        for off, doubts in ((0, 0), (-0.15, 1)):
            made, whole = forest.clip(*bounds) + off, np.ones(forest.shape, bool)
            assert len(ndvi_doubts(NdviAgreement.of(red, infrared, made, whole, bounds))) == doubts
            assert len(ndvi_doubts(NdviAgreement.of(red, infrared, made, whole))) == 1

    def test_of_few_pixels_and_over_water_nothing_is_concluded(self):
        assert ndvi_doubts(agreement(np.zeros(900), LAND[:900])) == []
        sea = np.full(20_000, 0.01)
        assert ndvi_doubts(agreement(RNG.normal(0, 0.01, sea.shape), sea)) == []

    def test_without_the_target_there_is_nothing_to_say(self):
        assert ndvi_doubts(agreement(None)) == []

    def test_limits_of_the_request_go_before_those_of_the_bundle_and_both_before_the_defaults(self):
        plan = SimpleNamespace(
            bundle=SimpleNamespace(ndvi_limits={"bias": 0.5, "error": 0.4}),
            request=SimpleNamespace(ndvi_limits={"bias": 0.01}),
        )
        assert NdviLimits.of(plan) == NdviLimits(correlation=0.5, bias=0.01, error=0.4)

    def test_each_limit_is_held_to(self):
        off = agreement(LAND - 0.3)
        assert ndvi_doubts(off, NdviLimits(bias=0.4, error=0.4)) == []
        assert (
            len(ndvi_doubts(off, NdviLimits(bias=0.4))) == len(ndvi_doubts(off, NdviLimits(error=0.4))) == 1
        )
        noisy = agreement(LAND + RNG.normal(0, 0.15, LAND.shape))
        assert ndvi_doubts(noisy) == [] and len(ndvi_doubts(noisy, NdviLimits(correlation=0.99))) == 1


class TestTokens:
    @pytest.mark.parametrize(("count", "words"), [(1, "the same token"), (4, "one of 4 tokens")])
    def test_too_few_are_told(self, count, words):
        (line,) = doubts_about_tokens({"S1GRD": count, "NDVI": 300}, agreement(None))
        assert line.startswith("S1GRD: the model gives") and words in line

    def test_many_are_not_and_an_even_scene_may_have_one(self):
        assert doubts_about_tokens({"S1GRD": 5}, agreement(None)) == []
        assert doubts_about_tokens({"S1GRD": 1}, agreement(None, np.full(20_000, 0.01))) == []


class TestLayers:
    def test_a_map_that_varies_is_trusted(self):
        assert doubts_about_layer(NDVI, counts(NDVI, RNG.uniform(0.2, 0.8, 20_000)), agreement(None)) == []

    def test_a_single_value_is_told(self):
        (line,) = doubts_about_layer(NDVI, counts(NDVI, np.full(20_000, 0.4)), agreement(None))
        assert line == "NDVI: 100 % is 0.4 in NDVI; are these the weights you meant?"

    def test_a_single_class_is_told_by_its_name_where_the_imagery_varies(self):
        values = np.full(20_000, 2)
        values[:10] = 1
        (line,) = doubts_about_layer(CLASSES, counts(CLASSES, values), agreement(None))
        assert line.startswith("LULC: 99.95 % is trees")
        assert doubts_about_layer(CLASSES, counts(CLASSES, values), agreement(None, np.zeros(20_000))) == []
        forest = agreement(None, RNG.normal(0.8, 0.12, LAND.shape).clip(-1, 1))
        assert doubts_about_layer(CLASSES, counts(CLASSES, values), forest) == []
        values[:30] = 1
        assert doubts_about_layer(CLASSES, counts(CLASSES, values), agreement(None)) == []

    def test_a_band_that_hardly_varies_is_told(self):
        (line,) = doubts_about_range(NDVI, "NDVI", 0.3999, 0.4001, agreement(None))
        assert line == "NDVI: 96 % of NDVI lie between 0.3999 and 0.4001; are these the weights you meant?"
        assert doubts_about_range(NDVI, "NDVI", 0.35, 0.45, agreement(None)) == []
        assert doubts_about_range(NDVI, "NDVI", 0.4, 0.4, agreement(None, np.full(20_000, 0.01))) == []

    def test_no_data_does_not_count(self):
        values = np.where(np.arange(20_000) < 15_000, -32768 * NDVI.scale, RNG.uniform(0.3, 0.7, 20_000))
        assert doubts_about_layer(NDVI, counts(NDVI, values), agreement(None)) == []
        assert doubts_about_layer(NDVI, counts(NDVI, np.full(20_000, -3.2768)), agreement(None)) == []

    def test_values_piled_up_at_the_bound_of_samples_are_told(self):
        values = np.concatenate([np.full(6000, 0.75), np.full(5000, 0.2501), np.linspace(0.3, 0.7, 9000)])
        assert shares_at_bound(NDVI, counts(NDVI, values)) == {"NDVI": pytest.approx(0.55)}
        (line,) = doubts_about_layer(NDVI, counts(NDVI, values), agreement(None))
        assert line.startswith("NDVI: 55 % of NDVI lies at the bound of samples, 0.25 to 0.75")
        # A normal distribution that is cut at one deviation has a third of it there, as the reference's has.
        cut = RNG.normal(0.5, 0.25, 20_000).clip(0.25, 0.75)
        assert shares_at_bound(NDVI, counts(NDVI, cut)) == {"NDVI": pytest.approx(0.32, abs=0.02)}
        assert doubts_about_layer(NDVI, counts(NDVI, cut), agreement(None)) == []
