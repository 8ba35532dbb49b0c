"""Passes: which scenes a satellite saw while it flew over once, and what tells one pass from another.

Two satellites, and one satellite on two orbits, may see the same ground on one day, an hour or some minutes apart. What
they see is two acquisitions: clouds have moved, and the sun.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from terramosaic.catalog.scene import Scene

#: Scenes of one platform that are no further apart are of one pass; the next comes after 100 minutes.
PASS_GAP = timedelta(minutes=30)

#: A platform comes back to a relative orbit after ten days: whatever a catalog's clock says, within one it is one pass.
_SAME_ORBIT_GAP = timedelta(days=1)

#: Letters of satellites, and what their 143 orbits stay below.
_SATELLITES = "abcdef"
_TIMES = 200


@dataclass(frozen=True)
class Pass:
    """One flight of a satellite over the ground.

    Attributes:
        solar_day: the day by the sun, the earlier one of a pass over the antimeridian.
        start: when the first of its scenes was sensed, UTC.
        platform: ``sentinel-2a`` and so on; empty where it is not known, as of what earlier versions have mapped.
        relative_orbit: 1 to 143; None where no scene tells it.
    """

    solar_day: date
    start: datetime
    platform: str = ""
    relative_orbit: int | None = None

    @classmethod
    def of(cls, scenes: Iterable[Scene]) -> Pass:
        """The pass of some scenes, all of one."""
        scenes = list(scenes)
        return cls(
            min(scene.solar_day for scene in scenes),
            min(scene.datetime for scene in scenes),
            scenes[0].platform,
            next((scene.relative_orbit for scene in scenes if scene.relative_orbit), None),
        )

    @property
    def told_apart(self) -> str:
        """What tells it from the other passes of its day, in words."""
        orbit = f"R{self.relative_orbit:03}" if self.relative_orbit else f"{self.start:%H:%M}"
        return f"{self.platform} {orbit}" if self.platform else orbit

    @property
    def number(self) -> int:
        """Tells it from the other passes of its day, the same whoever asks: satellite and orbit, above 0.

        2122 is Sentinel-2B on relative orbit 122. Where no scene tells the orbit it is the time, in tens of minutes
        from midnight (UTC), above 200: 2261 is Sentinel-2B at 10:10.
        """
        tens_of_minutes = self.start.hour * 6 + self.start.minute // 10
        satellite = 1 + _SATELLITES.find(self.platform[-1:]) if self.platform else 0
        return 1000 * satellite + (self.relative_orbit or _TIMES + tens_of_minutes)

    def is_same(self, other: Pass) -> bool:
        """Whether both are one pass, of which perhaps other scenes are known by now."""
        if self.platform and other.platform and self.platform != other.platform:
            return False
        return _is_one_pass(self.relative_orbit, other.relative_orbit, abs(self.start - other.start))

    @property
    def order(self) -> tuple[date, datetime, str]:
        """Sorts passes by time."""
        return self.solar_day, self.start, self.platform


def passes_of(scenes: Iterable[Scene]) -> list[list[Scene]]:
    """The scenes of each pass.

    Tiles of one datatake are one pass, though some catalogs tell for each when it was sensed, up to a quarter of an
    hour apart, and others for all when the datatake began. By the relative orbit, where scenes tell it, else by time.
    """
    passes: list[list[Scene]] = []
    for scene in sorted(scenes, key=lambda scene: (scene.platform, scene.sensing_start, scene.id)):
        for known in reversed(passes):
            last = known[-1]
            gap = scene.sensing_start - last.sensing_start
            if last.platform != scene.platform or gap > _SAME_ORBIT_GAP:
                passes.append([scene])
                break
            if _is_one_pass(last.relative_orbit, scene.relative_orbit, gap):
                known.append(scene)
                break
        else:
            passes.append([scene])
    return passes


def labels_of(passes: Sequence[Pass]) -> list[str]:
    """What to call each pass: its day, and where another is of the same day its platform and orbit (or time), too."""
    days = Counter(one.solar_day for one in passes)
    return [
        one.solar_day.isoformat() + (f" {one.told_apart}" if days[one.solar_day] > 1 else "")
        for one in passes
    ]


def _is_one_pass(orbit: int | None, other: int | None, gap: timedelta) -> bool:
    if orbit and other:
        return orbit == other and gap <= _SAME_ORBIT_GAP
    return gap <= PASS_GAP
