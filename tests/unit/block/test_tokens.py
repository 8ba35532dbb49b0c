"""Tokens of overlapping windows lie beside each other, and each is found where its window is."""

from __future__ import annotations

import numpy as np

from terramosaic.block.tokens import NO_TOKEN, TokenSheet, token_sheets
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.model.bundle import load_bundle
from terramosaic.planning.plan import BundleRef, Plan
from terramosaic.request.request import RegionRequest

LATTICE = Lattice(192)
BLOCK = Rect(2048, 4096, 512, 512)


def filled() -> TokenSheet:
    """In each window of S1GRD the number of the window, in NDVI that of the patch."""
    sheet = TokenSheet(LATTICE, BLOCK, ("S1GRD", "NDVI"))
    for i in LATTICE.rows(BLOCK):
        for j in LATTICE.cols(BLOCK):
            sheet.put(i, j, {"S1GRD": np.full(196, 100 * i + j), "NDVI": np.arange(196)})
    return sheet


def test_each_window_keeps_its_own():
    sheet = filled()
    # 2048 lies in windows 10 (from 1920 on) to 13, 4096 in windows 21 (from 4032 on) to 23.
    assert sheet.rect == Rect(140, 294, 4 * 14, 3 * 14)
    found = sheet.of(11, 22)
    np.testing.assert_array_equal(found["S1GRD"], np.full(196, 1122))
    np.testing.assert_array_equal(found["NDVI"], np.arange(196))
    assert found["NDVI"].dtype == np.int64
    assert sheet.distinct == {"S1GRD": 12, "NDVI": 196}


def test_a_window_that_was_not_computed_has_none():
    sheet = TokenSheet(LATTICE, BLOCK, ("NDVI",))
    sheet.put(10, 21, {"NDVI": np.zeros(196, np.int64)})
    assert sheet.of(10, 21) is not None and sheet.of(10, 22) is None
    assert sheet.distinct == {"NDVI": 1} and (sheet.numbers == NO_TOKEN).any()
    # Nor has one beside the block, whose neighbours may ask.
    assert sheet.of(9, 21) is None and sheet.of(10, 24) is None and sheet.of(14, 23) is None


def test_a_part_of_a_block_is_held_against_the_whole():
    part = TokenSheet(LATTICE, Rect(2200, 4300, 10, 10), ("S1GRD", "NDVI"))
    part.put(11, 22, {"S1GRD": np.full(196, 1122), "NDVI": np.arange(196)})
    assert filled().agreement(part) == (392, 392)
    part.put(11, 22, {"S1GRD": np.full(196, 1123), "NDVI": np.arange(196)})
    assert filled().agreement(part) == (196, 392)


def test_it_begins_on_the_ground_where_its_windows_do():
    transform = filled().transform
    assert transform @ (0, 0) == Rect(1920, 4032, 1, 1).transform @ (0, 0)
    assert transform @ (14, 14) == Rect(2112, 4224, 1, 1).transform @ (0, 0)


def test_each_lattice_has_a_sheet_with_what_is_drawn_on_it():
    targets = ("S1GRD", "LULC", "NDVI")
    request = RegionRequest(
        region=(14, 45, 14.1, 45.1), datetime="2023", targets=targets, strides={"LULC": 112}
    )
    plan = Plan.model_construct(request=request, bundle=BundleRef.of(load_bundle("demo")))
    sheets = token_sheets(plan, BLOCK)
    assert [(sheet.name, sheet.targets) for sheet in sheets.values()] == [
        ("tokens", targets),
        ("tokens_112", ("S1GRD", "LULC")),
    ]
    # 2048 lies in windows 17 (from 1904 on) and 18 of stride 112, 2559 in window 22.
    assert sheets[Lattice(112)].rect.shape[0] == 14 * len(range(17, 23))
    assert list(token_sheets(plan, BLOCK, Lattice(112))) == [Lattice(112)]
