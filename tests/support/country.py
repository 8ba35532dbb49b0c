"""A made-up country and what a catalog holds of it: real tiles, orbits and contents of items; no pixels behind them."""

from __future__ import annotations

import copy
import datetime as dt
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import mgrs
import numpy as np
import shapely
from pyproj import Geod
from shapely.geometry import Polygon, mapping
from shapely.geometry.base import BaseGeometry

from terramosaic.bands import GSD
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, zone_areas
from terramosaic.request.area import area_from_geojson, area_from_tile

#: Middle of the country: zone 33, so that a large one reaches into 32 and 34.
LONGITUDE, LATITUDE = 15.2, 49.0

#: Sentinel-2 at this latitude: degrees of longitude between two of its 143 tracks, width of a swath, and how far a
#: track moves west on its way south by one degree of latitude.
_TRACK_SPACING, _SWATH, _LEAN = 360 / 143, 290 / (111.3 * math.cos(math.radians(LATITUDE))), 0.35

#: Two satellites see a track every five days, and the track to the west two days later.
_REPEAT, _NEXT_TRACK = 5, 2

_START = dt.datetime(2023, 6, 1, 10, 0, 31, tzinfo=dt.UTC)


def country(
    area_km2: float, *, longitude: float = LONGITUDE, vertices: int = 4000, seed: int = 0
) -> BaseGeometry:
    """A country with a ragged border, a lake, and an island: polygons in lon/lat degrees of exactly that area."""
    # Of NumPy's generators the one whose stream is frozen: a test knows the plan that comes of it.
    rng = np.random.RandomState(seed)
    angles = np.linspace(0, 2 * np.pi, vertices, endpoint=False)
    radius = np.ones(vertices)
    # Bays at every scale, down to what a border in a GeoJSON file shows.
    for waves in (2, 3, 5, 8, 13, 34, 89, 233, 610):
        radius += 0.28 / waves**0.8 * rng.normal() * np.cos(waves * angles + rng.uniform(0, 2 * np.pi))
    radius = np.clip(radius, 0.3, None)

    def scaled(degrees: float) -> BaseGeometry:
        border = np.column_stack(
            [
                longitude + degrees * radius * np.cos(angles) / math.cos(math.radians(LATITUDE)),
                LATITUDE + degrees * radius * np.sin(angles),
            ]
        )
        lake = shapely.Point(longitude - 0.3 * degrees, LATITUDE).buffer(0.05 * degrees)
        island = shapely.Point(border[:, 0].max() + 0.2 * degrees, LATITUDE).buffer(0.08 * degrees)
        return shapely.union_all([Polygon(border).buffer(0).difference(lake), island])

    low, high = 0.01, 12.0
    for _ in range(40):
        middle = (low + high) / 2
        if _square_kilometres(scaled(middle)) < area_km2:
            low = middle
        else:
            high = middle
    return scaled(high)


