"""Users' files as scenes: which files belong together, and which band is where in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rasterio.enums import ColorInterp

from terramosaic.bands import band_called
from terramosaic.errors import RequestError, printable
from terramosaic.own.names import band_in, day_in
from terramosaic.own.scene import DRIVERS, BandSource, OwnScene, opened, require_surface
from terramosaic.storage.roots import require_within_roots

#: Bytes of a product's metadata that are looked at for its name.
_METADATA = 65_536


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
        if key not in scenes:
            label = _product(safe) if safe else name or path.parent.name
            require_surface(label, "_MSIL1C_" in label)
            scenes[key] = OwnScene(label, *_sensed(label, path))
        scene = scenes[key]
        for band, index in bands.items():
            scene.put(band, BandSource(str(path), index), metres)
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
            if file.suffix.lower() in DRIVERS and file.is_file() and "QI_DATA" not in file.parts
        )
        if not found:
            raise RequestError(f"imagery: {printable(place)} holds no GeoTIFF and no JPEG 2000")
        return found
    if path.is_file():
        if path.suffix.lower() not in DRIVERS:
            raise RequestError(f"imagery: {printable(place)} is no GeoTIFF (.tif) and no JPEG 2000 (.jp2)")
        return [path]
    found = sorted(path.parent.glob(path.name)) if "*" in path.name else []
    if not found:
        raise RequestError(f"imagery: there is no file or folder {printable(place)}")
    return found


def _bands_of(path: Path, said: Mapping[str, str]) -> dict[str, int]:
    """Bands that a file holds, with their numbers in it."""
    with opened(str(path)) as file:
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


def _product(safe: Path) -> str:
    """A product's name, which tells its baseline: by its metadata, as folders are renamed, else by its folder."""
    for file in sorted(safe.glob("MTD_MSIL*.xml")):
        with file.open("rb") as metadata:
            # The product's own name stands near the beginning.
            found = re.search(
                rb"<PRODUCT_URI>\s*([A-Za-z0-9_]+)\.SAFE\s*</PRODUCT_URI>", metadata.read(_METADATA)
            )
        if found:
            return found[1].decode()
    return safe.stem


def _sensed(label: str, path: Path) -> tuple[datetime | None, str]:
    """When a scene was sensed: by its name, by that of the nearest folder that tells a day, or by the TIFF's tag.

    And that folder, if it was the folder's.
    """
    if found := day_in(label) or day_in(path.stem):
        return found, ""
    for folder in path.parents:
        if found := day_in(folder.name):
            return found, folder.name
    with opened(str(path)) as file:
        tag = file.tags().get("TIFFTAG_DATETIME", "")
    try:
        return datetime.strptime(tag, "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC), ""
    except ValueError:
        return day_in(tag), ""
