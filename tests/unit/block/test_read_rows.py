"""Rows that are read as windows ask for them: the same pixels whatever the strips, each read once, few held."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from terramosaic.block.read_rows import ReadRows
from terramosaic.block.strips import STRIP
from terramosaic.ground.grid import Rect
from terramosaic.imagery.marks import marked, seen_in

RECT = Rect(1000, 500, 900, 300)


class Ground:
    """Pixels that tell their row and column; those of every seventh column were not seen."""

    def __init__(self) -> None:
        self.asked: list[Rect] = []

    def read(self, rect: Rect) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(rect)
        rows, cols = np.mgrid[rect.row : rect.row_end, rect.col : rect.col_end]
        values = np.stack([rows, cols]).astype(np.float32)
        values[:, cols % 7 == 0] = np.nan
        return values, marked(cols % 7 != 0)


def test_a_window_holds_what_was_seen_and_zero_elsewhere() -> None:
    ground, window = Ground(), Rect(1200, 450, 224, 224)
    pixels = np.full((2, 224, 224), -1, np.float32)
    with ReadRows(ground.read, [RECT]) as rows:
        seen = rows.cut(window, pixels)
    at = np.mgrid[window.row : window.row_end, window.col : window.col_end]
    expected = (at[1] >= 500) & (at[1] % 7 != 0)
    np.testing.assert_array_equal(seen, expected)
    np.testing.assert_array_equal(pixels, at * expected)


def test_each_strip_is_read_once_and_only_as_far_as_it_is_wanted() -> None:
    ground = Ground()
    with ReadRows(ground.read, [RECT]) as rows:
        for row in range(1000, 1400, 96):
            rows.drop_above(row)
            rows.cut(Rect(row, 500, 224, 224), np.empty((2, 224, 224), np.float32))
    starts = [rect.row for rect in ground.asked]
    assert starts == sorted(set(starts))
    assert all(rect.row % STRIP == 0 for rect in ground.asked[1:])
    assert max(starts) < 1400 + 224 + STRIP


def test_what_was_seen_is_told_and_forgotten_above() -> None:
    with ReadRows(Ground().read, [RECT]) as rows:
        rows.cut(Rect(1000, 500, 224, 224), np.empty((2, 224, 224), np.float32))
        some = Rect(1010, 500, 5, 14)
        np.testing.assert_array_equal(seen_in(rows.marks(some)[0]), np.arange(500, 514) % 7 != 0)
        rows.drop_above(1300)
        assert not rows.marks(some).any()


def test_an_error_comes_where_the_window_is_cut() -> None:
    def fail(rect: Rect) -> tuple[np.ndarray, np.ndarray]:
        raise OSError("gone")

    with ReadRows(fail, [RECT]) as rows, pytest.raises(OSError, match="gone"):
        rows.cut(Rect(1000, 500, 224, 224), np.empty((2, 224, 224), np.float32))


def test_the_next_strip_is_read_while_windows_are_cut() -> None:
    ground, ahead = Ground(), threading.Event()

    def read(rect: Rect) -> tuple[np.ndarray, np.ndarray]:
        if rect.row >= 1024:
            ahead.set()
        return ground.read(rect)

    with ReadRows(read, [RECT]) as rows:
        rows.cut(Rect(1000, 500, 20, 224), np.empty((2, 20, 224), np.float32))
        assert ahead.wait(10)
