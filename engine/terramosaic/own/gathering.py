"""Own imagery as a catalog: OUT/imagery/HASH/items.json, and copies beside it of what cannot be read as it is."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.assets import CAME_SIGNED, MODIFIED, size_and_time
from terramosaic.errors import CatalogError, RequestError, TerramosaicError, one_line, printable
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.own.finding import scenes_in
from terramosaic.own.items import Sought, is_of_items, scenes_of_items
from terramosaic.own.scene import OwnScene, Scaling, is_remote, signed, tried
from terramosaic.own.writing import Placed, cloud_in, place, write_clear
from terramosaic.request.request import RegionRequest
from terramosaic.storage.documents import shown
from terramosaic.storage.files import facts_of, read_json, write_json
from terramosaic.storage.http import told_of
from terramosaic.storage.location import is_url, location
from terramosaic.url_secrets import bare, keep

logger = logging.getLogger(__name__)

#: Folder below the output folder, file in it, and the collection that items name.
FOLDER, ITEMS, COLLECTION = "imagery", "items.json", "own-imagery"

#: Files that are asked about at the same time.
_AT_ONCE = 8

#: Bytes of a file's beginning, where its header is, that tell it from another.
_HEADER = 65_536


@dataclass(frozen=True)
class Gathered:
    """A user's imagery as a catalog.

    Attributes:
        catalog: path of the items.
        notes: what to know of it, a line each.
    """

    catalog: Path
    notes: tuple[str, ...]


def require_imagery(request: RegionRequest) -> None:
    """Refuses fields that say nothing without each other.

    Raises:
        RequestError: one names how own imagery is read, and there is none.
    """
    if request.imagery:
        if request.imagery_offset and not request.imagery_scale:
            raise RequestError(
                "imagery_offset: counts where imagery_scale is given; say both, such as 0.0001 and "
                f"{request.imagery_offset:g} (reflectance = scale x number + offset)"
            )
        return
    for field in ("imagery_bands", "imagery_scale", "imagery_offset"):
        if getattr(request, field):
            raise RequestError(f"{field}: is of own imagery, and imagery names none")
    if request.resample != "no":
        raise RequestError("resample: is of own imagery, and imagery names none")


def gather(request: RegionRequest, parts: Sequence[BaseGeometry]) -> Gathered:
    """Makes a catalog of the files that a request names, or finds it as it was made before.

    Files are told apart by place, size, time and header: one that has changed or moved makes another catalog, and
    other runs; folders' names may tell the day, and the catalog says where files are.

    Args:
        request: names them.
        parts: of the region, in lon/lat degrees: of STAC items those count that touch it in the period.

    Raises:
        RequestError: a file is not there, cannot be read, does not tell its bands, or lies on another grid.
        NoScenesError, CatalogError: as `terramosaic.own.items.scenes_of_items`.
    """
    scenes = _scenes(request, parts)
    name = _hash(request, scenes)
    if is_url(request.out):
        raise RequestError(
            "imagery: own imagery is kept below out, which must be a folder here; map to a folder, and copy the maps"
        )
    folder = Path(request.out).expanduser().absolute() / FOLDER / name
    held = read_json(folder / ITEMS)
    if held is None:
        logger.info("imagery: making a catalog of %d scenes in %s", len(scenes), folder)
        held = _catalog(request, scenes, folder, name)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / ITEMS, held)
    return Gathered(folder / ITEMS, tuple(held["terramosaic:notes"]))


def _scenes(request: RegionRequest, parts: Sequence[BaseGeometry]) -> list[OwnScene]:
    files = [name for name in request.imagery if not is_of_items(name)]
    scenes = scenes_in(files, request.imagery_bands) if files else []
    sought = Sought(parts, *request.interval, request.max_cloud)
    for name in filter(is_of_items, request.imagery):
        scenes += scenes_of_items(Path(name).expanduser().absolute(), request.imagery_bands, sought)
    return scenes


def _hash(request: RegionRequest, scenes: list[OwnScene]) -> str:
    said = [dict(request.imagery_bands), request.imagery_scale, request.imagery_offset, request.resample]
    period = request.datetime if any(scene.sensed is None for scene in scenes) else ""
    files = sorted({source.file for scene in scenes for source in scene.bands.values()})
    with ThreadPoolExecutor(
        _AT_ONCE, thread_name_prefix="files"
    ) as pool:  # servers are asked, one by one they take long
        content = [said, period, list(pool.map(_of_file, files))]
    if any(map(is_of_items, request.imagery)):  # what they say is in no file
        content.append([_of_scene(scene) for scene in scenes])
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _of_file(file: str) -> list[Any]:
    """What tells a file from another: size, time and header here; what its server says of it elsewhere."""
    if is_remote(file):
        return [keep(file), *_told_of(file)]  # kept, for a run knows it by its bare URL
    path = Path(file)
    stat = path.stat()
    with path.open("rb") as opened_:
        header = hashlib.sha256(opened_.read(_HEADER)).hexdigest()
    return [file, stat.st_size, stat.st_mtime_ns, header]


def _told_of(file: str) -> list[Any]:
    """Size, version and time of a file that lies elsewhere.

    Raises:
        CatalogError: its server does not answer, or refuses it.
    """
    if file.startswith(("http://", "https://")):
        headers = tried(file, lambda: told_of(signed(file)))
        size = headers.get("content-range", "").rpartition("/")[2] or headers.get("content-length", "")
        return [size, headers.get("etag", ""), headers.get("last-modified", "")]
    try:
        facts = facts_of(location(file))
    except TerramosaicError as error:
        raise CatalogError(f"imagery: {shown(file)} cannot be read: {one_line(error)}") from error
    if facts is None:
        raise CatalogError(f"imagery: there is no {shown(file)}")
    return [facts.size, facts.version]


def _as_it_is(path: Path) -> dict[str, Any]:
    """What tells later whether a file is still the one that was planned with."""
    size, modified = size_and_time(path)
    return {"file:size": size, MODIFIED: modified}


def _of_scene(scene: OwnScene) -> list[Any]:
    bands = {
        band: [bare(source.file), source.index, source.scaling and source.scaling.declared]
        for band, source in sorted(scene.bands.items())
    }
    return [scene.name, scene.sensed and scene.sensed.isoformat(), scene.cloud, bands]


def _catalog(request: RegionRequest, scenes: list[OwnScene], folder: Path, name: str) -> dict[str, Any]:
    """The item collection, with copies written below the folder."""
    said = None
    if request.imagery_scale:
        said = Scaling(request.imagery_scale, request.imagery_offset)
    notes: dict[str, list[str]] = {}
    features = []
    for number, scene in enumerate(scenes):
        features.append(_item(request, scene, said, folder / f"{number:04d}", name, notes))
    return {
        "type": "FeatureCollection",
        "features": features,
        "terramosaic:notes": [f"imagery: {_counted(names)} {what}" for what, names in notes.items()],
    }


def _item(
    request: RegionRequest,
    scene: OwnScene,
    said: Scaling | None,
    folder: Path,
    name: str,
    notes: dict[str, list[str]],
) -> dict[str, Any]:
    placed: dict[str, Placed] = {}
    epsg: int | None = None
    for band, source in sorted(scene.bands.items()):
        placed[band] = place(band, source, said, request.resample, folder / f"{band}.tif", epsg)
        epsg = epsg or placed[band].epsg
        if placed[band].note:
            notes.setdefault(placed[band].note, []).append(f"{scene.name} {band}")
    # The finest band is what the scene covers.
    first = placed[
        min(placed, key=lambda band: (band == "SCL", band not in ("B02", "B03", "B04", "B08"), band))
    ]
    if "SCL" in placed:
        cloud = cloud_in(placed["SCL"].file)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        placed["SCL"], cloud = write_clear(first, folder / "SCL.tif"), scene.cloud or 0.0
        notes.setdefault("has no scene classification: all of it is taken for clear", []).append(scene.name)
    sensed = scene.sensed
    if sensed is None:
        sensed = _moment(request)
        notes.setdefault(f"tells no date: it is taken for {sensed:%Y-%m-%d}", []).append(scene.name)
    elif scene.day_of:
        notes.setdefault(
            f"is of {sensed:%Y-%m-%d} by the name of the folder {printable(scene.day_of)}", []
        ).append(scene.name)
    outline = lonlat_of(box(*first.bounds).segmentize(10_000), first.epsg)
    return {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"{scene.name}_{name[:8]}",
        "collection": COLLECTION,
        "geometry": as_geojson(outline),
        "bbox": list(outline.bounds),
        "properties": {"datetime": sensed.isoformat(), "proj:epsg": first.epsg, "eo:cloud_cover": cloud},
        "links": [],
        "assets": {
            band: {
                "href": keep(one.file),
                **({"raster:bands": [one.declared]} if one.declared else {}),
                # Copies are made of what the folder's name tells.
                **(
                    {}
                    if is_remote(one.file) or folder in Path(one.file).parents
                    else _as_it_is(Path(one.file))
                ),
                **({CAME_SIGNED: True} if bare(one.file) != one.file else {}),
            }
            for band, one in placed.items()
        },
    }


def _moment(request: RegionRequest) -> datetime:
    """The day of imagery that tells none: the first of the period."""
    start, end = request.interval
    moment = start or end
    if moment is None:
        raise RequestError("datetime: own imagery that tells no date needs a period with a beginning")
    return moment


def _counted(names: list[str]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3} more:" if len(names) > 3 else f"{shown}"
