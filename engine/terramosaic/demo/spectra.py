"""What the made-up world is made of: each cover's surface reflectance in Sentinel-2's bands."""

from __future__ import annotations

from enum import IntEnum, auto

import numpy as np

from terramosaic.bands import S2L2A_BANDS


class Cover(IntEnum):
    """A pure cover of the ground; pixels mix two or three."""

    DEEP_SEA = 0
    CLEAR_SHALLOWS = auto()
    TURBID_WATER = auto()
    RIVER = auto()
    FOAM = auto()
    SAND = auto()
    MUD = auto()
    REED = auto()
    PALE_SOIL = auto()
    BROWN_SOIL = auto()
    RED_SOIL = auto()
    CEREAL = auto()
    RAPESEED = auto()
    MEADOW = auto()
    DRY_GRASS = auto()
    BROADLEAF = auto()
    CONIFER = auto()
    SHRUB = auto()
    ALPINE_GRASS = auto()
    ROCK = auto()
    SCREE = auto()
    SNOW = auto()
    ASPHALT = auto()
    TILE_ROOF = auto()
    METAL_ROOF = auto()
    CONCRETE = auto()


WATERS = (Cover.DEEP_SEA, Cover.CLEAR_SHALLOWS, Cover.TURBID_WATER, Cover.RIVER)

#: Reflectance x 10 000 in the order of ``S2L2A_BANDS``: values of the size that L2A shows of such covers in May.
_TABLE: dict[Cover, tuple[int, ...]] = {
    #                     B01   B02   B03   B04   B05   B06   B07   B08   B8A   B09   B11   B12
    Cover.DEEP_SEA:       ( 310,  300,  235,  125,  105,   85,   80,   75,   65,   60,   35,   25),
    Cover.CLEAR_SHALLOWS: ( 480,  620,  680,  290,  220,  140,  130,  110,   95,   80,   45,   30),
    Cover.TURBID_WATER:   ( 420,  520,  720,  560,  500,  290,  280,  230,  200,  150,   60,   45),
    Cover.RIVER:          ( 330,  380,  510,  390,  350,  230,  225,  200,  180,  150,   90,   60),
    Cover.FOAM:           (2100, 2200, 2200, 2050, 1900, 1750, 1700, 1500, 1400, 1200,  500,  350),
    Cover.SAND:           (1150, 1450, 1900, 2300, 2500, 2600, 2700, 2800, 2900, 2950, 3500, 3000),
    Cover.MUD:            ( 600,  720,  900, 1020, 1080, 1090, 1100, 1060, 1020,  950,  700,  520),
    Cover.REED:           ( 280,  360,  600,  500,  880, 1750, 2050, 2200, 2350, 2350, 1500,  800),
    Cover.PALE_SOIL:      ( 650,  860, 1220, 1600, 1800, 1950, 2080, 2200, 2350, 2400, 3050, 2550),
    Cover.BROWN_SOIL:     ( 450,  570,  800, 1050, 1230, 1370, 1480, 1590, 1740, 1800, 2350, 2000),
    Cover.RED_SOIL:       ( 420,  530,  850, 1380, 1600, 1750, 1860, 1960, 2100, 2150, 2900, 2350),
    Cover.CEREAL:         ( 210,  260,  560,  270,  830, 2900, 3800, 4050, 4200, 4250, 1650,  700),
    Cover.RAPESEED:       ( 280,  340, 1120,  860, 1500, 3000, 3500, 3800, 4000, 4100, 1950,  950),
    Cover.MEADOW:         ( 270,  350,  720,  460, 1150, 2800, 3350, 3550, 3750, 3850, 2100, 1050),
    Cover.DRY_GRASS:      ( 460,  620,  960, 1180, 1520, 2000, 2250, 2400, 2600, 2700, 3000, 2050),
    Cover.BROADLEAF:      ( 170,  205,  390,  225,  620, 2300, 2950, 3150, 3350, 3400, 1500,  630),
    Cover.CONIFER:        ( 150,  170,  285,  185,  430, 1300, 1620, 1780, 1920, 1960,  920,  420),
    Cover.SHRUB:          ( 240,  300,  520,  450,  820, 1750, 2080, 2250, 2400, 2450, 1850, 1050),
    Cover.ALPINE_GRASS:   ( 310,  400,  700,  640, 1120, 2050, 2380, 2520, 2720, 2800, 2350, 1350),
    Cover.ROCK:           ( 900, 1050, 1250, 1390, 1470, 1530, 1590, 1650, 1710, 1760, 2100, 1850),
    Cover.SCREE:          (1300, 1520, 1830, 2080, 2200, 2270, 2330, 2400, 2470, 2500, 2800, 2450),
    Cover.SNOW:           (7600, 7800, 7800, 7700, 7500, 7300, 7150, 6900, 6600, 6100,  950,  800),
    Cover.ASPHALT:        ( 620,  720,  880,  980, 1040, 1100, 1150, 1200, 1260, 1300, 1420, 1280),
    Cover.TILE_ROOF:      ( 700,  820, 1120, 1720, 1950, 2100, 2200, 2260, 2380, 2400, 2800, 2400),
    Cover.METAL_ROOF:     (3100, 3350, 3600, 3700, 3750, 3750, 3750, 3750, 3700, 3600, 3500, 3100),
    Cover.CONCRETE:       (1250, 1450, 1680, 1850, 1920, 1990, 2040, 2100, 2150, 2180, 2400, 2200),
}  # fmt: skip

#: Reflectance x 10 000 of each cover, float32 (band, cover).
REFLECTANCE = np.array([_TABLE[cover] for cover in Cover], dtype=np.float32).T

#: An opaque, evenly lit cloud, and what a veil of cirrus adds; reflectance x 10 000 by band.
CLOUD = dict(
    zip(S2L2A_BANDS, (6300, 6500, 6450, 6500, 6600, 6750, 6850, 6900, 7000, 5200, 4600, 3400), strict=True)
)
CIRRUS = dict(zip(S2L2A_BANDS, (900, 880, 820, 800, 800, 800, 790, 780, 770, 500, 420, 300), strict=True))

#: Share of the light that a cloud's shadow takes away: the blue sky still lights it, in the infrared little does.
SHADE = dict(
    zip(S2L2A_BANDS, (0.38, 0.43, 0.50, 0.56, 0.59, 0.62, 0.64, 0.66, 0.67, 0.68, 0.74, 0.76), strict=True)
)
