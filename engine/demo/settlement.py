"""A town by the river's mouth, villages in the plain, and the roads between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.demo.relief import Line
from engine.demo.spectra import Cover
from engine.demo.texture import FloatArray, Shape, fractal_noise, scramble


@dataclass(frozen=True)
class Place:
    """A town or village: its middle (row, column) and radius in pixels of 10 m, and how its streets run."""

    row: float
    col: float
    radius: float
    angle: float
    works: bool = False
    """Whether halls with metal roofs stand at its edge."""


def paint_town(
    seed: int, shape: Shape, place: Place, first: NDArray[np.uint8], second: NDArray[np.uint8], share: FloatArray, light: FloatArray
) -> None:
    """Build a town into a landscape's arrays, all (H, W); outside its radius nothing changes."""
    reach = int(place.radius * 1.7)
    window = (
        slice(max(0, int(place.row) - reach), min(shape[0], int(place.row) + reach)),
        slice(max(0, int(place.col) - reach), min(shape[1], int(place.col) + reach)),
    )
    if window[0].start >= window[0].stop or window[1].start >= window[1].stop:
        return
    down = np.arange(window[0].start, window[0].stop, dtype=np.float32)[:, None] - np.float32(place.row)
    right = np.arange(window[1].start, window[1].stop, dtype=np.float32)[None, :] - np.float32(place.col)
    sprawl = fractal_noise(seed, f"sprawl {place.row:.0f}", (down.shape[0], right.shape[1]), max(place.radius / 2.2, 4), 4, 0.6)
    density = 1 - np.sqrt(down * down + right * right) / np.float32(place.radius) + sprawl * np.float32(0.22)
    # Two street plans meet in the middle, as in towns that grew in two directions.
    turned = right * np.float32(0.8) + down * np.float32(0.6) > sprawl * np.float32(6)
    angles = [(round(math.cos(a), 4), round(math.sin(a), 4)) for a in (place.angle, place.angle + 0.55)]
    cosine = np.where(turned, *(np.float32(a[0]) for a in angles))
    sine = np.where(turned, *(np.float32(a[1]) for a in angles))
    along, across = right * cosine + down * sine, down * cosine - right * sine
    street = np.minimum(along % 9, across % 13) < 1.0
    avenue = np.minimum(along % 54, across % 52) < 1.7
    lot = scramble((along // 2.2).astype(np.int32), (across // 2.6).astype(np.int32))
    dice = lot.view(np.uint8).reshape(*lot.shape, 4)
    hall = scramble((along // 9).astype(np.int32), (across // 13).astype(np.int32)).view(np.uint8).reshape(*lot.shape, 4)
    industry = (density < 0.42) & turned & (hall[..., 1] < 190) if place.works else np.zeros(lot.shape, bool)
    park = (hall[..., 2] < 22) & (density < 0.9)

    roofs = np.array([Cover.TILE_ROOF] * 9 + [Cover.CONCRETE] * 4 + [Cover.ASPHALT] * 2 + [Cover.METAL_ROOF], np.uint8)
    base = roofs[dice[..., 0] >> 4]
    base = np.where(industry, np.array([Cover.METAL_ROOF, Cover.CONCRETE, Cover.ASPHALT, Cover.CONCRETE], np.uint8)[hall[..., 0] >> 6], base)
    green = np.where(dice[..., 1] < 90, Cover.BROADLEAF, Cover.MEADOW).astype(np.uint8)
    gardens = np.clip(0.85 - 1.05 * density, 0.08, 0.9) * (0.35 + dice[..., 2] * np.float32(1.3 / 255))
    gardens = np.where(industry, np.float32(0.06), np.where(park, np.float32(0.95), gardens))
    base = np.where(street | avenue, np.uint8(Cover.ASPHALT), base)
    gardens = np.where(avenue, np.float32(0.05), np.where(street, gardens * np.float32(0.5), gardens))
    built = (density > 0.06) & ((density > 0.30) | (hall[..., 3] < 150) | street)
    for target, value in ((first, base), (second, green), (share, np.clip(gardens, 0, 1)), (light, 0.80 + dice[..., 3] * np.float32(0.4 / 255))):
        target[window] = np.where(built, value, target[window])


def road(*stops: tuple[float, float]) -> Line:
    """A smooth line through its stops (Catmull-Rom), a point for about every pixel."""
    line: Line = []
    ends = [stops[0], *stops, stops[-1]]
    for before, start, end, after in zip(ends, ends[1:], ends[2:], ends[3:], strict=False):
        steps = max(1, int(math.hypot(end[0] - start[0], end[1] - start[1])))
        for step in range(steps):
            t = step / steps
            line.append(tuple(  # type: ignore[arg-type]
                0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t * t + (3 * q - 3 * r + s - p) * t**3)
                for p, q, r, s in zip(before, start, end, after, strict=True)
            ))  # fmt: skip
    return line


def distance_to(lines: list[Line], shape: Shape, reach: int) -> FloatArray:
    """Pixels to the nearest of the lines' points, at most ``reach``; float32 of ``shape``."""
    nearest = np.full(shape, reach * reach, np.float32)
    points = np.array([point for line in lines for point in line], np.float32)
    offsets = np.arange(-reach, reach + 1)
    for start in range(0, len(points), 512):
        some = points[start : start + 512]
        rows = some[:, 0].astype(np.int32)[:, None] + offsets
        cols = some[:, 1].astype(np.int32)[:, None] + offsets
        away = ((rows + np.float32(0.5) - some[:, :1]) ** 2)[:, :, None] + ((cols + np.float32(0.5) - some[:, 1:]) ** 2)[:, None, :]
        inside = ((rows >= 0) & (rows < shape[0]))[:, :, None] & ((cols >= 0) & (cols < shape[1]))[:, None, :]
        index = rows[:, :, None] * shape[1] + cols[:, None, :]
        np.minimum.at(nearest.ravel(), index[inside], away[inside])
    return np.sqrt(nearest)
