"""Parts of a run: all of it, and every pixel as likely as another."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from terramosaic.evaluation.parts import Parts, spread
from terramosaic.planning.plan import Block


def block(row: int, col: int, height: int, width: int) -> Block:
    return Block(
        id=f"{row}_{col}",
        epsg=32633,
        row=row,
        col=col,
        height=height,
        width=width,
        acquisitions=(),
        windows=1,
    )


@pytest.mark.parametrize(("total", "count"), [(60, 6), (7, 5), (20, 19)])
def test_every_number_is_as_likely_as_another(total, count):
    drawn = np.zeros(total)
    for seed in range(4000):
        numbers = spread(total, count, np.random.default_rng(seed))
        assert len(set(numbers)) == len(numbers) == count and numbers.min() >= 0 and numbers.max() < total
        drawn[numbers] += 1
    assert np.ptp(drawn) < 0.4 * drawn.mean()


def test_each_comes_from_another_stretch():
    numbers = spread(1000, 10, np.random.default_rng(1))
    assert np.diff([*numbers, numbers[0] + 1000]).max() < 200
    assert (
        list(spread(5, 5, np.random.default_rng(1)))
        == list(spread(5, 99, np.random.default_rng(1)))
        == [0, 1, 2, 3, 4]
    )


def test_all_parts_fill_the_blocks():
    blocks = (block(512, 1024, 600, 256), block(1112, 1024, 100, 300))
    parts = Parts(SimpleNamespace(blocks=blocks))
    assert len(parts) == 3 + 2
    drawn = parts.draw(99, seed=1)
    assert sum(part.rect.height * part.rect.width for part in drawn) == 600 * 256 + 100 * 300
    for part in drawn:
        assert part.rect.intersection(part.block.rect) == part.rect
        assert part.rect.height <= 256 and part.rect.width <= 256
    assert len({(part.rect.row, part.rect.col) for part in drawn}) == 5
    assert len(Parts(SimpleNamespace(blocks=()))) == 0
