"""What a search finds of the imagery that leads a run: acquisitions in rank order, and what is left out and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self

from shapely.geometry.base import BaseGeometry

from terramosaic.bands import L1C
from terramosaic.catalog import (
    PASS_GAP,
    WITHOUT_L1C,
    Acquisition,
    Catalog,
    Pass,
    Scene,
    Unusable,
    UnusableItem,
    drop_superseded,
    group_by_pass,
    hint_for_nothing,
    of_level,
    open_catalog,
    open_level_1c,
    paired,
    rank,
    scene_from_item,
)
from terramosaic.errors import CatalogError
from terramosaic.planning.gaps import EXCLUDED, NO_L1C, OTHER_ACQUISITIONS, OTHER_DATES
from terramosaic.planning.input_catalogs import catalog_of
from terramosaic.planning.prepared import Prepared
from terramosaic.planning.radar import RADAR, Radar
from terramosaic.request.interval import interval_in_words

#: Why a scene is dropped that the request names.
EXCLUDED_BY_REQUEST = "excluded by the request"
#: Why a composite of a single acquisition drops a scene.
OTHER_ACQUISITION = "not of the best acquisition"
#: Why a map of several dates does.
OTHER_DATE = "not of a date that was chosen"
#: Items that cannot be used, told one by one; all of them are in the plan.
_NAMED_ITEMS = 5


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        catalog: of Sentinel-2; None where passes of Sentinel-1 lead.
        acquisitions: in rank order.
        dropped: scenes that are not used, each with the reason.
        unusable: items of which no scene could be made.
        unknown: what to tell of scenes that the request names and that were not found.
    """

    catalog: Catalog | None
    prepared: Prepared
    searched: str
    acquisitions: Sequence[Acquisition[Any]]
    dropped: Sequence[tuple[Scene, str]]
    unknown: tuple[str, ...] = ()
    unusable: Sequence[UnusableItem] = ()

    def best(self) -> Found:
        """The best acquisition alone; the others' scenes are dropped."""
        others = [scene for acquisition in self.acquisitions[1:] for scene in acquisition.scenes]
        dropped = [*self.dropped, *((scene, OTHER_ACQUISITION) for scene in others)]
        return replace(self, acquisitions=self.acquisitions[:1], dropped=dropped)

    @property
    def dropped_by_cause(self) -> dict[str, list[BaseGeometry]]:
        """Footprints of the scenes without which a gap may be."""
        causes = {
            OTHER_ACQUISITIONS: OTHER_ACQUISITION,
            OTHER_DATES: OTHER_DATE,
            EXCLUDED: EXCLUDED_BY_REQUEST,
            NO_L1C: WITHOUT_L1C,
        }
        return {
            cause: [scene.geometry for scene, why in self.dropped if why == dropped]
            for cause, dropped in causes.items()
        }

    def only(self, acquisition: Acquisition[Any]) -> Found:
        """One acquisition, as if nothing else had been there."""
        dropped = [
            (scene, why) for scene, why in self.dropped if Pass.of([scene]).is_same(acquisition.of_pass)
        ]
        return replace(self, acquisitions=[acquisition], dropped=dropped, unknown=(), unusable=())

    def hint(self) -> str:
        """Why there may be nothing."""
        request = self.prepared.request
        excluded = sum(reason == EXCLUDED_BY_REQUEST for _, reason in self.dropped)
        if excluded:
            return f"{excluded} scenes were found and are excluded by the request; name fewer in exclude"
        if any(reason == WITHOUT_L1C for _, reason in self.dropped):
            return (
                "there are scenes of L2A, but no L1C of the same acquisitions; "
                "say in catalogs where that is, or leave S2L1C out of the inputs"
            )
        optical = self.prepared.optical
        assert self.catalog is not None  # what Sentinel-1 there is instead its own search says
        assert optical is not None
        period = request.interval
        return hint_for_nothing(
            self.catalog, self.prepared.area.parts, *period, request.max_cloud, optical.level
        )


