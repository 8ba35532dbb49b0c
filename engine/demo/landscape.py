"""The ground of the made-up world: which covers each pixel mixes, laid from the mountains down to the sea."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.demo.fields import make_fields
from engine.demo.relief import NATURAL_SIZE, Line, Relief, make_relief
from engine.demo.settlement import Place, distance_to, paint_town, road
from engine.demo.spectra import REFLECTANCE, WATERS, Cover
from engine.demo.texture import FloatArray, Shape, double, fractal_noise, grain, ramp, smooth_noise

#: The sun over both acquisitions, about: unit vector to the east, to the south and up (azimuth 157, height 54 degrees).
_SUN = (0.225, 0.543, 0.809)


@dataclass(frozen=True)
class Ground:
    """What a pixel is made of: two covers that share it and a third above them. Arrays (H, W) on the 10 m grid."""

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    share: tuple[FloatArray, FloatArray]
    """Part of the second cover, 0 to 1, on the first and on the second date."""
    top: NDArray[np.uint8]
    veil: FloatArray
    """Part of the pixel that the top cover hides, 0 to 1."""
    light: FloatArray
    """Brightness against the cover's own: slopes, parcels, roofs and texture."""

    def reflectance(self, band: int, date: int) -> FloatArray:
        """Surface reflectance x 10 000 of a band (index in ``S2L2A_BANDS``) on a date (0 or 1), (H, W)."""
        table = REFLECTANCE[band]
        surface = table[self.first]
        surface += (table[self.second] - surface) * self.share[date]
        surface += (table[self.top] - surface) * self.veil
        surface *= self.light
        return surface

    @property
    def water(self) -> NDArray[np.bool_]:
        """Whether a pixel is mostly water."""
        wet = np.isin(np.arange(len(Cover)), WATERS)
        return wet[self.first] & ((self.veil < 0.5) | wet[self.top])


class _Canvas:
    """The arrays of a `Ground` while they are painted."""

    def __init__(self, shape: Shape) -> None:
        self.first = np.full(shape, Cover.MEADOW, np.uint8)
        self.second = np.full(shape, Cover.SHRUB, np.uint8)
        self.share = np.zeros(shape, np.float32)
        self.later = np.zeros(shape, np.float32)
        self.top = np.zeros(shape, np.uint8)
        self.veil = np.zeros(shape, np.float32)
        self.light = np.ones(shape, np.float32)

    def lay(self, where: NDArray[np.bool_], first: object, second: object, share: FloatArray | float, later: FloatArray | None = None) -> None:
        """Put a mixture where the mask says; it covers what was there."""
        for target, value in ((self.first, first), (self.second, second), (self.share, share), (self.later, share if later is None else later)):
            np.copyto(target, value, where=where, casting="unsafe")
        self.veil[where] = 0

    def cover(self, top: Cover, veil: FloatArray) -> None:
        """Draw a veil of one cover over what is there, where it is denser than the veil already drawn."""
        denser = veil > self.veil
        np.copyto(self.top, np.uint8(top), where=denser)
        np.copyto(self.veil, veil, where=denser)


def make_ground(seed: int, shape: Shape) -> Ground:
    """Make the land and the sea of ``shape`` (pixels of 10 m)."""
    scale = shape[0] / NATURAL_SIZE
    relief = make_relief(seed, shape)
    height, coast = double(relief.height), double(relief.coast)
    slope, shading = _slopes(relief.height)
    slope, shading = double(slope), double(shading)
    canvas = _Canvas(shape)
    _wild(seed, canvas, height, slope, scale)
    _farm(seed, canvas, height, slope, scale)
    # Pixels to the river's bank, below 0 in it. Half the resolution is enough for the distance to a smooth line, and takes an eighth of the time.
    course = [(row / 2, col / 2) for row, col in _dense(relief.river)]
    river = 2 * double(distance_to([course], relief.height.shape, 16))
    river -= (2.2 + 3.3 * scale) * (1 - 0.6 * ramp(np.arange(shape[1], dtype=np.float32), 0.4 * shape[1], shape[1]))
    _valley(seed, canvas, relief, river, height, scale)
    _settle(seed, canvas, relief, height, coast, river, scale)
    canvas.light *= shading
    _shore(seed, canvas, coast, river, slope, scale)
    return Ground(
        canvas.first, canvas.second, (canvas.share, canvas.later), canvas.top, canvas.veil, canvas.light
    )


