"""Tokens that windows share: one for each patch of the ground, drawn from the mean of what all windows over it say.

A patch's logits are averaged over every window of the lattice that covers it (1, 2 or 4 at stride 192), whether block
and region have use for that window or not; a window without a valid pixel takes no part. What is averaged are
log-probabilities but for a number that is the same for all codes of a patch, which no draw sees. Of the mean a token
is drawn with the ground's own uniform number, and each of the windows decodes it; targets that see earlier ones see it
too. So tokens are a function of the place alone. In one dimension, windows of stride 192 share patches with their next
neighbours (their `reach` is 1), and a block of windows 10 to 15 needs for a chain of two targets

    windows              8   9  10  11  12  13  14  15  16  17
    logits of the first  x   x   x   x   x   x   x   x   x   x   tokens of which 9 to 16 have to see,
    logits of the second     x   x   x   x   x   x   x   x       and those of both 10 to 15 are made of
    values                       x   x   x   x   x   x

Rows of windows stream: with row i cut, its logits of the first target are added, one window after the other in
row-major order, so that a sum has one order in any block. No patch above row i + 1 gains any more then: row i - 1 has
all tokens of the first, its logits of the second follow; then row i - 2 has tokens of both, and its values are made.
Held are the windows of these rows, and of the sums a strip of patches that the next row adds to: patches lie in tiles
as wide as the stride; tile (i, j) has the corner of window (i, j), and is drawn and dropped when that one was added.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from terramosaic.block.batches import Batch, PlacedWindow, RowEnd
from terramosaic.block.tokens import TokenSheet
from terramosaic.ground.lattice import Lattice
from terramosaic.ground.noise import GroundUniform
from terramosaic.model.generator import Conditioning, GeneratorOfLogits, TileKey, tokens_seen
from terramosaic.model.ground_sums import parts_of
from terramosaic.planning.lattices import TargetLattice

#: Stands for a patch whose token nobody asked for.
_NONE = -1


class TokenConsensus:
    """Takes the windows of one lattice as they are cut, and gives them back with their tokens.

    Args:
        model: the run's.
        made: the lattice, and whose tokens are drawn on it.
        conditioning: whether targets see the tokens of earlier ones.
        uniform: by target, what its tokens are drawn with.
        size: windows in a call of the model.
        check: called before each of them; what it raises ends the work.
        chain: tokens that later targets see of a window, whatever was drawn for it.
    """

    def __init__(
        self,
        model: GeneratorOfLogits,
        made: TargetLattice,
        conditioning: Conditioning,
        uniform: Mapping[str, GroundUniform],
        *,
        size: int,
        check: Callable[[], None] = lambda: None,
        chain: TokenSheet | None = None,
    ) -> None:
        self._model, self._lattice, self._size, self._check = model, made.lattice, size, check
        self._seen, self._chain = tokens_seen(made.drawn, conditioning), chain
        reach = made.lattice.reach
        # By how many rows a target's logits follow the row that is cut, and values the last of them.
        self._lag: dict[str, int] = {}
        for target, seen in self._seen.items():
            self._lag[target] = max((self._lag[earlier] + reach for earlier in seen), default=0)
        self._last = max(self._lag.values()) + reach
        self._patches = {
            target: _GroundPatches(model, target, made.lattice, uniform[target]) for target in self._seen
        }
        self._rows: deque[_Row] = deque(maxlen=self._last + 1)
        self._forming: list[_HeldWindow] = []

    def put(self, batch: Batch) -> Iterator[tuple[Batch, dict[str, np.ndarray]]]:
        """Takes the next windows; yields those of the block that are settled by that, without their pixels.

        With each batch the tokens of its windows by target, int64 (N, patches²).
        """
        windows = iter(range(len(batch.windows)))
        for item in batch.items:
            if isinstance(item, PlacedWindow):
                index = next(windows)
                pixels = {name: array[index] for name, array in batch.pixels.items()}
                self._forming.append(_HeldWindow(item, pixels))
            else:
                self._rows.append(_Row(self._forming, item))
                self._forming = []
                yield from self._advance()

    def _advance(self) -> Iterator[tuple[Batch, dict[str, np.ndarray]]]:
        """Goes on with each row by as much as the newest one allows."""
        for target, lag in self._lag.items():
            if lag < len(self._rows):
                self._add(target, self._rows[-1 - lag])
        if (latest := max(self._lag.values())) < len(self._rows):
            for held in self._rows[-1 - latest].windows:
                held.pixels = {}  # no target is left that sees them
        if self._last < len(self._rows):
            row = self._rows[0]
            if row.end.is_own:
                yield from self._settled(row)
            for patches in self._patches.values():
                patches.drop_until(row.end.i)

    def _add(self, target: str, row: _Row) -> None:
        """Adds a row's logits of a target, and draws what nothing more is added to."""
        rings, patches = self._last - self._lag[target], self._patches[target]
        windows = [held for held in row.windows if held.place.ring <= rings]
        for some in _parts(windows, self._size):
            self._check()
            seen = self._tokens(some, self._seen[target])
            pixels = {name: np.stack([held.pixels[name] for held in some]) for name in some[0].pixels}
            # Tokens are wanted of the windows that see them, and of those that are made of them.
            wanted = [held.place.ring <= rings - self._lattice.reach for held in some]
            patches.add([(held.place.i, held.place.j) for held in some], wanted, pixels, seen)
        patches.draw_until(row.end.i)

    def _settled(self, row: _Row) -> Iterator[tuple[Batch, dict[str, np.ndarray]]]:
        own = [held for held in row.windows if held.place.ring == 0]
        for some in _parts(own, self._size):
            drawn = {target: self._drawn(target, some) for target in self._patches}
            yield Batch(self._lattice, {}, tuple(held.place for held in some)), drawn
        yield Batch(self._lattice, {}, (row.end,)), {}

    def _tokens(self, windows: Sequence[_HeldWindow], targets: Sequence[str]) -> dict[str, np.ndarray]:
        """What windows see of earlier targets: their own tokens, where these are given, or those that were drawn."""
        found = {target: self._drawn(target, windows) for target in targets}
        for index, held in enumerate(windows if self._chain else ()):
            if self._chain and (given := self._chain.of(held.place.i, held.place.j)):
                for target in targets:
                    found[target][index] = given[target]
        return found

    def _drawn(self, target: str, windows: Sequence[_HeldWindow]) -> np.ndarray:
        patches = self._patches[target]
        return np.stack([patches.tokens(held.place.i, held.place.j) for held in windows])


