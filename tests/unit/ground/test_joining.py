"""Rows of several lattices: each is what it is alone, and comes once, as soon as all have it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from terramosaic.ground.blend import RowBand, RowBandAccumulator, window_weights
from terramosaic.ground.grid import Rect
from terramosaic.ground.joining import JoinedBands
from terramosaic.ground.lattice import WINDOW, Lattice

RECT = Rect(1000, 3000, 430, 300)
STRIDES = {"x": 192, "y": 112, "z": 224}


def bands_of(target: str) -> list[RowBand]:
    """What an accumulator of one target makes, with a flag of its own and a deviation."""
    lattice = Lattice(STRIDES[target])
    weights = window_weights("cosine", lattice)
    accumulator = RowBandAccumulator(RECT, lattice, {target: 2}, weights, std=(target,))
    flags = np.full((WINDOW, WINDOW), 1 << list(STRIDES).index(target), np.uint8)
    found = []
    for i in lattice.rows(RECT):
        for j in lattice.cols(RECT):
            values = np.random.default_rng([i, j]).random((2, WINDOW, WINDOW), np.float32)
            accumulator.add(i, j, {target: values}, flags if i % 2 else None)
        found.append(accumulator.finish_row())
    return found


ALONE = {target: bands_of(target) for target in STRIDES}


def joined(targets: str, order: np.random.Generator | None) -> list[RowBand]:
    """Bands put in one lattice after the other, or in an order by chance."""
    joining = JoinedBands(Lattice(STRIDES[target]) for target in targets)
    turns = [target for target in targets for _ in ALONE[target]]
    if order is not None:
        order.shuffle(turns)
    left = {target: iter(ALONE[target]) for target in targets}
    return [band for target in turns for band in joining.put(Lattice(STRIDES[target]), next(left[target]))]


@pytest.mark.parametrize("targets", ["x", "xy", "yx", "xyz"])
@pytest.mark.parametrize("seed", [None, 0, 1])
def test_each_target_is_what_it_is_alone_whoever_comes_first(targets, seed):
    bands = joined(targets, None if seed is None else np.random.default_rng(seed))
    assert bands[0].rect.row == RECT.row and bands[-1].rect.row_end == RECT.row_end
    assert all(above.rect.row_end == below.rect.row for above, below in pairwise(bands))
    assert not any(band.rect.is_empty for band in bands)
    flags = np.zeros(RECT.shape, np.uint8)
    for target in targets:
        for pick in ("means", "stds", "windows"):
            alone, together = (
                np.concatenate([getattr(band, pick)[target] for band in some], axis=-2)
                for some in (ALONE[target], bands)
            )
            np.testing.assert_array_equal(alone, together)
        flags |= np.concatenate([band.flags for band in ALONE[target]])
    assert len(np.unique(flags)) >= len(targets)
    np.testing.assert_array_equal(np.concatenate([band.flags for band in bands]), flags)


def test_rows_come_as_soon_as_all_have_them_and_not_before():
    joining = JoinedBands([Lattice(192), Lattice(112)])
    first, second = ([band for band in ALONE[target] if not band.rect.is_empty] for target in ("x", "y"))
    assert [band.rect.row_end for band in first][:2] == [1152, 1344]
    assert [band.rect.row_end for band in second][:3] == [1008, 1120, 1232]
    assert not joining.put(Lattice(192), first[0])
    ends = [[part.rect.row_end for part in joining.put(Lattice(112), band)] for band in second[:3]]
    assert ends == [[1008], [1120], [1152]]
    assert [part.rect.row_end for part in joining.put(Lattice(192), first[1])] == [1232]


def test_one_lattice_alone_is_handed_through():
    joining = JoinedBands([Lattice(192)])
    whole = [band for band in ALONE["x"] if not band.rect.is_empty]
    for band in whole:
        (found,) = joining.put(Lattice(192), band)
        assert found.rect == band.rect and found.means["x"] is band.means["x"]
