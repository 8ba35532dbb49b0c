"""Randomness that belongs to the ground.

Diffusion noise and sampling uniforms are drawn from numpy's counter-based Philox generator, one stream for each
(seed, target, zone, tile of the grid), tiles of 256 pixels or of 16 patches. A window cuts what it needs out of the
tiles under it, so a pixel has the same noise in whatever window, block, batch, worker or run it is computed. If
overlapping windows saw independent noise, averaging would wash their texture out (to 0.72 of its standard deviation
under two, 0.52 under four).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import PATCH

#: Side of a noise tile in pixels, and of a tile of uniforms in patches.
TILE = 256
_PATCHES = 16

#: Tiles kept in memory: those under a row of windows of a 2048-pixel block (22), for four workers and two targets
#: (0.5 MB a tile of two channels).
_TILES_KEPT = 192


@dataclass(frozen=True)
class GroundNoise:
    """Standard normal noise of one target over one zone's grid."""

    seed: int
    target: str
    epsg: int
    channels: int

    def cut(self, rect: Rect) -> np.ndarray:
        """Noise under a rectangle: float32 (channels, height, width)."""
        out = np.empty((self.channels, *rect.shape), np.float32)
        for tile_rect in _tiles_under(rect, TILE):
            shared = tile_rect.intersection(rect)
            tile = _normal_tile(
                self.seed, self.target, self.epsg, self.channels, tile_rect.row, tile_rect.col
            )
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
def _normal_tile(seed: int, target: str, epsg: int, channels: int, row: int, col: int) -> np.ndarray:
    stream = _stream("normal", seed, target, epsg, row, col)
    return stream.standard_normal((channels, TILE, TILE), np.float32)


@lru_cache(_TILES_KEPT)
def _uniform_tile(seed: int, target: str, epsg: int, row: int, col: int) -> np.ndarray:
    return _stream("uniform", seed, target, epsg, row, col).random((_PATCHES, _PATCHES), np.float32)


def _stream(kind: Literal["normal", "uniform"], *key: int | str) -> np.random.Generator:
    digest = hashlib.blake2b("/".join(map(str, (kind, *key))).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
