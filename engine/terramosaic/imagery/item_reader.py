"""Reading the files of an item: each tried as often as may help, and not asked for again when it is dead."""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from terramosaic.bands import GSD
from terramosaic.catalog.assets import AssetRef, Source
from terramosaic.catalog.hrefs import refusal
from terramosaic.catalog.profiles import KEY_SETTING, PROFILES, is_signed, sign
from terramosaic.errors import GO_ON, CatalogError, DeadAssetError, RefusedHrefError, UnusableFileError
from terramosaic.ground.grid import RESOLUTION
from terramosaic.imagery.failed_assets import FailedAssets
from terramosaic.imagery.failures import (
    FAILURES,
    is_hopeless,
    is_missing,
    is_no_raster,
    is_refusal,
    is_too_short,
    line_of,
    status_of,
)
from terramosaic.imagery.tries import Tries, failure_of
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.documents import shown
from terramosaic.storage.gdal import local_files
from terramosaic.storage.gdal_names import DRIVERS, gdal_options, gdal_path, time_limits
from terramosaic.storage.meter import METER
from terramosaic.storage.retries import ASSET, MISSING, REFUSED
from terramosaic.storage.tally import count
from terramosaic.url_secrets import expiry_of, hide_in_log, whole

logger = logging.getLogger(__name__)

# They tell what GDAL says.
hide_in_log("rasterio._env", "rasterio._err")

#: How the files that catalogs offer begin: TIFF and BigTIFF of either byte order, JPEG 2000 with and without its boxes.
_BEGINNINGS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"\0\0\0\x0cjP", b"\xff\x4f\xff\x51")

#: How stores answer to a signature that has expired or does not fit, and what helps.
_REFUSALS_OF_SIGNATURES = (400, 401, 403)
_FRESH = (
    "search for fresh items (an API is searched anew when the same request is run again, a saved catalog has to be "
    "saved again), or use a catalog that signs"
)

_File = TypeVar("_File")
_T = TypeVar("_T")


class ItemReader(ABC, Generic[_File]):
    """Reads the files of one item, which stay open until it is closed; a context.

    It may be shared by threads: different files are read at the same time, one file by one thread after the other.

    Args:
        source: the item.
        run: the run that it is read for. A file that failed in it for good is not asked for again.

    Attributes:
        source: the item.
    """

    def __init__(self, source: Source, run: RunFolder | None = None) -> None:
        self.source = source
        self._failed = FailedAssets(run)
        self._refused: set[str] = set()
        self._dead: dict[str, UnusableFileError] = {}
        self._open: dict[str, _File] = {}
        self._closing: dict[str, ExitStack] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._guard = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _seen(self, asset: AssetRef, dataset: DatasetReader, closing: ExitStack) -> _File:
        """What is read of a file that was opened.

        Args:
            asset: which it is.
            dataset: the file.
            closing: closes what is opened here besides.

        Raises:
            UnusableFileError: the file is not what its item says.
        """

    @property
    def has_dead_files(self) -> bool:
        """Whether a file has failed for good, and is not asked for any more."""
        return bool(self._dead)

    def close(self) -> None:
        """Closes all files."""
        for band in list(self._closing):
            with self._locks[band]:
                self._forget(band)

    def _use(self, band: str, action: Callable[[_File], _T]) -> _T:
        """What an action gives that reads a file, tried again as may help.

        Args:
            band: which of the item's files.
            action: reads it.

        Raises:
            UnusableFileError: the file is gone for good, or is not what its item says; names the asset.
            CatalogError: it could not be read, after as many tries as may help, but another time it may.
        """
        asset = self.source.assets[band]
        with self._guard:
            lock = self._locks.setdefault(band, threading.Lock())

        # The lock is held until a failed file is closed: another block may be waiting to read it.
        with lock, local_files(**gdal_options(asset.href)):
            if band in self._dead:
                raise self._dead[band]
            if band not in self._open:
                self._failed.check(self.source, asset)
            tries = Tries(partial(self._tries, asset), partial(self._asked_to_wait, asset))
            attempts = Retrying(
                stop=tries.stop,
                wait=tries.wait,
                retry=retry_if_exception_type(FAILURES),
                before_sleep=partial(self._before_retry, asset),
                reraise=True,
            )
            try:
                made = attempts(lambda: _in_time(asset.href, tries.left, lambda: action(self._file(asset))))
                count("read_bytes", read := _bytes_of(made))
                # Files with coarser pixels are spread over the grid's as they are read.
                METER.read(read * (RESOLUTION / GSD.get(band, RESOLUTION)) ** 2)
                return made
            except CatalogError as error:  # the file is not what its item says, or gets no signature
                error.scene = self.source.key
                self._give_up(asset, error)
                raise
            except FAILURES as error:
                failure = self._failure(asset, error, attempts.statistics["attempt_number"], tries.later)
                self._give_up(asset, failure)
                raise failure from error

    def _failure(self, asset: AssetRef, error: Exception, tries: int, later: str) -> CatalogError:
        """What is told of a file that could not be read."""
        lacks, remedy = _remedy(asset, self.source, error)
        line = (
            f"asset {asset.band} of {self.source.key} could not be read"
            f"{f' after {tries} tries' if tries > 1 else ''} ({shown(asset.href)}): {line_of(error)}"
            f"{lacks}{later}"
        )
        if self._is_for_good(asset, error):
            return DeadAssetError(line, scene=self.source.key)
        failure = CatalogError(
            line, hint=f"{remedy}, or leave the scene out with --exclude {self.source.key}"
        )
        failure.scene = self.source.key
        return failure

    def _is_for_good(self, asset: AssetRef, error: BaseException) -> bool:
        """Whether a file that failed like this is lost to the run, rather than out of reach for a while."""
        if is_refusal(error):
            # With a fresh signature. Without one it may be the reader who lacks credentials, and not the file.
            return is_signed(asset.href, self.source.profile)
        if is_missing(error) or is_too_short(error) or is_no_raster(error):
            return True
        # What the disk reads well and GDAL does not is broken. Of what comes over a network nobody can tell.
        return _is_readable(asset.href)

    def _tries(self, asset: AssetRef, error: BaseException) -> int:
        """How often a file that fails like this is tried in all."""
        if is_refusal(error):
            return REFUSED.tries if is_signed(asset.href, self.source.profile) else 1
        # A server may send a page in a file's place for a moment.
        if is_missing(error) or (is_no_raster(error) and "://" in asset.href):
            return MISSING.tries
        if is_hopeless(error):
            return 1
        if _is_readable(asset.href):
            return MISSING.tries  # it is unlikely to become another one
        return ASSET.tries

    def _asked_to_wait(self, asset: AssetRef, error: BaseException) -> float | None:
        """Seconds that a busy server asks to wait. GDAL does not tell, so it is asked once more, for one byte."""
        if status_of(error) not in (429, 503) or not asset.href.startswith(("http://", "https://")):
            return None
        from terramosaic.storage.http import pause_asked_by  # for start-up time, and seldom

        return pause_asked_by(sign(asset.href, self.source.profile))

    def _before_retry(self, asset: AssetRef, state: RetryCallState) -> None:
        error = failure_of(state)
        logger.warning(
            "reading %s of %s failed, trying again: %s", asset.band, self.source.key, line_of(error)
        )
        kind = "refused" if is_refusal(error) else "missing" if is_missing(error) else "unreadable"
        count("retries", what="file", kind=kind)
        self._forget(asset.band)
        if is_refusal(error):
            self._refused.add(asset.band)

    def _give_up(self, asset: AssetRef, error: CatalogError) -> None:
        self._forget(asset.band)
        if isinstance(error, UnusableFileError):
            self._dead[asset.band] = error  # the scene is left out, and on record as such
        else:
            self._failed.record(self.source, asset, error)

    def _file(self, asset: AssetRef) -> _File:
        if asset.band not in self._open:
            if refused := refusal(asset.href, self.source.origin):
                raise RefusedHrefError(
                    f"asset {asset.band} of {self.source.key} is not opened ({shown(asset.href)}): {refused}",
                    scene=self.source.key,
                )
            with ExitStack() as stack:
                # Signed here and not stored: a token lives for less than a run.
                href = sign(asset.href, self.source.profile, anew=asset.band in self._refused)
                self._refused.discard(asset.band)
                file = self._seen(asset, stack.enter_context(_opened(href)), stack)
                self._closing[asset.band], self._open[asset.band] = stack.pop_all(), file
        return self._open[asset.band]

    def _forget(self, band: str) -> None:
        self._open.pop(band, None)
        files = self._closing.pop(band, None)
        if files is not None:
            files.close()


