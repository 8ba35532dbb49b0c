"""What a user's scene is, wherever it was found: bands in files, and what is known of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import TypeVar

import rasterio
from rasterio.errors import RasterioError

from terramosaic.bands import GSD
from terramosaic.catalog.profiles import profile_by_host, sign
from terramosaic.errors import CatalogError, RequestError, one_line, printable
from terramosaic.storage.documents import shown
from terramosaic.storage.gdal import local_files
from terramosaic.storage.gdal_names import gdal_options, gdal_path
from terramosaic.storage.retries import HTTP
from terramosaic.url_secrets import bare

#: Endings of files that are looked at, with what reads them: nothing that asks a server or names other files.
DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG"}


_T = TypeVar("_T")

#: How often a file that lies elsewhere is asked for, before planning ends.
_TRIES = 3


@dataclass(frozen=True)
class Scaling:
    """What reflectance is of a file's numbers: scale x number + offset."""

    scale: float
    offset: float

    @property
    def declared(self) -> dict[str, float]:
        """As STAC's raster extension says it of digital numbers."""
        return {"scale": self.scale, "offset": self.offset}


@dataclass(frozen=True)
class BandSource:
    """Where a band is: a file, and the number of its band there, from 1 on; and what an item says of its numbers.

    A file is a path here, or the URL that an item names.
    """

    file: str
    index: int
    scaling: Scaling | None = None

    @property
    def name(self) -> str:
        """The file's name, without folders and secrets."""
        return name_of_file(self.file)


@dataclass
class OwnScene:
    """One scene of a user's.

    Attributes:
        name: of the file, without the band's, or of the folder; or an item's id.
        sensed: by the name, a folder's or the file's tag, or an item; None if nothing tells it.
        day_of: the folder whose name tells the day, if it is a folder's.
        bands: by ESA's name, ``SCL`` among them where it is there.
        cloud: percent of it that an item says is clouded; None if nothing tells it.
    """

    name: str
    sensed: datetime | None
    day_of: str = ""
    bands: dict[str, BandSource] = field(default_factory=dict)
    cloud: float | None = None
    _metres: dict[str, int] = field(default_factory=dict)

    def put(self, band: str, source: BandSource, metres: int = 0) -> None:
        """Adds a band; of several sizes of its pixels, as SAFE folders have, the finest that it is made in is taken.

        Raises:
            RequestError: it is there twice.
        """
        own = GSD.get(band, 10)
        if band not in self.bands:
            self.bands[band], self._metres[band] = source, metres
            return
        held = self._metres[band]
        if metres == held:
            raise RequestError(
                f"imagery: {printable(self.name)} has {band} twice: {self.bands[band].name} and {source.name}"
            )
        if max(own, metres) < max(own, held) or (max(own, metres) == max(own, held) and metres == own):
            self.bands[band], self._metres[band] = source, metres


def require_surface(name: str, is_l1c: bool) -> None:
    """Refuses the top of the atmosphere.

    Raises:
        RequestError: the scene of this name is of L1C.
    """
    if is_l1c:
        raise RequestError(
            f"imagery: {printable(name)} is of the top of the atmosphere (L1C); give the L2A of the same "
            "acquisition, for models see other numbers in it"
        )


def is_remote(file: str) -> bool:
    """Whether a file lies elsewhere."""
    return "://" in file


def name_of_file(file: str) -> str:
    """A file's name, without folders and secrets."""
    return bare(file).replace("\\", "/").rpartition("/")[2]


def suffix_of(file: str) -> str:
    """The ending of a file's name, in lower case."""
    return PurePosixPath(name_of_file(file)).suffix.lower()


def surroundings_of(file: str) -> rasterio.Env:
    """GDAL's surroundings for reading a file."""
    return local_files(**gdal_options(file)) if is_remote(file) else local_files()


def opened(file: str) -> rasterio.DatasetReader:
    """A file, opened in the surroundings of its kind.

    Raises:
        RequestError: it cannot be opened.
        CatalogError: it lies elsewhere, and its server fails, or refuses it.
    """
    if not is_remote(file):
        try:
            with local_files():
                return rasterio.open(file, driver=DRIVERS[suffix_of(file)])
        except RasterioError as error:
            raise RequestError(f"imagery: {file} cannot be read: {one_line(error)}") from error
    return tried(file, lambda: rasterio.open(gdal_path(signed(file)), driver=DRIVERS[suffix_of(file)]))


def signed(url: str) -> str:
    """A URL as it is read; see `terramosaic.catalog.profiles.sign`."""
    return sign(url, profile_by_host([url]).name)


def tried(file: str, action: Callable[[], _T]) -> _T:
    """What comes of asking for a file that lies elsewhere; servers have a bad moment now and then.

    Raises:
        CatalogError: it failed each time.
    """
    pauses = (*HTTP.pauses[: _TRIES - 1], None)
    for pause in pauses:
        try:
            with surroundings_of(file):
                return action()
        except (RasterioError, OSError) as error:
            if pause is None:
                raise CatalogError(f"imagery: {shown(file)} cannot be read: {one_line(error)}") from error
            time.sleep(pause)
    raise AssertionError("the last try ends it")
