"""Which tiles of the Copernicus DEM a run's windows are cut from: found when it is planned, and kept in the plan."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from terramosaic.catalog.elevation import Elevation, find_elevation, open_elevation
from terramosaic.catalog.unusable import Unusable
from terramosaic.errors import UnusableItemError
from terramosaic.ground.zones import Area
from terramosaic.planning.input_catalogs import catalog_of
from terramosaic.request.request import RegionRequest

DEM = "DEM"


class Heights(BaseModel):
    """The heights that a run's windows are cut from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    searched: str
    elevation: Elevation
    notes: tuple[str, ...] = Field(default=(), description="What is filled, missing or left out")
    excluded: tuple[str, ...] = Field(default=(), description="Tiles that the request leaves out, by key")


def find_heights(
    request: RegionRequest, area: Area, *, exclude: Iterable[str] = (), metres: float = 0
) -> Heights:
    """The tiles under a region and around it, as far as ``metres`` where its windows reach that far.

    Raises:
        NoScenesError: there is none.
        RequestError: the catalog has no heights.
        CatalogError: the catalog failed.
    """
    catalogs = open_elevation(*catalog_of(request, DEM))
    unusable = Unusable(() if request.strict else UnusableItemError, frozenset(exclude))
    found = find_elevation(catalogs, area.parts, unusable, metres=metres)
    searched = " and ".join(catalog.describe() for catalog in catalogs)
    return Heights(
        searched=searched,
        elevation=found.elevation,
        notes=tuple(found.notes),
        excluded=tuple(sorted(tile.key for tile in found.excluded)),
    )