def items(
    region: BaseGeometry, *, days: int, template: Mapping[str, Any], seed: int = 0
) -> Iterator[dict[str, Any]]:
    """Items over a region as Planetary Computer has them: each tile of each pass, cut to the swath.

    Two of a hundred products come twice, the second time reprocessed.

    Args:
        region: lon/lat degrees.
        days: how long, from 1 June 2023.
        template: an item whose other properties, assets and links they carry.
        seed: of cloud covers and of who is reprocessed.
    """
    rng = np.random.RandomState(seed)
    tiles = list(_tiles(region))
    west, south, east, north = shapely.union_all([outline for *_, outline in tiles]).bounds
    tracks = range(math.floor((west - 6) / _TRACK_SPACING), math.ceil((east + 6) / _TRACK_SPACING))
    for day in range(days):
        for track in tracks:
            # Track numbers rise eastward, and the satellites come to them later and later.
            if (day + _NEXT_TRACK * track) % _REPEAT:
                continue
            swath = _swath(track * _TRACK_SPACING, south, north)
            start = _START + dt.timedelta(days=day, minutes=-4 * (track * _TRACK_SPACING - LONGITUDE))
            platform = "S2A" if (day // _REPEAT) % 2 else "S2B"
            for tile, epsg, rect, outline in tiles:
                seen = outline.intersection(swath)
                if seen.area < 0.001 * outline.area:
                    continue
                cloud = round(100 * rng.beta(0.5, 0.7), 6)
                for baseline in ("05.09", "05.10") if rng.random_sample() < 0.02 else ("05.09",):
                    yield _item(
                        template, tile, epsg, rect, seen, start, platform, track % 143 + 1, baseline, cloud
                    )


def plain_template() -> dict[str, Any]:
    """An item with nothing in it but what the engine reads."""
    return {
        "type": "Feature", "stac_version": "1.0.0", "collection": "sentinel-2-l2a", "links": [],
        "properties": {"instruments": ["msi"]},
        "assets": {
            band: {"href": f"https://example.com/none/{band}.tif", "type": "image/tiff", "gsd": gsd, "roles": ["data"]}
            for band, gsd in GSD.items()
        },
    }  # fmt: skip


def _item(
    template: Mapping[str, Any],
    tile: str,
    epsg: int,
    rect: Rect,
    footprint: BaseGeometry,
    start: dt.datetime,
    platform: str,
    orbit: int,
    baseline: str,
    cloud: float,
) -> dict[str, Any]:
    item: dict[str, Any] = copy.deepcopy(dict(template))
    made = start + dt.timedelta(hours=9 if baseline == "05.09" else 9000)
    number = baseline.replace(".", "")
    name = f"{platform}_MSIL2A_{start:%Y%m%dT%H%M%S}_R{orbit:03}_T{tile}_{made:%Y%m%dT%H%M%S}"
    uri = name.replace("_R", f"_N{number}_R", 1)
    item |= {"id": name, "geometry": mapping(footprint), "bbox": list(footprint.bounds)}
    item["properties"] |= {
        "datetime": f"{start:%Y-%m-%dT%H:%M:%S}.024000Z",
        "platform": f"Sentinel-{platform[1:]}",
        "proj:epsg": epsg,
        "s2:mgrs_tile": tile,
        "s2:product_uri": f"{uri}.SAFE",
        "s2:datastrip_id": f"{platform}_OPER_MSI_L2A_DS_2APS_{made:%Y%m%dT%H%M%S}_S{start:%Y%m%dT%H%M%S}_N{baseline}",
        "s2:generation_time": f"{made:%Y-%m-%dT%H:%M:%S}.000000Z",
        "s2:processing_baseline": baseline,
        "sat:relative_orbit": orbit,
        "eo:cloud_cover": cloud,
    }
    left, bottom, right, top = rect.bounds
    for key, asset in item["assets"].items():
        asset["href"] = asset["href"].rpartition("/")[0] + f"/{uri}/{key}.tif"
        if gsd := asset.get("gsd") or GSD.get(key):
            count = rect.height * 10 // int(gsd)
            asset |= {
                "proj:bbox": [left, bottom, right, top],
                "proj:shape": [count, count],
                "proj:transform": [gsd, 0, left, 0, -gsd, top],
            }
    return item


def _tiles(region: BaseGeometry) -> Iterator[tuple[str, int, Rect, BaseGeometry]]:
    """Sentinel-2 tiles under a region: name, zone, pixels, outline in lon/lat degrees.

    Those whose middle lies in their own zone: strips along a zone's edge stay without imagery, as real gaps would.
    """
    library, seen = mgrs.MGRS(), set()
    for area in zone_areas(area_from_geojson(as_geojson(region))):
        zone, hemisphere = area.epsg % 100, "N" if area.epsg < 32700 else "S"
        left, bottom, right, top = area.rect.bounds
        for easting in range(int(left // 100_000) * 100_000, int(right) + 1, 100_000):
            for northing in range(int(bottom // 100_000) * 100_000, int(top) + 1, 100_000):
                tile = library.UTMToMGRS(
                    zone, hemisphere, easting + 50_000, northing + 50_000, MGRSPrecision=0
                )
                try:
                    found = area_from_tile(tile)
                except ValueError:
                    continue  # a square that its zone does not have
                assert found.tile is not None
                if tile not in seen and found.outline.intersects(region):
                    seen.add(tile)
                    yield tile, *found.tile, shapely.set_precision(found.outline.simplify(1e-4), 1e-6)


def _swath(longitude: float, south: float, north: float) -> Polygon:
    """What the satellite sees of a latitude band on a descending track, tilted as its orbit is."""
    top, bottom = (
        longitude + _LEAN * (latitude - (south + north) / 2) for latitude in (north + 1, south - 1)
    )
    half = _SWATH / 2
    return Polygon(
        [
            (top - half, north + 1),
            (top + half, north + 1),
            (bottom + half, south - 1),
            (bottom - half, south - 1),
        ]
    )


def _square_kilometres(geometry: BaseGeometry) -> float:
    return abs(Geod(ellps="WGS84").geometry_area_perimeter(geometry)[0]) / 1e6


def write_country(path: Path, region: BaseGeometry, *, days: int, template: Mapping[str, Any]) -> int:
    """Writes the items as one ItemCollection, an item a line; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for item in items(region, days=days, template=template):
            file.write(("," if count else "") + "\n" + json.dumps(item))
            count += 1
        file.write("\n]}\n")
    return count
