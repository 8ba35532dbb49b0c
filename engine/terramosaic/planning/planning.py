"""What a run will do, decided from metadata alone: scenes, blocks, figures. The plan's content names the run."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import shapely
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import (
    PASS_GAP,
    Acquisition,
    Catalog,
    Pass,
    Scene,
    Unusable,
    UnusableItem,
    drop_superseded,
    group_by_pass,
    hint_for_nothing,
    open_catalog,
    rank,
    require_files,
    scene_from_item,
    tell_apart,
)
from terramosaic.errors import CatalogError, ForeignItemError, NoScenesError, RequestError, UnusableItemError
from terramosaic.ground.zones import Area, ZoneArea, as_geojson, zone_areas
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.devices import AUTO, resolve
from terramosaic.planning.blocks import cut_into_blocks, windows_by_stride
from terramosaic.planning.estimates import (
    covered_share,
    output_gigabytes,
    read_gigabytes,
    warnings_of,
)
from terramosaic.planning.gaps import EXCLUDED, OTHER_ACQUISITIONS, TOLD, gaps_of
from terramosaic.planning.heights import DEM, Heights, find_heights
from terramosaic.planning.identity import PIXELS, run_id_of
from terramosaic.planning.inputs import is_led_by_radar, require_composite, require_read
from terramosaic.planning.layers import layers_of
from terramosaic.planning.places import require_places_within_roots
from terramosaic.planning.plan import BundleRef, DroppedScene, Figures, Plan, RankedAcquisition
from terramosaic.planning.radar import RADAR, Radar, find_radar
from terramosaic.request.interval import format_interval
from terramosaic.request.region import GeoJson, GeoJsonFile
from terramosaic.request.request import RegionRequest
from terramosaic.request.scene_ids import ids_in
from terramosaic.storage.documents import shown
from terramosaic.storage.location import anchored

logger = logging.getLogger(__name__)

#: Periods are told in whole seconds.
_SECOND = timedelta(seconds=1)

#: Why a scene is dropped that the request names.
_EXCLUDED = "excluded by the request"
#: Why a composite of a single acquisition drops a scene.
_OTHER_ACQUISITION = "not of the best acquisition"
#: Items that cannot be used, told one by one; all of them are in the plan.
_NAMED_ITEMS = 5

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
    prepared = _Prepared.of(request)
    if is_led_by_radar(request):
        radar = find_radar(prepared.request, prepared.area, near=None, exclude=prepared.named.exclude)
        if request.composite == "single":
            radar = radar.only(radar.passes[0])
        return _plan_from(prepared, _led_by(radar, prepared), radar)
    found = _search(prepared, () if request.strict else UnusableItemError)
    if not found.acquisitions:
        if not all(isinstance(item.error, ForeignItemError) for item in found.unusable):
            raise _none_usable(found)
        told = (f"no scene found in {found.searched}", found.hint(), *_left_out(found.unusable))
        raise NoScenesError("; ".join(told))
    if request.composite == "single":
        found = found.best()
    return _plan_from(prepared, found, _radar_beside(prepared, found), whole_period=True)


def plan_acquisitions(request: RegionRequest) -> tuple[list[Plan], list[CatalogError]]:
    """A run for each acquisition that a request finds, of that acquisition alone; the oldest first.

    One search finds all. An acquisition's run depends on its scenes and the request, not on the others or the period,
    so it has the same id whenever it is planned; of imagery that was processed again it has another one.

    Returns:
        The plans, and what is wrong with items that cannot be used, whose acquisitions have no plan.

    Raises:
        RequestError, CatalogError, ModelError: as `plan`; to find nothing is no error here.
    """
    prepared = _Prepared.of(request)
    if is_led_by_radar(request):
        return _plans_of_passes(prepared), []
    found = _search(prepared, CatalogError)
    # What is no scene at all is of no pass, and concerns nobody who watches for scenes.
    errors = [item.error for item in found.unusable if not isinstance(item.error, ForeignItemError)]
    plans = []
    for acquisition in sorted(found.acquisitions, key=lambda acquisition: acquisition.of_pass.order):
        if any(_is_part_of(item, acquisition) for item in found.unusable):
            continue
        try:
            alone, its_own = prepared.on(acquisition), found.only(acquisition)
            plans.append(_plan_from(alone, its_own, _radar_beside(alone, its_own)))
        except CatalogError as error:
            errors.append(error)
    return plans, errors


def recall_secrets(made: Plan) -> None:
    """Searches a plan's items again if their hrefs held signatures, which no plan keeps and this process may not know.

    Raises:
        RequestError, CatalogError, ModelError: as `plan`.
    """
    if any(asset.came_signed for item in made.items.values() for asset in item.assets.values()):
        # Its own file of a region may be signed, too; what it held is in the plan.
        request = made.request.model_copy(update={"region": GeoJson(geojson=made.region)})
        prepared = _Prepared.of(request)
        if made.scenes:
            _search(prepared, UnusableItemError)
        if made.radar is not None:
            near = None if made.is_led_by_radar else made.radar.moment
            find_radar(prepared.request, prepared.area, near=near)
        prepared.heights()


@dataclass(frozen=True)
class _Named:
    """The scenes that a request names, with those of its files."""

    exclude: frozenset[str]
    trust: frozenset[str]

    @classmethod
    def of(cls, request: RegionRequest) -> _Named:
        return cls(ids_in(request.exclude, "exclude"), ids_in(request.trust, "trust"))

    def excludes(self, scene: Scene) -> bool:
        return not self.exclude.isdisjoint(_names_of(scene))

    def trusts(self, scene: Scene) -> bool:
        return not self.trust.isdisjoint(_names_of(scene))

    def unknown(self, scenes: Iterable[Scene]) -> Iterator[str]:
        """What to tell of names that none of the found scenes has."""
        names = {name for scene in scenes for name in _names_of(scene)}
        for field, named in (("exclude", self.exclude), ("trust", self.trust)):
            if unknown := len(named - names):
                yield f"{field}: {unknown} of {len(named)} ids are not among the scenes that were found"


def _names_of(scene: Scene) -> set[str]:
    """What a request may call a scene: its item's id, also with the collection, or the name that a plan gives it."""
    return {scene.id, scene.key, f"{scene.collection}/{scene.id}"}


