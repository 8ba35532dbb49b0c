"""How much of a region all inputs of a run will have seen, by metadata: what its maps will hold, estimated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import shapely
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import Scene
from terramosaic.catalog.elevation import Elevation, cells_under
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import ZoneArea, lonlat_of, utm_of
from terramosaic.planning.footprints import Footprints
from terramosaic.planning.gaps import NO_HEIGHTS, NO_RADAR, NO_SCENE
from terramosaic.planning.heights import Heights


def lost_shares(
    areas: Sequence[ZoneArea],
    scenes: Sequence[Sequence[Scene]],
    radar: Mapping[int, BaseGeometry] | None,
    heights: Heights | None,
) -> dict[str, float]:
    """Shares of a region that one input after the other leaves without data, the one that leads first.

    Args:
        areas: the region, zone by zone.
        scenes: of Sentinel-2, of each date that has to have seen the ground; none where it is no input.
        radar: what windows see of Sentinel-1, by zone; see `RadarEstimate`. None where it is no input.
        heights: the DEM, if it is an input.

    Returns:
        By cause, see `terramosaic.planning.gaps`; 0 of an input that has all of what those before it have.
    """
    whole, left = 0.0, dict.fromkeys((NO_SCENE, NO_RADAR, NO_HEIGHTS), 0.0)
    nothing = box(0, 0, 0, 0)
    for area in areas:
        ground = box(*area.rect.bounds) if area.outline is None else area.outline
        whole += ground.area
        for of_date in scenes:
            ground = ground.intersection(_under(of_date, area.epsg, area.rect))
        left[NO_SCENE] += ground.area
        if radar is not None:
            ground = ground.intersection(radar.get(area.epsg, nothing))
        left[NO_RADAR] += ground.area
        if heights is not None:
            ground = ground.difference(_without_heights(heights.elevation, ground, area.epsg))
        left[NO_HEIGHTS] += ground.area
    lost, before = {}, whole
    for cause, area_left in left.items():
        lost[cause] = (before - area_left) / whole
        before = area_left
    return lost


def _under(scenes: Sequence[Scene], epsg: int, rect: Rect) -> BaseGeometry:
    """What of a zone lies under scenes, and under the L1C of each that has one, in metres."""
    found = Footprints(scenes, epsg, rect)
    drawn = found.drawn(range(len(found.scenes)))
    for index, scene in enumerate(found.scenes):
        if scene.l1c is not None:
            drawn[index] = drawn[index].intersection(utm_of(scene.l1c.geometry, epsg))
    return shapely.union_all(drawn)


def _without_heights(elevation: Elevation, ground: BaseGeometry, epsg: int) -> BaseGeometry:
    """The cells over some ground of a zone that have neither tile nor sea, in metres."""
    known = {tile.cell for tile in (*elevation.tiles, *elevation.coarse)} | set(elevation.sea)
    there = [] if ground.is_empty else shapely.get_parts(lonlat_of(ground, epsg)).tolist()
    missing = set(cells_under(there)) - known
    return shapely.union_all([utm_of(box(west, south, west + 1, south + 1), epsg) for south, west in missing])
