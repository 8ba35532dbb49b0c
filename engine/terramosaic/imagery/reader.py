"""Reading pixels of scenes onto a zone's grid: nearest neighbour, bit-equal where grids agree, retried, never a gap."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TypeVar

import numpy as np
import rasterio
from affine import Affine
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform_bounds
from rasterio.windows import Window
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from terramosaic.catalog.profiles import PROFILES, sign
from terramosaic.catalog.scene import AssetRef, Scene
from terramosaic.errors import GO_ON, CatalogError
from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect, rect_from_bounds
from terramosaic.storage.gdal import local_files

logger = logging.getLogger(__name__)

#: Tries of one read, the first included, and the longest pauses between them in seconds.
TRIES = 4
_PAUSE_FIRST, _PAUSE_MOST = 0.5, 8.0

#: GDAL over HTTP. Without the time-outs a silent server hangs a run for ever; GDAL's own retries are left off for what
#: ours repeat with a fresh signature, and a 404 is remembered by GDAL unless its cache is told not to.
_REMOTE_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "10",
    "GDAL_HTTP_LOW_SPEED_TIME": "20",
    "GDAL_HTTP_LOW_SPEED_LIMIT": "1000",
    "GDAL_HTTP_MAX_RETRY": "0",
}
#: Some local files keep their CRS in an .aux.xml beside them, which GDAL finds only if it may list the folder.
_LOCAL_OPTIONS = {"GDAL_DISABLE_READDIR_ON_OPEN": "FALSE"}
_CACHE_OPTIONS = {"GDAL_CACHEMAX": 256 * 2**20}

#: Longest side, in pixels, of the overview on which the offset is checked.
_OVERVIEW = 512

_T = TypeVar("_T")


class SceneReader:
    """Reads one scene's bands onto the grid of zone ``epsg``; files stay open until it is closed.

    It may be shared by threads: different bands are read at the same time, one band by one thread after the other.
    """

    def __init__(self, scene: Scene, epsg: int) -> None:
        self.scene, self._epsg = scene, epsg
        self._open: dict[str, DatasetReader | WarpedVRT] = {}
        self._files: dict[str, ExitStack] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes all files."""
        for band in list(self._files):
            with self._locks[band]:
                self._forget(band)

    def read(self, band: str, rect: Rect, out: np.ndarray | None = None) -> np.ndarray:
        """Raw values of a band under a rectangle of the grid: (height, width), 0 outside the file.

        Each grid pixel takes the file's pixel under its centre, so a 20 m band comes as exact 2 x 2 duplicates and a
        10 m band of the zone as the file's own numbers.

        Args:
            band: name of the band.
            rect: the rectangle.
            out: array to read into; by default a new one of the file's dtype.

        Raises:
            MissingBandError: the scene has no such band.
            CatalogError: the file could not be read after 4 tries; names the asset.
        """
        asset = self.scene.require([band])[band]
        return self._retried(asset, lambda: _read_nearest(self._dataset(asset), rect, out))

    def overview(self, band: str) -> np.ndarray:
        """Raw values of the whole band at a coarse scale, at most 512 pixels a side, from the file's overviews."""
        asset = self.scene.require([band])[band]

        def read_coarse() -> np.ndarray:
            dataset = self._dataset(asset)
            scale = max(1, dataset.width / _OVERVIEW, dataset.height / _OVERVIEW)
            shape = (1, max(1, round(dataset.height / scale)), max(1, round(dataset.width / scale)))
            coarse: np.ndarray = dataset.read(out_shape=shape, indexes=[1], resampling=Resampling.nearest)[0]
            return coarse

        return self._retried(asset, read_coarse)

    def _retried(self, asset: AssetRef, action: Callable[[], _T]) -> _T:
        with self._guard:
            lock = self._locks.setdefault(asset.band, threading.Lock())

        def before_retry(state: RetryCallState) -> None:
            self._forget(asset.band)
            cause = state.outcome.exception() if state.outcome else None
            logger.warning("reading %s of %s failed, trying again: %s", asset.band, self.scene.id, cause)

        attempts = Retrying(
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=_PAUSE_FIRST, max=_PAUSE_MOST),
            retry=retry_if_exception_type((RasterioError, OSError)),
            before_sleep=before_retry,
            reraise=True,
        )
        # The lock is held until a failed file is closed: another block may be waiting to read it.
        with lock, _surroundings(asset.href):
            try:
                return attempts(action)
            except (RasterioError, OSError) as error:
                self._forget(asset.band)
                raise CatalogError(
                    f"asset {asset.band} of {self.scene.id} could not be read after {TRIES} tries "
                    f"({asset.href}): {error}{_needs(asset, self.scene)}",
                    hint=GO_ON,
                ) from error

    def _dataset(self, asset: AssetRef) -> DatasetReader | WarpedVRT:
        if asset.band not in self._open:
            with ExitStack() as stack:
                # Signed here and not stored: a token lives for less than a run.
                path = _gdal_path(sign(asset.href, self.scene.profile))
                dataset = stack.enter_context(rasterio.open(path))
                _check(dataset, asset, self.scene)
                if dataset.crs.to_epsg() != self._epsg:
                    dataset = stack.enter_context(_on_grid(dataset, self._epsg))
                self._files[asset.band], self._open[asset.band] = stack.pop_all(), dataset
        return self._open[asset.band]

    def _forget(self, band: str) -> None:
        self._open.pop(band, None)
        files = self._files.pop(band, None)
        if files is not None:
            files.close()


