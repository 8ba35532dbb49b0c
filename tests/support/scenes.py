"""Small made-up scenes on disk for tests: every pixel tells its band, place and date."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from shapely.geometry import box

from terramosaic.bands import CIRRUS, GSD, INPUT_BANDS, S2L2A_BANDS
from terramosaic.catalog.profiles import EARTH_SEARCH
from terramosaic.catalog.scene import Scene, scene_from_item
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.scene_decision import SceneDecision


def write_scene(
    folder: Path,
    rect: Rect,
    *,
    name: str = "S2A_33TWL_20230815",
    epsg: int = 32633,
    day: str = "2023-08-15",
    offset: int = 0,
    scl: np.ndarray | None = None,
    holes: np.ndarray | None = None,
    level: int = 0,
    cloud: float = 1.0,
    l1c: bool = False,
) -> dict[str, Any]:
    """Writes 12 bands and SCL at their native resolutions; returns the STAC item as a dict with absolute hrefs.

    Or of L1C 13 bands, as Earth Search's items have them.

    Args:
        folder: where the files go.
        rect: the scene's pixels; sides in multiples of 6.
        scl: scene classification at 20 m; all vegetation by default.
        holes: bool at 10 m, no data there in any band.
        level: added to all digital numbers.
        cloud: the item's cloud cover in percent.
    """
    folder.mkdir(parents=True, exist_ok=True)
    assets = {}
    pixels: np.ndarray
    for band in INPUT_BANDS["S2L1C"] if l1c else (*S2L2A_BANDS, "SCL"):
        factor = GSD[band] // 10
        shape = rect.height // factor, rect.width // factor
        if band == "SCL":
            pixels = np.full(shape, 4, np.uint8) if scl is None else scl.astype(np.uint8)
        else:
            pixels = dn_of(band, *shape, level=level) + np.uint16(offset)
            if holes is not None:
                pixels[holes[::factor, ::factor]] = 0
        path = folder / f"{name}_{band}.tif"
        with rasterio.open(
            path, "w", driver="GTiff", width=shape[1], height=shape[0], count=1, dtype=pixels.dtype, nodata=0,
            crs=f"EPSG:{epsg}", transform=rect.transform @ rasterio.Affine.scale(factor), tiled=True,
            blockxsize=128, blockysize=128, compress="deflate",
        ) as file:  # fmt: skip
            file.write(pixels, 1)
        assets[band] = {"href": str(path), "type": "image/tiff", "gsd": GSD[band], "roles": ["data"]}
    outline = lonlat_of(box(*rect.bounds), epsg)
    of_level = {"s2:product_type": "S2MSI1C", "earthsearch:payload_id": "of L1C"} if l1c else {}
    if l1c:
        names = EARTH_SEARCH.assets
        assets = {names[band][0]: asset for band, asset in assets.items()}
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "links": [],
        "collection": "sentinel-2-l1c" if l1c else "sentinel-2-l2a",
        "geometry": as_geojson(outline), "bbox": list(outline.bounds), "assets": assets,
        "properties": {
            "datetime": f"{day}T10:00:00Z", "platform": "sentinel-2a", "eo:cloud_cover": cloud, "proj:epsg": epsg,
            "s2:mgrs_tile": name[4:9], "s2:processing_baseline": "05.09" if offset else "02.14", **of_level,
        },
    }  # fmt: skip


def dn_of(band: str, height: int, width: int, *, level: int = 0) -> np.ndarray:
    """Digital numbers of a band at its native resolution, all different enough to tell a shift by one pixel.

    Bands of all resolutions show the same ground, as those of a real scene do.
    """
    # That of L1C alone is as dark as a clear sky.
    if band == CIRRUS:
        return np.full((height, width), 12 + level, np.uint16)
    index, factor = S2L2A_BANDS.index(band), GSD[band] // 10
    rows, cols = np.mgrid[: height * factor : factor, : width * factor : factor]
    return (200 + 100 * index + (rows * 7 + cols * 13) % 4001 + level).astype(np.uint16)


def as_scene(item: dict[str, Any]) -> Scene:
    """The item as the engine's value."""
    return scene_from_item(item)


class AsPlanned:
    """Uses every scene as its metadata says, but those that it is told to leave out."""

    def __init__(self, *left_out: str) -> None:
        self._left_out = left_out

    def leaves_out(self, scene: Scene) -> bool:
        """Whether a scene is one of these."""
        return scene.key in self._left_out

    def decision(self, reader: SceneReader) -> SceneDecision:
        """What the item says."""
        offsets = {band: asset.offset for band, asset in reader.scene.assets.items()}
        return SceneDecision(scene=reader.scene.key, offsets=offsets)

    def uses(self, scene: Scene) -> None:
        """Nothing is written down."""
