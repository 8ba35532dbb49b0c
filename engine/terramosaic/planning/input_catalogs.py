"""Where the items of an input beside Sentinel-2 are looked for."""

from __future__ import annotations

from terramosaic.request.request import RegionRequest


def catalog_of(request: RegionRequest, name: str) -> tuple[str, str | None]:
    """The catalog of an input, and its collection if it is said: by `catalogs`, else where Sentinel-2 is."""
    said = request.catalogs.get(name)
    if said is None:
        return request.catalog, None
    catalog, marked, collection = said.rpartition("#")
    return (catalog, collection or None) if marked else (said, None)
