"""What a run will do, decided from metadata alone: scenes, blocks, figures. The plan's content names the run."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from engine.bands import GSD
from engine.bundle import Bundle, load_bundle
from engine.catalog import (
    PASS_GAP,
    Acquisition,
    Catalog,
    Scene,
    drop_superseded,
    group_by_solar_day,
    hint_for_nothing,
    moment_of,
    open_catalog,
    rank,
    scene_from_item,
)
from engine.cutting import cut_into_blocks
from engine.devices import AUTO, parse_device, resolve
from engine.documents import shown
from engine.errors import CatalogError, NoScenesError, RequestError
from engine.grid import RESOLUTION
from engine.interval import format_interval
from engine.lattice import Lattice
from engine.location import anchored
from engine.plan import BundleRef, DroppedScene, Figures, Plan, RankedAcquisition, Zone
from engine.region import Area, ZoneArea, as_geojson, zone_areas
from engine.request import GeoJsonFile, RegionRequest

logger = logging.getLogger(__name__)

#: Fields of a request that decide pixels or the run folder's layout; the others only say where to look or to write.
_DECIDING = (
    "targets", "composite", "conditioning", "steps", "sampling", "x0_clip", "seed", "stride", "blend", "block_size",
    "offset", "offset_conflict", "dtype", "extras", "provider",
)  # fmt: skip

#: Periods are told in whole seconds.
_SECOND = timedelta(seconds=1)

#: Bytes in a file per pixel, measured on full Sentinel-2 tiles: compressed bands, and our mosaics with overviews.
_READ_BYTES_PER_PIXEL = 1.4
_OUTPUT_BYTES_PER_PIXEL = {
    "int16": {"S1GRD": 3.9, "S1RTC": 3.9, "NDVI": 2.1, "LULC": 0.3, "DEM": 1.5},
    "float32": {"S1GRD": 8.0, "S1RTC": 8.0, "NDVI": 4.2, "LULC": 0.3, "DEM": 4.0},
}

#: Pixels of the longest side of the pictures in the report.
_PREVIEW_SIDE = 1400


def plan(request: RegionRequest) -> Plan:
    """Searches the catalog and decides a run. Reads metadata only, no pixels; writes nothing.

    Raises:
        RequestError: the request, its region file or its catalog's name is wrong.
        NoScenesError: nothing was found; says what was searched and what would have matched.
        CatalogError: the catalog failed.
        ModelError: the bundle is broken.
        OutputError: ``out`` is a URL of a store that is not known here, or whose package is missing.
    """
    ground = _Ground.of(request)
    found = _search(ground)
    if not found.acquisitions:
        raise NoScenesError(f"no scene found in {found.searched}; {found.hint()}")
    return _decided(ground, found.best() if request.composite == "single" else found)


def plan_acquisitions(request: RegionRequest) -> tuple[list[Plan], list[CatalogError]]:
    """A run for each acquisition that a request finds, of that acquisition alone; the oldest first.

    One search finds all. An acquisition's run depends on its scenes and the request, not on the others or the period,
    so it has the same id whenever it is planned; of imagery that was processed again it has another one.

    Returns:
        The plans, and what is wrong with items that cannot be used, whose acquisitions have no plan.

    Raises:
        RequestError, CatalogError, ModelError: as `plan`; to find nothing is no error here.
    """
    ground = _Ground.of(request)
    spoilt = _Spoilt([], [])
    found = _search(ground, spoilt)
    plans = []
    for acquisition in sorted(found.acquisitions, key=lambda acquisition: acquisition.solar_day):
        if spoilt.has_part_of(acquisition):
            continue
        try:
            plans.append(_decided(ground.on(acquisition), found.only(acquisition)))
        except CatalogError as error:
            spoilt.errors.append(error)
    return plans, spoilt.errors


@dataclass(frozen=True)
class _Ground:
    """A request with what is known before the catalog is searched."""

    request: RegionRequest
    area: Area
    areas: Sequence[ZoneArea]
    bundle: Bundle

    @classmethod
    def of(cls, request: RegionRequest) -> _Ground:
        area = request.area()
        request = _anchored(request)
        areas = zone_areas(area)
        if not areas:
            raise RequestError("region: it is smaller than a pixel of 10 m; take a larger one")
        bundle = load_bundle(request.model)
        bundle.require(request.targets)
        return cls(request, area, areas, bundle)

    def on(self, acquisition: Acquisition) -> _Ground:
        """As a request for one acquisition."""
        moments = [scene.datetime for scene in acquisition.scenes]
        period = format_interval(min(moments), max(moments) + _SECOND)
        return replace(
            self, request=self.request.model_copy(update={"datetime": period, "composite": "single"})
        )


@dataclass(frozen=True)
class _Found:
    """What a search found: acquisitions in rank order, and scenes that are not used, each with the reason."""

    catalog: Catalog
    ground: _Ground
    searched: str
    acquisitions: Sequence[Acquisition]
    dropped: Sequence[tuple[Scene, str]]

    def best(self) -> _Found:
        """The best acquisition alone; the others' scenes are dropped."""
        others = [scene for acquisition in self.acquisitions[1:] for scene in acquisition.scenes]
        dropped = [*self.dropped, *((scene, "not of the best acquisition") for scene in others)]
        return replace(self, acquisitions=self.acquisitions[:1], dropped=dropped)

    def only(self, acquisition: Acquisition) -> _Found:
        """One acquisition, as if nothing else had been there."""
        ids = {(scene.platform, scene.solar_day) for scene in acquisition.scenes}
        dropped = [(scene, why) for scene, why in self.dropped if (scene.platform, scene.solar_day) in ids]
        return replace(self, acquisitions=[acquisition], dropped=dropped)

    def hint(self) -> str:
        """Why there may be nothing."""
        request = self.ground.request
        return hint_for_nothing(self.catalog, self.ground.area.parts, *request.interval, request.max_cloud)


