"""What stands between the satellite and the ground: cumulus with its shadow, and thin cirrus."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from terramosaic.demo.relief import NATURAL_SIZE
from terramosaic.demo.spectra import CIRRUS, CLOUD, SHADE
from terramosaic.demo.texture import FloatArray, Shape, double, fractal_noise, ramp, shrink, smooth_noise

#: Density from which cirrus counts: what `_cirrus` gives a pixel at its threshold, ramp(1/3).
_CIRRUS_SEEN = 7 / 27


@dataclass(frozen=True)
class Weather:
    """An hour's sky.

    Attributes:
        name: what its randomness hangs on, beside the seed.
        cumulus: share of the world under cumulus, 0 to 1.
        cirrus: share of the world under cirrus that a classifier would see, 0 to 1.
        size: pixels of 10 m from one cloud to the next, at the world's natural size.
        bank: (row, column, strength) towards which clouds crowd, as parts of the world's sides.
        sun_south, sun_east: pixels of 10 m on the ground from a shadow to its cloud, at the world's natural size.
    """

    name: str
    cumulus: float
    cirrus: float
    size: float
    bank: tuple[float, float, float]
    sun_south: float
    sun_east: float


@dataclass(frozen=True)
class Sky:
    """Arrays (H/2, W/2) on the 20 m grid.

    Attributes:
        cloud: part of the ground that cumulus hides, 0 to 1.
        glow: brightness of the cloud there, about 1: sunlit rims, grey hollows.
        shadow: depth of the shadow on the ground, 0 to 1.
        cirrus: density of the cirrus, 0 to 1.
    """

    cloud: FloatArray
    glow: FloatArray
    shadow: FloatArray
    cirrus: FloatArray

    def over(self, surface: FloatArray, band: str, gsd: int) -> FloatArray:
        """What the satellite sees of a surface reflectance (x 10 000) given on the grid of ``gsd`` metres."""
        cloud, glow, shadow, cirrus = (
            self._at(values, gsd) for values in (self.cloud, self.glow, self.shadow, self.cirrus)
        )
        seen = surface * (1 - np.float32(SHADE[band]) * shadow)
        seen += np.float32(CIRRUS[band]) * cirrus
        seen += (np.float32(CLOUD[band]) * glow - seen) * cloud
        return seen

    @staticmethod
    def _at(values: FloatArray, gsd: int) -> FloatArray:
        return double(values) if gsd == 10 else shrink(values, gsd // 20)


def make_sky(seed: int, shape: Shape, weather: Weather) -> Sky:
    """Lets clouds grow over a world of ``shape`` (pixels of 10 m)."""
    scale = shape[0] / NATURAL_SIZE
    rows, cols = shape[0] // 2, shape[1] // 2
    south, east = int(weather.sun_south * scale / 2), int(weather.sun_east * scale / 2)
    wide = (rows + south + 4, cols + east + 4)  # clouds beyond the edge cast shadows into the picture
    field = _billows(seed, wide, weather, scale)
    here = field[:rows, :cols]
    threshold = _exceeded_by(here, weather.cumulus)
    towards_sun = field[4 : rows + 4, 2 : cols + 2]
    glow = (
        0.80 + 0.24 * ramp(here, threshold, threshold + 1.3) + 0.5 * np.clip(here - towards_sun, -0.35, 0.3)
    )
    cloud = ramp(here, threshold - 0.10, threshold + 0.38)
    shade = ramp(field[south : south + rows, east : east + cols], threshold, threshold + 0.35)
    cirrus = _cirrus(seed, (rows, cols), weather, scale)
    return Sky(cloud, glow.astype(np.float32), shade * (1 - cloud) * np.float32(0.92), cirrus)


def _billows(seed: int, wide: Shape, weather: Weather, scale: float) -> FloatArray:
    """A field whose high parts bulge like cumulus: octaves of |noise|, creased where they meet, over a slower front."""
    down = (np.arange(wide[0], dtype=np.float32) / wide[0])[:, None]
    right = (np.arange(wide[1], dtype=np.float32) / wide[1])[None, :]
    row, col, strength = weather.bank
    crowd = 1 / (1 + 7 * ((down - np.float32(row)) ** 2 + (right - np.float32(col)) ** 2))
    size = weather.size * scale / 2
    field = crowd * np.float32(strength) + smooth_noise(
        seed, f"{weather.name}/front", wide, 2.2 * size
    ) * np.float32(0.4)
    field += fractal_noise(seed, f"{weather.name}/cells", wide, 0.9 * size, 4, 0.6) * np.float32(0.6)
    for octave in range(5):
        bulge = np.abs(smooth_noise(seed, f"{weather.name}/{octave}", wide, max(0.5 * size / 2**octave, 1.5)))
        field += bulge * np.float32(0.75 * 0.6**octave)
    return field


def _cirrus(seed: int, half: Shape, weather: Weather, scale: float) -> FloatArray:
    """Streaks that climb to the east, as wind draws them out."""
    shift = np.arange(half[1]) * 2 // 5
    wide = (half[0] + int(shift[-1]) + 1, half[1])
    streaks = smooth_noise(seed, f"{weather.name}/veil", wide, 300 * scale)
    for octave in range(5):
        cells = (80 * scale / 2**octave, 260 * scale / 1.7**octave)
        streaks += smooth_noise(seed, f"{weather.name}/streak {octave}", wide, cells) * np.float32(
            0.6 * 0.72**octave
        )
    slanted = streaks[np.arange(half[0])[:, None] + shift, np.arange(half[1])]
    threshold = _exceeded_by(slanted, weather.cirrus)
    return ramp(slanted, threshold - 1.0, threshold + 2.0)


def _exceeded_by(values: FloatArray, share: float) -> float:
    """The value above which ``share`` of the pixels lie (an order statistic: no interpolation)."""
    rank = min(values.size - 1, int(values.size * (1 - share)))
    return float(np.partition(values.ravel(), rank)[rank])


def classify(surface: dict[str, FloatArray], water: NDArray[np.bool_], sky: Sky) -> NDArray[np.uint8]:
    """Scene classification on the 20 m grid, with ESA's classes (Sen2Cor's SCL).

    Args:
        surface: surface reflectance x 10 000 on the 20 m grid, before the sky: B03, B04, B08, B11.
        water: whether a pixel is mostly water.
        sky: what stands above.

    Returns:
        uint8 (H/2, W/2): 2 dark, 3 shadow, 4 vegetation, 5 not vegetated, 6 water, 7 unclassified, 8 and 9 cloud of
        medium and high probability, 10 thin cirrus, 11 snow.
    """
    green, red, infrared, swir = (surface[band] for band in ("B03", "B04", "B08", "B11"))
    ndvi = (infrared - red) / (infrared + red)
    snow = ((green - swir) / (green + swir) > 0.42) & (green > 1800) & ~water
    scl = np.where(ndvi > 0.40, np.uint8(4), np.uint8(5))
    scl[(infrared < 900) & (green < 700)] = 2
    scl[snow] = 11
    scl[water] = 6
    scl[sky.cirrus > _CIRRUS_SEEN] = 10
    scl[sky.shadow > 0.35] = 3
    scl[sky.cloud > 0.06] = 7
    scl[sky.cloud > 0.15] = 8
    scl[sky.cloud > 0.60] = 9
    return scl
