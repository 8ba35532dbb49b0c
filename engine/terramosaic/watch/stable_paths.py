"""Paths that stay while generations come and go: ``newest/NDVI.tif`` is always the current one.

On a disk they are links over a single link, so that all change at once:

    newest/NDVI.tif -> current/NDVI.tif
    newest/current -> GENERATION

A store knows no links. There, and on disks without, each is a text of some lines that GDAL, rasterio and QGIS open as
the mosaic: a virtual raster (VRT). They change one after the other; who wants several layers of one moment goes by the
assets of ``collection.json``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from terramosaic.mosaic.virtual import virtual_raster
from terramosaic.storage.files import link, list_facts, read_text, remove, write_text
from terramosaic.storage.location import Location, is_remote
from terramosaic.watch.generation import Mosaics

#: On a disk the link to the current generation.
CURRENT = "current"


def point(folder: Location, generation: str, mosaics: Mosaics) -> None:
    """Lets the paths in a folder stand for a generation in it; those of other layers go.

    Raises:
        OutputError: a file could not be written.
    """
    if not is_remote(folder):
        try:
            _point_by_links(folder, generation)
            return
        except OSError:
            pass  # some file systems know no links
    texts = {
        file: virtual_raster(f"{generation}/{file}", layer, layer.geobox(rect, epsg))
        for epsg, rect in mosaics.zones.items()
        for layer, file in zip(mosaics.layers, mosaics.files(epsg).values(), strict=True)
    }
    beside = [name for name in list_facts(folder / generation) if _is_beside(name)]
    texts |= {name: read_text(folder / generation / name) for name in beside}
    there = list_facts(folder)
    _remove_others(folder, there, texts)
    for name, text in texts.items():
        # What 0.1 left under this name is a mosaic, and too large to be read for this.
        is_text = name in there and there[name].size == len(text.encode())
        if not is_text or read_text(folder / name) != text:
            write_text(folder / name, text)


def _point_by_links(folder: Path, generation: str) -> None:
    wanted = [path.name for path in (folder / generation).iterdir() if _is_of_mosaic(path.name)]
    # A style that is no link is one that somebody has saved there.
    own = {path.name for path in folder.iterdir() if _is_beside(path.name) and not path.is_symlink()}
    _remove_others(folder, {path.name for path in folder.iterdir()} - own, wanted)
    link(folder / CURRENT, generation)
    for name in set(wanted) - own:
        link(folder / name, f"{CURRENT}/{name}")


def _remove_others(folder: Location, there: Iterable[str], wanted: Iterable[str]) -> None:
    for name in set(there).difference(wanted):
        # 0.1 had mosaics and what they were made from in this folder.
        if "/" not in name and (_is_of_mosaic(name) or name == "newest.json"):
            remove(folder / name)


def _is_of_mosaic(name: str) -> bool:
    return (name.endswith((".tif", ".tif.aux.xml")) and not name.startswith(".")) or _is_beside(name)


def _is_beside(name: str) -> bool:
    """Whether it is a style, or the false colour, which is a virtual raster wherever it lies."""
    return name.endswith((".qml", "_composite.vrt")) and not name.startswith(".") and "/" not in name
