"""A town by the river's mouth, villages in the plain, and the roads between them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from terramosaic.demo.canvas import Canvas, Covers, Mask
from terramosaic.demo.relief import NATURAL_SIZE, Line
from terramosaic.demo.spectra import Cover
from terramosaic.demo.texture import FloatArray, Shape, fractal_noise, ramp, scramble

_ROOFS = np.array(
    [Cover.TILE_ROOF] * 9 + [Cover.CONCRETE] * 4 + [Cover.ASPHALT] * 2 + [Cover.METAL_ROOF], np.uint8
)
_HALLS = np.array([Cover.METAL_ROOF, Cover.CONCRETE, Cover.ASPHALT, Cover.CONCRETE], np.uint8)


@dataclass(frozen=True)
class _Place:
    """A town: its middle as parts of the world's sides, its radius in pixels of 10 m, how its streets run (radians)."""

    v: float
    u: float
    radius: float
    angle: float
    industry: bool = False


_TOWN = _Place(0.565, 0.34, 135, 0.3, industry=True)
_VILLAGES = (
    _Place(0.47, 0.47, 30, 0.7),
    _Place(0.36, 0.60, 36, 0.1),
    _Place(0.70, 0.44, 34, 0.5),
    _Place(0.74, 0.60, 28, 0.9),
    _Place(0.30, 0.36, 26, 0.2),
)
#: Roads as stops (parts of the world's sides): first the wide ones, then the narrow.
_ROADS = (
    ((0.565, 0.34), (0.50, 0.40), (0.47, 0.47), (0.44, 0.53), (0.36, 0.60)),
    ((0.565, 0.34), (0.66, 0.375), (0.70, 0.44), (0.755, 0.51), (0.74, 0.60)),
    ((0.0, 0.20), (0.12, 0.27), (0.30, 0.36), (0.42, 0.325), (0.565, 0.34), (0.78, 0.32), (1.0, 0.30)),
)
_LANES = (
    ((0.47, 0.47), (0.39, 0.44), (0.30, 0.36)),
    ((0.36, 0.60), (0.55, 0.62), (0.74, 0.60)),
    ((0.47, 0.47), (0.59, 0.475), (0.70, 0.44)),
)


def settle(seed: int, canvas: Canvas, buildable: Mask) -> None:
    """Builds town and villages where ground is buildable (H, W), and the roads, which also cross water."""
    shape = buildable.shape
    for place in (_TOWN, *_VILLAGES):
        _build(seed, canvas, buildable, place)
    for routes, width, veil in ((_ROADS, 1.6, 0.75), (_LANES, 1.4, 0.5)):
        lines = [_road([(v * shape[0], u * shape[1]) for v, u in stops]) for stops in routes]
        canvas.cover(Cover.ASPHALT, ramp(distance_to(lines, shape, 3), width, width - 1) * np.float32(veil))


