"""Where the made-up tiles lie."""

from __future__ import annotations

import pytest

from terramosaic.demo.overpasses import overlap_of, tiles


def test_tiles_lie_on_the_real_tiles_grid() -> None:
    west, east = tiles(1830)
    assert west.bounds == (491_460, 4_831_740, 509_760, 4_850_040)
    assert east.bounds == (499_980, 4_831_740, 518_280, 4_850_040)
    # Upper left corners of the real 32TMP and 32TNP.
    for tile, corner in ((west, 399_960), (east, 499_980)):
        assert (tile.left - corner) % 60 == 0
        assert (4_900_020 - tile.bounds[3]) % 60 == 0


@pytest.mark.parametrize("size", [240, 600, 1830, 10_980])
def test_overlap_fits_the_60_m_grid(size: int) -> None:
    west, east = tiles(size)
    assert east.col == size - overlap_of(size) == (east.left - west.left) // 10
    assert overlap_of(size) % 6 == 0
    assert overlap_of(size) == (978 if size >= 1830 else pytest.approx(978 * size / 1830, abs=6))
