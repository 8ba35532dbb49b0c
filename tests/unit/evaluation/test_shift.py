"""A reference that lies beside a map is found out, by how far."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.evaluation.shift import ShiftScores

GROUND = np.random.default_rng(2).normal(size=(80, 90)).astype(np.float32)


@pytest.mark.parametrize("are_classes", [False, True])
@pytest.mark.parametrize(("down", "right"), [(2, -3), (-1, 0), (0, 3)])
def test_it_is_found_where_it_lies(are_classes, down, right):
    ground = np.floor(GROUND * 2) if are_classes else GROUND
    mapped, reference = ground[10:60, 10:70], ground[10 - down : 60 - down, 10 - right : 70 - right]
    total = sum(
        (
            ShiftScores.of(mapped[:, part], reference[:, part], are_classes=are_classes)
            for part in (slice(0, 30), slice(30, 60))
        ),
        ShiftScores(are_classes),
    )
    found = total.better
    assert found is not None and found[:2] == (down, right)
    assert found[2] == pytest.approx(1) and found[3] < 0.5


def test_one_that_lies_where_it_should_is_left_alone():
    noisy = GROUND + np.random.default_rng(3).normal(size=GROUND.shape).astype(np.float32)
    noisy[20:40] = np.nan
    scores = ShiftScores.of(GROUND, noisy, are_classes=False)
    assert scores.better is None
    assert scores.agreement[3, 3] == pytest.approx(0.7, abs=0.05)


def test_of_nothing_nothing_is_told():
    assert ShiftScores(False).better is None
    assert ShiftScores.of(GROUND[:5, :5], GROUND[:5, :5], are_classes=False).better is None
    level = np.ones((20, 20), np.float32)
    assert ShiftScores.of(level, level, are_classes=False).better is None
