"""What a user's scene is, wherever it was found: bands in files, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import rasterio
from rasterio.errors import RasterioError

from terramosaic.bands import GSD
from terramosaic.errors import RequestError, one_line, printable
from terramosaic.storage.gdal import local_files

#: Endings of files that are looked at, with what reads them: nothing that asks a server or names other files.
DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG"}


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
    """Where a band is: a file, and the number of its band there, from 1 on; and what an item says of its numbers."""

    path: Path
    index: int
    scaling: Scaling | None = None


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
                f"imagery: {printable(self.name)} has {band} twice: {self.bands[band].path.name} and {source.path.name}"
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


def opened(path: Path) -> rasterio.DatasetReader:
    """A file, opened in the surroundings of local files.

    Raises:
        RequestError: it cannot be opened.
    """
    try:
        with local_files():
            return rasterio.open(path, driver=DRIVERS[path.suffix.lower()])
    except RasterioError as error:
        raise RequestError(f"imagery: {path} cannot be read: {one_line(error)}") from error
