"""Why a pixel of an input was not seen, and what is to be told of one that was: a single mark each, the same words.

Marks are ordered by how much is known of a pixel. So of several sources that may have it the largest mark counts: of
slices of a pass, of scenes, of windows of different passes. What is seen is decided by marks alone. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from functools import reduce

import numpy as np


class Mark(IntEnum):
    """What is known of a pixel of an input.

    Attributes:
        NOT_READ: it was not asked for: what leads saw nothing in the windows over it.
        MISSING: there is no tile, pass or scene; also where a file of Sentinel-2 holds 0 in all bands.
        NO_DATA: the file calls it a gap, or holds what is no number of its kind.
        UNMARKED: the file holds 0 or less, or 0 in some bands of a spectrum, and does not call it a gap.
        EDGE: seen, and taken off at the edge of the swath.
        SEEN: seen.
        COARSE: a height of GLO-90, where GLO-30 has none.
        SEA: 0 m, for there is no tile of heights: seen, and told.
    """

    NOT_READ = 0
    MISSING = 1
    NO_DATA = 2
    UNMARKED = 3
    EDGE = 4
    SEEN = 5
    COARSE = 6
    SEA = 7

    @property
    def label(self) -> str:
        """Its name in receipts and items."""
        return self.name.lower()


def seen_in(marks: np.ndarray) -> np.ndarray:
    """Which pixels were seen: bool of the same shape."""
    seen: np.ndarray = marks >= Mark.SEEN
    return seen


def marked(seen: np.ndarray, otherwise: Mark = Mark.MISSING) -> np.ndarray:
    """Marks of pixels that were seen, and of the others one and the same: uint8 of the same shape."""
    marks: np.ndarray = np.where(seen, np.uint8(Mark.SEEN), np.uint8(otherwise))
    return marks


def seen_by_all(marks: Sequence[np.ndarray]) -> np.ndarray:
    """Marks of pixels that are seen where all of some bands are; else the most that is told of a band that is not."""
    seen = seen_in(reduce(np.minimum, marks))
    most: np.ndarray = reduce(np.maximum, marks)
    if seen.all():  # as nearly always
        return most
    lacking = reduce(np.maximum, (np.where(seen_in(each), np.uint8(Mark.NOT_READ), each) for each in marks))
    found: np.ndarray = np.where(seen, most, lacking)
    return found


def count_of(marks: np.ndarray, where: np.ndarray) -> dict[Mark, int]:
    """How many of some pixels have each mark; none that no pixel has.

    Args:
        marks: uint8 (height, width).
        where: bool (height, width): the pixels.
    """
    counts = np.bincount(marks[where], minlength=len(Mark))
    return {mark: int(counts[mark]) for mark in Mark if counts[mark]}


def seen_of(counts: Mapping[str, int]) -> int:
    """How many pixels were seen, of counts by name."""
    return sum(counts.get(mark.label, 0) for mark in Mark if mark >= Mark.SEEN)


def added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """Sums of counts by name, in the order of marks."""
    return {
        mark.label: count for mark in Mark if (count := one.get(mark.label, 0) + other.get(mark.label, 0))
    }