def _bytes_of(made: object) -> int:
    """What the arrays take that were read; nothing of what holds none, and of backscatter its numbers alone."""
    parts = made if isinstance(made, tuple) else (getattr(made, "values", made),)
    return sum(part.nbytes for part in parts if isinstance(part, np.ndarray))


def _opened(href: str) -> DatasetReader:
    try:
        # Not `rasterio.open`, which takes one driver.
        return DatasetReader(gdal_path(href), driver=DRIVERS)
    except RasterioError as error:
        # GDAL says of a file that it is no raster also where the server told its length and then gave nothing of it.
        if is_no_raster(error) and href.startswith(("http://", "https://")):
            from terramosaic.storage.http import first_bytes  # for start-up time, and seldom

            if first_bytes(href, 12).startswith(_BEGINNINGS):
                raise OSError("its header could not be read") from error
        raise


def _remedy(asset: AssetRef, source: Source, error: BaseException) -> tuple[str, str]:
    """What a file lacks, as the end of the line that says that it failed, and how to go on."""
    profile = PROFILES.get(source.profile)
    if profile is not None and profile.credentials and asset.href.startswith("s3://"):
        return f"; its files need credentials: {profile.credentials}", GO_ON
    if is_refusal(error) and is_signed(asset.href, source.profile):
        return f"; its collection may want a key: set {KEY_SETTING}", GO_ON
    # Some stores say of what they refuse that it is not there.
    if not asset.came_signed or not (is_missing(error) or status_of(error) in _REFUSALS_OF_SIGNATURES):
        return "", GO_ON
    own = whole(asset.href)
    if own == asset.href:
        return (
            "; its href held a signature or login, which no file keeps, and this process was not told it",
            ("run the same request again in one process, or put the login into ~/.netrc"),
        )
    expiry = expiry_of(own)
    if expiry is None or expiry > datetime.now(UTC):
        return "; the signature or login in its href may have expired, or be of another file", _FRESH
    return f"; the signature in its href expired at {expiry:%Y-%m-%d %H:%M:%S} UTC", _FRESH


def _in_time(href: str, left: float, action: Callable[[], _T]) -> _T:
    """One try, within what is left of the time."""
    if "://" not in href or left > ASSET.within - 1:  # the first one
        return action()
    with local_files(**time_limits(left)):
        return action()


def _is_readable(href: str) -> bool:
    """Whether it is a file of a disk that can be read to its end."""
    path = Path(href.removeprefix("file://"))
    if "://" in str(path) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            while file.read(2**20):
                pass
    except OSError:
        return False
    return True
