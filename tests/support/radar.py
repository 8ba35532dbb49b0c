"""Small made-up scenes of Sentinel-1 RTC on disk for tests: every pixel tells its polarisation and place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.backscatter import BackscatterScene, backscatter_from_item
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of


def power_at(band: str, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Linear power by absolute pixels: VV of 0.02 to 0.3, VH a fifth of it, all different enough to tell a shift."""
    level = 0.02 + 0.28 * ((rows * 7 + cols * 13) % 401) / 400
    return (level if band == "VV" else level / 5).astype(np.float32)


def write_rtc(
    folder: Path,
    rect: Rect,
    *,
    name: str = "S1A_IW_GRDH_1SDV_20230808T142154_rtc",
    epsg: int = 32633,
    start: str = "2023-08-08 14:21:54.663481+00:00",
    orbit: int = 49785,
    off: tuple[float, float] = (0.0, 0.0),
    change: Callable[[np.ndarray], np.ndarray] | None = None,
    swath: BaseGeometry | None = None,
    **profile: Any,
) -> dict[str, Any]:
    """Writes VV and VH; returns the STAC item as a dict with absolute hrefs.

    Args:
        folder: where the files go.
        rect: the scene's pixels.
        off: metres east and north that the pixels lie off the grid.
        change: done to a polarisation before it is written.
        swath: what the item draws as its footprint, in the zone's metres; by default all pixels.
        profile: of the files, where it is another than Planetary Computer's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    transform = Affine.translation(*off) @ rect.transform
    rows, cols = np.mgrid[rect.row : rect.row_end, rect.col : rect.col_end]
    assets: dict[str, Any] = {}
    for band in ("VV", "VH"):
        pixels = power_at(band, rows, cols)
        path = folder / f"{name}_{band.lower()}.tif"
        with rasterio.open(
            path, "w",
            **{"driver": "GTiff", "width": rect.width, "height": rect.height, "count": 1, "dtype": "float32",
               "nodata": -32768, "crs": f"EPSG:{epsg}", "transform": transform, "tiled": True, "blockxsize": 128,
               "blockysize": 128, "compress": "deflate"} | profile,
        ) as file:  # fmt: skip
            file.write(pixels if change is None else change(pixels), 1)
        assets[band.lower()] = {"href": str(path), "file:size": path.stat().st_size, "roles": ["data"]}
    outline = lonlat_of(box(*rect.bounds) if swath is None else swath, epsg)
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-1-rtc", "links": [],
        "geometry": as_geojson(outline), "bbox": list(outline.bounds), "assets": assets,
        "properties": {
            "datetime": start.replace(" ", "T"), "start_datetime": start, "platform": "SENTINEL-1A",
            "sat:orbit_state": "descending", "sat:absolute_orbit": orbit, "sat:relative_orbit": 13,
            "sar:product_type": "GRD", "proj:epsg": epsg, "proj:transform": [*transform][:9],
            "proj:shape": list(rect.shape),
        },
    }  # fmt: skip


def rtc_scene(folder: Path, rect: Rect, **fields: Any) -> BackscatterScene:
    """The same as the engine's value."""
    return backscatter_from_item(write_rtc(folder, rect, **fields))
