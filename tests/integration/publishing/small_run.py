"""Small real runs for tests of what is published: made-up scenes, demo bundle, all stages but the last."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from shapely.geometry import Polygon, box

from terramosaic.block.block import run_block
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.mosaic.assemble import assemble
from terramosaic.planning.plan import Plan
from terramosaic.planning.planning import plan
from terramosaic.request.request import RegionRequest
from tests.support.scenes import write_scene

#: One tile in zone 33, and two beside 12 degrees east, where zone 32 meets zone 33.
TILE = Rect(490_002, 50_004, 480, 480)
HOSTILE_ID = "S2A_33TWL_<img src=x onerror=alert(1)>&'\""


def polygon_run(folder: Path, **options: object) -> Plan:
    """A kite over one tile, two blocks: a hole of 120 x 90 pixels, cloud in the north-west, two dates."""
    catalog = folder / "catalog"
    holes, clouds = np.zeros(TILE.shape, bool), np.full((240, 240), 4)
    holes[180:300, 198:288] = True
    clouds[:60, :60] = 9
    _add(
        catalog,
        write_scene(catalog / "a", TILE, name="S2A_33TWL_20230815", scl=clouds, holes=holes),
        HOSTILE_ID,
    )
    _add(catalog, write_scene(catalog / "b", TILE, name="S2B_33TWL_20230820", day="2023-08-20", offset=1000,
                              scl=clouds, holes=holes))  # fmt: skip
    left, bottom, right, top = TILE.bounds
    kite = Polygon(
        [
            (left + 300, top - 200),
            (right - 105, top - 900),
            (right - 705, bottom + 301),
            (left + 505, bottom + 1204),
        ]
    )
    request = {"targets": ("S1GRD", "NDVI", "LULC"), "extras": ("std", "confidence"), **options}
    return _run(folder, as_geojson(lonlat_of(kite, 32633)), catalog, request)


def two_zone_run(folder: Path, **options: object) -> Plan:
    """A rectangle across the boundary of two zones, a tile in each."""
    catalog = folder / "catalog"
    _add(
        catalog,
        write_scene(catalog / "w", Rect(499_000, 73_236, 360, 360), name="S2A_32TQR_20230815", epsg=32632),
    )
    _add(
        catalog,
        write_scene(catalog / "e", Rect(499_000, 26_400, 360, 360), name="S2A_33TTL_20230815", epsg=32633),
    )
    west = lonlat_of(box(*Rect(499_060, 73_300, 200, 200).bounds), 32632).bounds
    return _run(
        folder, [12 - 0.012, west[1], 12 + 0.016, west[3]], catalog, {"targets": ("NDVI",), **options}
    )


def _add(catalog: Path, item: dict, id_: str | None = None) -> None:
    (catalog / f"{item['id']}.json").write_text(json.dumps(item | {"id": id_ or item["id"]}))


def _run(folder: Path, region: object, catalog: Path, options: dict) -> Plan:
    made = plan(
        RegionRequest(
            region=region,
            datetime="2023-08",
            catalog=str(catalog),
            out=str(folder / "out"),
            block_size=512,
            **options,
        )
    )
    for block in made.blocks:
        run_block(made, block)
    assemble(made)
    return made
