"""A patchwork of fields: blocks between lanes, cut into parcels, each with a crop that grows at its own pace."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terramosaic.demo.spectra import Cover
from terramosaic.demo.texture import FloatArray, Shape, double, scramble, smooth_noise, uniform

#: Pixels of 20 m between the middles of two blocks, about.
_SPACING = 30


@dataclass(frozen=True)
class Fields:
    """Farmland for the whole world, to be laid where it belongs; arrays (H, W) on the 10 m grid.

    Attributes:
        soil: the `Cover` that shows between the plants.
        crop: the `Cover` that grows there.
        grown: share of the ground that the crop hides on the first date.
        later: the same on the second date.
        tone: how bright a parcel is against its neighbours, about 1.
        margin: pixels to the block's edge, about: lanes and hedges run at 0.
    """

    soil: NDArray[np.uint8]
    crop: NDArray[np.uint8]
    grown: FloatArray
    later: FloatArray
    tone: FloatArray
    margin: FloatArray


@dataclass(frozen=True)
class _Crop:
    """What grows on a share of the parcels, on which soils, hiding how much of them (from, to) and gaining how much."""

    share: float
    soils: tuple[Cover, Cover]
    cover: Cover
    grown: tuple[float, float]
    growth: float


#: Mid May: cereals stand high, rapeseed flowers, maize and sunflower have just been sown, meadows are being mown.
_CROPS = (
    _Crop(0.27, (Cover.BROWN_SOIL, Cover.PALE_SOIL), Cover.CEREAL, (0.70, 0.97), 0.03),
    _Crop(0.09, (Cover.BROWN_SOIL, Cover.BROWN_SOIL), Cover.RAPESEED, (0.75, 0.98), -0.12),
    _Crop(0.14, (Cover.DRY_GRASS, Cover.DRY_GRASS), Cover.MEADOW, (0.62, 0.95), 0.02),
    _Crop(0.10, (Cover.DRY_GRASS, Cover.PALE_SOIL), Cover.MEADOW, (0.75, 0.95), -0.45),
    _Crop(0.16, (Cover.BROWN_SOIL, Cover.RED_SOIL), Cover.CEREAL, (0.08, 0.30), 0.13),
    _Crop(0.13, (Cover.PALE_SOIL, Cover.BROWN_SOIL), Cover.CEREAL, (0.02, 0.12), 0.05),
    _Crop(0.11, (Cover.DRY_GRASS, Cover.PALE_SOIL), Cover.SHRUB, (0.20, 0.60), 0.02),
)  # fmt: skip


def make_fields(seed: int, shape: Shape) -> Fields:
    """Cuts the plain into blocks and parcels, and sows them (``shape`` in pixels of 10 m, even)."""
    block, middle_row, middle_col, margin = _blocks(seed, (shape[0] // 2, shape[1] // 2))
    chances = uniform(seed, "turn", (1, len(middle_row)))[0].tolist()
    cosine, sine = np.array([_direction(chance) for chance in chances], np.float32).T
    width = 7 + 13 * uniform(seed, "width", (1, len(middle_row)))[0] ** 2
    length = 22 + 26 * uniform(seed, "length", (1, len(middle_row)))[0]
    block = np.repeat(np.repeat(block, 2, axis=0), 2, axis=1)
    down = np.arange(shape[0], dtype=np.float32)[:, None] - middle_row[block]
    down += smooth_noise(seed, "plough", shape, 60) * np.float32(1.2)
    right = np.arange(shape[1], dtype=np.float32)[None, :] - middle_col[block]
    strip = np.floor(right * (cosine / width)[block] + down * (sine / width)[block]).astype(np.int32)
    piece = np.floor(down * (cosine / length)[block] - right * (sine / length)[block]).astype(np.int32)
    strip -= (strip & 1) & (((strip >> 1) + block) & 1)  # every other pair of strips is one field
    dice = scramble(block, strip, piece).astype("<u4").view(np.uint8).reshape(*shape, 4)
    return _sow(dice, double(margin))


def _blocks(seed: int, half: Shape) -> tuple[NDArray[np.int32], FloatArray, FloatArray, FloatArray]:
    """Cells around scattered points: index of each 20 m pixel's, the points' rows and columns (10 m), the margin."""
    count = (half[0] // _SPACING + 5, half[1] // _SPACING + 5)
    point_row = (np.arange(count[0])[:, None] - 2 + uniform(seed, "block rows", count)) * np.float32(_SPACING)
    point_col = (np.arange(count[1])[None, :] - 2 + uniform(seed, "block cols", count)) * np.float32(_SPACING)
    row = np.arange(half[0], dtype=np.float32)[:, None] + smooth_noise(seed, "lanes", half, 24) * np.float32(
        2.5
    )
    col = np.arange(half[1], dtype=np.float32)[None, :] + smooth_noise(seed, "paths", half, 24) * np.float32(
        2.5
    )
    cell_row = np.clip((row * np.float32(1 / _SPACING)).astype(np.int32) + 2, 1, count[0] - 2)
    cell_col = np.clip((col * np.float32(1 / _SPACING)).astype(np.int32) + 2, 1, count[1] - 2)
    nearest, second = np.full(half, np.inf, np.float32), np.full(half, np.inf, np.float32)
    block = np.zeros(half, np.int32)
    for dr in (-1, 0, 1):
        for dc in (-1, 0, 1):
            candidate = (cell_row + dr) * count[1] + (cell_col + dc)
            away = (row - point_row.ravel()[candidate]) ** 2 + (col - point_col.ravel()[candidate]) ** 2
            closer = away < nearest
            second = np.minimum(second, np.where(closer, nearest, away))
            block = np.where(closer, candidate, block)
            nearest = np.minimum(nearest, away)
    margin = np.sqrt(second) - np.sqrt(nearest)
    return block, (2 * point_row).ravel(), (2 * point_col).ravel(), margin


def _direction(chance: float) -> tuple[float, float]:
    """Most blocks run with the coast, some across; rounded, because cosine's last bit is the machine's."""
    angle = -0.35 + 1.1 * (chance - 0.5) + (math.pi / 2 if chance * 16 % 1 < 0.4 else 0.0)
    return round(math.cos(angle), 4), round(math.sin(angle), 4)


def _sow(dice: NDArray[np.uint8], margin: FloatArray) -> Fields:
    """Chooses every parcel's crop, soil, growth and tone by its four dice (H, W, 4), each 0 to 255."""
    ends = np.cumsum([crop.share for crop in _CROPS]) * 256
    kind = np.searchsorted(ends, np.arange(256), side="right").clip(0, len(_CROPS) - 1).astype(np.uint8)
    choice = kind[dice[..., 0]]
    soils = np.array([crop.soils for crop in _CROPS], np.uint8)
    low, high = np.array([crop.grown for crop in _CROPS], np.float32).T
    growth = np.array([crop.growth for crop in _CROPS], np.float32)
    chance = dice[..., 1] * np.float32(1 / 255)
    first = low[choice] + (high - low)[choice] * chance
    later = np.clip(first + growth[choice] * (0.4 + 0.6 * chance), 0, 1)
    return Fields(
        soil=soils[choice, (dice[..., 2] > 150).astype(np.uint8)],
        crop=np.array([crop.cover for crop in _CROPS], np.uint8)[choice],
        grown=first,
        later=later,
        tone=0.86 + dice[..., 3] * np.float32(0.28 / 255),
        margin=margin,
    )
