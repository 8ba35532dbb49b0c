"""Randomness that belongs to the ground.

Diffusion noise and sampling uniforms are drawn from numpy's counter-based Philox generator, one stream for each
(seed, target, zone, tile of the grid), tiles of 256 pixels or of 16 patches. A window cuts what it needs out of the
tiles under it, so a pixel has the same noise in whatever window, block, batch, worker or run it is computed. If
overlapping windows saw independent noise, averaging would wash their texture out (to 0.72 of its standard deviation
under two, 0.52 under four).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Literal

import numpy as np

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import PATCH

#: Side of a noise tile in pixels, and of a tile of uniforms in patches.
TILE = 256
_PATCHES = 16

#: Tiles kept in memory for all whose rows are of no known width (0.5 MB a tile of two channels).
_TILES_KEPT = 64

#: Tiles of uniforms kept in memory, 1 KB each: of several blocks of 16 384 pixels, with several targets.
_UNIFORMS_KEPT = 4096

#: Rows of tiles that a row of windows lies over. The tile that was used longest ago goes first, so that what is still
#: wanted of the row before is there.
_ROWS_KEPT = 2


@dataclass(frozen=True)
class GroundNoise:
    """Standard normal noise of one target over one zone's grid.

    Attributes:
        width: pixels from the first to the last of the windows that are cut row by row, as a block's are. The tiles
            under them are kept, for this noise alone, from one row to the next; 0 if windows come in any order.
    """

    seed: int
    target: str
    epsg: int
    channels: int
    width: int = 0

    @cached_property
    def _tile(self) -> Callable[[int, int], np.ndarray]:
        made = partial(_normal_tile, self.seed, self.target, self.epsg, self.channels)
        # More tiles than the width has: it may begin and end in the midst of one, and windows may be larger than one.
        return (
            lru_cache(_ROWS_KEPT * (self.width // TILE + 3))(made)
            if self.width
            else partial(_kept_tile, made.args)
        )

    def cut(self, rect: Rect) -> np.ndarray:
        """Noise under a rectangle: float32 (channels, height, width)."""
        out = np.empty((self.channels, *rect.shape), np.float32)
        for tile_rect in _tiles_under(rect, TILE):
            shared = tile_rect.intersection(rect)
            tile = self._tile(tile_rect.row, tile_rect.col)
            out[:, *shared.slices(rect)] = tile[:, *shared.slices(tile_rect)]
        return out


@dataclass(frozen=True)
class GroundUniform:
    """Uniform numbers in [0, 1), one for each patch of the grid: what a token is sampled with."""

    seed: int
    target: str
    epsg: int
    patch: int = PATCH

    def cut(self, rect: Rect) -> np.ndarray:
        """Uniforms under a rectangle whose edges lie on patches: float32 (height / patch, width / patch)."""
        patch = self.patch
        patches = Rect(rect.row // patch, rect.col // patch, rect.height // patch, rect.width // patch)
        out = np.empty(patches.shape, np.float32)
        for tile_rect in _tiles_under(patches, _PATCHES):
            shared = tile_rect.intersection(patches)
            tile = _uniform_tile(
                self.seed, self.target, self.epsg, tile_rect.row * patch, tile_rect.col * patch
            )
            out[shared.slices(patches)] = tile[shared.slices(tile_rect)]
        return out


def _tiles_under(rect: Rect, side: int) -> list[Rect]:
    whole = rect.snap(side)
    rows, cols = range(whole.row, whole.row_end, side), range(whole.col, whole.col_end, side)
    return [Rect(row, col, side, side) for row in rows for col in cols]


@lru_cache(_TILES_KEPT)
def _kept_tile(noise: tuple[int, str, int, int], row: int, col: int) -> np.ndarray:
    return _normal_tile(*noise, row, col)


def _normal_tile(seed: int, target: str, epsg: int, channels: int, row: int, col: int) -> np.ndarray:
    stream = _stream("normal", seed, target, epsg, row, col)
    return stream.standard_normal((channels, TILE, TILE), np.float32)


@lru_cache(_UNIFORMS_KEPT)
def _uniform_tile(seed: int, target: str, epsg: int, row: int, col: int) -> np.ndarray:
    return _stream("uniform", seed, target, epsg, row, col).random((_PATCHES, _PATCHES), np.float32)


def _stream(kind: Literal["normal", "uniform"], *key: int | str) -> np.random.Generator:
    digest = hashlib.blake2b("/".join(map(str, (kind, *key))).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
