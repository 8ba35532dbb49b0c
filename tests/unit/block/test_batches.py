"""Batches of a block's windows: each owns its pixels, and their size changes nothing but their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pytest

from terramosaic.block.batches import Batch, PlacedWindow, RowEnd, batches
from terramosaic.block.inputs import BlockInputs
from terramosaic.block.windows import HeldRows, windows_by_row
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.imagery.marks import Mark, marked
from terramosaic.imagery.stack import Strip

LATTICE = Lattice(192)
SECOND = Lattice(112)
BLOCK = Rect(192 * 1000, 192 * 50, 400, 400)
#: What its windows cover, with a swath's rim in the east and nothing at all beyond it.
COVER = Rect(192 * 999, 192 * 49, 192 * 5, 192 * 5)
BANDS = ("B02", "B03", "B04")


def strips():
    """Strips of 100 rows; a pixel's number is its own."""
    for top in range(COVER.row, COVER.row_end, 100):
        rect = Rect(top, COVER.col, min(100, COVER.row_end - top), COVER.width)
        rows, cols = np.mgrid[rect.row : rect.row_end, rect.col : rect.col + rect.width]
        dn = np.stack([(rows * 7 + cols * 3 + band) % 9973 + 1 for band in range(len(BANDS))])
        valid = cols < BLOCK.col + 250
        masks = np.zeros(rect.shape, bool)
        acquisition = valid.astype(np.uint16)
        yield Strip(
            rect, (dn * valid).astype(np.uint16), valid, masks, masks, masks, acquisition, marked(valid)
        )


def cut(size: int, region: np.ndarray, *lattices: Lattice) -> list[Batch]:
    """All batches at once, so that what two of them shared would show."""
    rows = windows_by_row(lattices or [LATTICE], BLOCK, region)
    held = BlockInputs("S2L2A", HeldRows(strips(), BANDS))
    return list(batches(held, rows, BLOCK, region, size=size, depths={"S2L2A": (len(BANDS),)}))


@pytest.mark.parametrize("size", [2, 5, 64])
def test_batches_of_any_size_hold_the_same_windows(size):
    region = np.ones(BLOCK.shape, bool)
    one_by_one, several = cut(1, region), cut(size, region)
    assert [len(batch.pixels["S2L2A"]) for batch in several[:-1]] == [size] * (len(several) - 1)
    np.testing.assert_array_equal(
        np.concatenate([batch.pixels["S2L2A"] for batch in several]),
        np.concatenate([batch.pixels["S2L2A"] for batch in one_by_one]),
    )
    places = [(window.i, window.j) for batch in several for window in batch.windows]
    assert places == [(window.i, window.j) for batch in one_by_one for window in batch.windows]
    # Row by row, each followed by its end.
    ends = [
        index for index, item in enumerate(i for b in several for i in b.items) if isinstance(item, RowEnd)
    ]
    assert len(ends) == len({i for i, _ in places})


@pytest.mark.parametrize("size", [1, 3, 64])
def test_each_lattice_has_batches_of_its_own_with_the_windows_that_it_has_alone(size):
    region = np.ones(BLOCK.shape, bool)
    region[:150] = False
    together = cut(size, region, LATTICE, SECOND)
    for lattice in (LATTICE, SECOND):
        own, alone = [batch for batch in together if batch.lattice == lattice], cut(size, region, lattice)
        assert sum(len(batch.pixels["S2L2A"]) for batch in own) > 6
        for one, other in zip(own, alone, strict=True):
            np.testing.assert_array_equal(one.pixels["S2L2A"], other.pixels["S2L2A"])
            for ours, theirs in zip(one.windows, other.windows, strict=True):
                assert (ours.i, ours.j) == (theirs.i, theirs.j)
                np.testing.assert_array_equal(ours.flags, theirs.flags)


@pytest.mark.parametrize("lattices", [(LATTICE,), (LATTICE, SECOND), (SECOND, LATTICE)])
def test_sources_end_where_the_next_row_of_any_lattice_starts(lattices):
    region = np.ones(BLOCK.shape, bool)
    rows = windows_by_row(lattices, BLOCK, region)
    assert [row.start for row in rows] == sorted(row.start for row in rows)
    assert {(row.lattice, row.i) for row in rows} == {
        (lattice, i) for lattice in lattices for i in lattice.rows(BLOCK)
    }
    sources = {}
    for batch in cut(4, region, *lattices):
        for item in batch.items:
            if isinstance(item, RowEnd) and not item.source.rect.is_empty:
                sources[item.source.rect.row] = item.source
    starts = sorted({BLOCK.row} | {row.start for row in rows if row.start > BLOCK.row})
    assert sorted(sources) == starts
    assert [source.rect.row_end for _, source in sorted(sources.items())] == [*starts[1:], BLOCK.row_end]
    found = np.concatenate([source.dn[2] for _, source in sorted(sources.items())], axis=0)
    lines, columns = np.mgrid[BLOCK.row : BLOCK.row_end, BLOCK.col : BLOCK.col_end]
    wanted = np.where(columns < BLOCK.col + 250, (lines * 7 + columns * 3) % 9973 + 1, 0)
    np.testing.assert_array_equal(found, wanted)


