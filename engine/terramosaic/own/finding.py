"""Users' files as scenes: which files belong together, and which band is where in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import rasterio
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError

from terramosaic.bands import GSD, band_called
from terramosaic.errors import RequestError, one_line, printable
from terramosaic.own.names import band_in, day_in
from terramosaic.storage.gdal import local_files
from terramosaic.storage.roots import require_within_roots

#: Endings of files that are looked at, with what reads them: nothing that asks a server or names other files.
_DRIVERS = {".tif": "GTiff", ".tiff": "GTiff", ".jp2": "JP2OpenJPEG"}


@dataclass(frozen=True)
class BandSource:
    """Where a band is: a file, and the number of its band there, from 1 on."""

    path: Path
    index: int


@dataclass
class OwnScene:
    """One scene of a user's.

    Attributes:
        name: of the file, without the band's, or of the folder.
        sensed: by the name, a folder's or the file's tag; None if nothing tells it.
        bands: by ESA's name, ``SCL`` among them where it is there.
    """

    name: str
    sensed: datetime | None
    bands: dict[str, BandSource] = field(default_factory=dict)
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


def scenes_in(places: Sequence[str], said: Mapping[str, str]) -> list[OwnScene]:
    """All scenes of files and folders.

    A file of several bands is a scene. Files of one band are a scene together where their folder and the rest of their
    names are the same. A folder ``*.SAFE`` is a scene.

    Args:
        places: files, folders that are looked through, or names with ``*``.
        said: by band: the number of it in a stack, its description there, or a part of its file's name.

    Raises:
        RequestError: a file is not there or cannot be opened, is of L1C, or no band is known of any.
    """
    scenes: dict[tuple[Path, str], OwnScene] = {}
    untold: list[str] = []
    for path in _files(places):
        bands = _bands_of(path, said)
        if not bands:
            untold.append(path.name)
            continue
        safe = next((part for part in path.parents if part.suffix.upper() == ".SAFE"), None)
        (name, metres) = (path.stem, 0)
        if len(bands) == 1 and (told := _told_by_name(path, said)):
            _, name, metres = told
        key = (safe or path.parent, "" if safe else name)
        label = safe.stem if safe else name or path.parent.name
        if "_MSIL1C_" in label:
            raise RequestError(
                f"imagery: {printable(label)} is of the top of the atmosphere (L1C); give the L2A of the same "
                "acquisition, for models see other numbers in it"
            )
        scene = scenes.setdefault(key, OwnScene(label, _sensed(label, path)))
        for band, index in bands.items():
            scene.put(band, BandSource(path, index), metres)
    found = [scene for scene in scenes.values() if set(scene.bands) - {"SCL"}]
    if not found:
        seen = f": {printable(', '.join(untold[:5]))}" if untold else ""
        raise RequestError(
            f"imagery: no file tells its band{seen}; name files by band (_B02.tif), describe the bands of a stack, or "
            "say imagery_bands, such as B02=1,B03=2"
        )
    return found


def _files(places: Sequence[str]) -> Iterator[Path]:
    seen = set()
    for place in places:
        for path in _files_of(place):
            require_within_roots(("imagery", str(path)))  # a link in a folder may lead anywhere
            if path not in seen:
                seen.add(path)
                yield path


def _files_of(place: str) -> list[Path]:
    path = Path(place).expanduser().absolute()
    if path.is_dir():
        found = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in _DRIVERS and file.is_file() and "QI_DATA" not in file.parts
        )
        if not found:
            raise RequestError(f"imagery: {printable(place)} holds no GeoTIFF and no JPEG 2000")
        return found
    if path.is_file():
        if path.suffix.lower() not in _DRIVERS:
            raise RequestError(f"imagery: {printable(place)} is no GeoTIFF (.tif) and no JPEG 2000 (.jp2)")
        return [path]
    found = sorted(path.parent.glob(path.name)) if "*" in path.name else []
    if not found:
        raise RequestError(f"imagery: there is no file or folder {printable(place)}")
    return found


def _bands_of(path: Path, said: Mapping[str, str]) -> dict[str, int]:
    """Bands that a file holds, with their numbers in it."""
    with opened(path) as file:
        count, descriptions = file.count, file.descriptions
        holds_one = count == 1 or (count == 2 and file.colorinterp[1] == ColorInterp.alpha)
    if holds_one and (told := _told_by_name(path, said)):
        return {told[0]: 1}
    found: dict[str, int] = {}
    for band, where in said.items():
        if where.isdigit():
            if not 1 <= int(where) <= count:
                raise RequestError(f"imagery_bands: {band}={where}: {path.name} has {count} bands")
            found[band] = int(where)
        elif where in descriptions:
            found[band] = descriptions.index(where) + 1
    for index, text in enumerate(descriptions, start=1):
        named = band_called(text) if text else None
        if named is not None and named not in said:
            found.setdefault(named, index)
    return found


def _told_by_name(path: Path, said: Mapping[str, str]) -> tuple[str, str, int] | None:
    """The band, the rest of the name, and the metres of pixels, by what is said or by the name itself."""
    # Of parts that hold one another, as nir and nir2, the longest.
    for band, part in sorted(said.items(), key=lambda one: -len(one[1])):
        if not part.isdigit() and part in path.stem:
            return band, path.stem.replace(part, "", 1).strip("_-. "), 0
    found = band_in(path.stem)
    return None if found is None or found[0] in said else found


def _sensed(label: str, path: Path) -> datetime | None:
    """When a scene was sensed: by its name, by that of the nearest folder that tells a day, or by the TIFF's tag."""
    names = (label, path.stem, *(folder.name for folder in path.parents))
    if found := next(filter(None, map(day_in, names)), None):
        return found
    with opened(path) as file:
        tag = file.tags().get("TIFFTAG_DATETIME", "")
    try:
        return datetime.strptime(tag, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return day_in(tag)


def opened(path: Path) -> rasterio.DatasetReader:
    """A file, opened in the surroundings of local files.

    Raises:
        RequestError: it cannot be opened.
    """
    try:
        with local_files():
            return rasterio.open(path, driver=_DRIVERS[path.suffix.lower()])
    except RasterioError as error:
        raise RequestError(f"imagery: {path} cannot be read: {one_line(error)}") from error
