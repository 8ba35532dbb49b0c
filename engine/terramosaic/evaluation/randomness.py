"""The randomness of samples, which lie nowhere on the grid: of made-up places, one for each key.

So a figure does not depend on what else was evaluated, and windows that overlap see the same, as they do in a map.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import PATCH, WINDOW
from terramosaic.ground.noise import TILE, GroundNoise, GroundUniform
from terramosaic.model.generator import Generator, WindowRandomness


def place_of(key: str, row: int = 0, col: int = 0, *, side: int = WINDOW) -> Rect:
    """A window's made-up place.

    Args:
        key: of its sample.
        row: where in the sample it begins; of windows that overlap, in steps of a patch.
        col: the same.
        side: of the window, in pixels.
    """
    digest = hashlib.blake2b(key.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    top, left = (int.from_bytes(part, "little") * TILE for part in (digest[:4], digest[4:]))
    return Rect(top + row, left + col, side, side)


def randomness_at(
    generator: Generator, seed: int, places: Sequence[Rect], patch: int = PATCH
) -> dict[str, WindowRandomness]:
    """What a generator needs for a batch of windows, by target; ``patch`` is the side of its patches."""
    drawn = {}
    for target, needs in generator.needs.items():
        noise = GroundNoise(seed, target, 0, needs.noise_channels)
        uniform = GroundUniform(seed, target, 0, patch)
        drawn[target] = WindowRandomness(
            noise=np.stack(list(map(noise.cut, places))) if needs.noise_channels else None,
            uniform=np.stack(list(map(uniform.cut, places))) if needs.uniform else None,
        )
    return drawn