def test_windows_are_filled_and_flagged_and_those_without_a_pixel_left_out():
    region = np.ones(BLOCK.shape, bool)
    windows = [window for batch in cut(4, region) for window in batch.windows]
    rows = windows_by_row([LATTICE], BLOCK, region)
    every = {(row.i, j) for row in rows for j in row.columns}
    valid_until = BLOCK.col + 250
    seen = {(i, j) for i, j in every if LATTICE.window(i, j).col < valid_until}
    assert {(window.i, window.j) for window in windows} == seen != every
    for window in windows:
        whole = LATTICE.window(window.i, window.j).col_end <= valid_until
        assert (window.flags is None) == whole
    assert any(isinstance(window, PlacedWindow) and window.flags is not None for window in windows)
    assert all((batch.pixels["S2L2A"] > 0).all() for batch in cut(4, region))


class Elsewhere:
    """Another input, of two bands, that has seen every row but those of a gap."""

    def __init__(self, gap: range) -> None:
        self._gap = gap

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        rows = np.arange(window.row, window.row_end)
        pixels[:] = rows[:, None] % 1000 + 1
        seen = np.broadcast_to(~np.isin(rows, self._gap)[:, None], window.shape).copy()
        pixels *= seen
        return seen

    def marks(self, rect: Rect) -> np.ndarray:
        seen = ~np.isin(np.arange(rect.row, rect.row_end), self._gap)[:, None] & np.ones(rect.shape, bool)
        return marked(seen, Mark.UNMARKED)

    def drop_above(self, row: int) -> None: ...

    def close(self) -> None: ...


def cut_both(gap: range) -> list[Batch]:
    region = np.ones(BLOCK.shape, bool)
    held = BlockInputs("S2L2A", HeldRows(strips(), BANDS), {"S1RTC": Elsewhere(gap)})
    rows = windows_by_row([LATTICE], BLOCK, region)
    return list(batches(held, rows, BLOCK, region, size=4, depths={"S2L2A": (len(BANDS),), "S1RTC": (2,)}))


def test_each_input_has_its_own_pixels_of_the_same_windows():
    alone, both = cut(4, np.ones(BLOCK.shape, bool)), cut_both(range(0))
    for one, other in zip(alone, both, strict=True):
        np.testing.assert_array_equal(one.pixels["S2L2A"], other.pixels["S2L2A"])
        for window, pixels in zip(other.windows, other.pixels["S1RTC"], strict=True):
            rows = np.arange(224) + window.i * LATTICE.stride
            np.testing.assert_array_equal(pixels, np.broadcast_to(rows[:, None] % 1000 + 1, (2, 224, 224)))


def test_what_one_input_has_not_seen_is_filled_flagged_and_not_mapped():
    gap = range(BLOCK.row + 40, BLOCK.row + 60)
    alone, both = cut(4, np.ones(BLOCK.shape, bool)), cut_both(gap)
    flagged = 0
    for one, other in zip(alone, both, strict=True):
        np.testing.assert_array_equal(one.pixels["S2L2A"], other.pixels["S2L2A"])
        assert (other.pixels["S1RTC"] > 0).all() or not other.windows
        for window in other.windows:
            flagged += window.flags is not None and bool(window.flags.any())
    assert flagged > sum(window.flags is not None for batch in alone for window in batch.windows)
    ends = [item.source for batch in both for item in batch.items if isinstance(item, RowEnd)]
    rows = np.concatenate([np.arange(source.rect.row, source.rect.row_end) for source in ends])
    valid = np.concatenate([source.valid for source in ends])
    assert not valid[np.isin(rows, gap)].any()
    assert valid[~np.isin(rows, gap)][:, :250].all()
    # Each pixel of the block is counted once, though windows overlap; the other input as far as the first has seen.
    counts = {name: sum_of(source.marked[name] for source in ends) for name in ("S2L2A", "S1RTC")}
    assert counts["S2L2A"] == {Mark.SEEN: 400 * 250, Mark.MISSING: 400 * 150}
    assert counts["S1RTC"] == {Mark.SEEN: 380 * 250, Mark.UNMARKED: 20 * 250, Mark.NOT_READ: 400 * 150}


def sum_of(counts: Iterable[dict[Mark, int]]) -> Counter[Mark]:
    return sum(map(Counter, counts), Counter())


def test_a_window_that_one_input_has_not_seen_at_all_is_left_out():
    both = cut_both(range(COVER.row, COVER.row_end))
    assert not any(batch.windows for batch in both)
