"""The lattice belongs to the ground: exact sets of windows, also where rows are negative."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import WINDOW, Lattice


def test_worked_example_of_the_module():
    assert list(Lattice(192).cols(Rect(0, 2048, 1, 2048))) == list(range(10, 22))


@given(
    stride=st.sampled_from([16, 64, 112, 192, 208, 224]),
    start=st.integers(-5000, 5000),
    length=st.integers(1, 700),
)
def test_touching_windows_are_exactly_those_that_share_a_pixel(stride, start, length):
    lattice = Lattice(stride)
    brute = [
        i for i in range(start // stride - 20, (start + length) // stride + 20)
        if i * stride < start + length and i * stride + WINDOW > start
    ]  # fmt: skip
    assert list(lattice.rows(Rect(start, 0, length, 1))) == brute


@given(start=st.integers(-3000, 3000), split=st.integers(1, 500), length=st.integers(1, 500))
def test_two_blocks_compute_the_windows_of_their_union(start, split, length):
    lattice = Lattice(192)
    left, right = Rect(0, start, 1, split), Rect(0, start + split, 1, length)
    assert set(lattice.cols(left)) | set(lattice.cols(right)) == set(lattice.cols(left.union(right)))


@pytest.mark.parametrize("stride", [16, 192, 224])
def test_cover_holds_every_touching_window_and_no_more(stride):
    lattice, rect = Lattice(stride), Rect(1000, 2000, 300, 500)
    cover = lattice.cover(rect)
    assert cover.intersection(rect) == rect
    assert cover.row == lattice.rows(rect)[0] * stride
    assert cover.col_end == lattice.cols(rect)[-1] * stride + WINDOW
