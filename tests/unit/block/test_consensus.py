"""Tokens that windows share, streamed, against a whole small lattice of windows summed up at once."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from terramosaic.block.batches import Batch, PlacedWindow, RowEnd
from terramosaic.block.consensus import TokenConsensus
from terramosaic.block.rasters import SourceRows
from terramosaic.block.windows import windows_by_row
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.ground.noise import GroundUniform
from terramosaic.planning.lattices import TargetLattice

CODES, PATCH = 5, 2
UNIFORM = {name: GroundUniform(3, name, 32633, PATCH) for name in ("A", "B", "C")}
#: A block that begins and ends within windows of any of the lattices.
BLOCK = Rect(1003, 501, 23, 31)


class Model:
    """Draws by the inverse of a cumulative distribution; logits hang on all of a window and on all tokens it sees."""

    targets: tuple[str, ...] = ()
    needs: Mapping = {}

    def __init__(self) -> None:
        self.calls = 0

    def logits(self, windows, target, seen):
        found = []
        for index, pixels in enumerate(windows["S2L2A"]):
            self.calls += 1
            found.append(logits_of(pixels, target, {name: ids[index] for name, ids in seen.items()}))
        return np.stack(found)

    def sums(self, target, step):
        return Sums(self, target, step)

    def draw(self, target, logits, uniform):
        weights = np.exp(logits - logits.max(1, keepdims=True))
        ends = weights.cumsum(1)
        return (ends <= uniform[:, None] * ends[:, -1:]).sum(1).astype(np.int64)


class Sums:
    """Sums of logits by numpy, window after window."""

    def __init__(self, model: Model, target: str, step: int) -> None:
        self.model, self.target, self.step = model, target, step
        self.tiles: dict[tuple[int, int], np.ndarray] = {}

    def add(self, windows, seen, tiles):
        for logits, under in zip(self.model.logits(windows, self.target, seen), tiles, strict=True):
            side = int(len(logits) ** 0.5)
            planes, (top, left) = logits.reshape(side, side, -1), under[0]
            for i, j in under:
                row, col = (i - top) * self.step, (j - left) * self.step
                part = planes[row : row + self.step, col : col + self.step]
                tile = self.tiles.setdefault((i, j), np.zeros((self.step, self.step, CODES), np.float32))
                tile[: len(part), : part.shape[1]] += part

    def draw(self, tile, patches, windows, uniform):
        sums = self.tiles.pop(tile).reshape(-1, CODES)[patches]
        return self.model.draw(self.target, sums / windows[:, None], uniform)


def logits_of(pixels: np.ndarray, target: str, seen: Mapping[str, np.ndarray]) -> np.ndarray:
    side = pixels.shape[-1] // PATCH
    patches = pixels.reshape(side, PATCH, side, PATCH).mean((1, 3)).ravel() + pixels.mean()
    for number, (_, ids) in enumerate(sorted(seen.items()), start=2):
        patches = patches + ids / number + ids.mean()
    return np.sin(np.outer(patches * (1 + "ABC".index(target)), np.arange(1, CODES + 1))).astype(np.float32)


def pixels_of(window: Rect) -> np.ndarray:
    rows, cols = np.mgrid[window.row : window.row_end, window.col : window.col_end]
    return (np.sin(rows * 12.9898 + cols * 78.233) * 43758.5453 % 1).astype(np.float32)[None]


def has_pixels(window: Rect) -> bool:
    """None in a wide corner and in a single window."""
    return window.col_end < BLOCK.col + 26 or window.row > BLOCK.row + 6


def whole(lattice: Lattice, targets: tuple[str, ...], conditioning: str, around: Rect):
    """Tokens of all windows of a large part of a lattice; those near its edge lack neighbours and are wrong."""
    side, model = lattice.patches, Model()
    places = [(i, j) for i in lattice.rows(around) for j in lattice.cols(around)]
    places = [place for place in places if has_pixels(lattice.window(*place))]
    step = lattice.stride // PATCH
    tokens: dict[str, dict[tuple[int, int], np.ndarray]] = {}
    for k, target in enumerate(targets):
        before = targets[:k] if conditioning == "chained" else ()
        said: dict[tuple[int, int], list[np.ndarray]] = {}
        for i, j in places:
            seen = {name: tokens[name][i, j] for name in before}
            logits = logits_of(pixels_of(lattice.window(i, j))[0], target, seen)
            for number, row in enumerate(logits):
                said.setdefault((i * step + number // side, j * step + number % side), []).append(row)
        means = np.stack([sum(rows[1:], rows[0]) / np.float32(len(rows)) for rows in said.values()])
        top, left = around.row // PATCH - side, around.col // PATCH - side
        area = Rect(top, left, around.height // PATCH + 2 * side, around.width // PATCH + 2 * side)
        uniform = UNIFORM[target].cut(Rect(*(PATCH * number for number in (top, left, *area.shape))))
        drawn = model.draw(target, means, np.array([uniform[row - top, col - left] for row, col in said]))
        ground = dict(zip(said, drawn, strict=True))
        tokens[target] = {
            (i, j): np.array([[ground[i * step + r, j * step + c] for c in range(side)] for r in range(side)]).ravel()
            for i, j in places
        }  # fmt: skip
    return tokens


def streamed(made: TargetLattice, conditioning: str, block: Rect, region: np.ndarray, size: int, chain=None):
    """Tokens of the block's windows as they come out, and how many logits of windows that took."""
    lattice, model = made.lattice, Model()
    consensus = TokenConsensus(model, made, conditioning, UNIFORM, size=size, chain=chain)
    found: dict[str, dict[tuple[int, int], np.ndarray]] = {target: {} for target in made.drawn}
    ends = []
    for row in windows_by_row([lattice], block, region, {lattice: made.rings}):
        items = [
            PlacedWindow(row.i, j, None, row.rings.get(j, 0))
            for j in row.columns
            if has_pixels(lattice.window(row.i, j))
        ]
        pixels = [pixels_of(lattice.window(item.i, item.j)) for item in items]
        end = RowEnd(row.i, SourceRows.empty(Rect(0, 0, 0, 0), 1), row.is_own)
        side = lattice.side
        array = np.stack(pixels) if pixels else np.empty((0, 1, side, side), np.float32)
        for settled, tokens in consensus.put(Batch(lattice, {"S2L2A": array}, (*items, end))):
            for index, window in enumerate(settled.windows):
                for target, ids in tokens.items():
                    found[target][window.i, window.j] = ids[index]
            ends += [item.i for item in settled.items if isinstance(item, RowEnd)]
    return found, ends, model.calls


