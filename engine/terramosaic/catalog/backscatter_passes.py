"""Passes of Sentinel-1: which slices are of one, which processing of a slice is used, and which passes make a mosaic.

Passes are told apart by absolute orbit, never by day: two of a day see the ground from two sides. A mosaic is of one
direction, for slopes that one side lights the other leaves in shadow.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

import shapely
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog.backscatter import BackscatterScene, Direction, newness
from terramosaic.catalog.footprint import square_degrees
from terramosaic.catalog.passes import PASS_GAP

#: Two processings of a slice, which lasts 25 s, begin no further apart.
_SAME_SLICE = timedelta(seconds=2)

#: Steps in which coverage counts for a rank: a sliver of ground does not outweigh a week.
_COVERAGE_STEPS = 20

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class BackscatterPass:
    """The slices of one flight over the ground.

    Attributes:
        scenes: in the order of time; where two overlap, the earlier one's pixels are taken.
        coverage: share of a region's area under their footprints, 0 to 1; set by `rank_passes`.
        days: between it and the moment that is wanted; set by `rank_passes`.
    """

    scenes: tuple[BackscatterScene, ...]
    coverage: float = 0.0
    days: float = 0.0

    @property
    def platform(self) -> str:
        """``sentinel-1a`` and so on."""
        return self.scenes[0].platform

    @property
    def absolute_orbit(self) -> int | None:
        """Counts the satellite's orbits; None if no item says it."""
        return self.scenes[0].absolute_orbit

    @property
    def relative_orbit(self) -> int | None:
        """1 to 175; None if no item says it."""
        return next((scene.relative_orbit for scene in self.scenes if scene.relative_orbit), None)

    @property
    def direction(self) -> Direction:
        """Of the orbit; empty if the items do not say."""
        return self.scenes[0].direction

    @property
    def start(self) -> datetime:
        """When its first slice began, UTC."""
        return self.scenes[0].sensing_start

    @property
    def label(self) -> str:
        """In words: ``2023-08-08 sentinel-1a descending R013``."""
        orbit = f"R{self.relative_orbit:03}" if self.relative_orbit else f"{self.start:%H:%M}"
        return " ".join(filter(None, (f"{self.start:%Y-%m-%d}", self.platform, self.direction, orbit)))

    def coverage_of(self, region: BaseGeometry) -> float:
        """The share of a region (lon/lat degrees) under its footprints, 0 to 1."""
        return covered_share((scene.geometry for scene in self.scenes), region)

    def days_from(self, moment: datetime) -> float:
        """Days between its start and a moment, whichever is first."""
        return days_between(self.start, moment)


def days_between(one: datetime, other: datetime) -> float:
    """Days between two moments, whichever is first."""
    return abs(one - other) / _DAY


def covered_share(footprints: Iterable[BaseGeometry], region: BaseGeometry) -> float:
    """The share of a region's area that lies under footprints, 0 to 1; all in lon/lat degrees."""
    covered = shapely.union_all(list(footprints)).intersection(region)
    return min(1.0, square_degrees(covered) / square_degrees(region))


def drop_reprocessed(
    scenes: Iterable[BackscatterScene],
) -> tuple[list[BackscatterScene], list[tuple[BackscatterScene, str]]]:
    """Keeps one of the scenes that are one slice, by platform, absolute orbit and start: the newest processing.

    Returns:
        The scenes to use, in the order of time, and those dropped, each with the reason.
    """
    slices: list[list[BackscatterScene]] = []
    for scene in sorted(scenes, key=lambda one: (*_orbit_of(one), one.sensing_start, newness(one))):
        last = slices[-1][0] if slices else None
        is_same = (
            last is not None
            and _orbit_of(last) == _orbit_of(scene)
            and scene.sensing_start - last.sensing_start <= _SAME_SLICE
        )
        if is_same:
            slices[-1].append(scene)
        else:
            slices.append([scene])
    kept, dropped = [], []
    for processings in slices:
        newest = max(processings, key=newness)
        kept.append(newest)
        dropped += [(scene, _why(newest, scene)) for scene in processings if scene is not newest]
    return sorted(kept, key=_in_time), dropped


