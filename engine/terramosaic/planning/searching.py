"""What a search finds of the imagery that leads a run: acquisitions in rank order, and what is left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

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
    scene_from_item,
)
from terramosaic.errors import CatalogError
from terramosaic.planning.gaps import EXCLUDED, OTHER_ACQUISITIONS
from terramosaic.planning.prepared import Prepared
from terramosaic.planning.radar import RADAR, Radar

#: Why a scene is dropped that the request names.
EXCLUDED_BY_REQUEST = "excluded by the request"
#: Why a composite of a single acquisition drops a scene.
OTHER_ACQUISITION = "not of the best acquisition"
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
        causes = {OTHER_ACQUISITIONS: OTHER_ACQUISITION, EXCLUDED: EXCLUDED_BY_REQUEST}
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
        assert self.catalog is not None  # what Sentinel-1 there is instead its own search says
        return hint_for_nothing(self.catalog, self.prepared.area.parts, *request.interval, request.max_cloud)


def search(prepared: Prepared, tolerated: type[CatalogError] | tuple[()]) -> Found:
    """Asks the catalog; items that cannot be used are an error, but where it is of a kind that is tolerated."""
    request, area, bands = prepared.request, prepared.area, (*prepared.bundle.bands, "SCL")
    catalog, unusable = (
        open_catalog(prepared.catalog, None if prepared.own else request.collection or None),
        Unusable(tolerated, prepared.named.exclude),
    )
    items = catalog.search(prepared.parts, *request.interval, request.max_cloud, unusable)
    scenes = []
    for item in items:
        try:
            scene = scene_from_item(item, catalog.profile, bands, origin=catalog.origin)
            scene.require(bands)
        except CatalogError as error:
            unusable.put(item, error)
        else:
            scenes.append(scene)
    excluded = [(scene, EXCLUDED_BY_REQUEST) for scene in scenes if prepared.named.excludes(scene)]
    # Before superseded ones are dropped: in an excluded one's place comes an earlier processing.
    kept, dropped = drop_superseded(scene for scene in scenes if not prepared.named.excludes(scene))
    dropped += excluded
    searched = f"{catalog.describe()}, {request.datetime}, cloud up to {request.max_cloud:g} %"
    ranked, unknown = rank(group_by_pass(kept), area.outline), tuple(prepared.named.unknown(scenes))
    return Found(catalog, prepared, searched, ranked, dropped, unknown, unusable.items)


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
    what = (
        f"none of the {len(found.unusable)} items found in {found.searched} can be used"
        if more
        else f"the only item found in {found.searched} cannot be used"
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
