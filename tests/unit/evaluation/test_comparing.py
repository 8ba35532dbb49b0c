"""Figures of made-up maps and references, whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.evaluation.comparing import Sums, areas_from, physical
from terramosaic.planning.layers import NODATA, Category, Layer

BACKSCATTER = Layer("S1RTC", "value", ("VV", "VH"), "int16", NODATA, unit="dB", scale=0.01, target="S1RTC")
COVER = Layer(
    "LULC", "class", ("LULC class",), "uint8", 0, target="LULC",
    classes=(Category(1, "water", (0, 0, 1)), Category(2, "trees", (0, 0, 2)), Category(11, "rangeland", (0, 0, 3))),
)  # fmt: skip


def test_stored_numbers_become_physical():
    stored = np.array([[[-1234, NODATA]], [[50, NODATA]]], np.int16)
    np.testing.assert_allclose(
        physical(stored, BACKSCATTER)[:, 0], [[-12.34, np.nan], [0.5, np.nan]], rtol=1e-6
    )


def test_a_known_bias():
    mapped = np.random.default_rng(1).normal(-12, 3, (2, 40, 40)).astype(np.float32)
    reference = mapped - np.array([0.5, -2], np.float32)[:, None, None]
    mapped[:, :2] = np.nan
    # What has no VH is not compared at all.
    reference[1, 2:4] = np.nan
    sums = Sums(BACKSCATTER)
    sums.add(mapped[:, :20], reference[:, :20])
    sums.add(mapped[:, 20:], reference[:, 20:])
    assert (sums.mapped, sums.compared, sums.parts) == (38 * 40, 36 * 40, 2)
    vv, vh = sums.bands
    assert (vv.band, vv.unit, vv.pixels, vv.data_range) == ("VV", "dB", 36 * 40, 95.5)
    assert (vv.bias, vv.mae, vv.rmse) == pytest.approx((0.5, 0.5, 0.5), abs=1e-5)
    assert (vh.bias, vh.mae, vh.correlation) == pytest.approx((-2, 2, 1), abs=1e-5)
    assert sums.table({}) == (None, "")


def test_a_known_confusion():
    mapped = np.repeat([1, 1, 2, 2, 11], 100).reshape(1, 25, 20).astype(np.float32)
    reference = np.repeat([1, 2, 2, 2, 10], 100).reshape(1, 25, 20).astype(np.float32)
    sums = Sums(COVER)
    sums.add(mapped, reference)
    table, _ = sums.table({1: 1e6, 2: 1e6})
    # Clouds of the reference are no class of the map's.
    assert table.pixels == sums.compared == 400 and sums.mapped == 500
    assert table.overall == 0.75 and table.counts == ((100, 100), (0, 200))
    assert [row.name for row in table.classes] == ["water", "trees"]
    assert table.water.iou == 0.5 and table.water.users == 0.5 and table.water.producers == 1
    assert table.water.mapped_km2 == 100
    # A single part is no sample.
    assert table.water.area_km2 is None


def test_areas_of_parts():
    # Four parts alike: half of what is mapped as water is not, and all else is right.
    counts, squares = np.array([[200, 200], [0, 800]]), np.array([4 * 100.0**2, 4 * 200.0**2])
    sample, unseen = areas_from(counts, squares, np.array([30.0, 70.0]))
    assert unseen == []
    np.testing.assert_allclose(sample.counts, [[2, 2], [0, 4]])
    np.testing.assert_allclose(sample.areas.value, [15, 85])
    # By hand: 0.3 * sqrt(0.5 * 0.5 / 3) * 1.96 * 100.
    np.testing.assert_allclose(sample.areas.margin, [16.974, 16.974], rtol=1e-3)
    # Were all in one part, as good as a single sample.
    assert areas_from(counts, np.array([400.0**2, 800.0**2]), np.array([30.0, 70.0])) == (None, [0, 1])
    some, unseen = areas_from(counts, np.array([400.0**2, 4 * 200.0**2]), np.array([30.0, 70.0]))
    assert unseen == [0] and list(some.mapped) == [0, 70]


def test_areas_where_points_are_samples():
    # Olofsson et al. 2014, as tests/unit/evaluation/test_areas.py has it: one pixel a part.
    counts = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    mapped = np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 0.09
    sample, _ = areas_from(counts, counts.sum(axis=1).astype(float), mapped)
    np.testing.assert_allclose(sample.counts, counts)
    assert sample.areas.value[0] == pytest.approx(21_158, abs=1)
    assert sample.areas.margin[0] == pytest.approx(6_158, abs=10)