@dataclass(frozen=True)
class _Prepared:
    """A request with what is known before the catalog is searched."""

    request: RegionRequest
    area: Area
    areas: Sequence[ZoneArea]
    bundle: Bundle
    named: _Named

    @classmethod
    def of(cls, request: RegionRequest) -> _Prepared:
        require_places_within_roots(request)
        area = request.area()
        request = _anchored(request)
        areas = zone_areas(area)
        if not any(part.holds_a_pixel for part in areas):
            raise RequestError(
                "region: no pixel of 10 m has its centre in it; take a larger one, or a wider one where it is a strip"
            )
        bundle = load_bundle(request.model)
        bundle.require(request.targets, request.inputs)
        require_read(request.inputs)
        require_composite(request)
        return cls(request, area, areas, bundle, _Named.of(request))

    def heights(self) -> Heights | None:
        """The DEM that windows are cut from, if it is an input."""
        if DEM not in self.request.inputs:
            return None
        return find_heights(self.request, self.area, exclude=self.named.exclude)

    def on(self, acquisition: Acquisition[Any]) -> _Prepared:
        """As a request for one acquisition."""
        datetimes = [scene.datetime for scene in acquisition.scenes]
        period = format_interval(min(datetimes), max(datetimes) + _SECOND)
        return replace(
            self, request=self.request.model_copy(update={"datetime": period, "composite": "single"})
        )