def _build(seed: int, canvas: Canvas, buildable: Mask, place: _Place) -> None:
    """Paints one town: streets, roofs, gardens and parks, denser towards its middle."""
    shape = buildable.shape
    radius = place.radius * shape[0] / NATURAL_SIZE + 6
    row, col, reach = place.v * shape[0], place.u * shape[1], int(1.7 * radius)
    window = (
        slice(max(0, int(row) - reach), int(row) + reach),
        slice(max(0, int(col) - reach), int(col) + reach),
    )
    part, free = canvas.part(window), buildable[window]
    down = np.arange(free.shape[0], dtype=np.float32)[:, None] + np.float32(window[0].start - row)
    right = np.arange(free.shape[1], dtype=np.float32)[None, :] + np.float32(window[1].start - col)
    sprawl = fractal_noise(seed, f"sprawl {place.angle}", free.shape, max(radius / 2.2, 4), 4, 0.6)
    density = 1 - np.sqrt(down * down + right * right) / np.float32(radius) + sprawl * np.float32(0.18)

    # Two street plans meet in the middle, as in towns that grew in two directions.
    newer = right * np.float32(0.8) + down * np.float32(0.6) > sprawl * np.float32(6)
    along, across = _street_plan(down, right, newer, place.angle)
    street = np.minimum(along % 9, across % 13) < 1.0
    avenue = np.minimum(along % 54, across % 52) < 1.7
    lot, block = _dice(along, across, 2.2, 2.6), _dice(along, across, 9, 13)
    halls = newer & (density < 0.42) & (block[..., 1] < 190) & place.industry
    park = (block[..., 2] < 22) & (density < 0.9)

    roofs = np.where(halls, _HALLS[block[..., 0] >> 6], _ROOFS[lot[..., 0] >> 4])
    roofs[street | avenue] = Cover.ASPHALT
    gardens = np.clip(0.85 - 1.05 * density, 0.08, 0.9) * (0.35 + lot[..., 2] * np.float32(1.3 / 255))
    gardens = np.where(halls, 0.06, np.where(park, 0.95, gardens))
    gardens = np.where(avenue, 0.05, np.where(street, 0.5 * gardens, gardens))
    plants = np.where(lot[..., 1] < 90, np.uint8(Cover.BROADLEAF), np.uint8(Cover.MEADOW))
    built = free & (density > 0.06) & ((density > 0.30) | (block[..., 3] < 150) | street)
    allotments = free & (density > 0.02)
    part.lay(allotments, Cover.MEADOW, Cover.SHRUB, block[..., 3] * np.float32(0.8 / 255))
    part.lay(built, roofs, plants, np.clip(gardens, 0, 1))
    part.light[allotments] = 1
    np.copyto(part.light, 0.80 + lot[..., 3] * np.float32(0.4 / 255), where=built)


def _street_plan(
    down: FloatArray, right: FloatArray, newer: Mask, angle: float
) -> tuple[FloatArray, FloatArray]:
    """Coordinates along and across the streets; rounded, because cosine's last bit is the machine's."""
    turns = [(round(math.cos(a), 4), round(math.sin(a), 4)) for a in (angle + 0.55, angle)]
    cosine, sine = (
        np.where(newer, np.float32(new), np.float32(old)) for new, old in zip(*turns[::-1], strict=True)
    )
    return right * cosine + down * sine, down * cosine - right * sine


def _dice(along: FloatArray, across: FloatArray, length: float, width: float) -> Covers:
    """Four dice (0 to 255) for each cell of a street plan, (H, W, 4)."""
    cells = (np.floor(along / np.float32(length)), np.floor(across / np.float32(width)))
    thrown = scramble(*(cell.astype(np.int32) for cell in cells))
    return thrown.astype("<u4").view(np.uint8).reshape(*along.shape, 4)


def _road(stops: Line) -> Line:
    """A smooth line through its stops (Catmull-Rom), with a point for about every pixel."""
    line: Line = []
    for before, start, end, after in zip(
        [stops[0], *stops], stops, stops[1:], [*stops[2:], stops[-1]], strict=False
    ):
        steps = int(abs(end[0] - start[0]) + abs(end[1] - start[1])) + 1
        for step in range(steps):
            t = step / steps
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
            points = (before, start, end, after)
            row, col = (
                sum(w * point[k] for w, point in zip(weights, points, strict=True)) / 2 for k in (0, 1)
            )
            line.append((row, col))
    return line


def distance_to(lines: list[Line], shape: Shape, reach: int) -> FloatArray:
    """Distance of pixels' middles to the nearest of the lines' points, at most ``reach``; (H, W), in pixels."""
    nearest = np.full(shape, reach * reach, np.float32)
    points = np.array([point for line in lines for point in line], np.float32).reshape(-1, 2)
    around = np.arange(-reach, reach + 1, dtype=np.int32)
    for start in range(0, len(points), 512):
        some = points[start : start + 512]
        rows, cols = (np.floor(some[:, axis, None]).astype(np.int32) + around for axis in (0, 1))
        down, right = (
            (index + np.float32(0.5) - some[:, axis, None]) ** 2 for axis, index in ((0, rows), (1, cols))
        )
        away = down[:, :, None] + right[:, None, :]
        inside = ((rows >= 0) & (rows < shape[0]))[:, :, None] & ((cols >= 0) & (cols < shape[1]))[:, None, :]
        index = rows[:, :, None] * shape[1] + cols[:, None, :]
        np.minimum.at(nearest.reshape(-1), index[inside], away[inside])
    return np.sqrt(nearest)
