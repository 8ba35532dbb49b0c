"""What a run will read of imagery: bytes of the pixels that it asks for, and of the files' tiles that these lie in.

Clouds are scattered: what they leave open in 256 rows of a block lies within a rectangle that is nearly all of them. So
a further acquisition is read for much more than the share that is open, and fetched for more than that, for a file
gives its tiles whole. Measured on the scene classifications of ten real scenes (33TWL and 33TWM, August 2023, 0.2 to
71 % cloud): at 120 m, and at twice to four times that, from which follows what they are at their own 20 m.

| cloud of the better ones | pixels read, bounding rectangles | tiles of 1024 fetched |
| --- | --- | --- |
| 0.2 % | 0.22 to 0.48 | 0.8 to 1 |
| 8 % | 0.59 to 0.70 | 0.9 to 1 |
| 46 % | 0.78 to 0.93 | 0.9 to 1 |
| 1.7 %, 8 % | 0.11 to 0.15 | 0.7 to 1 |
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from shapely.geometry import box

from terramosaic.bands import GSD
from terramosaic.catalog import Acquisition
from terramosaic.ground.grid import RESOLUTION, Rect
from terramosaic.planning.footprints import Footprints
from terramosaic.planning.heights import DEM
from terramosaic.planning.lattices import TargetLattice, cover_of
from terramosaic.planning.optical import OpticalBands
from terramosaic.planning.plan import Block, Zone
from terramosaic.request.request import RegionRequest

#: Bytes in a file per pixel of a band, measured on full Sentinel-2 tiles.
_BAND_BYTES = 1.4
#: Of what is decoded, the share that its compressed bytes are by that.
COMPRESSED = _BAND_BYTES / 2
#: Of VV and VH together: compressed float32, of which the better part is noise.
_RADAR_BYTES = 6.0
#: Of a DEM, by the metres of its pixels, to a pixel of the grid.
_HEIGHTS = {30: 0.3}
#: Of a scene, whatever is mapped of it: overviews, which are looked at once.
_SCENE_BYTES = 0.6e6

#: Of a further acquisition, the pixels that are read and the tiles: the share that better ones leave open to these
#: powers. Of a scene some is always open: shadows are no cloud, and are not clear.
_POWERS, _LEAST_OPEN = np.array([0.16, 0.03]), 0.001

#: Blocks of a zone whose footprints are looked at, at most; the others are taken to be as these.
_LOOKED_AT = 100

#: Side of a file's tile in its own pixels: of the COGs of Earth Search, and of JPEG 2000.
_TILE = 1024

#: Bytes of tiles that GDAL holds of a row of blocks until the next one, on a machine of 20 GB.
_HELD = 2**30


@dataclass(frozen=True)
class Reading:
    """What a run reads, in gigabytes, compressed.

    Attributes:
        asked: of pixels that are read.
        fetched: of the tiles of files that hold them.
    """

    asked: float
    fetched: float


def reading_of(
    request: RegionRequest,
    zones: Sequence[Zone],
    acquisitions: Sequence[Acquisition[Any]],
    near: Mapping[int, Footprints[Any]],
    lattices: Sequence[TargetLattice],
    optical: OpticalBands | None,
    passes: Mapping[str, float],
) -> Reading:
    """Estimate: each acquisition is read where better ones are expected to leave pixels open.

    Args:
        request: says the inputs.
        zones: with their blocks.
        acquisitions: of Sentinel-2.
        near: their scenes, by zone; see `terramosaic.planning.blocks.cut_into_blocks`.
        lattices: of the windows.
        optical: of Sentinel-2, if it is an input.
        passes: of Sentinel-1, how many are read of a block, by its id; see `RadarEstimate`.
    """
    asked = fetched = _SCENE_BYTES * sum(len(one.scenes) for one in acquisitions) * (optical is not None)
    for zone in zones:
        ground = _Ground(zone, lattices, near[zone.epsg])
        pixels = {block.id: ground.pixels(block) for block in zone.blocks}
        of_pixels, of_tiles = _times_read(request, acquisitions, ground, optical) if optical else (0.0, 0.0)
        radar = sum(count * passes.get(block, 0.0) for block, count in pixels.items())
        whole = sum(pixels.values())
        heights = whole * (DEM in request.inputs)
        parts: list[tuple[dict[int, float], float, float]] = [
            (_bytes_per_pixel(optical), whole * of_pixels, whole * of_tiles),
            ({RESOLUTION: _RADAR_BYTES}, radar, radar),
            (_HEIGHTS, heights, heights),
        ]
        for sizes, pixels_read, tiles_read in parts:
            asked += pixels_read * sum(sizes.values())
            fetched += tiles_read * ground.in_tiles(sizes, tiles_read / whole)
    return Reading(asked / 1e9, fetched / 1e9)


def _bytes_per_pixel(optical: OpticalBands | None) -> dict[int, float]:
    """Of all bands of Sentinel-2 to a pixel of the grid, by the metres of their own pixels."""
    if optical is None:
        return {}
    found: dict[int, float] = defaultdict(float)
    for band in (*optical.bands, *optical.beside, *(("SCL",) if optical.tells_clouds else ())):
        found[GSD[band]] += _BAND_BYTES * (RESOLUTION / GSD[band]) ** 2
    return found


def _times_read(
    request: RegionRequest, acquisitions: Sequence[Acquisition[Any]], ground: _Ground, optical: OpticalBands
) -> tuple[float, float]:
    """How often the pixels around a zone's blocks are read of Sentinel-2 on average, and the tiles that hold them.

    Where scenes of an acquisition overlap, what the first leaves open is looked for in the others.
    """
    cloud = {
        scene.key: max(_LEAST_OPEN, one.cloud / 100) if optical.tells_clouds else 0.0
        for one in acquisitions
        for scene in one.scenes
    }
    footprints = ground.footprints
    number = {scene.key: index for index, scene in enumerate(footprints.scenes)}
    own = {scene.key for scene in footprints.scenes if scene.epsg == ground.zone.epsg}
    reads_all = request.composite == "median" or bool(request.dates.count)
    times, total = np.zeros(2), 0.0
    for block in ground.zone.blocks[:: -(-len(ground.zone.blocks) // _LOOKED_AT)]:
        pixels, place = ground.pixels(block), box(*ground.covers[block.id].bounds)
        left = 1.0
        for keys in block.acquisitions:
            open_ = cloud[keys[0]]
            under = footprints.share_under([number[key] for key in keys], place)
            each = (footprints.share_under([number[key]], place) for key in keys if key in own)
            twice = max(0.0, sum(each) - under)
            times += pixels * (left**_POWERS) * (under + twice * open_**_POWERS)
            left *= 1.0 if reads_all else 1 - under * (1 - open_)
        total += pixels
    return float(times[0] / total), float(times[1] / total)


class _Ground:
    """Which pixels around a zone's blocks are read, and how much more lies in the tiles that hold them."""

    def __init__(self, zone: Zone, lattices: Sequence[TargetLattice], footprints: Footprints[Any]) -> None:
        self.zone, self.lattices, self.footprints = zone, lattices, footprints
        self.covers = {block.id: cover_of(lattices, block.rect) for block in zone.blocks}
        self._imaged = footprints.ground
        shapely.prepare(self._imaged)

    def pixels(self, block: Block) -> float:
        """Pixels under a block's windows, which are fewer where the region is a part of it."""
        whole = sum(each.lattice.count(block.rect) for each in self.lattices)
        return self.covers[block.id].area * min(1.0, block.windows / whole)

    def in_tiles(self, sizes: Mapping[int, float], times: float) -> float:
        """Bytes of the tiles to each pixel that is read.

        Where tiles begin is not known. On average as much lies in those that touch a place as lies within half a tile
        of it. What two rows of blocks have both is read once, if GDAL still holds the tiles of the one in the other.

        Args:
            sizes: bytes to a pixel of the grid, by the metres of the files' pixels.
            times: how often all is read.
        """
        covers = list(self.covers.values())
        around = {gsd: self._around(gsd, self._rows()) for gsd in sizes}
        if sum(size * max(around[gsd]) for gsd, size in sizes.items()) * times / COMPRESSED <= _HELD:
            around = {gsd: self._around(gsd, [covers]) for gsd in sizes}
        read = sum(self._around(0, [[cover] for cover in covers]))
        return sum(size * sum(around[gsd]) for gsd, size in sizes.items()) / max(1.0, read)

    def _around(self, gsd: int, groups: Iterable[Sequence[Rect]]) -> list[float]:
        """Of each of some groups of rectangles, the pixels within half a tile of them that scenes may have."""
        half = _TILE * gsd // RESOLUTION // 2
        areas = []
        for group in groups:
            around = shapely.union_all([box(*rect.pad(half).bounds) for rect in group])
            if not self._imaged.covers(around):
                around = self._imaged.intersection(around)
            areas.append(float(around.area) / RESOLUTION**2)
        return areas

    def _rows(self) -> list[list[Rect]]:
        """What is read around blocks, by rows of these."""
        rows: dict[int, list[Rect]] = defaultdict(list)
        for block in self.zone.blocks:
            rows[block.row].append(self.covers[block.id])
        return list(rows.values())
