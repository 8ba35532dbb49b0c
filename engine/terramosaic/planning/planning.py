"""What a run will do, decided from metadata alone: scenes, blocks, figures. The plan's content names the run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from importlib.metadata import version
from typing import Any

import shapely

from terramosaic.catalog import (
    Acquisition,
    BackscatterScene,
    Pass,
    Scene,
    Source,
    require_files,
    tell_apart,
)
from terramosaic.errors import (
    CatalogError,
    ForeignItemError,
    NoRadarError,
    NoScenesError,
    RequestError,
    UnusableItemError,
)
from terramosaic.ground.zones import as_geojson
from terramosaic.model.bundle import Bundle
from terramosaic.planning.blocks import (
    cut_into_blocks,
    seen_at_all,
    square_kilometres,
    windows_around,
    windows_by_stride,
)
from terramosaic.planning.coverage import lost_shares
from terramosaic.planning.dates import PlannedDate, imagery_names
from terramosaic.planning.dating import Dated, dated, dated_by_radar, search_pairs_again
from terramosaic.planning.disk import beside_gigabytes, blocks_gigabytes, output_gigabytes
from terramosaic.planning.estimates import covered_share, warnings_of
from terramosaic.planning.gaps import TOLD, gaps_of, with_other_inputs
from terramosaic.planning.identity import PIXELS, gives_same_pixels, run_id_of
from terramosaic.planning.inputs import is_led_by_radar
from terramosaic.planning.lattices import TargetLattice, lattices_of
from terramosaic.planning.layers import Layer, layers_of
from terramosaic.planning.limits import require_within_limits
from terramosaic.planning.plan import BundleRef, DroppedScene, Figures, Plan, RankedAcquisition, Zone
from terramosaic.planning.prepared import Prepared
from terramosaic.planning.prices import Prices
from terramosaic.planning.quote import Quote, model_minutes
from terramosaic.planning.radar import RADAR, Radar
from terramosaic.planning.radar_windows import RadarEstimate, needed_at, scenes_for_windows
from terramosaic.planning.reading import Reading, reading_of
from terramosaic.planning.reference_days import sets_of_dates, sets_of_passes
from terramosaic.planning.searching import (
    EXCLUDED_BY_REQUEST,
    Found,
    is_part_of,
    led_by,
    left_out_in_words,
    none_usable,
    radar_beside,
    search,
)
from terramosaic.request.interval import interval_in_words
from terramosaic.request.region import GeoJson
from terramosaic.request.request import RegionRequest, requested
from terramosaic.storage.location import is_url

logger = logging.getLogger(__name__)

#: Pixels of the longest side of the pictures in the report.
_PREVIEW_SIDE = 1400


def plan(request: RegionRequest | Mapping[str, Any] | None = None, **fields: Any) -> Plan:
    """Searches the catalog and decides a run. Reads metadata only, no pixels; writes nothing but own imagery's catalog.

    Args:
        request: what to map: a request, or an object of its fields.
        fields: of a request, in place of one or of its own: ``plan(region="33TWL", datetime="2023-08")``.

    Raises:
        RequestError: the request, its region file or its catalog's name is wrong.
        NoScenesError: nothing was found; says what was searched and what would have matched.
        CatalogError: the catalog failed.
        ModelError: the bundle is broken.
        OutputError: ``out`` is a URL of a store that is not known here, or whose package is missing.
    """
    request = requested(request, fields)
    if request.every != "none":
        raise RequestError(
            f"every: a plan is of one run; map_series and `terramosaic map` make one for each {request.every}"
        )
    prepared = Prepared.of(request)
    if is_led_by_radar(request):
        radar = prepared.radar(near=None)
        if prepared.has_dates:
            return _of_dates(prepared, dated_by_radar(prepared, radar))
        if request.composite == "single":
            radar = radar.only(radar.passes[0])
        return _plan_from(prepared, led_by(radar, prepared), radar)
    found = search(prepared, () if request.strict else UnusableItemError)
    if not found.acquisitions:
        if not all(isinstance(item.error, ForeignItemError) for item in found.unusable):
            raise none_usable(found)
        told = (
            f"no scene found in {interval_in_words(found.searched)}",
            found.hint(),
            *left_out_in_words(found.unusable),
        )
        raise NoScenesError("; ".join(told))
    if prepared.has_dates:
        return _of_dates(prepared, dated(prepared, found))
    if request.composite == "single":
        found = found.best()
    return _plan_from(prepared, found, radar_beside(prepared, found), whole_period=True)


def plan_acquisitions(
    request: RegionRequest,
    standing: Callable[[Pass], Plan | None] = lambda _: None,
    first: date | None = None,
) -> tuple[list[Plan], list[CatalogError]]:
    """A run for each acquisition that a request finds, of that acquisition alone; the oldest first.

    One search finds all. An acquisition's run depends on its scenes and the request, not on the others or the period,
    so it has the same id whenever it is planned; of imagery that was processed again it has another one. Of radar
    beside it the passes count that its windows need, and those that a map of it was made from stay.

    A model of several dates has a run for each whole set of dates; see `reference_days`.

    Args:
        request: says what to map; of several dates its period reaches back to the oldest that counts.
        standing: the plan that the map of a pass was made by, if there is one.
        first: of several dates the oldest reference day.

    Returns:
        The plans, and what is wrong with items that cannot be used, whose acquisitions have no plan.

    Raises:
        RequestError, CatalogError, ModelError: as `plan`; to find nothing is no error here.
    """
    prepared = Prepared.of(request)
    if is_led_by_radar(request):
        return _plans_of_passes(prepared, standing, first), []
    found = search(prepared, CatalogError)
    # What is no scene at all is of no pass, and concerns nobody who watches for scenes.
    errors = [item.error for item in found.unusable if not isinstance(item.error, ForeignItemError)]
    if prepared.has_dates:
        whole = [
            one for one in found.acquisitions if not any(is_part_of(item, one) for item in found.unusable)
        ]
        sets = sets_of_dates(prepared, replace(found, acquisitions=whole), first)
        return _plans_of_sets(standing, sets), errors
    plans = []
    for acquisition in sorted(found.acquisitions, key=lambda acquisition: acquisition.of_pass.order):
        if any(is_part_of(item, acquisition) for item in found.unusable):
            continue
        try:
            alone, its_own = prepared.on(acquisition), found.only(acquisition)
            held = standing(acquisition.of_pass) if RADAR in request.inputs else None
            plans.append(_paired_as(held, alone, its_own))
        except CatalogError as error:
            errors.append(error)
        except NoRadarError as error:
            # Its pass may come yet, or be told by the catalog later.
            logger.warning("the acquisition of %s is not mapped: %s", acquisition.of_pass.solar_day, error)
    return plans, errors


def recall_secrets(made: Plan) -> None:
    """Searches a plan's items again if their hrefs held signatures, which no plan keeps and this process may not know.

    Raises:
        RequestError, CatalogError, ModelError: as `plan`.
    """
    if any(asset.came_signed for item in made.items.values() for asset in item.assets.values()):
        # Its own file of a region may be signed, too; what it held is in the plan.
        request = made.request.model_copy(update={"region": GeoJson(geojson=made.region)})
        prepared = Prepared.of(request)
        if made.scenes:
            search(prepared, UnusableItemError)
        if made.radar is not None and made.scenes and made.dates:
            search_pairs_again(prepared, made.dates)
        elif made.radar is not None:
            near = None if made.is_led_by_radar else made.radar.moment
            prepared.radar(near=near)
        prepared.heights()


def _paired_as(held: Plan | None, prepared: Prepared, found: Found) -> Plan:
    """The plan of an acquisition: with the passes that its map was made from, if that is still what is asked for."""
    if held is not None and held.radar is not None:
        made = _plan_from(prepared, found, radar_beside(prepared, found, held.radar))
        if gives_same_pixels(held, made):
            return made
    return _plan_from(prepared, found, radar_beside(prepared, found))


def _plans_of_sets(
    standing: Callable[[Pass], Plan | None], sets: Iterable[tuple[Prepared, Dated]]
) -> list[Plan]:
    """A plan for each newest date: of several sets that have it, of the last."""
    made = [_with_dates_as(standing, alone, its_own) for alone, its_own in sets]
    return list({one.acquisitions[0].scenes: one for one in made}.values())


def _with_dates_as(standing: Callable[[Pass], Plan | None], prepared: Prepared, dated: Dated) -> Plan:
    """The plan of a set of dates: as its map was made, with those passes of radar, if the acquisitions are the same."""
    made = _of_dates(prepared, dated)
    held = standing(made.passes[0])
    if held is None or held.radar is None or not made.dates or made.is_led_by_radar:
        return made
    paired = made.model_copy(update={"dates": held.dates, "radar": held.radar})
    is_same = [one.scenes for one in held.acquisitions] == [one.scenes for one in made.acquisitions]
    if is_same and gives_same_pixels(held, paired):
        return held.model_copy(update={"request": made.request})
    return made


def _plans_of_passes(
    prepared: Prepared, standing: Callable[[Pass], Plan | None], first: date | None
) -> list[Plan]:
    """A plan for each pass of Sentinel-1 in the period, the oldest first; none where there is no pass."""
    try:
        radar = prepared.radar(near=None)
    except NoScenesError:
        return []
    if prepared.has_dates:
        return _plans_of_sets(standing, sets_of_passes(prepared, radar, first))
    plans = []
    over = (one for one in radar.passes if one.coverage > 0)
    for one in sorted(over, key=lambda one: (one.start, one.label)):
        alone = radar.only(one)
        found = led_by(alone, prepared)
        plans.append(_plan_from(prepared.on(found.acquisitions[0]), found, alone))
    return plans


def _of_dates(prepared: Prepared, dated: Dated) -> Plan:
    return _plan_from(
        prepared, dated.found, dated.radar, dates=dated.dates, notes=dated.notes, whole_period=True
    )


def _plan_from(
    prepared: Prepared,
    found: Found,
    radar: Radar | None = None,
    *,
    dates: tuple[PlannedDate, ...] = (),
    notes: tuple[str, ...] = (),
    whole_period: bool = False,
) -> Plan:
    """The plan of what was found.

    Args:
        radar: the Sentinel-1 that windows are cut from, if it is an input.
        dates: which of the acquisitions they are, of a model of several.
        notes: what to tell of these.
        whole_period: whether this is all that the period has; of a single acquisition gaps are expected.
    """
    area, areas, bundle = prepared.area, prepared.areas, prepared.bundle
    heights = prepared.heights()
    led_by_radar = radar is not None and is_led_by_radar(prepared.request)
    acquisitions = found.acquisitions if led_by_radar else _told_apart(found.acquisitions)
    scenes = {scene.key: scene for acquisition in acquisitions for scene in acquisition.scenes}
    excluded = (*(radar.excluded if radar else ()), *(heights.excluded if heights else ()))
    read = _with_l1c(scenes.values())
    beside: list[Source] = [*(heights.elevation.by_key.values() if heights else ())]
    beside += radar.scenes.values() if radar and not led_by_radar else ()
    # A catalog on disk may hold the other inputs' items beside those of Sentinel-2.
    others = {one.id for one in beside}
    unusable = [
        item
        for item in found.unusable
        if item.id not in others or not isinstance(item.error, ForeignItemError)
    ]
    for source in (*read, *beside):
        require_files(source)
    request = _naming_what_was_found(prepared, read, found.dropped, excluded)
    lattices = lattices_of(request, bundle.manifest)
    zones, empty_blocks, near = cut_into_blocks(request, areas, acquisitions, lattices)
    if dates:
        zones, without = seen_at_all(zones, len(acquisitions))
        empty_blocks += without
    if radar is not None and dates:
        # Where radar leads, each date is one pass, which the region lies under.
        dates = dates if led_by_radar else needed_at(radar, dates, zones, lattices)
        radar = radar.keeping({key for one in dates for key in one.slices})
    elif radar is not None:
        radar = radar.keeping(scenes_for_windows(radar, request, zones, lattices))
        if led_by_radar:
            acquisitions = led_by(radar, prepared).acquisitions
            scenes = radar.scenes
    footprints = shapely.union_all([scene.geometry for scene in scenes.values()])
    if dates:
        footprints = shapely.intersection_all(
            [
                shapely.union_all([scene.geometry for scene in acquisition.scenes])
                for acquisition in acquisitions
            ]
        )
    covered = covered_share(area, footprints)
    optical = prepared.optical
    gaps, hint = (
        gaps_of(request, area, footprints, found.dropped_by_cause, found.catalog, optical.level)
        if whole_period and found.catalog is not None and optical is not None and 1 - covered > TOLD
        else ({}, "")
    )
    seen = None if radar is None else RadarEstimate.of(radar, request, zones, lattices, dates)
    mapped = None
    if radar is not None or heights is not None:
        groups = [one.scenes for one in acquisitions] if dates else [tuple(scenes.values())]
        of_sentinel_2 = (
            [] if led_by_radar else [[one for one in each if isinstance(one, Scene)] for each in groups]
        )
        lost = lost_shares(areas, of_sentinel_2, seen.ground if seen else None, heights)
        mapped, gaps = max(0.0, 1 - sum(lost.values())), with_other_inputs(gaps, lost)
    passes_read = {} if seen is None else seen.reads
    reading = reading_of(request, zones, acquisitions, near, lattices, optical, passes_read)
    figures = Figures(
        area_km2=area.square_kilometres,
        covered_share=covered,
        mapped_share=mapped,
        gaps=gaps,
        scenes=len(scenes),
        acquisitions=len(acquisitions),
        blocks=sum(len(zone.blocks) for zone in zones),
        empty_blocks=empty_blocks,
        windows=sum(block.windows for zone in zones for block in zone.blocks),
        windows_by_stride=windows_by_stride(lattices, zones) if request.strides else {},
        windows_around=windows_around(lattices, zones),
        read_gigabytes=reading.asked,
        output_gigabytes=output_gigabytes(request, area, bundle),
    )
    passes = [acquisition.of_pass for acquisition in acquisitions]
    layers = layers_of(request, bundle, passes, imagery_names(dates).values())
    figures = _quoted(figures, request, bundle, lattices, layers, zones, [*read, *beside], reading)
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
        layers=layers,
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
        dates=dates,
        dropped=(
            *(DroppedScene(id=scene.id, reason=reason) for scene, reason in found.dropped),
            *(DroppedScene(id=item.id, reason=f"cannot be used: {item.error}") for item in unusable),
        ),
        zones=tuple(zones),
        figures=figures,
        warnings=(
            *warnings_of(request, bundle, figures, _with_l1c(scenes.values()), beside, hint),
            *notes,
            *(radar.notes if radar else ()),
            *(heights.notes if heights else ()),
            *(prepared.own.notes if prepared.own else ()),
            # Scenes that are named may be of the other inputs, which tell themselves what they leave out.
            *(found.unknown if radar is None and heights is None else ()),
            *left_out_in_words(unusable),
        ),
        preview_factor=_preview_factor(zones),
    )
    made = made.model_copy(update={"run_id": run_id_of(made)})
    require_within_limits(made)
    return made


def _quoted(
    figures: Figures,
    request: RegionRequest,
    bundle: Bundle,
    lattices: Sequence[TargetLattice],
    layers: Sequence[Layer],
    zones: Sequence[Zone],
    sources: Sequence[Source],
    reading: Reading,
) -> Figures:
    """The figures with what the run is expected to take."""
    mapped_km2 = figures.area_km2 * (1 - figures.gap_share)
    # Windows without a pixel of imagery are left out when they are cut.
    seen = (
        1.0 if figures.gap_share < TOLD else min(1.0, mapped_km2 / max(mapped_km2, square_kilometres(zones)))
    )
    counts = figures.windows_by_stride or {lattices[0].lattice.stride: figures.windows}
    windows = {stride: seen * count for stride, count in counts.items()}
    minutes, speed = model_minutes(request, bundle, lattices, windows, seen * figures.windows_around)
    far = sum(any(is_url(asset.href) for asset in source.assets.values()) for source in sources)
    quote = Quote.of(
        speed,
        targets=len(request.targets),
        opening=speed.opening_of(bundle, request.targets),
        layers=layers,
        windows=seen * figures.windows,
        read_gigabytes=reading.asked,
        network_gigabytes=reading.fetched * far / max(1, len(sources)),
        mosaics_gigabytes=sum(figures.output_gigabytes.values()) * (1 - figures.gap_share)
        + beside_gigabytes(layers, mapped_km2 / 100),
        blocks_gigabytes=blocks_gigabytes(zones, layers, lattices, bundle, _preview_factor(zones)),
        mapped_km2=mapped_km2,
    )
    quote = quote.priced(minutes, Prices.known())
    return figures.model_copy(update={"device_minutes": minutes, "quote": quote})


def _preview_factor(zones: Sequence[Zone]) -> int:
    """Pixels of ground to one of the report's pictures."""
    longest = max((max(zone.rect.shape) for zone in zones), default=1)
    return 1 << max(0, (longest // _PREVIEW_SIDE).bit_length())


def _with_l1c(scenes: Iterable[Scene | BackscatterScene]) -> list[Scene | BackscatterScene]:
    """Scenes and the L1C of each that has one: all that is read of them."""
    return [one for scene in scenes for one in (scene.both if isinstance(scene, Scene) else (scene,))]


def _naming_what_was_found(
    prepared: Prepared,
    used: Iterable[Source],
    dropped: Iterable[tuple[Scene, str]],
    excluded: Iterable[str],
) -> RegionRequest:
    """The request with scenes of the plan in place of files and of names that none of them has.

    So a plan needs no file, tells nothing else that is in one, and its run's id hangs on no name that means nothing.
    Of Sentinel-1 and the DEM ``excluded`` are the keys that it names.
    """
    exclude = sorted({*excluded, *(scene.key for scene, reason in dropped if reason == EXCLUDED_BY_REQUEST)})
    trust = sorted(scene.key for scene in used if prepared.named.trusts(scene))
    return prepared.request.model_copy(update={"exclude": tuple(exclude), "trust": tuple(trust)})


def _told_apart(acquisitions: Sequence[Acquisition[Any]]) -> list[Acquisition[Any]]:
    """As they are, but each of the scenes with a key of its own among all that a plan uses."""
    scenes: list[Scene] = [scene for acquisition in acquisitions for scene in acquisition.scenes]
    # An L1C may be that of two scenes.
    distinct = list({id(one): one for scene in scenes for one in scene.both}.values())
    told = dict(zip(map(id, distinct), tell_apart(distinct), strict=True))

    def with_key(scene: Scene) -> Scene:
        own = told[id(scene)]
        return own if scene.l1c is None else own.model_copy(update={"l1c": told[id(scene.l1c)]})

    return [
        replace(acquisition, scenes=tuple(map(with_key, acquisition.scenes))) for acquisition in acquisitions
    ]