def group_by_orbit(scenes: Iterable[BackscatterScene]) -> list[BackscatterPass]:
    """Groups scenes into passes, in the order of time.

    By platform, absolute orbit and direction; where an item does not tell its orbit, by half an hour.
    """
    passes: list[list[BackscatterScene]] = []
    for scene in sorted(scenes, key=lambda one: (*_orbit_of(one), one.direction, one.sensing_start, one.id)):
        last = passes[-1][-1] if passes else None
        is_same = (
            last is not None
            and (_orbit_of(last), last.direction) == (_orbit_of(scene), scene.direction)
            and (scene.absolute_orbit is not None or scene.sensing_start - last.sensing_start <= PASS_GAP)
        )
        if is_same:
            passes[-1].append(scene)
        else:
            passes.append([scene])
    found = [BackscatterPass(tuple(sorted(scenes, key=_in_time))) for scenes in passes]
    return sorted(found, key=lambda one: (one.start, one.platform, one.direction))


def of_one_direction(
    passes: Iterable[BackscatterPass],
    region: BaseGeometry,
    moment: datetime,
    wanted: Literal["ascending", "descending", "best"] = "best",
) -> tuple[list[BackscatterPass], str]:
    """The passes of one direction, and a line that says which and what was left out.

    ``best`` is the direction whose passes together cover more of the region, in steps of 5 %; of two that cover alike
    the one with the pass that is nearer in time; ascending before descending at last. Passes that do not tell their
    direction are a third one.

    Args:
        passes: to choose from.
        region: in lon/lat degrees.
        moment: that is wanted.
        wanted: a direction, or ``best``.
    """
    by_direction: dict[Direction, list[BackscatterPass]] = defaultdict(list)
    for one in passes:
        by_direction[one.direction].append(one)
    if not by_direction:
        return [], ""

    def rank(direction: Direction) -> tuple[int, float, bool, str]:
        alike = by_direction[direction]
        share = covered_share((scene.geometry for one in alike for scene in one.scenes), region)
        nearest = min(one.days_from(moment) for one in alike)
        return -round(share * _COVERAGE_STEPS), nearest, not direction, direction

    best: Direction = min(by_direction, key=rank) if wanted == "best" else wanted
    kept = by_direction.pop(best, [])
    others = ", ".join(
        f"{len(left)} {direction or 'of a direction that is not told'}"
        for direction, left in sorted(by_direction.items())
    )
    return kept, "".join([
        f"Sentinel-1: passes are {best or 'of a direction that is not told'}" if kept else "",
        f"{'; ' if kept else ''}left out: {others}" if others else "",
    ])  # fmt: skip


def rank_passes(
    passes: Iterable[BackscatterPass], region: BaseGeometry, moment: datetime
) -> list[BackscatterPass]:
    """Orders passes by how well they serve a region at a moment, the best first.

    By coverage in steps of 5 %, then the nearer in time, then the newer. Those that do not touch the region, whose
    windows may stick out of it into them, come last.

    Args:
        passes: of one direction; see `of_one_direction`.
        region: in lon/lat degrees.
        moment: that is wanted: a scene's of Sentinel-2, or the middle of a period.

    Returns:
        The passes with coverage and days filled in.
    """
    told = [replace(one, coverage=one.coverage_of(region), days=one.days_from(moment)) for one in passes]
    return sorted(told, key=lambda one: rank_of(one.coverage, one.days, one.scenes[0]))


def rank_of(coverage: float, days: float, first: BackscatterScene) -> tuple[bool, int, float, float, str]:
    """Sorts passes, the best first.

    Args:
        coverage: of the ground that is wanted, 0 to 1.
        days: between the pass and the moment that is wanted.
        first: its first slice.
    """
    newest = -first.sensing_start.timestamp()
    return coverage <= 0, -round(coverage * _COVERAGE_STEPS), days, newest, first.platform


def covers_wholly(coverage: float) -> bool:
    """Whether no pass can cover more, in the steps that count."""
    return round(coverage * _COVERAGE_STEPS) == _COVERAGE_STEPS


def _orbit_of(scene: BackscatterScene) -> tuple[str, int]:
    return scene.platform, -1 if scene.absolute_orbit is None else scene.absolute_orbit


def _in_time(scene: BackscatterScene) -> tuple[datetime, str, str, str]:
    return scene.sensing_start, scene.id, scene.collection, scene.fingerprint


def _why(newest: BackscatterScene, scene: BackscatterScene) -> str:
    if newest.processed != scene.processed and newest.processed is not None:
        newer = f"made {newest.processed:%Y-%m-%d}"
    elif newest.orbit_source != scene.orbit_source:
        newer = (
            f"made with the orbit {newest.orbit_source or 'unknown'}, not {scene.orbit_source or 'unknown'}"
        )
    elif newest.created != scene.created and newest.created is not None:
        newer = f"in the catalog since {newest.created:%Y-%m-%d}"
    else:
        newer = "a duplicate"
    return f"superseded by {newest.id} ({newer})"
