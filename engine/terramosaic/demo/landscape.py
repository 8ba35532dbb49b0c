"""The ground of the made-up world, painted from the mountains down to the sea."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from terramosaic.demo.canvas import Canvas, Surface
from terramosaic.demo.fields import make_fields
from terramosaic.demo.relief import NATURAL_SIZE, Line, make_relief
from terramosaic.demo.settlement import distance_to, settle
from terramosaic.demo.spectra import Cover
from terramosaic.demo.texture import (
    FloatArray,
    Shape,
    double,
    fractal_noise,
    grain,
    middles,
    ramp,
    smooth_noise,
)

#: The sun over both overpasses, about (azimuth 157, height 54 degrees): a unit vector east, south and up.
_SUN = (0.225, 0.543, 0.809)


def make_surface(seed: int, shape: Shape) -> Surface:
    """Makes the land and the sea of ``shape`` (pixels of 10 m, multiples of 6)."""
    scale = shape[0] / NATURAL_SIZE
    relief = make_relief(seed, shape)
    slope, light = _slopes(relief.height)
    canvas = Canvas.empty(shape)
    altitude = double(relief.height * np.float32(1 / scale))
    _paint_wild(seed, canvas, altitude, double(slope))
    _paint_farmland(seed, canvas, altitude, double(slope))
    bank = _distance_to_bank(relief.river, shape, scale)
    _paint_valley(seed, canvas, bank, relief.streams, altitude)
    coast = double(relief.coast)
    settle(seed, canvas, (bank > 1) & (coast > 8))
    canvas.light[:] *= double(light)
    _paint_shore(seed, canvas, coast, bank, scale)
    _paint_sea(seed, canvas, coast, scale)
    return canvas.finished()


def _slopes(height: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Slope (rise over run), and its light against level ground's, from heights on the 20 m grid."""
    down, right = np.gradient(height, np.float32(20))
    steep = down * down + right * right
    lit = (-right * np.float32(_SUN[0]) - down * np.float32(_SUN[1]) + np.float32(_SUN[2])) / np.sqrt(
        1 + steep
    )
    lit = np.clip(lit / np.float32(_SUN[2]), 0, 1.4)
    # A fifth of the light comes from the sky, from all sides.
    return np.sqrt(steep), 0.22 + 0.78 * lit * (0.55 + 0.45 * lit)


