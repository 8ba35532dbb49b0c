"""Windows of radar where passes have gaps: what is read, what is held, and of which pass each window is."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime

import numpy as np
import pytest

from terramosaic.block.preview import backscatter_in
from terramosaic.block.radar_rows import RadarRows
from terramosaic.block.windows import WindowRow
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.imagery.marks import Mark, marked
from terramosaic.planning.pass_choice import WindowPasses
from tests.unit.planning.test_pass_choice import over

LATTICE = Lattice(192)
GROUND = Rect(2550 * 192, 262 * 192, 5 * 192 + 224, 5 * 192 + 224)
MOMENT = datetime(2023, 8, 1, tzinfo=UTC)


class Pass:
    """One that covers all of the ground and has seen some columns of it, as numbers that tell it."""

    def __init__(self, number: int, cols: Iterable[int]) -> None:
        self.number, self.cols = number, list(cols)
        self.asked: list[Rect] = []

    def read(self, rect: Rect) -> tuple[np.ndarray, np.ndarray]:
        self.asked.append(rect)
        seen = np.zeros(rect.shape, bool)
        seen[:, np.isin(np.arange(rect.col, rect.col_end), self.cols)] = True
        values = np.where(seen, np.float32(-self.number), np.float32(np.nan))
        return values[None].repeat(2, axis=0), marked(seen, Mark.NO_DATA)


def columns(first: int, end: int) -> range:
    """Of so many windows of the lattice, without what the next one shares with them."""
    return range(GROUND.col + first * 192 + 32, GROUND.col + end * 192)


def cut(passes: list[Pass], rows: list[WindowRow]) -> tuple[dict[Rect, float], RadarRows]:
    """By window the number that it holds, 0 for none; each is cut as a block does."""
    days = [over(GROUND, day) for day in range(1, len(passes) + 1)]
    choice = WindowPasses(days, MOMENT, 32633, GROUND, paired=False)
    found: dict[Rect, float] = {}
    with closing(RadarRows([one.read for one in passes], choice, rows)) as radar:
        for row in rows:
            radar.drop_above(row.start)
            for window in row.windows:
                pixels = np.full((2, *window.shape), np.nan, np.float32)
                seen = radar.cut(window, pixels)
                assert (pixels[:, ~seen] == 0).all()
                assert len(np.unique(pixels[:, seen])) <= 1  # no window mixes passes
                found[window] = -float(pixels[0][seen][0]) if seen.any() else 0
    return found, radar


@pytest.fixture
def rows() -> list[WindowRow]:
    return [WindowRow(LATTICE, 2550 + i, range(262, 268)) for i in range(6)]


def test_where_the_best_saw_nothing_the_next_that_has_is_read_there_alone(rows: list[WindowRow]) -> None:
    best, empty, third, last = passes = [
        Pass(1, columns(0, 3)), Pass(2, []), Pass(3, columns(4, 5)), Pass(4, columns(3, 6)),
    ]  # fmt: skip
    found, _ = cut(passes, rows)
    for row in rows:
        assert [found[window] for window in row.windows] == [1, 1, 1, 4, 3, 4]
    # One strip after the other of the best; of the others one read for each row of windows, and gap in it.
    assert len(best.asked) == 6 and {rect.width for rect in best.asked} == {GROUND.width}
    assert [(rect.col, rect.width) for rect in empty.asked] == [(rows[0].windows[3].col, 2 * 192 + 224)] * 6
    assert len(third.asked) == 6
    assert [rect.width for rect in last.asked] == [224] * 12


def test_a_window_is_the_same_in_any_part_of_a_block(rows: list[WindowRow]) -> None:
    def passes() -> list[Pass]:
        return [Pass(1, columns(0, 2)), Pass(2, columns(4, 5)), Pass(3, columns(1, 4))]

    whole, _ = cut(passes(), rows)
    parts = [WindowRow(LATTICE, row.i, range(265, 268)) for row in rows[2:4]]
    part, _ = cut(passes(), parts)
    assert part == {window: whole[window] for row in parts for window in row.windows}


def test_rows_of_two_lattices_take_turns(rows: list[WindowRow]) -> None:
    other = [WindowRow(Lattice(96), 5100 + i, range(524, 530)) for i in range(10)]
    both = sorted([*rows, *other], key=lambda row: row.start)

    def passes() -> list[Pass]:
        return [Pass(1, columns(0, 2)), Pass(2, columns(2, 6))]

    found, _ = cut(passes(), both)
    assert found == cut(passes(), rows)[0] | cut(passes(), other)[0]


def test_what_is_shown_is_of_the_older_pass_where_two_meet(rows: list[WindowRow]) -> None:
    passes = [Pass(1, columns(0, 2)), Pass(2, range(GROUND.col, GROUND.col_end))]
    _, radar = cut(passes, rows)
    last = rows[-1].windows
    shown = radar.shown.read(Rect(last[0].row, GROUND.col, 224, GROUND.width))
    assert (shown[0][:, 32 : 2 * 192] == 1).all()
    # Windows that the first has seen in part only show no other pass; the next window does.
    np.testing.assert_array_equal(shown[0][0, 2 * 192 + 32 :], 2)
    np.testing.assert_array_equal(shown[3] == Mark.SEEN, shown[0] > 0)
    assert (shown[3][shown[0] == 0] == Mark.NO_DATA).all()
    np.testing.assert_allclose(np.unique(backscatter_in(shown[[1, 2, 1]])[:, :, 40:]), [-2, -1], atol=0.01)
    radar.drop_above(last[0].row_end + 256)
    assert not radar.marks(last[0]).any()
