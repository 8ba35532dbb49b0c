"""What is told of a plan, decided once: command line, notebook, report, Prefect and item are ways of showing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from shapely.geometry import shape

from terramosaic.catalog import labels_of
from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.elevation import name_of_cell
from terramosaic.ground.grid import zone_name
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.planning.plan import Plan, RankedAcquisition
from terramosaic.publishing.dates import DateFacts, dates_in_words, dates_of
from terramosaic.publishing.numbers import counted, degrees, number, percent, size, square_km
from terramosaic.publishing.quote import quote_in_words
from terramosaic.publishing.words import (
    Code,
    bounds_in_words,
    region_in_words,
    targets_in_words,
)
from terramosaic.request.interval import interval_in_words

#: What an overview of B04 shows, in words; see `terramosaic.imagery.offset.check_offset`.
_VERDICTS = {
    "present": "the offset is there",
    "removed": "the offset is gone",
    "undecided": "they cannot tell",
    "not applicable": "no offset before 04.00",
}


@dataclass(frozen=True)
class SceneFacts:
    """A scene in use; ``?`` stands for what its item does not say.

    Attributes:
        sensed: in UTC, to the minute.
        rule: what decided its offset: its metadata, or once it was read its files.
        planned: what the plan takes off its digital numbers, or ``kept``.
        subtracted: what was taken off in the end; None while the scene was not read.
        verdict: what its pixels say to that, in a word; empty where they were not asked.
        pixels: the same with the evidence, in words; of a scene that was left out, why.
    """

    id: str
    sensed: str
    tile: str
    cloud: str
    baseline: str
    rule: str
    planned: str
    subtracted: int | None
    verdict: str
    pixels: str


@dataclass(frozen=True)
class AcquisitionFacts:
    """An acquisition in its rank.

    Attributes:
        day: the solar day, and which pass where the plan has several of that day.
    """

    rank: int
    day: str
    covers: str
    cloud: str
    scenes: tuple[SceneFacts, ...]

    def each(self, name: str, most: int = 8) -> str:
        """What the scenes have of a field, such as their tiles: each once, and at most so many."""
        found = sorted({getattr(scene, name) for scene in self.scenes})
        return ", ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")


@dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """What is told of a plan.

    Attributes:
        plan: the plan.
        decisions: of each scene that was needed, by its key. None while nothing has run.
    """

    plan: Plan
    decisions: Mapping[str, SceneDecision] = field(default_factory=dict)

    @property
    def headline(self) -> str:
        """What is mapped, in a few words."""
        return targets_in_words(self.plan.request.targets)

    @property
    def region(self) -> str:
        """What kind of region it is, and how large."""
        return region_in_words(self.plan.request.region, self.plan.figures.area_km2)

    @cached_property
    def place(self) -> str:
        """The region's middle in words."""
        region = shape(self.plan.region)
        point = region.centroid
        if not region.buffer(1e-9).contains(point):
            point = region.representative_point()
        return f"{degrees(point.y, 'N', 'S', 2)}, {degrees(point.x, 'E', 'W', 2)}"

    @property
    def days(self) -> list[str]:
        """The solar days of its scenes."""
        return sorted({f"{scene.solar_day:%Y-%m-%d}" for scene in self.plan.leading.values()})

    @cached_property
    def figures(self) -> dict[str, str]:
        """What the plan amounts to, by name."""
        plan, figures = self.plan, self.plan.figures
        zones = ", ".join(f"{zone_name(zone.epsg)} (EPSG:{zone.epsg})" for zone in plan.zones)
        mapped = (
            f", {percent(figures.mapped_share)} by all inputs" if figures.mapped_share is not None else ""
        )
        gaps = f"gaps of {percent(figures.gap_share)}" if figures.gap_share > 0 else "no gaps"
        empty = figures.empty_blocks
        left_out = f"; {counted(empty, 'block')} without imagery left out" if empty else ""
        windows = f"{counted(figures.windows, 'window')}{self._by_stride}{self._around}"
        work = f"{windows} in {counted(figures.blocks, 'block')}"
        seen_by = "scenes of all dates" if plan.dates else "at least one scene"
        written = (f"{name} {size(each * 1e9)}" for name, each in figures.output_gigabytes.items())
        return {
            "Region": f"{square_km(figures.area_km2)} around {self.place}, UTM {zones}",
            "Imagery": f"{counted(figures.scenes, 'scene')} of {counted(figures.acquisitions, 'acquisition')}",
            **({"Dates": dates} if (dates := dates_in_words(plan)) else {}),
            **(
                {"L1C": f"{counted(len(l1c), 'scene')} of the same acquisitions"}
                if (l1c := plan.l1c_beside)
                else {}
            ),
            **({"Sentinel-1": radar} if (radar := self._radar_beside) else {}),
            **({"DEM": counted(len(plan.heights.elevation.by_key), "tile")} if plan.heights else {}),
            "Covered": f"{percent(figures.covered_share)} of the region by {seen_by}{mapped}, {gaps}",
            "Work": f"{work}{left_out}",
            "To read": f"about {size(figures.read_gigabytes * 1e9)}",
            "To write": f"{', '.join(written)} (estimate)",
            **(quote_in_words(figures) if figures.quote else {}),
            **({"Can hold": bounds} if (bounds := bounds_in_words(plan)) else {}),
            "Model": plan.bundle.title,
            "Searched": interval_in_words(plan.searched),
            "Folder": Code(f"{plan.request.out}/{plan.run_id}"),
        }

    @property
    def _by_stride(self) -> str:
        """What is made in how many windows, where targets have strides of their own; a class takes no diffusion."""
        counts = self.plan.figures.windows_by_stride
        classes = {layer.target for layer in self.plan.layers if layer.kind == "class"}
        told = []
        for each in self.plan.lattices if counts else ():
            cheap = ", without diffusion" if classes.issuperset(each.targets) else ""
            stride = each.lattice.stride
            told.append(f"{number(counts[stride])} of stride {stride} for {', '.join(each.targets)}{cheap}")
        return f" ({'; '.join(told)})" if told else ""

    @property
    def _around(self) -> str:
        """How many more windows a consensus looks at, which cost what the transformer takes."""
        count = self.plan.figures.windows_around
        return f" and up to {number(count)} around them, for the tokens they share alone" if count else ""

    @cached_property
    def acquisitions(self) -> tuple[AcquisitionFacts, ...]:
        """All acquisitions, the best first, each with its scenes."""
        labels = labels_of(self.plan.passes)
        return tuple(
            self._acquisition(rank, label, ranked)
            for rank, (label, ranked) in enumerate(zip(labels, self.plan.acquisitions, strict=True), start=1)
        )

    @property
    def _radar_beside(self) -> str:
        """Passes of Sentinel-1 beside what leads, in words; nothing where there are none."""
        radar = self.plan.radar
        if radar is None or self.plan.is_led_by_radar:
            return ""
        days = [one.days for one in radar.passes]
        nearest, farthest = number(min(days), 1), number(max(days), 1)
        apart = nearest if nearest == farthest else f"{nearest} to {farthest}"
        direction = f", {radar.passes[0].direction}" if radar.passes[0].direction else ""
        passes = f"{len(days)} pass{'es' if len(days) > 1 else ''}"
        return f"{passes}{direction}, {apart} days from {'their dates' if self.plan.dates else 'the best acquisition'}"

    @cached_property
    def dates(self) -> list[DateFacts]:
        """Which acquisition each date is, of a model of several."""
        return dates_of(self.plan)

    @property
    def scenes(self) -> list[SceneFacts]:
        """All scenes in use, in the order of their acquisitions."""
        return [scene for day in self.acquisitions for scene in day.scenes]

    @property
    def beside(self) -> list[SceneFacts]:
        """What windows are cut from besides these: the L1C of the same acquisitions."""
        return [self._scene(key) for key in self.plan.l1c_beside]

    @property
    def slices_beside(self) -> list[SceneFacts]:
        """The Sentinel-1 that windows are cut from besides these, in the order of passes."""
        radar = self.plan.radar
        if radar is None or self.plan.is_led_by_radar:
            return []
        return [self._scene(key) for one in radar.passes for key in one.scenes]

    @property
    def tiles(self) -> list[tuple[Code, str, str, str]]:
        """Tiles of heights: the key, of which DEM, the cell, and what came of it."""
        tiles = self.plan.heights.elevation.by_key.values() if self.plan.heights else ()
        return [
            (Code(tile.key), tile.kind, name_of_cell(tile.cell), _in_words(self.decisions.get(tile.key)))
            for tile in tiles
        ]

    @property
    def warnings(self) -> list[str]:
        """What to know before using the maps."""
        return list(self.plan.warnings)

    def _acquisition(self, rank: int, day: str, ranked: RankedAcquisition) -> AcquisitionFacts:
        scenes = tuple(self._scene(id_) for id_ in ranked.scenes)
        cloud = "seen through" if self.plan.is_led_by_radar else percent(ranked.cloud / 100)
        return AcquisitionFacts(rank, day, percent(ranked.coverage), cloud, scenes)

    def _scene(self, id_: str) -> SceneFacts:
        scene, found = self.plan.sources[id_], self.decisions.get(id_)
        if isinstance(scene, BackscatterScene):
            return _of_radar(scene, found)
        planned = str(max(asset.offset for asset in scene.assets.values()))
        rule, subtracted, verdict = scene.offset_rule, None, ""
        pixels = "not read: better acquisitions were clear"
        if self.plan.request.offset == "keep":
            planned, subtracted, pixels = "kept", 0, "not asked: the request keeps offsets"
        if found is not None and not found.is_used:
            subtracted, pixels = None, f"left out ({found.cause}): {found.reason}"
        elif found is not None and found.evidence is not None:
            rule, verdict = found.offset_rule or rule, found.evidence.verdict
            subtracted = max(found.offsets.values())
            below = f"{percent(found.evidence.share_below_1000)} of B04 below 1000"
            pixels = f"{_VERDICTS.get(verdict, verdict)} ({below})"
        return SceneFacts(
            id=id_,
            sensed=f"{scene.datetime:%Y-%m-%d %H:%M}",
            tile=scene.mgrs_tile or "?",
            cloud="?" if scene.cloud_cover is None else percent(scene.cloud_cover / 100),
            baseline=scene.processing_baseline or "?",
            rule=rule,
            planned=planned,
            subtracted=subtracted,
            verdict=verdict,
            pixels=pixels,
        )


def _of_radar(scene: BackscatterScene, found: SceneDecision | None) -> SceneFacts:
    """A scene of Sentinel-1: where Sentinel-2 has tile and baseline it has orbit and the orbit's source."""
    orbit = f"R{scene.relative_orbit:03}" if scene.relative_orbit else "?"
    return SceneFacts(
        id=scene.key,
        sensed=f"{scene.datetime:%Y-%m-%d %H:%M}",
        tile=f"{orbit} {scene.direction}".strip(),
        cloud="seen through",
        baseline=scene.orbit_source or "?",
        rule="none: gamma nought",
        planned="0",
        subtracted=None,
        verdict="",
        pixels=_in_words(found, "not read: windows are of better passes"),
    )


def _in_words(found: SceneDecision | None, unread: str = "not read") -> str:
    """What came of a scene of radar or a tile of heights."""
    if found is None:
        return unread
    return (
        ("; ".join(found.notes) or "as they should be")
        if found.is_used
        else f"left out ({found.cause}): {found.reason}"
    )
