"""The places that a request names, and whether this deployment allows them."""

from __future__ import annotations

from terramosaic.catalog.profiles import PROFILES
from terramosaic.model.bundle import DEMO
from terramosaic.planning.input_catalogs import catalog_of
from terramosaic.request.region import GeoJsonFile
from terramosaic.request.request import RegionRequest
from terramosaic.request.scene_ids import is_id_file
from terramosaic.storage.roots import require_within_roots


def places_of(request: RegionRequest) -> list[tuple[str, str]]:
    """Fields with their paths and URLs; names that the package itself gives a meaning are no places."""
    places = [("out", request.out)]
    if request.model != DEMO:
        places.append(("model", request.model))
    places += catalog_places(request.catalog)
    places += [("imagery", place) for place in request.imagery]
    for name in request.catalogs:
        places += [("catalogs", place) for _, place in catalog_places(catalog_of(request, name)[0])]
    if isinstance(request.region, GeoJsonFile):
        places.append(("region", request.region.path))
    for field in ("exclude", "trust"):
        places += [(field, entry) for entry in getattr(request, field) if is_id_file(entry)]
    return places


def catalog_places(catalog: str) -> list[tuple[str, str]]:
    """A catalog's field and place; nothing of one that is known by name or URL."""
    known = {name for profile in PROFILES.values() for name in (profile.name, profile.url)}
    return [] if catalog.rstrip("/") in known else [("catalog", catalog)]


def require_places_within_roots(request: RegionRequest) -> None:
    """Refuses a request that names a place beyond ``TERRAMOSAIC_ROOTS``.

    Raises:
        RequestError: one line for each field.
    """
    require_within_roots(*places_of(request))