@dataclass
class _HeldWindow:
    place: PlacedWindow
    pixels: dict[str, np.ndarray]


@dataclass(frozen=True)
class _Row:
    windows: Sequence[_HeldWindow]
    end: RowEnd


class _GroundPatches:
    """What windows say of the ground's patches, in tiles, and the tokens that were drawn from it.

    The sums themselves are the model's, and stay where it computes.
    """

    def __init__(
        self, model: GeneratorOfLogits, target: str, lattice: Lattice, uniform: GroundUniform
    ) -> None:
        self._lattice, self._uniform = lattice, uniform
        self._side, self._step = lattice.patches, lattice.stride // lattice.patch
        self._sums = model.sums(target, self._step)
        self._tiles: dict[TileKey, _Tile] = {}
        self._drawn: dict[tuple[int, int], np.ndarray] = {}

    def add(
        self,
        places: Sequence[tuple[int, int]],
        wanted: Sequence[bool],
        pixels: Mapping[str, np.ndarray],
        seen: Mapping[str, np.ndarray],
    ) -> None:
        """Adds what windows say, these coming in row-major order, and draws what nothing more is added to."""
        under = [[tile for tile, _, _ in self._tiles_under(i, j)] for i, j in places]
        self._sums.add(pixels, seen, under)
        for (i, j), is_wanted in zip(places, wanted, strict=True):
            for tile, _, there in self._tiles_under(i, j):
                if tile not in self._tiles:
                    self._tiles[tile] = _Tile.empty(self._step)
                self._tiles[tile].add(there, is_wanted=is_wanted)
        i, j = places[-1]
        self._draw([tile for tile in self._tiles if tile[0] <= i and tile[1] <= j])

    def draw_until(self, i: int) -> None:
        """Draws what no window below a row has a part in; all windows up to it have been added."""
        self._draw([tile for tile in self._tiles if tile[0] <= i])

    def tokens(self, i: int, j: int) -> np.ndarray:
        """A window's tokens, int64 (patches²,)."""
        found = np.empty((self._side, self._side), np.int64)
        for tile, here, there in self._tiles_under(i, j):
            found[here] = self._drawn[tile][there]
        return found.ravel()

    def drop_until(self, i: int) -> None:
        """Forgets tokens that no window below a row has."""
        self._drawn = {tile: ids for tile, ids in self._drawn.items() if tile[0] > i}

    def _draw(self, tiles: Sequence[TileKey]) -> None:
        stride = self._lattice.stride
        for tile in sorted(tiles):
            wanted, windows = (held := self._tiles.pop(tile)).wanted, held.windows
            rect = Lattice(stride, stride, self._lattice.patch).window(*tile)
            ids = np.full((self._step, self._step), _NONE, np.int64)
            ids[wanted] = self._sums.draw(
                tile, np.flatnonzero(wanted), windows[wanted], self._uniform.cut(rect)[wanted]
            )
            self._drawn[tile] = ids

    def _tiles_under(
        self, i: int, j: int
    ) -> Iterator[tuple[TileKey, tuple[slice, slice], tuple[slice, slice]]]:
        """The tiles that a window covers, with what of the window and what of the tile that is."""
        for row, col, height, width in parts_of(self._side, self._step):
            here = slice(row, row + height), slice(col, col + width)
            yield (i + row // self._step, j + col // self._step), here, (slice(height), slice(width))


@dataclass(frozen=True)
class _Tile:
    """Of how many windows the sums of a tile's patches are, and of which a token is wanted: (step, step) each."""

    windows: np.ndarray
    wanted: np.ndarray

    @classmethod
    def empty(cls, step: int) -> _Tile:
        return cls(np.zeros((step, step), np.float32), np.zeros((step, step), bool))

    def add(self, there: tuple[slice, slice], *, is_wanted: bool) -> None:
        self.windows[there] += 1
        self.wanted[there] |= is_wanted


def _parts(windows: Sequence[_HeldWindow], size: int) -> Iterator[Sequence[_HeldWindow]]:
    for start in range(0, len(windows), size):
        yield windows[start : start + size]
