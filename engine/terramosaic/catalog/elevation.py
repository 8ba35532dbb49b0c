"""Tiles of the Copernicus DEM, GLO-30 and GLO-90: metres above the geoid EGM2008, in cells of one degree.

A surface model: roofs and treetops count. Over the sea there are no tiles. Of some land GLO-30 has none either, so that
land is told from sea by the tiles of GLO-90, which has all of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import shapely
from affine import Affine
from pydantic import BaseModel, ConfigDict, Field
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import fields, metadata
from terramosaic.catalog.assets import AssetRef, asset_ref
from terramosaic.catalog.files import FileCatalog
from terramosaic.catalog.footprint import surroundings
from terramosaic.catalog.hrefs import Origin
from terramosaic.catalog.profiles import GENERIC, PROFILES, Profile, profile_by_host
from terramosaic.catalog.scene import tell_apart
from terramosaic.catalog.search import Catalog, open_catalog, profile_of_catalog
from terramosaic.catalog.unusable import Unusable, UnusableItem
from terramosaic.errors import (
    CatalogError,
    ForeignItemError,
    NoScenesError,
    RequestError,
    UnusableItemError,
    printable,
)

#: Degrees of a cell's south-west corner: south, west.
Cell = tuple[int, int]

Kind = Literal["GLO-30", "GLO-90"]

#: Rows in a degree.
ROWS: dict[Kind, int] = {"GLO-30": 3600, "GLO-90": 1200}

#: What a height is, for whoever reads a map's metadata.
VERTICAL = "metres above the geoid EGM2008, of the surface with roofs and treetops (Copernicus DEM)"

#: Stores that anyone may read, which items name in a way that asks for keys.
_OPEN = {
    f"s3://copernicus-dem-{metres}m/": f"https://copernicus-dem-{metres}m.s3.eu-central-1.amazonaws.com/"
    for metres in (30, 90)
}

_MOST_NAMED = 5


class ElevationTile(BaseModel):
    """One STAC item: the heights of a cell.

    Attributes:
        id: the item's id.
        collection: the item's collection, empty if it names none.
        profile: name of the profile that decides how hrefs are signed.
        kind: ``GLO-30`` or ``GLO-90``.
        cell: degrees of its south-west corner: south, west.
        transform: from (column, row) to degrees, by the item; None if it does not say.
        shape: rows and columns, by the item; None if it does not say.
        assets: ``DEM``.
        key: names it among the items of its run.
        origin: where the item was found, which decides what its assets may name; see `terramosaic.catalog.hrefs`.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    collection: str
    profile: str
    kind: Kind
    cell: Cell
    transform: tuple[float, float, float, float, float, float] | None
    shape: tuple[int, int] | None
    assets: dict[str, AssetRef]
    key: str = Field(default_factory=lambda told: str(told["id"]))
    origin: Origin = "disk"

    @property
    def geometry(self) -> BaseGeometry:
        """The cell in lon/lat degrees."""
        south, west = self.cell
        return box(west, south, west + 1, south + 1)

    @property
    def fingerprint(self) -> str:
        """Tells tiles of a search apart that share collection and id."""
        return f"{self.kind}-{name_of_cell(self.cell)}"

    @property
    def grid(self) -> tuple[Affine, tuple[int, int]] | None:
        """The file's transform, and its rows and columns, by the item; None if it does not tell both."""
        return None if self.transform is None or self.shape is None else (Affine(*self.transform), self.shape)

    def identity(self, *, checksums: bool = True) -> dict[str, Any]:
        """What of the item decides pixels, for JSON; see `terramosaic.catalog.scene.Scene.identity`.

        Args:
            checksums: whether that of the file counts.
        """
        asset = self.assets["DEM"]
        return {
            "item": [self.collection, self.id],
            "cell": [self.kind, *self.cell],
            "assets": {"DEM": [asset.key, asset.name, *([asset.size, asset.checksum] if checksums else [])]},
        }


class Elevation(BaseModel):
    """The heights that a run takes.

    Attributes:
        tiles: of GLO-30.
        coarse: of GLO-90, which are read where GLO-30 has none, or a dead one.
        sea: cells without any tile, which are 0 m; none are where nothing tells land from sea.
    """

    model_config = ConfigDict(frozen=True)

    tiles: tuple[ElevationTile, ...]
    coarse: tuple[ElevationTile, ...] = ()
    sea: tuple[Cell, ...] = ()

    @property
    def by_key(self) -> dict[str, ElevationTile]:
        """All tiles by their keys."""
        return {tile.key: tile for tile in (*self.tiles, *self.coarse)}


@dataclass
class FoundElevation:
    """What a search found.

    Attributes:
        elevation: the heights.
        notes: what is filled, missing or left out, in a line each.
        unusable: items of which no tile could be made; without those of other things.
        excluded: tiles that the request leaves out.
    """

    elevation: Elevation
    notes: list[str] = field(default_factory=list)
    unusable: list[UnusableItem] = field(default_factory=list)
    excluded: list[ElevationTile] = field(default_factory=list)


