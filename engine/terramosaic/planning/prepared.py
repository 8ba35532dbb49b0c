"""A request with what is known of it before a catalog is searched: its ground, its model, the scenes it names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import Acquisition, Scene, Source
from terramosaic.catalog.footprint import surroundings
from terramosaic.catalog.unusable import names_of
from terramosaic.errors import RequestError
from terramosaic.ground.grid import RESOLUTION
from terramosaic.ground.zones import Area, ZoneArea, zone_areas
from terramosaic.model.bundle import DEMO, Bundle, load_bundle
from terramosaic.model.devices import AUTO, parse_device, precision_on, resolve
from terramosaic.model.manifest import COORDINATES, EMBEDDING
from terramosaic.own import Gathered, gather, require_imagery
from terramosaic.planning.blocks import block_size_for
from terramosaic.planning.dates import with_dates
from terramosaic.planning.heights import DEM, Heights, find_heights
from terramosaic.planning.inputs import require_catalogs, require_clouds, require_composite, require_read
from terramosaic.planning.lattices import lattices_of, margin_of
from terramosaic.planning.limits import require_prices
from terramosaic.planning.optical import OpticalBands
from terramosaic.planning.places import require_places_within_roots
from terramosaic.planning.radar import Radar, find_radar
from terramosaic.request.interval import format_interval
from terramosaic.request.region import GeoJsonFile
from terramosaic.request.request import RegionRequest, not_among
from terramosaic.request.scene_ids import ids_in
from terramosaic.storage.documents import shown
from terramosaic.storage.location import anchored

#: Periods are told in whole seconds.
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class NamedScenes:
    """The scenes that a request names, with those of its files."""

    exclude: frozenset[str]
    trust: frozenset[str]

    @classmethod
    def of(cls, request: RegionRequest) -> NamedScenes:
        return cls(ids_in(request.exclude, "exclude"), ids_in(request.trust, "trust"))

    def excludes(self, scene: Scene) -> bool:
        return not self.exclude.isdisjoint(names_of(scene))

    def trusts(self, scene: Source) -> bool:
        return not self.trust.isdisjoint(names_of(scene))

    def unknown(self, scenes: Iterable[Scene]) -> Iterator[str]:
        """What to tell of names that none of the found scenes has."""
        names = {name for scene in scenes for name in names_of(scene)}
        for field, named in (("exclude", self.exclude), ("trust", self.trust)):
            if unknown := len(named - names):
                yield f"{field}: {unknown} of {len(named)} ids are not among the scenes that were found"


@dataclass(frozen=True)
class Prepared:
    """A request with what is known before the catalog is searched; own imagery is a catalog by then."""

    request: RegionRequest
    area: Area
    areas: Sequence[ZoneArea]
    bundle: Bundle
    named: NamedScenes
    own: Gathered | None = None

    @classmethod
    def of(cls, request: RegionRequest) -> Prepared:
        require_places_within_roots(request)
        require_prices(request)
        area = request.area()
        request = _anchored(request)
        areas = zone_areas(area)
        if not any(part.holds_a_pixel for part in areas):
            raise RequestError(
                "region: no pixel of 10 m has its centre in it; take a larger one, or a wider one where it is a strip"
            )
        bundle = load_bundle(request.model)
        request = _with_targets(request, bundle)
        bundle.require(
            request.targets,
            request.inputs,
            request.tokenised,
            reconstruct=request.reconstruct,
            consensus=request.consensus == "tokens",
            chained=request.conditioning == "chained",
        )
        _require_tables(request)
        request = with_dates(_with_strides(_with_block_size(request, bundle), bundle), bundle)
        require_read(request.inputs)
        require_catalogs(request)
        require_composite(request)
        require_clouds(request, OpticalBands.of(request.inputs, bundle.bands_by_input))
        require_imagery(request)
        own = gather(request, area.parts) if request.imagery else None
        return cls(request, area, areas, bundle, NamedScenes.of(request), own)

    @property
    def catalog(self) -> str:
        """Where Sentinel-2 is looked for."""
        return str(self.own.catalog) if self.own else self.request.catalog

    @property
    def has_dates(self) -> bool:
        """Whether the model sees several dates."""
        return self.request.dates.count > 1

    @property
    def optical(self) -> OpticalBands | None:
        """What is read of scenes of Sentinel-2; None where it is no input."""
        return OpticalBands.of(self.request.inputs, self.bundle.bands_by_input)

    def heights(self) -> Heights | None:
        """The DEM that windows are cut from, if it is an input."""
        if DEM not in self.request.inputs:
            return None
        return find_heights(self.request, self.area, exclude=self.named.exclude, metres=self.metres)

    def radar(self, *, near: datetime | None, standing: Radar | None = None) -> Radar:
        """The Sentinel-1 that windows are cut from; see `find_radar`."""
        return find_radar(
            self.request,
            self.area,
            near=near,
            exclude=self.named.exclude,
            standing=standing,
            metres=self.metres,
        )

    @property
    def metres(self) -> float:
        """How far around the region its windows reach."""
        return RESOLUTION * margin_of(lattices_of(self.request, self.bundle.manifest))

    @property
    def parts(self) -> Sequence[BaseGeometry]:
        """Where scenes are searched: the region, and of a consensus all that its windows reach.

        Alone, windows stick out by less than scenes overlap.
        """
        if self.request.consensus == "none":
            return self.area.parts
        return surroundings(self.area.parts, self.metres)

    def on(self, acquisition: Acquisition[Any]) -> Prepared:
        """As a request for one acquisition."""
        datetimes = [scene.datetime for scene in acquisition.scenes]
        period = format_interval(min(datetimes), max(datetimes) + _SECOND)
        return replace(
            self, request=self.request.model_copy(update={"datetime": period, "composite": "single"})
        )


def _require_tables(request: RegionRequest) -> None:
    """Refuses coordinates before anything is computed that could not be written.

    Raises:
        RequestError: what writes their table is not installed.
    """
    if COORDINATES in request.targets and find_spec("pyarrow") is None:
        raise RequestError(
            f"targets: {COORDINATES} are written as GeoParquet: pip install 'terramosaic[vectors]' (pyarrow is missing)"
        )


def _with_targets(request: RegionRequest, bundle: Bundle) -> RegionRequest:
    """The request with the model's targets, if it names none: the same run as if it named them.

    Raises:
        RequestError: a field for targets names others.
    """
    if request.targets:
        return request
    targets = bundle.manifest.usual_targets
    if request.reconstruct:
        targets = tuple(name for name in bundle.manifest.generated if name in request.inputs) or targets
    for field in ("strides", "x0_clips"):
        if others := [name for name in getattr(request, field) if name not in targets]:
            raise RequestError(f"{field}: {not_among(targets, others)}")
    return request.model_copy(update={"targets": targets})


def _with_block_size(request: RegionRequest, bundle: Bundle) -> RegionRequest:
    """The request with the size of blocks that suits its model and device, if it says none."""
    return request.model_copy(
        update={"block_size": request.block_size or block_size_for(bundle, request.device)}
    )


def _with_strides(request: RegionRequest, bundle: Bundle) -> RegionRequest:
    """The request with the model's stride, if it says none, and without targets' own where they are the same.

    So what is left open is the same run as what is said.

    Raises:
        RequestError: the model's windows cannot lie so far apart.
    """
    manifest = bundle.manifest
    stride = request.stride or manifest.default_stride
    for field, each in [
        ("stride", stride),
        *((f"strides: {name}", own) for name, own in request.strides.items()),
    ]:
        if wrong := manifest.unfit_stride(each):
            raise RequestError(f"{field}: {wrong}")
    if EMBEDDING in request.targets and request.block_size % manifest.patch:
        raise RequestError(
            f"block_size: {request.block_size} is no multiple of {manifest.patch}, the side of the model's patches, "
            f"which {EMBEDDING} has a pixel for each of"
        )
    strides = {name: own for name, own in request.strides.items() if own != stride}
    return request.model_copy(update={"stride": stride, "strides": strides})


def _anchored(request: RegionRequest) -> RegionRequest:
    """The request with absolute folders, a device and a precision: a worker that carries it out may stand elsewhere."""
    absolute: dict[str, Any] = {"out": anchored(request.out)}
    if request.model != DEMO:
        absolute["model"] = str(Path(request.model).expanduser().resolve())
    if isinstance(request.region, GeoJsonFile):
        # The area has been read; what stays on record must not tell a signature.
        absolute["region"] = request.region.model_copy(update={"path": shown(request.region.path)})
    if request.device == AUTO:
        absolute["device"] = resolve(AUTO).kind
    device = parse_device(absolute.get("device", request.device))
    absolute["precision"] = precision_on(request.precision, device)
    return request.model_copy(update=absolute)
