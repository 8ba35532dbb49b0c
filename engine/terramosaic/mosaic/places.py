"""Coordinates as a table: a row for each window, with where the model takes it to lie, and how far that is off.

GeoParquet 1.1 (https://geoparquet.org/releases/v1.1.0/): the geometry is the place that the model names, in longitude
and latitude of WGS 84 (OGC:CRS84); missing where what it drew is no place. Its grid is a quarter of a degree, so that
the nearest it can name is up to 20 km away at the equator.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import shapely

from terramosaic.block.places import PlaceSheet
from terramosaic.block.reading import DamagedRasterError, places_of
from terramosaic.block.receipt import BlockReceipt
from terramosaic.errors import DamagedBlocksError, OutputError
from terramosaic.ground.lattice import Lattice
from terramosaic.ground.zones import kilometres_between, lonlat_of_points
from terramosaic.model.manifest import COORDINATES
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import whole_file
from terramosaic.storage.location import Location

logger = logging.getLogger(__name__)


def write_places(path: Location, plan: Plan, receipts: Mapping[str, BlockReceipt]) -> None:
    """Writes the table of a run whose blocks are done, zone after zone, row after row of windows.

    Raises:
        DamagedBlocksError: rasters of blocks are not as they were written; names all of those blocks.
        OutputError: the file could not be written.
    """
    import pyarrow  # of the extra `vectors`, as planning required
    from pyarrow import parquet

    windows, places = _gathered(plan, receipts)
    lonlat = _centres(plan.lattice_of(COORDINATES), windows)
    is_place = ~np.isnan(places[:, 0])
    points = shapely.points(places[:, ::-1].astype(np.float64))
    distances = np.full(len(places), np.nan)
    distances[is_place] = kilometres_between(lonlat[is_place], places[is_place, ::-1])
    table = pyarrow.table(
        {
            "zone": pyarrow.array(windows[:, 0], pyarrow.int32()),
            "row": pyarrow.array(windows[:, 1], pyarrow.int32()),
            "column": pyarrow.array(windows[:, 2], pyarrow.int32()),
            "longitude": pyarrow.array(lonlat[:, 0]),
            "latitude": pyarrow.array(lonlat[:, 1]),
            "distance_km": pyarrow.array(distances, mask=~is_place),
            "geometry": pyarrow.array(shapely.to_wkb(points), pyarrow.binary(), mask=~is_place),
        }
    ).replace_schema_metadata({"geo": json.dumps(_metadata(places[is_place])), **_origin(plan)})
    try:
        with whole_file(path) as partial:
            parquet.write_table(table, partial, compression="zstd")
    except (OSError, pyarrow.ArrowException) as error:
        raise OutputError(
            f"{path} could not be written: {error}; make room or choose another output folder"
        ) from error
    logger.info("%s written", path.name)


def _gathered(plan: Plan, receipts: Mapping[str, BlockReceipt]) -> tuple[np.ndarray, np.ndarray]:
    """All windows of a run, int64 (N, 3), and their places, float32 (N, 2): latitude and longitude.

    Of one that lies across blocks the first one's counts: elsewhere the others may have been computed.
    """
    found: list[np.ndarray] = [np.empty((0, 3), np.int64)]
    places: list[np.ndarray] = [np.empty((0, 2), np.float32)]
    damaged = []
    for epsg, block, sheet in _sheets(plan, receipts):
        if sheet is None:
            damaged.append(block)
            continue
        windows = sheet.computed
        found.append(np.column_stack([np.full(len(windows), epsg), windows]))
        places.append(sheet.places)
    if damaged:
        raise DamagedBlocksError(damaged)
    windows, first = np.unique(np.concatenate(found), axis=0, return_index=True)
    return windows, np.concatenate(places)[first]


def _sheets(plan: Plan, receipts: Mapping[str, BlockReceipt]) -> Iterator[tuple[int, str, PlaceSheet | None]]:
    """Of each block its zone, its id and its windows' places; none where they are damaged."""
    for block in plan.blocks:
        sheet = None
        try:
            sheet = places_of(plan, block, receipts[block.id])
        except DamagedRasterError as error:
            logger.warning("block %s: %s is damaged: %s", block.id, COORDINATES, error)
        yield block.epsg, block.id, sheet


def _centres(lattice: Lattice, windows: np.ndarray) -> np.ndarray:
    """Longitude and latitude of the middle of windows, float64 (N, 2)."""
    found = np.empty((len(windows), 2))
    for epsg in np.unique(windows[:, 0]):
        own = windows[:, 0] == epsg
        found[own] = lonlat_of_points(lattice.centres(windows[own, 1:]), int(epsg))
    return found


def _metadata(places: np.ndarray) -> dict[str, Any]:
    """What GeoParquet says of its geometries. Without a CRS they are in longitude and latitude of WGS 84."""
    geometry: dict[str, Any] = {"encoding": "WKB", "geometry_types": ["Point"]}
    if len(places):
        (south, west), (north, east) = places.min(axis=0), places.max(axis=0)
        geometry["bbox"] = [float(side) for side in (west, south, east, north)]
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}


def _origin(plan: Plan) -> dict[str, str]:
    """What made the table, as the mosaics' tags say it."""
    return {
        "TERRAMOSAIC_VERSION": plan.engine_version,
        "TERRAMOSAIC_RUN": plan.run_id,
        "TERRAMOSAIC_MODEL": plan.bundle.title,
        "TERRAMOSAIC_MODEL_FINGERPRINT": plan.bundle.fingerprint,
    }
