"""Marks of pixels: the most that is known counts, and all of a pixel must have been seen."""

from __future__ import annotations

import numpy as np

from terramosaic.imagery.marks import Mark, added, count_of, marked, seen_by_all, seen_in


def row(*marks: Mark) -> np.ndarray:
    return np.array([marks], np.uint8)


def test_what_is_seen_is_decided_by_the_mark_alone() -> None:
    seen = {mark for mark in Mark if seen_in(row(mark)).all()}
    assert seen == {Mark.SEEN, Mark.COARSE, Mark.SEA}
    assert min(seen) > max(set(Mark) - seen)  # so that of several sources the largest mark counts


def test_a_pixel_is_seen_by_all_or_it_is_told_why_not() -> None:
    vv = row(Mark.SEEN, Mark.SEEN, Mark.NO_DATA, Mark.MISSING, Mark.UNMARKED)
    vh = row(Mark.SEEN, Mark.UNMARKED, Mark.UNMARKED, Mark.MISSING, Mark.SEEN)
    expected = row(Mark.SEEN, Mark.UNMARKED, Mark.UNMARKED, Mark.MISSING, Mark.UNMARKED)
    np.testing.assert_array_equal(seen_by_all([vv, vh]), expected)


def test_pixels_are_counted_where_they_are_wanted() -> None:
    marks = marked(np.array([[True, False, True], [False, False, True]]), Mark.EDGE)
    where = np.array([[True, True, True], [True, False, False]])
    assert count_of(marks, where) == {Mark.EDGE: 2, Mark.SEEN: 2}


def test_sums_name_what_either_has() -> None:
    assert list(added({"seen": 3, "missing": 0}, {"edge": 2, "seen": 4}).items()) == [
        ("edge", 2),
        ("seen", 7),
    ]