def elevation_from_item(
    item: Mapping[str, Any], profile: Profile = GENERIC, *, origin: Origin = "disk"
) -> ElevationTile:
    """Reads an item.

    Args:
        item: STAC item as a dict, its hrefs absolute.
        profile: the profile of the catalog it came from; with `GENERIC` the file's host decides who signs.
        origin: where the item was found.

    Raises:
        ForeignItemError: it is of something else.
        UnusableItemError: it has no file, or is no tile of one degree.
        CatalogError: a field is of the wrong type; names it.
    """
    metadata.check_item(item)
    name, collection = metadata.name_of(item), metadata.collection_of(item)
    if not (item["id"].startswith("Copernicus_DSM") or "cop-dem" in collection):
        raise ForeignItemError(f"item {name} is no tile of the Copernicus DEM")
    metadata.check_assets(item, ("data",))
    asset = item["assets"].get("data", {})
    if "href" not in asset:
        there = printable(", ".join(filter(metadata.is_text, item["assets"])) or "none")
        raise UnusableItemError(f"item {name} has no asset data; its assets are {there}")
    profile = profile_by_host([asset["href"]]) if profile is GENERIC else profile
    transform = fields.numbers(item, "proj:transform", asset, 6, 9)[:6] or None
    shape = fields.numbers(item, "proj:shape", asset, 2) or None
    edges = metadata.bounds(item, asset) or _bbox(item)
    cell, kind = _cell(name, edges), _kind(item, transform)
    ref = asset_ref(item, "DEM", "data", profile, size=fields.asset_size(item, "data"))
    return ElevationTile(
        id=item["id"],
        collection=collection,
        profile=profile.name,
        kind=kind,
        cell=cell,
        transform=cast("tuple[float, float, float, float, float, float] | None", transform),
        shape=None if shape is None else (int(shape[0]), int(shape[1])),
        assets={"DEM": ref.model_copy(update={"href": _public(ref.href)})},
        origin=origin,
    )


def open_elevation(catalog: str, collection: str | None = None) -> list[Catalog]:
    """Opens a catalog for its heights; nothing is read before it is searched.

    Args:
        catalog: as `terramosaic.catalog.search.open_catalog` takes it.
        collection: id of the collection; None for those that the provider is known for, or on disk for all.

    Returns:
        One for each collection: that of GLO-30, and that of GLO-90.

    Raises:
        RequestError: no provider has that name, or this one has no heights.
        CatalogError: nothing exists at that path.
    """
    profile = profile_of_catalog(catalog)
    if collection is not None or profile is None:
        return [open_catalog(catalog, collection)]
    collections = [one for one in (profile.elevation, profile.elevation_90) if one]
    if not collections:
        having = ", ".join(one.name for one in PROFILES.values() if one.elevation)
        raise RequestError(f"inputs: {profile.title} has no Copernicus DEM that is known here; take {having}")
    return [open_catalog(catalog, one) for one in collections]


def find_elevation(
    catalogs: Sequence[Catalog],
    parts: Sequence[BaseGeometry],
    unusable: Unusable | None = None,
    *,
    metres: float = 0,
) -> FoundElevation:
    """The tiles under a region and 5 km around it.

    Args:
        catalogs: see `open_elevation`.
        parts: of the region, polygons in lon/lat degrees, none of which crosses the antimeridian.
        unusable: where items go that cannot be used; by default those that are broken are an error.
        metres: around it, where it may be more.

    Raises:
        NoScenesError: there is no tile of either kind.
        CatalogError: a catalog could not be searched, or an item is broken.
    """
    left_out = Unusable() if unusable is None else unusable
    excluded: list[ElevationTile] = []
    around, notes = surroundings(parts, metres), list[str]()
    tiles: list[ElevationTile] = []
    for catalog in catalogs:
        try:
            items = catalog.search(around, None, None, None, left_out)
        except RequestError:
            if catalog is catalogs[0]:
                raise
            continue  # it has no GLO-90, which is said below
        for item in items:
            try:
                tile = elevation_from_item(item, catalog.profile, origin=catalog.origin)
            except CatalogError as error:
                left_out.put(item, error)
            else:
                (excluded if left_out.excludes(tile) else tiles).append(tile)
    cells = sorted(set(cells_under(around)))
    fine, coarse = (_by_cell(tiles, kind, cells) for kind in ("GLO-30", "GLO-90"))
    if not fine and not coarse:
        raise NoScenesError(
            f"inputs: {catalogs[0].describe()} has no tile of the Copernicus DEM there; over open sea take DEM out of "
            "the inputs"
        )
    without = [cell for cell in cells if cell not in fine]
    on_land = [cell for cell in without if cell in coarse]
    sea = [cell for cell in without if cell not in coarse]
    # A catalog that was saved for a region may lack its neighbours: of those, nothing is known.
    is_saved = all(isinstance(catalog, FileCatalog) for catalog in catalogs)
    known = set(cells_under(parts)) if is_saved else set(sea)
    unknown = [cell for cell in sea if not coarse or cell not in known]
    sea = [cell for cell in sea if cell not in unknown]
    if on_land:
        notes.append(f"DEM: GLO-30 has no tile of {_named(on_land)}, which is land: GLO-90 is read there")
    if sea:
        notes.append(f"DEM: no tile of {_named(sea)}: sea, which is 0 m")
    if unknown:
        why = "it lies beside the region" if coarse else "no tile of GLO-90 tells land from sea"
        notes.append(f"DEM: no tile of {_named(unknown)}: left as a gap, for {why}")
    there = [one for one in left_out.items if not isinstance(one.error, ForeignItemError)]
    notes += [f"DEM: {tile.key} left out: excluded by the request" for tile in excluded[:_MOST_NAMED]]
    notes += [f"DEM: left out: {one.error}" for one in there[:_MOST_NAMED]]
    # Catalogs of one's own may call a cell's tiles of both kinds alike, and what is decided of one is not the other's.
    told = tell_apart([*fine.values(), *coarse.values()])
    return FoundElevation(
        Elevation(
            tiles=tuple(told[: len(fine)]),
            coarse=tuple(told[len(fine) :]),
            sea=tuple(sea),
        ),
        notes,
        there,
        excluded,
    )


