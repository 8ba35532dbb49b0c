"""Sums of logits where they are made: numpy's bits, whatever tiles and windows."""

from __future__ import annotations

import numpy as np
import pytest

from terramosaic.model.devices import parse_device
from terramosaic.model.ground_sums import GroundSums, parts_of
from terramosaic.model.io_binding import Tensor

CPU, CODES = parse_device("cpu"), 37


@pytest.mark.parametrize(("side", "step"), [(14, 12), (14, 7), (14, 14), (16, 14), (14, 4), (14, 1)])
def test_sums_have_numpys_bits(side: int, step: int) -> None:
    """Windows in row-major order, some of them missing; tiles that are done make room for others."""
    rng = np.random.default_rng(side + step)
    sums = GroundSums(side, step, CODES, CPU, threads=2)
    windows = Tensor((3, side * side, CODES), np.float32, CPU)
    wanted: dict[tuple[int, int], np.ndarray] = {}
    places = [(i, j) for i in range(3) for j in range(4) if (i, j) != (1, 2)]
    for number, (i, j) in enumerate(places):
        windows.write(rng.standard_normal((3, side * side, CODES), np.float32) * np.float32(30))
        logits = windows.read()[number % 3].reshape(side, side, CODES)
        under = [(i + row // step, j + col // step) for row, col, _, _ in parts_of(side, step)]
        sums.add(windows.place(number % 3), under)
        for key, (row, col, height, width) in zip(under, parts_of(side, step), strict=True):
            tile = wanted.setdefault(key, np.zeros((step, step, CODES), np.float32))
            tile[:height, :width] += logits[row : row + height, col : col + width]
    for key, tile in wanted.items():
        patches = np.flatnonzero(rng.random(step * step) < 0.5) if step > 1 else np.zeros(1, np.int64)
        counts = rng.integers(1, 5, len(patches)).astype(np.float32)
        found = sums.mean(key, patches, counts)
        assert found.shape == (len(patches), CODES)
        means = found.tensor.read().ravel()[: len(patches) * CODES].reshape(found.shape)
        np.testing.assert_array_equal(means, tile.reshape(-1, CODES)[patches] / counts[:, None])


def test_a_tile_that_is_begun_again_is_empty() -> None:
    sums, window = GroundSums(4, 4, CODES, CPU, threads=1), Tensor((1, 16, CODES), np.float32, CPU)
    window.write(np.full((1, 16, CODES), 2, np.float32))
    one = np.arange(16)
    for key in [(0, 0), (0, 1), (5, 5)]:
        sums.add(window.place(0), [key])
        means = sums.mean(key, one, np.ones(16, np.float32))
        np.testing.assert_array_equal(means.tensor.read(), 2)
    assert len(sums._spare) == 1, "one after the other they take the room of one"


def test_a_window_lies_over_the_tiles_from_its_corner_on() -> None:
    assert parts_of(14, 12) == [(0, 0, 12, 12), (0, 12, 12, 2), (12, 0, 2, 12), (12, 12, 2, 2)]
    assert parts_of(14, 14) == [(0, 0, 14, 14)]