def search(prepared: Prepared, tolerated: type[CatalogError] | tuple[()]) -> Found:
    """Asks the catalog; items that cannot be used are an error, but where it is of a kind that is tolerated."""
    request, optical = prepared.request, prepared.optical
    assert optical is not None  # where radar leads, it has a search of its own
    unusable = Unusable(tolerated, prepared.named.exclude)
    level_1c = partial(open_level_1c, *catalog_of(request, L1C))
    catalog = (
        open_catalog(prepared.catalog, None if prepared.own else request.collection or None)
        if optical.tells_clouds
        else level_1c()
    )
    items = catalog.stream(prepared.parts, *request.interval, request.max_cloud, unusable)
    classes = ("SCL",) if optical.tells_clouds else ()
    leading = _Scenes.of(items, catalog, prepared, optical.level, (*optical.bands, *classes), unusable)
    searched = f"{catalog.describe()}, {request.datetime}, cloud up to {request.max_cloud:g} %"
    kept, dropped, named = leading.kept, leading.dropped, leading.found
    if optical.beside:
        catalog_1c, (start, end) = level_1c(), request.interval
        # Some catalogs tell the time of a tile, others that of its datatake.
        items = catalog_1c.stream(
            prepared.parts, start and start - PASS_GAP, end and end + PASS_GAP, None, unusable
        )
        beside = _Scenes.of(items, catalog_1c, prepared, "L1C", optical.beside, unusable)
        kept, without = paired(kept, beside.kept)
        dropped = [*dropped, *beside.dropped, *((scene, WITHOUT_L1C) for scene in without)]
        named = [*named, *beside.found]
        searched += f"; L1C of the same acquisitions in {catalog_1c.describe()}"
    ranked, unknown = rank(group_by_pass(kept), prepared.area.outline), tuple(prepared.named.unknown(named))
    return Found(catalog, prepared, searched, ranked, dropped, unknown, unusable.items)


@dataclass(frozen=True)
class _Scenes:
    """Scenes of a level: all that were found, those to use, and those that are dropped, each with the reason."""

    found: list[Scene]
    kept: list[Scene]
    dropped: list[tuple[Scene, str]]

    @classmethod
    def of(
        cls,
        items: Iterable[dict[str, Any]],
        catalog: Catalog,
        prepared: Prepared,
        level: Literal["L1C", "L2A"],
        bands: Sequence[str],
        unusable: Unusable,
    ) -> Self:
        """Those of some items of a catalog, which must have these bands."""
        scenes, lacking = [], unusable.beside()
        for item in of_level(items, level):
            try:
                scene = scene_from_item(item, catalog.profile, bands, origin=catalog.origin, level=level)
                scene.require(bands)
            except CatalogError as error:
                lacking.put(item, error)
            else:
                scenes.append(scene)
        unusable.items.extend(lacking.items)
        excluded = [(scene, EXCLUDED_BY_REQUEST) for scene in scenes if prepared.named.excludes(scene)]
        # Before superseded ones are dropped: in an excluded one's place comes an earlier processing.
        kept, dropped = drop_superseded(scene for scene in scenes if not prepared.named.excludes(scene))
        return cls(scenes, kept, [*dropped, *excluded])


def led_by(radar: Radar, prepared: Prepared) -> Found:
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
    return Found(None, prepared, radar.searched, acquisitions, ())


def radar_beside(prepared: Prepared, found: Found, standing: Radar | None = None) -> Radar | None:
    """Sentinel-1 beside what leads a run; of the passes those that are near to its best acquisition.

    Args:
        prepared: the request.
        found: what leads.
        standing: see `find_radar`.
    """
    if RADAR not in prepared.request.inputs:
        return None
    near = found.acquisitions[0].of_pass.start
    return prepared.radar(near=near, standing=standing)


def is_part_of(item: UnusableItem, acquisition: Acquisition[Any]) -> bool:
    """Whether an item is of the same pass, so that the acquisition is not whole without it."""
    return item.datetime is not None and any(
        abs(scene.datetime - item.datetime) <= PASS_GAP for scene in acquisition.scenes
    )


def none_usable(found: Found) -> CatalogError:
    first, *more = (item.error for item in found.unusable)
    where = interval_in_words(found.searched)
    what = (
        f"none of the {len(found.unusable)} items found in {where} can be used"
        if more
        else f"the only item found in {where} cannot be used"
    )
    return first.among(what, more[: _NAMED_ITEMS - 1])


def left_out_in_words(items: Sequence[UnusableItem]) -> list[str]:
    """A warning of what cannot be used, the first few by name."""
    if not items:
        return []
    told = "; ".join(str(item.error) for item in items[:_NAMED_ITEMS])
    more = f"; and {len(items) - _NAMED_ITEMS} more" if len(items) > _NAMED_ITEMS else ""
    return [
        f"{'an item' if len(items) == 1 else f'{len(items)} items'} left out that cannot be used: {told}{more}"
    ]
