"""Made-up tiles of the Copernicus DEM on disk for tests: real sizes and places, written where they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.windows import Window

from terramosaic.catalog.elevation import ROWS, ElevationTile, Kind, elevation_from_item, name_of_cell


def plane(lon: np.ndarray, lat: np.ndarray) -> np.ndarray:
    """Heights that bilinear weights give back exactly: 50 m a degree east, 30 m a degree north."""
    found: np.ndarray = 50 * (lon % 90) + 30 * lat
    return found


def columns_at(south: int) -> int:
    """Points in a row of a cell, as the Copernicus DEM has them at its latitude."""
    nearest = min(abs(south), abs(south + 1))
    seconds = next(
        step for limit, step in ((50, 1), (60, 1.5), (70, 2), (80, 3), (85, 5), (91, 10)) if nearest < limit
    )
    return round(3600 / seconds)


def write_tile(
    folder: Path,
    south: int,
    west: int,
    *,
    kind: Kind = "GLO-30",
    around: tuple[float, float] | None = None,
    heights: Callable[[np.ndarray, np.ndarray], np.ndarray] = plane,
    **profile: Any,
) -> ElevationTile:
    """Writes a tile and returns its value.

    Args:
        folder: where the file goes.
        south: of its cell.
        west: of its cell.
        kind: which DEM.
        around: lon and lat around which a tenth of a degree is written; by default all.
        heights: of places in degrees.
        profile: of the file, where it is another than the Copernicus DEM's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows, cols = ROWS[kind], columns_at(south) * ROWS[kind] // 3600
    transform = Affine(1 / cols, 0, west - 0.5 / cols, 0, -1 / rows, south + 1 + 0.5 / rows)
    name = f"Copernicus_DSM_COG_{10 if kind == 'GLO-30' else 30}_{name_of_cell((south, west))}"
    path = folder / f"{name}.tif"
    row, col = np.arange(rows), np.arange(cols)
    if around is not None:
        row = row[np.abs(south + 1 - row / rows - around[1]) < 0.1]
        col = col[np.abs(west + col / cols - around[0]) < 0.1]
    with rasterio.open(
        path, "w",
        **{"driver": "GTiff", "width": cols, "height": rows, "count": 1, "dtype": "float32", "crs": "EPSG:4326",
           "transform": transform, "tiled": True, "blockxsize": 256, "blockysize": 256, "compress": "deflate",
           "SPARSE_OK": True} | profile,
    ) as file:  # fmt: skip
        if row.size and col.size:
            lon, lat = np.meshgrid(west + col / cols, south + 1 - row / rows)
            window = Window(col[0], row[0], col.size, row.size)
            file.write(heights(lon, lat).astype(file.dtypes[0]), 1, window=window)
    left, top = transform.c, transform.f
    return elevation_from_item({
        "type": "Feature", "id": name, "collection": f"cop-dem-{kind.lower()}",
        "bbox": [left, top - 1, left + 1, top],
        "properties": {"datetime": "2021-04-22T00:00:00Z", "proj:epsg": 4326, "proj:transform": [*transform][:6],
                       "proj:shape": [rows, cols]},
        "assets": {"data": {"href": str(path)}},
    })  # fmt: skip