def _slopes(height: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slope (rise over run) and light of the slope against level ground, from heights on a 20 m grid."""
    down, right = np.gradient(height, np.float32(20))
    steep = down * down + right * right
    lit = (-right * np.float32(_SUN[0]) - down * np.float32(_SUN[1]) + np.float32(_SUN[2])) / np.sqrt(1 + steep)
    lit = np.clip(lit / np.float32(_SUN[2]), 0, 1.4)
    # A fifth of the light comes from the sky, from all sides.
    return np.sqrt(steep), 0.22 + 0.78 * lit * (0.55 + 0.45 * lit)


def _wild(seed: int, canvas: _Canvas, height: FloatArray, slope: FloatArray, scale: float) -> None:
    """Forest, scrub, pastures, rock and snow by height, slope and chance."""
    shape = height.shape
    relative = height * np.float32(1 / scale)
    patches = fractal_noise(seed, "patches", shape, 96, 7, 0.66)
    belts = fractal_noise(seed, "belts", shape, 40, 5, 0.66)
    canvas.lay(np.ones(shape, bool), Cover.DRY_GRASS, Cover.MEADOW, np.clip(0.55 - 0.4 * belts - 0.2 * patches, 0, 1))
    canvas.cover(Cover.SHRUB, ramp(patches, -1.2, 0.6) * np.float32(0.8))
    forest = patches + 1.6 * ramp(slope, 0.05, 0.28) - 0.5 > 0
    canvas.lay(forest, Cover.BROADLEAF, Cover.CONIFER, ramp(belts * np.float32(260) + relative, 250, 1150))
    treeline = relative + 110 * belts - 260 * ramp(slope, 0.5, 1.0)
    canvas.lay(treeline > 1280, Cover.CONIFER, Cover.ALPINE_GRASS, ramp(treeline, 1280, 1480))
    stony = ramp(relative + 150 * patches + 900 * (slope - 0.55), 1500, 2050)
    canvas.lay((stony > 0) & (treeline > 1480), Cover.ALPINE_GRASS, np.where(belts > 0.4, Cover.SCREE, Cover.ROCK), stony)
    canvas.cover(Cover.ROCK, ramp(slope + 0.10 * belts, 0.80, 1.10) * ramp(relative, 500, 1100) * np.float32(0.75))
    canopy = np.where(forest & (treeline < 1400), np.float32(0.085), np.float32(0.04))
    canvas.light *= 1 + canopy * (grain(seed, "canopy", shape) + smooth_noise(seed, "crowns", shape, 3.2))
    canvas.light *= 1 + 0.05 * patches
    north = np.gradient(height, axis=0) * np.float32(0.1)
    snow = ramp(relative + 100 * belts + 450 * np.clip(north, -0.8, 0.8) - 300 * ramp(slope, 0.8, 1.3), 1850, 2100)
    canvas.cover(Cover.SNOW, snow * np.float32(0.97))


def _farm(seed: int, canvas: _Canvas, height: FloatArray, slope: FloatArray, scale: float) -> None:
    """Fields where the land is low and gentle, with lanes, hedges and woods left between them."""
    shape = height.shape
    fields = make_fields(seed, shape)
    woods = fractal_noise(seed, "woods", shape, 75, 5, 0.55)
    gentle = ramp(slope, 0.16, 0.07) - 0.8 * ramp(height * np.float32(1 / scale), 180, 420) > 0.40
    canvas.lay(gentle & (woods > 1.05), Cover.BROADLEAF, Cover.CONIFER, ramp(woods, 1.0, 2.6))
    arable = gentle & (woods < 1.05) & (woods > -2.0)
    damp = smooth_noise(seed, "damp", shape, 22) * np.float32(0.05) + smooth_noise(seed, "clods", shape, 5) * np.float32(0.03)
    first, later = (np.clip(grown * (1 + 2.2 * damp), 0, 1) for grown in fields.grown)
    canvas.lay(arable, fields.soil, fields.crop, first, later)
    np.copyto(canvas.light, fields.tone * (1 - 1.1 * damp) * (1 + 0.022 * grain(seed, "furrows", shape)), where=arable)
    hedge = ramp(np.abs(fields.margin - 1.6), 1.1, 0.4) * ramp(smooth_noise(seed, "hedges", shape, 25), 0.2, 0.9)
    canvas.cover(Cover.BROADLEAF, np.where(arable, hedge * np.float32(0.8), 0))
    canvas.cover(Cover.PALE_SOIL, np.where(arable, ramp(fields.margin, 0.9, 0.2) * np.float32(0.4), 0))


def _valley(seed: int, canvas: _Canvas, relief: Relief, river: FloatArray, height: FloatArray, scale: float) -> None:
    """The river in its belt of alders and gravel, and the trees along its brooks."""
    shape = river.shape
    ragged = fractal_noise(seed, "banks", shape, 18, 3, 0.6)
    brooks = distance_to([_dense(stroke) for stroke in relief.streams], shape, 4)
    canvas.cover(Cover.BROADLEAF, ramp(brooks + 1.1 * ragged, 2.4, 0.6) * np.float32(0.7) * ramp(height, 2 * scale, 6 * scale))
    canvas.lay(river < 5 + 6 * np.abs(ragged), Cover.BROADLEAF, Cover.MEADOW, ramp(ragged, -0.2, 1.2))
    bars = (river < 1.4 + 1.6 * ragged) & (smooth_noise(seed, "bars", shape, 22) > 0.8)
    canvas.lay(bars, Cover.SCREE, Cover.MUD, 0.5)
    canvas.lay(river < 0, Cover.RIVER, Cover.TURBID_WATER, 0.3)


def _settle(
    seed: int, canvas: _Canvas, relief: Relief, height: FloatArray, coast: FloatArray, river: FloatArray, scale: float
) -> None:
    """The town, its villages, an airfield, and roads; streets end at water."""
    rows, cols = height.shape
    town, *villages = _places(rows, cols, scale, relief.river)
    before = canvas.first.copy(), canvas.second.copy(), canvas.share.copy(), canvas.later.copy(), canvas.light.copy(), canvas.veil.copy()
    for place in (town, *villages):
        paint_town(seed, height.shape, place, canvas.first, canvas.second, canvas.share, canvas.light)
    built = (canvas.first != before[0]) | (canvas.share != before[2])
    wet = (river < 1) & built
    for target, value in zip((canvas.first, canvas.second, canvas.share, canvas.light), (before[0], before[1], before[2], before[4]), strict=True):
        np.copyto(target, value, where=wet)
    built &= ~wet
    np.copyto(canvas.later, canvas.share, where=built)
    canvas.veil[built] = 0
    stops = [(p.row, p.col) for p in villages]
    centre = (town.row, town.col)
    main = [
        road(centre, (0.50 * rows, 0.40 * cols), stops[0], (0.44 * rows, 0.53 * cols), stops[1]),
        road(centre, (0.66 * rows, 0.375 * cols), stops[2], (0.755 * rows, 0.51 * cols), stops[3]),
        road((0, 0.20 * cols), (0.12 * rows, 0.27 * cols), stops[4], (0.42 * rows, 0.325 * cols), centre, (0.78 * rows, 0.32 * cols), (rows, 0.30 * cols)),
    ]
    lanes = [road(stops[0], (0.39 * rows, 0.44 * cols), stops[4]), road(stops[1], (0.55 * rows, 0.62 * cols), stops[3]), road(stops[0], (0.59 * rows, 0.475 * cols), stops[2])]
    canvas.cover(Cover.ASPHALT, ramp(distance_to(main, height.shape, 3), 1.6, 0.5) * np.float32(0.75))
    canvas.cover(Cover.ASPHALT, ramp(distance_to(lanes, height.shape, 3), 1.4, 0.4) * np.float32(0.5))


def _places(rows: int, cols: int, scale: float, river: Line) -> tuple[Place, ...]:
    return (
        Place(0.565 * rows, 0.34 * cols, 135 * scale + 8, 0.3, works=True),
        Place(0.47 * rows, 0.47 * cols, 30 * scale + 4, 0.7),
        Place(0.36 * rows, 0.60 * cols, 36 * scale + 4, 0.1),
        Place(0.70 * rows, 0.44 * cols, 34 * scale + 4, 0.5),
        Place(0.74 * rows, 0.60 * cols, 28 * scale + 4, 0.9),
        Place(0.30 * rows, 0.36 * cols, 26 * scale + 4, 0.2),
    )


def _shore(seed: int, canvas: _Canvas, coast: FloatArray, river: FloatArray, slope: FloatArray, scale: float) -> None:
    """Beach and cliffs, the marsh behind the beach, then the sea with its shallows, the river's plume and surf."""
    shape = coast.shape
    v = (np.arange(shape[0], dtype=np.float32) / shape[0])[:, None]
    u = (np.arange(shape[1], dtype=np.float32) / shape[1])[None, :]
    ragged = fractal_noise(seed, "shore", shape, 30, 4, 0.6)
    sandy = ramp(v, 0.34, 0.44) * ramp(v, 0.86, 0.78)
    inlet = 1 - ((v - 0.665) / 0.05) ** 2
    marsh = (coast < (52 * inlet + 18 * ragged) * scale) & (coast > 0)
    pools = fractal_noise(seed, "pools", shape, 9, 3, 0.6) + 0.5 * ragged
    canvas.lay(marsh, Cover.REED, Cover.MUD, ramp(pools, -0.4, 0.6))
    canvas.lay(marsh & (pools > 0.55), Cover.RIVER, Cover.MUD, 0.15)
    canvas.light[marsh] = 1
    canvas.lay((coast < 2 + (6.5 + 2 * ragged) * sandy) & (river > 0), np.where(sandy > 0.4, Cover.SAND, Cover.ROCK), Cover.SCREE, np.clip(0.3 + 0.3 * ragged, 0, 1))
    sea = coast < 0
    depth = np.maximum(-coast, 0) * np.float32(1 / scale)
    shallows = 0.95 / (1 + (depth / (14 + 10 * sandy)) ** 2)
    shallows += np.clip(0.16 * fractal_noise(seed, "seabed", shape, 60, 4) * ramp(depth, 160, 20), -0.2, 0.5)
    mouth = np.sqrt((0.6 * (v - 0.565) * shape[0]) ** 2 + (u * shape[1] - 0.29 * shape[1]) ** 2)
    drift = fractal_noise(seed, "plume", shape, 150 * scale, 6, 0.6)
    plume = ramp(mouth * np.float32(1 / scale) + 90 * drift, 420, -60)
    canvas.lay(sea, Cover.DEEP_SEA, Cover.CLEAR_SHALLOWS, np.clip(shallows, 0, 1))
    canvas.light[sea] = 1
    canvas.light *= np.where(sea, 1 + 0.03 * smooth_noise(seed, "swell", shape, (2.5, 5)) + 0.02 * ragged, 1)
    canvas.cover(Cover.TURBID_WATER, np.where(sea, plume * np.float32(0.85), 0))
    breakers = ramp(np.abs(coast + 2.2 + 1.0 * ragged), 1.6, 0.3) * ramp(smooth_noise(seed, "breakers", shape, (14, 7)), -0.5, 0.9)
    canvas.cover(Cover.FOAM, np.where(sea, breakers * np.float32(0.8), 0))


def _dense(line: Line) -> Line:
    """The line with points no more than about a pixel apart."""
    points: Line = []
    for (r0, c0), (r1, c1) in zip(line, line[1:], strict=False):
        steps = int(max(abs(r1 - r0), abs(c1 - c0))) + 1
        points += [(r0 + (r1 - r0) * k / steps, c0 + (c1 - c0) * k / steps) for k in range(steps)]
    return points
