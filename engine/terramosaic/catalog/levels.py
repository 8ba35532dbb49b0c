"""Sentinel-2's two levels: catalogs that have L1C, and which L1C is of the same acquisition as a scene of L2A."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import timedelta

from terramosaic.catalog.passes import PASS_GAP
from terramosaic.catalog.scene import Scene
from terramosaic.catalog.search import Catalog, known_collection, open_catalog

#: Why a scene of L2A cannot be used where windows are cut from L1C, too.
WITHOUT_L1C = "no L1C of the same acquisition was found"


def open_level_1c(catalog: str, collection: str | None = None) -> Catalog:
    """Opens a catalog for its Sentinel-2 L1C; nothing is read before it is searched.

    Args:
        catalog: as `terramosaic.catalog.search.open_catalog` takes it.
        collection: id of the collection; None for the one that the provider is known for, or on disk for all.

    Raises:
        RequestError: no provider has that name, or this one has no L1C.
        CatalogError: nothing exists at that path.
    """
    if collection is None:
        instead = "name the catalog that has it"
        collection = known_collection(catalog, lambda one: one.level_1c, "Sentinel-2 L1C", instead)
    return open_catalog(catalog, collection)


def paired(scenes: Iterable[Scene], l1c: Iterable[Scene]) -> tuple[list[Scene], list[Scene]]:
    """Puts the L1C to scenes of L2A that is of the same acquisition.

    That is of one satellite and tile in one pass; of two datastrips of that pass, which are two halves of a tile, the
    one that began at the same time, or where catalogs tell that differently, the nearest. Of parts that a catalog has
    cut a tile into, the one that shares more ground.

    Args:
        scenes: of L2A.
        l1c: of L1C, none of which is superseded.

    Returns:
        The scenes with their L1C, and those that have none.
    """
    by_tile: dict[tuple[str, str | None, int], list[Scene]] = defaultdict(list)
    for one in l1c:
        by_tile[_tile(one)].append(one)
    both, alone = [], []
    for scene in scenes:
        near = [one for one in by_tile[_tile(scene)] if _apart(scene, one) <= PASS_GAP]
        if scene.mgrs_tile and near:
            best = min(near, key=lambda one: _distance(scene, one))
            both.append(scene.model_copy(update={"l1c": best}))
        else:
            alone.append(scene)
    return both, alone


def _tile(scene: Scene) -> tuple[str, str | None, int]:
    return scene.platform, scene.mgrs_tile, scene.epsg


def _apart(scene: Scene, other: Scene) -> timedelta:
    return abs(other.sensing_start - scene.sensing_start)


def _distance(scene: Scene, other: Scene) -> tuple[timedelta, float, str]:
    return _apart(scene, other), -scene.geometry.intersection(other.geometry).area, other.key
