"""Figures for classes, counted by hand."""

import numpy as np
import pytest

from terramosaic.evaluation.classes import Confusion

VALUES = (0, 1, 7, 2)

MAPPED = np.array([[1, 1, 1, 7, 7, 2], [2, 2, 1, 1, 9, 0]])
REFERENCE = np.array([[1, 1, 7, 7, 1, 2], [2, 1, 1, 9, 1, 0]])


def test_counts_by_value_in_any_order():
    found = Confusion.of(MAPPED, REFERENCE, VALUES)
    # Rows are the map, columns the reference, in the order of VALUES; 9 is no class.
    assert found.counts.tolist() == [[1, 0, 0, 0], [0, 3, 1, 0], [0, 1, 1, 0], [0, 1, 0, 2]]
    assert found.count == 10


def test_tiles_add_up():
    whole = Confusion.of(MAPPED, REFERENCE, VALUES)
    rows = [Confusion.of(MAPPED[row], REFERENCE[row], VALUES) for row in (0, 1)]
    assert np.array_equal((Confusion.empty(VALUES) + rows[0] + rows[1]).counts, whole.counts)
    with pytest.raises(ValueError, match="different classes"):
        whole + Confusion.empty((0, 1))


def test_figures():
    found = Confusion.of(MAPPED, REFERENCE, (1, 7, 2, 5))
    assert found.overall == pytest.approx(6 / 9)
    np.testing.assert_allclose(found.users, [3 / 4, 1 / 2, 2 / 3, np.nan], atol=1e-6)
    np.testing.assert_allclose(found.producers, [3 / 5, 1 / 2, 1, np.nan], atol=1e-6)
    users, producers = found.users, found.producers
    np.testing.assert_allclose(found.f1, 2 * users * producers / (users + producers), atol=1e-6)
    np.testing.assert_allclose(found.iou, [3 / 6, 1 / 3, 2 / 3, np.nan], atol=1e-6)


def test_pixels_that_are_not_to_be_compared():
    valid = np.zeros(MAPPED.shape, bool)
    valid[0, :2] = True
    found = Confusion.of(MAPPED, REFERENCE, VALUES, valid)
    assert found.count == 2 and found.overall == 1
    assert np.isnan(Confusion.of(MAPPED, REFERENCE, VALUES, ~(valid | ~valid)).overall)
