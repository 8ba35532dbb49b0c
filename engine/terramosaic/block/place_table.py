"""The table of where a run's windows are taken to lie, read again; `terramosaic.mosaic.places` writes it."""

from __future__ import annotations

import logging

import numpy as np
import shapely

from terramosaic.storage.files import exists
from terramosaic.storage.location import Location
from terramosaic.storage.scratch import LocalCopy

logger = logging.getLogger(__name__)

#: A window of a run: its zone's EPSG code, and its row and column in the lattice.
Window = tuple[int, int, int]


def is_table(path: Location) -> bool:
    """Whether a table is there that can be read; only the run's item tells more."""
    return exists(path) and read_places(path) is not None


def read_places(path: Location) -> dict[Window, np.ndarray] | None:
    """Latitude and longitude of each window's place, and how many kilometres it is off, (3,); NaN where it has none.

    None where the table cannot be read.

    Raises:
        OutputError: the store that it lies in failed.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with LocalCopy(path) as local:
            table = parquet.read_table(local)
        windows = zip(*(table[name].to_pylist() for name in ("zone", "row", "column")), strict=True)
        named = table["geometry"].to_pylist()
        is_place = np.array([each is not None for each in named], bool)
        found = np.full((len(named), 3), np.nan)
        found[is_place, :2] = shapely.get_coordinates(shapely.from_wkb([each for each in named if each]))[
            :, ::-1
        ]
        found[:, 2] = table["distance_km"].to_numpy()
        return dict(zip(windows, found, strict=True))
    except (OSError, KeyError, ValueError, shapely.errors.ShapelyError, pyarrow.ArrowException) as error:
        logger.warning("%s cannot be read: %s", path, error)
        return None