def _needs(asset: AssetRef, scene: Scene) -> str:
    profile = PROFILES.get(scene.profile)
    if profile is not None and profile.credentials and asset.href.startswith("s3://"):
        return f"; its files need credentials: {profile.credentials}"
    return ""


def _check(dataset: DatasetReader, asset: AssetRef, scene: Scene) -> None:
    """Refuses a file that is not what a Sentinel-2 band is, rather than reading something else into it."""
    transform, dtype = dataset.transform, dataset.dtypes[0]
    problem = None
    if dataset.crs is None:
        problem = "has no CRS"
    elif dtype not in ("uint8", "uint16"):
        # Reflectances stored as 0..1 would all become 0, no data.
        problem = f"holds {dtype}, not digital numbers as uint16"
    elif transform.b or transform.d or not transform.a > 0 > transform.e:
        problem = "is not north-up"
    if problem:
        raise CatalogError(f"asset {asset.band} of {scene.id} {problem} ({asset.href}); use another catalog")


def _on_grid(dataset: DatasetReader, epsg: int) -> WarpedVRT:
    """A file of another zone, seen on this zone's 10 m grid by nearest neighbour."""
    crs = f"EPSG:{epsg}"
    rect = rect_from_bounds(transform_bounds(dataset.crs, crs, *dataset.bounds))
    # GDAL's approximate transformation depends on the window asked for, and pixels must not: a billionth of a pixel is
    # exact (rasterio 1.4 fails on 0).
    return WarpedVRT(
        dataset,
        crs=crs,
        transform=rect.transform,
        width=rect.width,
        height=rect.height,
        resampling=Resampling.nearest,
        tolerance=1e-9,
        src_nodata=0,
        nodata=0,
    )


def _read_nearest(dataset: DatasetReader | WarpedVRT, rect: Rect, out: np.ndarray | None) -> np.ndarray:
    transform: Affine = dataset.transform
    # The file's row and column under each pixel centre (half a pixel inside the grid's edges).
    x = (rect.col + np.arange(rect.width) + 0.5) * RESOLUTION
    y = NORTHING_OF_ROW_0 - (rect.row + np.arange(rect.height) + 0.5) * RESOLUTION
    cols = np.floor((x - transform.c) / transform.a).astype(np.int64)
    rows = np.floor((y - transform.f) / transform.e).astype(np.int64)
    inside_rows, inside_cols = _within(rows, dataset.height), _within(cols, dataset.width)
    rows, cols = rows[inside_rows], cols[inside_cols]
    if out is None:
        out = np.empty(rect.shape, dataset.dtypes[0])
    if (len(rows), len(cols)) != rect.shape:
        out[:] = 0
    if not len(rows) or not len(cols):
        return out
    window = Window(cols[0], rows[0], cols[-1] - cols[0] + 1, rows[-1] - rows[0] + 1)
    target = out[inside_rows, inside_cols]
    if (window.height, window.width) == target.shape:
        if target.flags.c_contiguous and target.dtype == dataset.dtypes[0]:
            dataset.read(1, window=window, out=target)
        else:
            target[:] = dataset.read(1, window=window)
    else:
        # Columns first, on the few native rows; then whole rows are copied.
        native = dataset.read(1, window=window).astype(out.dtype, copy=False)
        # mode="clip" writes straight into `out`; the indices are in range.
        np.take(native.take(cols - cols[0], axis=1), rows - rows[0], axis=0, out=target, mode="clip")
    return out


def _within(indices: np.ndarray, size: int) -> slice:
    """The run of ascending indices that lie in [0, size)."""
    return slice(*np.searchsorted(indices, [0, size]))


def _surroundings(href: str) -> rasterio.Env:
    # Only S3 needs the credentials that rasterio looks for.
    return (rasterio.Env if href.startswith("s3://") else local_files)(**_options(href))


def _options(href: str) -> dict[str, str | int]:
    if "://" not in href:
        return _CACHE_OPTIONS | _LOCAL_OPTIONS
    return _CACHE_OPTIONS | _REMOTE_OPTIONS | {"CPL_VSIL_CURL_NON_CACHED": _gdal_path(href).split("?")[0]}


def _gdal_path(href: str) -> str:
    """An href as GDAL's virtual file systems name it; credentials for s3:// come from the environment."""
    if href.startswith("s3://"):
        return "/vsis3/" + href.removeprefix("s3://")
    if href.startswith(("http://", "https://")):
        return "/vsicurl/" + href
    return os.fspath(href.removeprefix("file://"))