CASES = [
    (Lattice(12, 14, PATCH), ("A",), "chained"),
    (Lattice(12, 14, PATCH), ("A", "B", "C"), "chained"),
    (Lattice(12, 14, PATCH), ("A", "B", "C"), "independent"),
    (Lattice(8, 16, PATCH), ("A", "B"), "chained"),
    (Lattice(6, 16, PATCH), ("A", "B"), "chained"),
    (Lattice(16, 16, PATCH), ("A", "B"), "chained"),
]


def rings_of(lattice: Lattice, targets: tuple[str, ...], conditioning: str) -> int:
    return lattice.reach * (len(targets) if conditioning == "chained" else 1)


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize(("lattice", "targets", "conditioning"), CASES)
def test_tokens_are_those_of_a_whole_lattice(lattice, targets, conditioning, size):
    rings = rings_of(lattice, targets, conditioning)
    made = TargetLattice(lattice, targets, targets, rings)
    region = np.ones(BLOCK.shape, bool)
    region[:14, :20] = False
    found, ends, _ = streamed(made, conditioning, BLOCK, region, size)
    wanted = whole(lattice, targets, conditioning, lattice.cover(BLOCK, rings))
    rows = windows_by_row([lattice], BLOCK, region)
    own = {(row.i, j) for row in rows for j in row.columns if has_pixels(lattice.window(row.i, j))}
    assert ends == list(lattice.rows(BLOCK)) and len(own) > 3
    for target in targets:
        assert found[target].keys() == own
        for place, ids in found[target].items():
            np.testing.assert_array_equal(ids, wanted[target][place], err_msg=f"{target} {place}")
    assert len(np.unique([ids for place in found[targets[-1]].values() for ids in place])) == CODES


@pytest.mark.parametrize(("lattice", "targets", "conditioning"), CASES)
def test_no_more_windows_are_computed_than_tokens_hang_on(lattice, targets, conditioning):
    rings = rings_of(lattice, targets, conditioning)
    made = TargetLattice(lattice, targets, targets, rings)
    block, region = Rect(5000, 100, 40, 30), np.ones((40, 30), bool)
    _, _, calls = streamed(made, conditioning, block, region, 2)
    rows, cols = len(lattice.rows(block)), len(lattice.cols(block))
    links = range(len(targets), 0, -1) if conditioning == "chained" else [1] * len(targets)
    assert calls == sum((rows + 2 * lattice.reach * k) * (cols + 2 * lattice.reach * k) for k in links)


def test_nothing_is_left_of_rows_that_are_done():
    lattice = Lattice(12, 14, PATCH)
    made = TargetLattice(lattice, ("A", "B"), ("A", "B"), 2)
    held = []
    for height in (60, 240):
        block = Rect(5000, 100, height, 30)
        consensus = TokenConsensus(Model(), made, "chained", UNIFORM, size=2)
        most = 0
        for row in windows_by_row([lattice], block, np.ones(block.shape, bool), {lattice: 2}):
            items = tuple(PlacedWindow(row.i, j, None, row.rings.get(j, 0)) for j in row.columns)
            pixels = np.stack([pixels_of(lattice.window(item.i, item.j)) for item in items])
            end = RowEnd(row.i, SourceRows.empty(Rect(0, 0, 0, 0), 1), row.is_own)
            list(consensus.put(Batch(lattice, {"S2L2A": pixels}, (*items, end))))
            patches = consensus._patches.values()
            most = max(
                most, sum(len(each._tiles) + len(each._drawn) + len(each._sums.tiles) for each in patches)
            )
            windows = [window for one in consensus._rows for window in one.windows]
            assert sum(bool(window.pixels) for window in windows) <= 2 * len(items)
        held.append(most)
    assert held[0] == held[1]
