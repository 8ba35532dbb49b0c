"""Parts of a region that stay without data, and why: the causes, and those of them that metadata tells."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Literal

import shapely
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import Catalog, above_the_limit, clouds_above, scenes_there
from terramosaic.catalog.footprint import footprint_of
from terramosaic.errors import CatalogError
from terramosaic.ground.zones import Area
from terramosaic.request.request import RegionRequest

logger = logging.getLogger(__name__)

#: Causes that metadata tells, and those that a run finds out.
NO_SCENE, CLOUD_LIMIT, OTHER_ACQUISITIONS, OTHER_DATES, EXCLUDED, NO_L1C, NO_RADAR, NO_HEIGHTS = (
    "no scene",
    "cloud limit",
    "other acquisitions",
    "other dates",
    "excluded",
    "no L1C",
    "no radar",
    "no heights",
)
LEFT_OUT, IN_FILES, SKIPPED = "left out", "in the files", "skipped"

#: Where such a part of the region lies, by the cause.
WHERE = {
    NO_SCENE: "under no scene",
    CLOUD_LIMIT: "under scenes above the cloud limit alone",
    OTHER_ACQUISITIONS: "under scenes of other acquisitions than the best alone (composite: single)",
    OTHER_DATES: "under scenes of other dates than those that were chosen, or not of all of these",
    EXCLUDED: "under scenes that the request excludes",
    NO_L1C: "under scenes of L2A without L1C of the same acquisition",
    NO_RADAR: "where Sentinel-1 has nothing, or the edge of its swath",
    NO_HEIGHTS: "where the DEM has no height",
    LEFT_OUT: "under scenes that were left out",
    IN_FILES: "where the scenes' files hold no data",
    SKIPPED: "under cloud alone and was skipped",
}

#: Share of a region from which on a gap is told: less is a matter of footprints, which providers simplify.
TOLD = 0.001


def gaps_of(
    request: RegionRequest,
    area: Area,
    covered: BaseGeometry,
    dropped: Mapping[str, Sequence[BaseGeometry]],
    catalog: Catalog,
    level: Literal["L1C", "L2A"],
) -> tuple[dict[str, float], str]:
    """What of a region lies under no scene that is used: its share by cause, and what would help, in words.

    Where there is a gap, the catalog is asked once more for what the cloud limit kept out of it.

    Args:
        request: what is asked for.
        area: its region.
        covered: what lies under the scenes that are used.
        dropped: footprints of scenes that were found and are not used, by cause.
        catalog: where the scenes were found.
        level: of theirs.
    """
    whole, gap = area.square_kilometres, area.outline.difference(covered)
    shares: dict[str, float] = {}
    hint = ""

    def share_of(geometry: BaseGeometry) -> float:
        return Area(geometry).square_kilometres / whole

    def take(cause: str, footprints: Sequence[BaseGeometry]) -> BaseGeometry:
        under = gap.intersection(shapely.union_all(footprints))
        if (share := share_of(under)) > 0:
            shares[cause] = share
        return gap.difference(under)

    for cause, footprints in dropped.items():
        gap = take(cause, footprints)
    if request.max_cloud < 100 and share_of(gap) > TOLD:
        found = _clouded(request, gap, catalog, level)
        if found:
            gap = take(CLOUD_LIMIT, [footprint for footprint, _ in found])
            hint = above_the_limit([cloud for _, cloud in found])
    take(NO_SCENE, [gap])
    return shares, hint


def with_other_inputs(gaps: Mapping[str, float], lost: Mapping[str, float]) -> dict[str, float]:
    """Gaps of the imagery that leads, and what the other inputs leave without data.

    Args:
        gaps: by cause, of what leads; none where nobody asked why.
        lost: by cause, what each input leaves out, see `terramosaic.planning.coverage`.
    """
    of_others = {cause: share for cause, share in lost.items() if cause != NO_SCENE and share > TOLD}
    unasked = {NO_SCENE: lost[NO_SCENE]} if lost[NO_SCENE] > TOLD else {}
    return {**(gaps or unasked), **of_others}


def _clouded(
    request: RegionRequest, gap: BaseGeometry, catalog: Catalog, level: Literal["L1C", "L2A"]
) -> list[tuple[BaseGeometry, float]]:
    """Footprints and cloud cover in percent of items over a gap that the cloud limit alone keeps out."""
    parts = [part for part in shapely.get_parts(gap) if part.area > TOLD * gap.area]
    try:
        there = scenes_there(catalog, parts, *request.interval, level)
        return [(footprint_of(item), cloud) for item, cloud in clouds_above(request.max_cloud, there)]
    except CatalogError as error:
        # The plan is whole without it.
        logger.warning("whether the cloud limit makes the gaps is not known: %s", error)
        return []