def name_of_cell(cell: Cell) -> str:
    """``N46W122`` for (46, -122)."""
    south, west = cell
    return f"{'S' if south < 0 else 'N'}{abs(south):02}{'W' if west < 0 else 'E'}{abs(west):03}"


def _by_cell(tiles: Iterable[ElevationTile], kind: Kind, cells: Sequence[Cell]) -> dict[Cell, ElevationTile]:
    """The tiles of a kind in some cells; of several of one cell the same whoever lists them."""
    wanted, found = set(cells), {}
    for tile in sorted(tiles, key=lambda one: (one.id, one.collection, one.assets["DEM"].href), reverse=True):
        if tile.kind == kind and tile.cell in wanted:
            found[tile.cell] = tile
    return dict(sorted(found.items()))


def cells_under(parts: Iterable[BaseGeometry]) -> Iterator[Cell]:
    """Cells that polygons in lon/lat degrees touch, none of which crosses the antimeridian."""
    for part in parts:
        west, south, east, north = part.bounds
        shapely.prepare(part)
        for row in range(math.floor(south), math.ceil(north)):
            for col in range(math.floor(west), math.ceil(east)):
                if part.intersects(box(col, row, col + 1, row + 1)):
                    yield row, col


def _cell(name: str, edges: tuple[float, float, float, float]) -> Cell:
    """The cell of a tile, whose edges lie half a pixel beside it."""
    west, south, east, north = edges
    if not (0.99 < east - west < 1.01 and 0.99 < north - south < 1.01 and -90 <= (south + north) / 2 <= 90):
        raise UnusableItemError(f"item {name} is no tile of one degree, by its proj:transform or bbox")
    return math.floor((south + north) / 2), (math.floor((west + east) / 2) + 180) % 360 - 180


def _bbox(item: Mapping[str, Any]) -> tuple[float, float, float, float]:
    value = item.get("bbox")
    if (
        not isinstance(value, list | tuple)
        or len(value) != 4
        or any(not isinstance(one, int | float) or isinstance(one, bool) for one in value)
    ):
        raise metadata.wrong(item, "bbox", value, "a list of 4 numbers")
    west, south, east, north = map(float, value)
    return west, south, east, north


def _kind(item: Mapping[str, Any], transform: tuple[float, ...] | None) -> Kind:
    """By the height of its pixels, else by its ground sample distance."""
    rows = None if transform is None or not transform[4] else round(-1 / transform[4])
    gsd = fields.whole(item, "gsd")
    for kind, metres in (("GLO-30", 30), ("GLO-90", 90)):
        if rows == ROWS[cast(Kind, kind)] or (rows is None and gsd == metres):
            return cast(Kind, kind)
    raise UnusableItemError(
        f"item {metadata.name_of(item)} is neither GLO-30 nor GLO-90: "
        + (f"it has {rows} rows in a degree" if rows is not None else f"its gsd is {gsd}")
    )


def _public(href: str) -> str:
    opened = next((store for store in _OPEN if href.startswith(store)), None)
    return href if opened is None else _OPEN[opened] + href.removeprefix(opened)


def _named(cells: Sequence[Cell]) -> str:
    more = f" and {len(cells) - _MOST_NAMED} more cells" if len(cells) > _MOST_NAMED else ""
    return ", ".join(map(name_of_cell, cells[:_MOST_NAMED])) + more
