"""Sentinel-1 under a block: each window of one pass, the one that is the best for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from terramosaic.block.preview import stored_backscatter
from terramosaic.block.rasters import SOURCE_BANDS, SourceRows
from terramosaic.block.read_rows import Read, ReadRows
from terramosaic.block.strips import Strips
from terramosaic.block.windows import WindowRow
from terramosaic.ground.grid import Rect
from terramosaic.imagery.marks import Mark, seen_in
from terramosaic.planning.pass_choice import WindowPasses


class RadarRows:
    """VV and VH in dB, cut window by window.

    Two passes see a slope from two places, so no window mixes them. Which one a window is of follows from footprints,
    and so is the same in every block that it touches; another one comes in only where the first saw nothing of it.

    Each pass is read in strips under the windows that it is the best for. Where it saw nothing of some windows of a
    row, the next one is read under these alone, and of what that saw no more is held than the row.

    Args:
        reads: each pass, the oldest first.
        choice: which of them windows are cut from.
        rows: the block's windows.
        labels: of the passes.

    Attributes:
        shown: what windows were cut from so far.
    """

    def __init__(
        self,
        reads: Sequence[Read],
        choice: WindowPasses,
        rows: Sequence[WindowRow],
        labels: Sequence[str] = (),
    ) -> None:
        self._reads, self._labels = reads, labels
        self._rows = {window: row.windows for row in rows for window in row.windows}
        self._passes = {window: [one.number for one in choice.of(window)] for window in self._rows}
        best = defaultdict(list)
        for window, passes in self._passes.items():
            if passes:
                best[passes[0]].append(window)
        self._best = {number: ReadRows(reads[number], windows) for number, windows in best.items()}
        self._others: dict[Rect, _Piece | None] = {}
        self.shown = ShownPasses(self._rows)

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """As `InputRows.cut`."""
        passes = self._passes[window]
        pixels[:] = 0
        if not passes:
            self.shown.put(window, 0, pixels, np.full(window.shape, Mark.MISSING, np.uint8))
            return np.zeros(window.shape, bool)
        number = passes[0]
        seen, marks = self._best[number].cut(window, pixels), self._best[number].marks(window)
        if not seen.any() and (other := self._of_another(window)):
            number, pixels[:], marks = other.number, other.values, other.marks
        self.shown.put(window, number, pixels, marks)
        return seen_in(marks)

    def marks(self, rect: Rect) -> np.ndarray:
        """As `InputRows.marks`."""
        marks: np.ndarray = self.shown.read(rect)[-1].astype(np.uint8)
        return marks

    def passes(self, rect: Rect) -> dict[str, np.ndarray]:
        """As `PassesShown.passes`."""
        numbers = self.shown.read(rect)[0]
        return {self._labels[number - 1]: numbers == number for number in np.unique(numbers[numbers > 0])}

    def drop_above(self, row: int) -> None:
        """As `InputRows.drop_above`."""
        for rows in self._best.values():
            rows.drop_above(row)
        self.shown.drop_above(row)

    def close(self) -> None:
        """As `InputRows.close`."""
        for rows in self._best.values():
            rows.close()

    def _of_another(self, window: Rect) -> _Piece | None:
        """What the first pass after the best has of a window that has anything; None if none has."""
        if window not in self._others:
            row = self._rows[window]
            following = row[row.index(window) :]
            self._others = self._read_others([each for each in following if self._is_empty(each)])
        return self._others.pop(window)

    def _is_empty(self, window: Rect) -> bool:
        passes = self._passes[window]
        return len(passes) > 0 and not self._best[passes[0]].sees(window)

    def _read_others(self, windows: Sequence[Rect]) -> dict[Rect, _Piece | None]:
        """The same of several windows of a row, each pass read once for neighbours that need it."""
        found: dict[Rect, _Piece | None] = dict.fromkeys(windows)
        left = {window: self._passes[window][1:] for window in windows}
        while left := {window: passes for window, passes in left.items() if passes}:
            needing = defaultdict(list)
            for window, passes in left.items():
                needing[passes.pop(0)].append(window)
            for number, group in needing.items():
                for piece in _pieces(number, self._reads[number], group):
                    found[piece.window] = piece
                    del left[piece.window]
        return found


@dataclass(frozen=True)
class _Piece:
    """What a pass has of a window: float32 (2, side, side), 0 where it saw nothing, and marks, uint8 (side, side)."""

    number: int
    window: Rect
    values: np.ndarray
    marks: np.ndarray


def _pieces(number: int, read: Read, windows: Iterable[Rect]) -> Iterator[_Piece]:
    """What a pass has of windows of a row, of which it has anything; from the left to the right."""
    for together, rect in _neighbours(windows):
        values, marks = read(rect)
        for window in together:
            part = window.slices(rect)
            seen = seen_in(marks[part])
            if seen.any():
                yield _Piece(number, window, np.where(seen, values[:, *part], 0), marks[part].copy())


def _neighbours(windows: Iterable[Rect]) -> list[tuple[list[Rect], Rect]]:
    """Windows of a row that touch each other, and the pixels of all of them."""
    found: list[tuple[list[Rect], Rect]] = []
    for window in windows:
        if found and window.col <= found[-1][1].col_end:
            together, rect = found.pop()
            found.append(([*together, window], rect.union(window)))
        else:
            found.append(([window], window))
    return found


class RadarLead:
    """Sentinel-1 as what leads a run: its passes are the run's acquisitions.

    Args:
        rows: under the block.
        acquisitions: by pass, the oldest first, which of the block's acquisitions it is, counted from 1; 0 for none.
    """

    def __init__(self, rows: RadarRows, acquisitions: Sequence[int]) -> None:
        self._rows, self._numbers = rows, np.array([0, *acquisitions], np.uint16)

    def cut(self, window: Rect, pixels: np.ndarray) -> np.ndarray:
        """As `Leading.cut`."""
        return self._rows.cut(window, pixels)

    def drop_above(self, row: int) -> None:
        """As `Leading.drop_above`."""
        self._rows.drop_above(row)

    def marks(self, rect: Rect) -> np.ndarray:
        """As `InputRows.marks`."""
        return self._rows.marks(rect)

    def close(self) -> None:
        """As `InputRows.close`."""
        self._rows.close()

    def cloudy(self, rect: Rect) -> np.ndarray:
        """As `Leading.cloudy`: radar sees through it."""
        return np.zeros(rect.shape, bool)

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """As `Leading.source`; in place of reflectance stands backscatter, see `stored_backscatter`."""
        source = SourceRows.empty(rect, len(SOURCE_BANDS))
        shown, *backscatter, _ = self._rows.shown.read(rect)
        source.acquisition[:] = self._numbers[shown]
        source.valid[:] = (shown > 0) & region
        # VV, VH, and VV once more: a preview has three bands, and a pixel that has them all.
        source.dn[:3] = np.stack([*backscatter, backscatter[0]]) * source.valid
        return source


class ShownPasses:
    """Which pass each pixel is of, counted from 1, what it has seen there, and the most that any window knows of it.

    Where windows of several passes meet, it is the oldest of them that saw it.

    Args:
        windows: all that may be shown.
    """

    def __init__(self, windows: Iterable[Rect]) -> None:
        self._strips = Strips(windows, lambda rect: np.zeros((4, *rect.shape), np.uint16))

    def put(self, window: Rect, number: int, db: np.ndarray, marks: np.ndarray) -> None:
        """Of a window that was cut from a pass, counted from 0: VV and VH in dB, and marks."""
        seen = seen_in(marks)
        shown = np.stack([np.full(window.shape, number + 1, np.uint16), *stored_backscatter(db)])
        for strip, held in self._strips.under(window):
            part = strip.intersection(window)
            view, new = held[:, *part.slices(strip)], shown[:, *part.slices(window)]
            older = seen[part.slices(window)] & ((view[0] == 0) | (view[0] > number + 1))
            np.copyto(view[:3], new, where=older)
            np.maximum(view[3], marks[part.slices(window)], out=view[3])

    def read(self, rect: Rect) -> np.ndarray:
        """The numbers, VV and VH by `stored_backscatter`, and marks: uint16 (4, height, width)."""
        found = np.zeros((4, *rect.shape), np.uint16)
        for strip, held in self._strips.held_under(rect):
            part = strip.intersection(rect)
            found[:, *part.slices(rect)] = held[:, *part.slices(strip)]
        return found

    def drop_above(self, row: int) -> None:
        """Forgets what lies above a row."""
        self._strips.drop_above(row)