@dataclass(frozen=True)
class _Found:
    """What a search found.

    Attributes:
        catalog: of Sentinel-2; None where passes of Sentinel-1 lead.
        acquisitions: in rank order.
        dropped: scenes that are not used, each with the reason.
        unusable: items of which no scene could be made.
        unknown: what to tell of scenes that the request names and that were not found.
    """

    catalog: Catalog | None
    prepared: _Prepared
    searched: str
    acquisitions: Sequence[Acquisition[Any]]
    dropped: Sequence[tuple[Scene, str]]
    unknown: tuple[str, ...] = ()
    unusable: Sequence[UnusableItem] = ()

    def best(self) -> _Found:
        """The best acquisition alone; the others' scenes are dropped."""
        others = [scene for acquisition in self.acquisitions[1:] for scene in acquisition.scenes]
        dropped = [*self.dropped, *((scene, _OTHER_ACQUISITION) for scene in others)]
        return replace(self, acquisitions=self.acquisitions[:1], dropped=dropped)

    @property
    def dropped_by_cause(self) -> dict[str, list[BaseGeometry]]:
        """Footprints of the scenes without which a gap may be."""
        causes = {OTHER_ACQUISITIONS: _OTHER_ACQUISITION, EXCLUDED: _EXCLUDED}
        return {
            cause: [scene.geometry for scene, why in self.dropped if why == dropped]
            for cause, dropped in causes.items()
        }

    def only(self, acquisition: Acquisition[Any]) -> _Found:
        """One acquisition, as if nothing else had been there."""
        dropped = [
            (scene, why) for scene, why in self.dropped if Pass.of([scene]).is_same(acquisition.of_pass)
        ]
        return replace(self, acquisitions=[acquisition], dropped=dropped, unknown=(), unusable=())

    def hint(self) -> str:
        """Why there may be nothing."""
        request = self.prepared.request
        excluded = sum(reason == _EXCLUDED for _, reason in self.dropped)
        if excluded:
            return f"{excluded} scenes were found and are excluded by the request; name fewer in exclude"
        assert self.catalog is not None  # what Sentinel-1 there is instead its own search says
        return hint_for_nothing(self.catalog, self.prepared.area.parts, *request.interval, request.max_cloud)


def _led_by(radar: Radar, prepared: _Prepared) -> _Found:
    """Passes of Sentinel-1 as what leads a run."""
    acquisitions = [
        Acquisition(
            Pass(
                min(radar.scenes[key].solar_day for key in one.scenes),
                one.start,
                one.platform,
                one.relative_orbit,
            ),
            tuple(radar.scenes[key] for key in one.scenes),
            one.coverage,
            0.0,
        )
        for one in radar.passes
    ]
    return _Found(None, prepared, radar.searched, acquisitions, ())


def _plans_of_passes(prepared: _Prepared) -> list[Plan]:
    """A plan for each pass of Sentinel-1 in the period, the oldest first; none where there is no pass."""
    try:
        radar = find_radar(prepared.request, prepared.area, near=None, exclude=prepared.named.exclude)
    except NoScenesError:
        return []
    plans = []
    for one in sorted(radar.passes, key=lambda one: (one.start, one.label)):
        alone = radar.only(one)
        found = _led_by(alone, prepared)
        plans.append(_plan_from(prepared.on(found.acquisitions[0]), found, alone))
    return plans


def _radar_beside(prepared: _Prepared, found: _Found) -> Radar | None:
    """Sentinel-1 beside what leads a run; of the passes those that are near to its best acquisition."""
    if RADAR not in prepared.request.inputs:
        return None
    near = found.acquisitions[0].of_pass.start
    return find_radar(prepared.request, prepared.area, near=near, exclude=prepared.named.exclude)