def _distance_to_bank(river: Line, shape: Shape, scale: float) -> FloatArray:
    """Pixels to the river's bank, below 0 in the river, at most about 30; the river narrows upstream."""
    # Half the resolution is enough for the distance to a smooth line, and takes an eighth of the time.
    course = [(row / 2, col / 2) for row, col in _dense(river)]
    middle = 2 * double(distance_to([course], (shape[0] // 2, shape[1] // 2), 16))
    _, u = middles(shape)
    return middle - np.float32(2.2 + 3.3 * scale) * (1 - 0.6 * ramp(u, 0.4, 1.0))


def _dense(line: Line) -> Line:
    """The line with points no more than a pixel apart."""
    points: Line = []
    for (r0, c0), (r1, c1) in pairwise(line):
        steps = int(max(abs(r1 - r0), abs(c1 - c0))) + 1
        points += [(r0 + (r1 - r0) * k / steps, c0 + (c1 - c0) * k / steps) for k in range(steps)]
    return points


def _paint_wild(seed: int, canvas: Canvas, altitude: FloatArray, slope: FloatArray) -> None:
    """Pasture, scrub, forest, rock and snow by altitude, slope and chance; where people settle they paint over it."""
    shape = altitude.shape
    patches = fractal_noise(seed, "patches", shape, 96, 7, 0.66)
    belts = fractal_noise(seed, "belts", shape, 40, 5, 0.66)
    everywhere = np.ones(shape, bool)
    canvas.lay(everywhere, Cover.DRY_GRASS, Cover.MEADOW, np.clip(0.55 - 0.4 * belts - 0.2 * patches, 0, 1))
    canvas.cover(Cover.SHRUB, ramp(patches, -1.2, 0.6) * np.float32(0.8))
    forest = patches + 1.6 * ramp(slope, 0.05, 0.28) > 0.5
    canvas.lay(forest, Cover.BROADLEAF, Cover.CONIFER, ramp(altitude + 260 * belts, 250, 1150))
    belt = altitude + 110 * belts - 260 * ramp(slope, 0.5, 1.0)
    canvas.lay(belt > 1280, Cover.CONIFER, Cover.ALPINE_GRASS, ramp(belt, 1280, 1480))
    stones = ramp(altitude + 150 * patches + 900 * (slope - 0.55), 1500, 2050)
    kind = np.where(belts > 0.4, np.uint8(Cover.SCREE), np.uint8(Cover.ROCK))
    canvas.lay((stones > 0) & (belt > 1480), Cover.ALPINE_GRASS, kind, stones)
    cliffs = ramp(slope + 0.10 * belts, 0.80, 1.10) * ramp(altitude, 500, 1100)
    canvas.cover(Cover.ROCK, cliffs * np.float32(0.75))
    # Snow stays longest on slopes that face north, and slides off steep ones.
    facing_north = np.clip(np.gradient(altitude, axis=0), -8, 8)
    snow = ramp(altitude + 100 * belts + 45 * facing_north - 300 * ramp(slope, 0.8, 1.3), 1850, 2100)
    canvas.cover(Cover.SNOW, snow * np.float32(0.97))
    canopy = np.where(forest & (belt < 1400), np.float32(0.085), np.float32(0.04))
    canvas.light[:] *= 1 + canopy * (grain(seed, "canopy", shape) + smooth_noise(seed, "crowns", shape, 3.2))
    canvas.light[:] *= 1 + 0.05 * patches


def _paint_farmland(seed: int, canvas: Canvas, altitude: FloatArray, slope: FloatArray) -> None:
    """Fields where the land is low and gentle, with lanes and hedges along their blocks, and woods left between."""
    shape = altitude.shape
    fields = make_fields(seed, shape)
    woods = fractal_noise(seed, "woods", shape, 75, 5, 0.55)
    gentle = ramp(slope, 0.16, 0.07) - 0.8 * ramp(altitude, 180, 420) + 0.2 * np.clip(woods, -1, 1) > 0.40
    canvas.lay(gentle & (woods > 1.15), Cover.BROADLEAF, Cover.CONIFER, ramp(woods, 1.1, 2.8))
    arable = gentle & (woods < 1.15)
    damp = 0.05 * smooth_noise(seed, "damp", shape, 22) + 0.03 * smooth_noise(seed, "clods", shape, 5)
    growth = 1 + 2.2 * damp
    share, later = (np.clip(grown * growth, 0, 1) for grown in (fields.grown, fields.later))
    canvas.lay(arable, fields.soil, fields.crop, share, later)
    furrows = 1 + 0.022 * grain(seed, "furrows", shape)
    np.copyto(canvas.light, fields.tone * (1 - 1.1 * damp) * furrows, where=arable)
    hedges = ramp(np.abs(fields.margin - 1.6), 1.1, 0.4) * ramp(
        smooth_noise(seed, "hedges", shape, 25), 0.2, 0.9
    )
    canvas.cover(Cover.BROADLEAF, hedges * arable * np.float32(0.8))
    canvas.cover(Cover.PALE_SOIL, ramp(fields.margin, 0.9, 0.2) * arable * np.float32(0.4))


def _paint_valley(
    seed: int, canvas: Canvas, bank: FloatArray, streams: list[Line], altitude: FloatArray
) -> None:
    """The river between its alders and gravel bars, and the trees along the brooks."""
    brooks = distance_to([_dense(stroke) for stroke in streams], bank.shape, 4)
    ragged = fractal_noise(seed, "banks", bank.shape, 18, 3, 0.6)
    trees = ramp(brooks + 1.1 * ragged, 2.4, 0.6) * ramp(altitude, 2, 6)
    canvas.cover(Cover.BROADLEAF, trees * np.float32(0.7))
    canvas.lay(bank < 5 + 6 * np.abs(ragged), Cover.BROADLEAF, Cover.MEADOW, ramp(ragged, -0.2, 1.2))
    bars = (bank < 1.4 + 1.6 * ragged) & (smooth_noise(seed, "bars", bank.shape, 22) > 0.8)
    canvas.lay(bars, Cover.SCREE, Cover.MUD, 0.5)
    canvas.lay(bank < 0, Cover.RIVER, Cover.TURBID_WATER, 0.3)


def _paint_shore(seed: int, canvas: Canvas, coast: FloatArray, bank: FloatArray, scale: float) -> None:
    """The marsh south of the river's mouth, then the beach, or rocks where the coast is wild."""
    v, _ = middles(coast.shape)
    ragged = fractal_noise(seed, "shore", coast.shape, 30, 4, 0.6)
    inlet = 1 - ((v - np.float32(0.665)) * 20) ** 2
    marsh = (coast < (52 * inlet + 18 * ragged) * np.float32(scale)) & (coast > 0)
    pools = fractal_noise(seed, "pools", coast.shape, 9, 3, 0.6) + 0.5 * ragged
    canvas.lay(marsh, Cover.REED, Cover.MUD, ramp(pools, -0.4, 0.6))
    canvas.lay(marsh & (pools > 0.55), Cover.RIVER, Cover.MUD, 0.15)
    canvas.light[marsh] = 1
    sandy = ramp(v, 0.34, 0.44) * ramp(v, 0.86, 0.78)
    beach = (coast < 2 + (4.5 + 1.8 * ragged) * sandy) & (bank > 0)
    kind = np.where(sandy > 0.4, np.uint8(Cover.SAND), np.uint8(Cover.ROCK))
    canvas.lay(beach, kind, Cover.SCREE, np.clip(0.3 + 0.3 * ragged, 0, 1))


def _paint_sea(seed: int, canvas: Canvas, coast: FloatArray, scale: float) -> None:
    """Deep water, shallows along the coast, the river's plume, and surf."""
    shape = coast.shape
    v, u = middles(shape)
    sea = coast < 0
    offshore = np.maximum(-coast, 0) * np.float32(1 / scale)
    shallows = 0.95 / (1 + (offshore / (14 + 10 * ramp(v, 0.34, 0.44) * ramp(v, 0.86, 0.78))) ** 2)
    bed = fractal_noise(seed, "seabed", shape, 60, 4) * ramp(offshore, 160, 20)
    canvas.lay(
        sea, Cover.DEEP_SEA, Cover.CLEAR_SHALLOWS, np.clip(shallows + np.clip(0.16 * bed, -0.2, 0.5), 0, 1)
    )
    waves = 0.03 * smooth_noise(seed, "swell", shape, (2.5, 5))
    np.copyto(canvas.light, 1 + waves + 0.02 * bed, where=sea)
    # The plume drifts north along the coast, so it is longer than wide.
    down, right = (
        (v - np.float32(0.565)) * (0.6 * NATURAL_SIZE),
        (u - np.float32(0.29)) * (NATURAL_SIZE * shape[1] / shape[0]),
    )
    drift = fractal_noise(seed, "plume", shape, 150 * scale, 6, 0.6)
    plume = ramp(np.sqrt(down * down + right * right) + 90 * drift, 420, -60)
    canvas.cover(Cover.TURBID_WATER, plume * sea * np.float32(0.85))
    ragged = smooth_noise(seed, "breakers", shape, (14, 7))
    breakers = ramp(np.abs(coast + 2.2 + 0.8 * ragged), 1.6, 0.3) * ramp(ragged, -0.5, 0.9)
    canvas.cover(Cover.FOAM, breakers * sea * np.float32(0.8))
