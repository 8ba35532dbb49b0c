"""Acquisitions: which scenes are one product, which belong to one pass, which passes serve a region best."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Generic, TypeVar

import shapely
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.footprint import square_degrees
from terramosaic.catalog.passes import Pass, passes_of
from terramosaic.catalog.scene import Scene
from terramosaic.ground.nearby import Nearby

#: Steps in which coverage counts for the rank: a sliver of ground does not outweigh a clear sky.
_COVERAGE_STEPS = 20

#: Digits of a percentage in which cloud counts: where it is the same, the last bits of an area must not decide.
_CLOUD_DIGITS = 9


#: Footprints that are kept in mind while passes are ranked. A tile that a track sees the whole of has the same one in
#: each pass; a country of 500 000 km² has no more between two of them.
_FOOTPRINTS = 512

#: Of Sentinel-2, or where a map is made of radar alone, of Sentinel-1.
_AnyScene_co = TypeVar("_AnyScene_co", bound=Scene | BackscatterScene, covariant=True)


@dataclass(frozen=True)
class Acquisition(Generic[_AnyScene_co]):
    """The scenes of one pass of a satellite.

    Attributes:
        of_pass: which pass.
        scenes: in an order that the ground decides: MGRS tile, then start of the datastrip, then id.
        coverage: share of a region's area under their footprints, 0 to 1; set by `rank`.
        cloud: their mean cloud cover in percent, weighted by the region's area under each; set by `rank`.
    """

    of_pass: Pass
    scenes: tuple[_AnyScene_co, ...]
    coverage: float = 0.0
    cloud: float = 100.0


def drop_superseded(scenes: Iterable[Scene]) -> tuple[list[Scene], list[tuple[Scene, str]]]:
    """Keeps one of the scenes that are the same product, the newest processing of it.

    The same are those of one platform, one datastrip (by the start of its sensing) and one MGRS tile, on the same
    ground. Two datastrips of one datatake cover two halves of a tile, so both stay, and so do the parts that a catalog
    has cut a tile into. A scene whose tile is unknown stays, but for copies of it.

    Returns:
        The scenes to use, in their order, and those dropped, each with the reason.
    """
    scenes = list(scenes)
    same: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, scene in enumerate(scenes):
        same[_product(scene)].append(index)
    better: dict[int, Scene] = {}
    for indices in same.values():
        if len(indices) == 1:
            continue  # as most, and what tells copies apart takes a while
        newest: list[Scene] = []
        for index in sorted(indices, key=lambda index: _processing(scenes[index]), reverse=True):
            best = next((one for one in newest if _lies_on(scenes[index], one)), None)
            if best is None:
                newest.append(scenes[index])
            else:
                better[index] = best
    kept = [scene for index, scene in enumerate(scenes) if index not in better]
    return kept, [(scenes[index], _why(best, scenes[index])) for index, best in sorted(better.items())]


def group_by_pass(scenes: Iterable[Scene]) -> list[Acquisition[Scene]]:
    """Groups scenes into acquisitions by the pass that saw them, in order of time."""
    found = [
        Acquisition(Pass.of(scenes_of_pass), tuple(sorted(scenes_of_pass, key=_ground_order)))
        for scenes_of_pass in passes_of(scenes)
    ]
    return sorted(found, key=lambda acquisition: acquisition.of_pass.order)


def rank(acquisitions: Iterable[Acquisition[Scene]], region: BaseGeometry) -> list[Acquisition[Scene]]:
    """Orders acquisitions by how well they serve a region, the best first.

    By coverage in steps of 5 %, then by cloud, then the newer first. A scene that does not tell its cloud
    cover counts as clouded. An acquisition that does not touch the region is left out.

    Args:
        acquisitions: what to order.
        region: polygon or multipolygon in lon/lat degrees, split at the antimeridian.

    Returns:
        The acquisitions with their coverage and cloud filled in.
    """
    area, nearby = square_degrees(region), Nearby(region)

    @lru_cache(_FOOTPRINTS)
    def inside(footprint: BaseGeometry) -> tuple[BaseGeometry, float]:
        part = footprint.intersection(nearby.around(footprint))
        return part, square_degrees(part)

    ranked = []
    for acquisition in acquisitions:
        parts, areas = zip(*(inside(scene.geometry) for scene in acquisition.scenes), strict=True)
        if sum(areas) == 0:
            continue
        clouds = [100.0 if scene.cloud_cover is None else scene.cloud_cover for scene in acquisition.scenes]
        cloud = sum(share * cloud for share, cloud in zip(areas, clouds, strict=True)) / sum(areas)
        coverage = min(1.0, square_degrees(shapely.union_all(parts)) / area)
        ranked.append(replace(acquisition, coverage=coverage, cloud=cloud))
    newest_first = sorted(ranked, key=lambda one: one.of_pass.order, reverse=True)
    return sorted(
        newest_first,
        key=lambda one: (-round(one.coverage * _COVERAGE_STEPS), round(one.cloud, _CLOUD_DIGITS)),
    )


def _product(scene: Scene) -> tuple[str, ...]:
    if scene.mgrs_tile is None:
        return scene.collection, scene.id, scene.fingerprint
    return scene.platform, scene.sensing_start.isoformat(), scene.mgrs_tile


def _lies_on(scene: Scene, other: Scene) -> bool:
    """Whether most of a scene's ground is another's, too; providers draw footprints of one product in several ways."""
    if scene.footprint == other.footprint:
        return True
    outside = scene.geometry.difference(other.geometry)
    return bool(outside.area < scene.geometry.area / 2)


def _processing(scene: Scene) -> tuple[str, datetime, str, str, str]:
    made = scene.generation_time or datetime.min.replace(tzinfo=UTC)
    # Of copies always the same one is taken, in whatever order a catalog gives them.
    return scene.processing_baseline or "", made, scene.id, scene.collection, scene.fingerprint


def _why(best: Scene, scene: Scene) -> str:
    if best.processing_baseline != scene.processing_baseline:
        newer = (
            f"processing baseline {best.processing_baseline}, not {scene.processing_baseline or 'unknown'}"
        )
    elif best.generation_time != scene.generation_time:
        newer = f"made {best.generation_time:%Y-%m-%d}"
    else:
        newer = "a duplicate"
    return f"superseded by {best.id} ({newer})"


def _ground_order(scene: Scene) -> tuple[Any, ...]:
    # Of one id there may be several, which their collections or their ground tell apart.
    return scene.mgrs_tile or "", scene.sensing_start, scene.id, scene.collection, scene.geometry.bounds