def _plan_from(
    prepared: _Prepared, found: _Found, radar: Radar | None = None, *, whole_period: bool = False
) -> Plan:
    """The plan of what was found.

    Args:
        radar: the Sentinel-1 that windows are cut from, if it is an input.
        whole_period: whether this is all that the period has; of a single acquisition gaps are expected.
    """
    area, areas, bundle = prepared.area, prepared.areas, prepared.bundle
    heights = prepared.heights()
    led_by_radar = radar is not None and is_led_by_radar(prepared.request)
    acquisitions = found.acquisitions if led_by_radar else _told_apart(found.acquisitions)
    scenes = {scene.key: scene for acquisition in acquisitions for scene in acquisition.scenes}
    request = _naming_what_was_found(prepared, scenes.values(), found.dropped)
    for scene in scenes.values():
        require_files(scene)
    zones, empty_blocks = cut_into_blocks(request, areas, acquisitions)
    footprints = shapely.union_all([scene.geometry for scene in scenes.values()])
    covered = covered_share(area, footprints)
    gaps, hint = (
        gaps_of(request, area, footprints, found.dropped_by_cause, found.catalog)
        if whole_period and found.catalog is not None and 1 - covered > TOLD
        else ({}, "")
    )
    figures = Figures(
        area_km2=area.square_kilometres,
        covered_share=covered,
        gaps=gaps,
        scenes=len(scenes),
        acquisitions=len(acquisitions),
        blocks=sum(len(zone.blocks) for zone in zones),
        empty_blocks=empty_blocks,
        windows=sum(block.windows for zone in zones for block in zone.blocks),
        windows_by_stride=windows_by_stride(request, zones) if request.strides else {},
        read_gigabytes=read_gigabytes(request, zones, acquisitions, bundle.bands),
        output_gigabytes=output_gigabytes(request, area, bundle),
    )
    longest = max((max(zone.rect.shape) for zone in zones), default=1)
    logger.info("planned: %d scenes, %d windows in %d blocks", len(scenes), figures.windows, figures.blocks)
    made = Plan(
        run_id="",
        pixels=PIXELS,
        engine_version=version("terramosaic"),
        created=datetime.now(UTC).replace(microsecond=0),
        request=request,
        region=as_geojson(area.outline),
        searched=found.searched,
        bundle=BundleRef.of(bundle),
        layers=layers_of(request, bundle, [acquisition.of_pass for acquisition in acquisitions]),
        acquisitions=tuple(
            RankedAcquisition(
                solar_day=acquisition.of_pass.solar_day.isoformat(),
                platform=acquisition.of_pass.platform,
                relative_orbit=acquisition.of_pass.relative_orbit,
                scenes=tuple(scene.key for scene in acquisition.scenes),
                coverage=acquisition.coverage,
                cloud=acquisition.cloud,
            )
            for acquisition in acquisitions
        ),
        scenes={} if led_by_radar else scenes,
        radar=radar,
        heights=heights,
        dropped=(
            *(DroppedScene(id=scene.id, reason=reason) for scene, reason in found.dropped),
            *(DroppedScene(id=item.id, reason=f"cannot be used: {item.error}") for item in found.unusable),
        ),
        zones=tuple(zones),
        figures=figures,
        warnings=(
            *warnings_of(request, bundle, figures, scenes.values(), hint),
            *(radar.notes if radar else ()),
            *(heights.notes if heights else ()),
            # Scenes that are named may be of the other inputs, which tell themselves what they leave out.
            *(found.unknown if radar is None and heights is None else ()),
            *_left_out(found.unusable),
        ),
        preview_factor=1 << max(0, (longest // _PREVIEW_SIDE).bit_length()),
    )
    return made.model_copy(update={"run_id": run_id_of(made)})


def _naming_what_was_found(
    prepared: _Prepared, used: Iterable[Scene], dropped: Iterable[tuple[Scene, str]]
) -> RegionRequest:
    """The request with scenes of the plan in place of files and of names that none of them has.

    So a plan needs no file, tells nothing else that is in one, and its run's id hangs on no name that means nothing.
    """
    exclude = sorted({scene.key for scene, reason in dropped if reason == _EXCLUDED})
    trust = sorted(scene.key for scene in used if prepared.named.trusts(scene))
    return prepared.request.model_copy(update={"exclude": tuple(exclude), "trust": tuple(trust)})


def _told_apart(acquisitions: Sequence[Acquisition[Any]]) -> list[Acquisition[Any]]:
    """As they are, but each of the scenes with a key of its own among all that a plan uses."""
    told = iter(tell_apart(scene for acquisition in acquisitions for scene in acquisition.scenes))
    return [
        replace(acquisition, scenes=tuple(islice(told, len(acquisition.scenes))))
        for acquisition in acquisitions
    ]


def _anchored(request: RegionRequest) -> RegionRequest:
    """The request with absolute folders and a device: a worker that carries it out may stand elsewhere."""
    absolute: dict[str, Any] = {"out": anchored(request.out)}
    if request.model != "demo":
        absolute["model"] = str(Path(request.model).expanduser().resolve())
    if isinstance(request.region, GeoJsonFile):
        # The area has been read; what stays on record must not tell a signature.
        absolute["region"] = request.region.model_copy(update={"path": shown(request.region.path)})
    if request.device == AUTO:
        absolute["device"] = resolve(AUTO).kind
    return request.model_copy(update=absolute)


def _search(prepared: _Prepared, tolerated: type[CatalogError] | tuple[()]) -> _Found:
    """Asks the catalog; items that cannot be used are an error, but where it is of a kind that is tolerated."""
    request, area, bands = prepared.request, prepared.area, (*prepared.bundle.bands, "SCL")
    catalog, unusable = (
        open_catalog(request.catalog, request.collection or None),
        Unusable(tolerated, prepared.named.exclude),
    )
    items = catalog.search(area.parts, *request.interval, request.max_cloud, unusable)
    scenes = []
    for item in items:
        try:
            scene = scene_from_item(item, catalog.profile, bands, origin=catalog.origin)
            scene.require(bands)
        except CatalogError as error:
            unusable.put(item, error)
        else:
            scenes.append(scene)
    excluded = [(scene, _EXCLUDED) for scene in scenes if prepared.named.excludes(scene)]
    # Before superseded ones are dropped: in an excluded one's place comes an earlier processing.
    kept, dropped = drop_superseded(scene for scene in scenes if not prepared.named.excludes(scene))
    dropped += excluded
    searched = f"{catalog.describe()}, {request.datetime}, cloud up to {request.max_cloud:g} %"
    ranked, unknown = rank(group_by_pass(kept), area.outline), tuple(prepared.named.unknown(scenes))
    return _Found(catalog, prepared, searched, ranked, dropped, unknown, unusable.items)


def _is_part_of(item: UnusableItem, acquisition: Acquisition[Any]) -> bool:
    """Whether an item is of the same pass, so that the acquisition is not whole without it."""
    return item.datetime is not None and any(
        abs(scene.datetime - item.datetime) <= PASS_GAP for scene in acquisition.scenes
    )


def _none_usable(found: _Found) -> CatalogError:
    first, *more = (item.error for item in found.unusable)
    what = (
        f"none of the {len(found.unusable)} items found in {found.searched} can be used"
        if more
        else f"the only item found in {found.searched} cannot be used"
    )
    return first.among(what, more[: _NAMED_ITEMS - 1])


def _left_out(items: Sequence[UnusableItem]) -> list[str]:
    """A warning of what cannot be used, the first few by name."""
    if not items:
        return []
    told = "; ".join(str(item.error) for item in items[:_NAMED_ITEMS])
    more = f"; and {len(items) - _NAMED_ITEMS} more" if len(items) > _NAMED_ITEMS else ""
    return [
        f"{'an item' if len(items) == 1 else f'{len(items)} items'} left out that cannot be used: {told}{more}"
    ]
