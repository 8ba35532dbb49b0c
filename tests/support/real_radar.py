"""TerraMesh's example patches as a local catalog of Sentinel-1 RTC and Copernicus DEM: items and files of real form."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import rasterio
import shapely
from shapely.geometry import Point, box, mapping

from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect, rect_from_bounds
from terramosaic.ground.zones import lonlat_of, utm_of
from tests.support.heights import write_tile
from tests.support.radar import write_rtc


def add_radar(data: Path, catalog: Path, name: str, *, start: str) -> tuple[Rect, int]:
    """Adds a patch's backscatter, dB as linear power; returns its pixels on the nearest grid, and the zone."""
    db, rect, epsg = _patch(data, "S1RTC", name)
    power = (10 ** (db / 10)).astype(np.float32)
    bands = iter(power)

    def given(_: np.ndarray) -> np.ndarray:
        return next(bands)

    item = write_rtc(
        catalog / "rtc", rect, name=f"S1A_IW_GRDH_1SDV_{name}_rtc", epsg=epsg, start=start, change=given
    )
    (catalog / f"{item['id']}.json").write_text(json.dumps(item))
    return rect, epsg


def add_heights(data: Path, catalog: Path, name: str) -> None:
    """Adds the tile of a patch: its heights where it has any, by the nearest pixel, and their median elsewhere."""
    metres, rect, epsg = _patch(data, "DEM", name)
    middle = lonlat_of(box(*rect.bounds).centroid, epsg)
    assert isinstance(middle, Point)

    def heights(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
        corners = shapely.points(lon.ravel(), lat.ravel())
        x, y = shapely.get_coordinates(utm_of(shapely.multipoints(corners), epsg)).T.reshape(2, *lon.shape)
        rows = ((NORTHING_OF_ROW_0 - y) // RESOLUTION).astype(int) - rect.row
        cols = (x // RESOLUTION).astype(int) - rect.col
        inside = (rows >= 0) & (rows < rect.height) & (cols >= 0) & (cols < rect.width)
        found = np.full(lon.shape, float(np.median(metres)))
        found[inside] = metres[0][rows[inside], cols[inside]]
        return found

    # A twentieth of a degree is some kilometres: the patch, and what windows stick out of it.
    tile = write_tile(
        catalog / "dem",
        math.floor(middle.y),
        math.floor(middle.x),
        around=(middle.x, middle.y),
        heights=heights,
    )
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": tile.id, "collection": tile.collection, "links": [],
        "geometry": mapping(tile.geometry), "bbox": list(tile.geometry.bounds),
        "properties": {"datetime": "2021-04-22T00:00:00Z", "proj:epsg": 4326, "proj:transform": tile.transform,
                       "proj:shape": tile.shape},
        "assets": {"data": {"href": tile.assets["DEM"].href}},
    }  # fmt: skip
    (catalog / f"{tile.id}.json").write_text(json.dumps(item))


def _patch(data: Path, modality: str, name: str) -> tuple[np.ndarray, Rect, int]:
    with rasterio.open(data / "terramesh-examples" / modality / f"{name}.tif") as patch:
        left, top = (
            round(value / RESOLUTION) * RESOLUTION for value in (patch.transform.c, patch.transform.f)
        )
        rect = rect_from_bounds((left, top - 10 * patch.height, left + 10 * patch.width, top))
        return patch.read().astype(np.float64), rect, patch.crs.to_epsg()