@dataclass(frozen=True)
class _Spoilt:
    """Items that cannot be read: what is wrong with them, and the moments of those that tell one."""

    errors: list[CatalogError]
    moments: list[datetime]

    def put(self, item: Any, error: CatalogError) -> None:
        self.errors.append(error)
        with suppress(CatalogError):
            self.moments.append(moment_of(item))

    def has_part_of(self, acquisition: Acquisition) -> bool:
        """Whether one of them is of the same pass, so that the acquisition is not whole without it."""
        return any(
            abs(scene.datetime - moment) <= PASS_GAP
            for scene in acquisition.scenes
            for moment in self.moments
        )


def _decided(ground: _Ground, found: _Found) -> Plan:
    request, area, areas, bundle = ground.request, ground.area, ground.areas, ground.bundle
    bands, acquisitions = bundle.bands, found.acquisitions
    scenes = {scene.id: scene for acquisition in acquisitions for scene in acquisition.scenes}
    for scene in scenes.values():
        scene.require([*bands, "SCL"])
    zones, empty_blocks = cut_into_blocks(request, areas, acquisitions)
    covered = _covered_share(area, scenes.values())
    figures = Figures(
        area_km2=area.square_kilometres,
        covered_share=covered,
        scenes=len(scenes),
        acquisitions=len(acquisitions),
        blocks=sum(len(zone.blocks) for zone in zones),
        empty_blocks=empty_blocks,
        windows=sum(block.windows for zone in zones for block in zone.blocks),
        read_gigabytes=_read_gigabytes(request, zones, acquisitions, bands),
        output_gigabytes=_output_gigabytes(request, area),
    )
    longest = max((max(zone.rect.shape) for zone in zones), default=1)
    logger.info("planned: %d scenes, %d windows in %d blocks", len(scenes), figures.windows, figures.blocks)
    return Plan(
        run_id=_run_id(request, zones, scenes, bundle),
        engine_version=version("terramosaic"),
        created=datetime.now(UTC).replace(microsecond=0),
        request=request,
        region=as_geojson(area.outline),
        searched=found.searched,
        bundle=BundleRef(
            name=bundle.name,
            title=bundle.title,
            fingerprint=bundle.fingerprint,
            is_terramind=bundle.is_terramind,
            bands=bands,
        ),
        acquisitions=tuple(
            RankedAcquisition(
                solar_day=acquisition.solar_day.isoformat(),
                scenes=tuple(scene.id for scene in acquisition.scenes),
                coverage=acquisition.coverage,
                cloud=acquisition.cloud,
            )
            for acquisition in acquisitions
        ),
        scenes=scenes,
        dropped=tuple(DroppedScene(id=scene.id, reason=reason) for scene, reason in found.dropped),
        zones=tuple(zones),
        figures=figures,
        warnings=tuple(_warnings(request, bundle, figures, scenes.values())),
        preview_factor=1 << max(0, (longest // _PREVIEW_SIDE).bit_length()),
    )


def _anchored(request: RegionRequest) -> RegionRequest:
    """The request with absolute folders and a device: a worker that carries it out may stand elsewhere."""
    absolute: dict[str, Any] = {"out": anchored(request.out)}
    if request.model != "demo":
        absolute["model"] = str(Path(request.model).expanduser().resolve())
    if isinstance(request.region, GeoJsonFile):
        # The area has been read; what stays on record must not tell a signature.
        absolute["region"] = request.region.model_copy(update={"path": shown(request.region.path)})
    if request.provider == AUTO:
        absolute["provider"] = resolve(AUTO).kind
    return request.model_copy(update=absolute)


def _search(ground: _Ground, spoilt: _Spoilt | None = None) -> _Found:
    """Asks the catalog; items that cannot be read are an error, or are put into ``spoilt``."""
    request, area = ground.request, ground.area
    catalog = open_catalog(request.catalog, request.collection or None)
    items = catalog.search(area.parts, *request.interval, request.max_cloud)
    scenes = []
    for item in items:
        try:
            scenes.append(scene_from_item(item, catalog.provider, (*ground.bundle.bands, "SCL")))
        except CatalogError as error:
            if spoilt is None:
                raise
            spoilt.put(item, error)
    kept, dropped = drop_superseded(scenes)
    searched = f"{catalog.describe()}, {request.datetime}, cloud up to {request.max_cloud:g} %"
    return _Found(catalog, ground, searched, rank(group_by_solar_day(kept), area.outline), dropped)


def _covered_share(area: Area, scenes: Any) -> float:
    footprints = shapely.union_all([scene.geometry for scene in scenes])
    covered = Area(area.outline.intersection(footprints)).square_kilometres
    return min(1.0, covered / area.square_kilometres)


def _read_gigabytes(
    request: RegionRequest, zones: Sequence[Zone], acquisitions: Sequence[Acquisition], bands: Sequence[str]
) -> float:
    """Estimate: each acquisition is read for the share of a block that better ones are expected to leave cloudy."""
    per_pixel = _READ_BYTES_PER_PIXEL * sum((RESOLUTION / GSD[band]) ** 2 for band in (*bands, "SCL"))
    cloud = {
        scene.id: acquisition.cloud / 100 for acquisition in acquisitions for scene in acquisition.scenes
    }
    total = 0.0
    for block in (block for zone in zones for block in zone.blocks):
        pixels = np.prod(Lattice(request.stride).cover(block.rect).shape, dtype=float)
        left = 1.0
        for scenes in block.acquisitions:
            total += pixels * per_pixel * (1.0 if request.composite == "median" else left)
            left *= cloud[scenes[0]]
    return total / 1e9


def _output_gigabytes(request: RegionRequest, area: Area) -> dict[str, float]:
    pixels = area.square_kilometres * 1e6 / RESOLUTION**2
    sizes = _OUTPUT_BYTES_PER_PIXEL[request.dtype]
    return {target: pixels * sizes[target] / 1e9 for target in request.targets}


def _run_id(request: RegionRequest, zones: Sequence[Zone], scenes: dict[str, Scene], bundle: Bundle) -> str:
    """Hash of all that decides the run's pixels and files; where it runs, and when it was planned, is left out."""
    deciding = request.model_dump(mode="json", include=set(_DECIDING))
    # A CPU and a GPU round differently; one GPU computes what another one does.
    deciding["provider"] = parse_device(request.provider).kind
    content = {
        "engine": version("terramosaic"),
        "request": deciding,
        "bundle": bundle.fingerprint,
        "zones": [zone.model_dump(mode="json") for zone in zones],
        "scenes": {
            scene.id: [scene.fingerprint, {band: asset.offset for band, asset in scene.assets.items()}]
            for scene in scenes.values()
        },
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _warnings(request: RegionRequest, bundle: Bundle, figures: Figures, scenes: Any) -> list[str]:
    warnings = []
    if not bundle.is_terramind:
        warnings.append(
            f"{bundle.title}: the outputs show how a run works, not what TerraMind would generate"
        )
    elif bundle.manifest.random_weights is not None:
        warnings.append(f"{bundle.title}: the weights are random, and so are the outputs")
    if bundle.is_terramind and request.conditioning != bundle.manifest.conditioning:
        warnings.append(
            f"the model was exported for {bundle.manifest.conditioning} conditioning and is run {request.conditioning}"
        )
    schedules = [bundle.targets[target].schedule for target in request.targets]
    meant = {schedule.default_steps for schedule in schedules if schedule}
    if meant - {request.steps}:
        warnings.append(
            f"the model was exported for {max(meant)} diffusion steps and is run with {request.steps}"
        )
    if figures.gap_share > 0.001:
        warnings.append(f"{figures.gap_share:.1%} of the region lies under no scene and stays without data")
    if request.offset == "keep":
        warnings.append("the +1000 offset of processing baseline 04.00 is kept; TerraMind expects it removed")
    unknown = [scene.id for scene in scenes if scene.processing_baseline is None]
    if unknown:
        warnings.append(
            f"processing baseline unknown, offset decided by the provider's rule: {', '.join(unknown)}"
        )
    return warnings
