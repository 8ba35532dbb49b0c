"""Where the run is: region, blocks and footprints in lon/lat, without a base map; ``parts.html`` draws them as SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import shapely
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import labels_of
from terramosaic.ground.zones import beside, in_one_piece, lonlat_of
from terramosaic.planning.plan import Plan
from terramosaic.publishing.numbers import counted, degrees
from terramosaic.publishing.record import RunFacts

#: Width of a map in its own units, and its height in widths; that of a notebook's, in the pixels it is shown with.
_WIDTH, _SHAPE = 560.0, 0.74
_SMALL_WIDTH = 380.0
_STEPS = (30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)

#: A notebook shows so many acquisitions one by one; of many blocks only their pattern, of too many nothing.
_ACQUISITIONS, _LABELLED_BLOCKS, _DRAWN_BLOCKS = 8, 150, 3000


def run_maps(run: RunFacts) -> tuple[Panel, Panel]:
    """The report's maps: the scenes' footprints around the region, and the region's blocks."""
    plan = run.plan
    middle, region = in_one_piece(shape(plan.region))
    days = _footprints(plan, middle)
    scenes = Panel(
        f"The region under the footprints of {counted(len(plan.leading), 'scene')}",
        shapely.union_all([region, *(footprint for footprint, _ in days)]),
    )
    blocks = Panel(f"The region in {counted(len(plan.blocks), 'block')} (dashed)", region)
    for panel in (scenes, blocks):
        panel.add("footprint", days)
        panel.add("region", [(region, "region")])
    receipts = (run.receipts[block.id] for block in plan.blocks)
    labels = [f"{one.block}: {one.windows} windows in {one.seconds['total']:.1f} s" for one in receipts]
    blocks.add("block", zip(_blocks(plan, middle), labels, strict=True))
    return scenes, blocks


def plan_map(plan: Plan) -> Panel:
    """A notebook's map: the region in its blocks, under each acquisition, or under many acquisitions together."""
    middle, region = in_one_piece(shape(plan.region))
    if len(plan.acquisitions) <= _ACQUISITIONS:
        days, which = _footprints(plan, middle), "the footprints of all acquisitions"
    else:
        which = f"the footprints of {counted(len(plan.leading), 'scene')}, drawn as one"
        covered = shapely.union_all([scene.geometry for scene in plan.leading.values()])
        days = [(beside(covered, middle), "under at least one scene")]
    many = len(plan.blocks) > _DRAWN_BLOCKS
    drawn = f"{counted(len(plan.blocks), 'block')}{', too many to draw' if many else ''}"
    panel = Panel(f"The region in {drawn}, under {which}", region, _SMALL_WIDTH)
    panel.add("footprint", days)
    panel.add("region", [(region, "region")])
    if len(plan.blocks) <= _LABELLED_BLOCKS:
        labels = (f"{block.id}: {counted(block.windows, 'window')}" for block in plan.blocks)
        panel.add("block", zip(_blocks(plan, middle), labels, strict=True))
    elif not many:
        panel.add_together("block fine", _blocks(plan, middle), drawn)
    return panel


def region_map(outline: BaseGeometry, caption: str) -> Panel:
    """A notebook's map of a region alone."""
    _, region = in_one_piece(outline)
    panel = Panel(caption, region, _SMALL_WIDTH)
    panel.add("region", [(region, "region")])
    return panel


def _footprints(plan: Plan, meridian: float) -> list[tuple[BaseGeometry, str]]:
    """Each acquisition's footprint with its label, the best drawn last."""
    return [
        (
            beside(shapely.union_all([plan.leading[id_].geometry for id_ in day.scenes]), meridian),
            f"scenes of {label}",
        )
        for day, label in reversed(list(zip(plan.acquisitions, labels_of(plan.passes), strict=True)))
    ]


def _blocks(plan: Plan, meridian: float) -> Iterator[BaseGeometry]:
    return (beside(lonlat_of(box(*block.rect.bounds), block.epsg), meridian) for block in plan.blocks)


@dataclass(frozen=True)
class Line:
    """A line of the graticule: where it crosses the map, and its label, if there is room for one."""

    at: float
    label: str


@dataclass(frozen=True)
class ScaleBar:
    """A bar of so many kilometres, and where it begins."""

    x: float
    y: float
    length: float
    kilometres: float


class Panel:
    """A map of a bounding box with a little air, equirectangular, its proportions true in the middle.

    Args:
        caption: what it shows.
        content: what must be seen, lon/lat degrees, in one piece at the antimeridian.
        width: of the map, in the units that its lettering of 11 is measured in.

    Attributes:
        shapes: style, path in the map's units and tooltip of what is drawn, in that order.
    """

    def __init__(self, caption: str, content: BaseGeometry, width: float = _WIDTH) -> None:
        self.caption, self.width = caption, width
        west, south, east, north = content.bounds
        self._squeeze = math.cos(math.radians((south + north) / 2))
        air = 0.09 * max((east - west) * self._squeeze, north - south)
        west, east = west - air / self._squeeze, east + air / self._squeeze
        south, north = south - air, north + air
        # Both maps have one shape: the side that is too short for it gets more air.
        wider = (north - south) / _SHAPE / self._squeeze - (east - west)
        taller = _SHAPE * (east - west) * self._squeeze - (north - south)
        west, east = west - max(0, wider) / 2, east + max(0, wider) / 2
        south, north = south - max(0, taller) / 2, north + max(0, taller) / 2
        self._view = (west, south, east, north)
        self._scale = width / ((east - west) * self._squeeze)
        self.height = (north - south) * self._scale
        self.shapes: list[tuple[str, str, str]] = []

    def add(self, style: str, shapes: Iterable[tuple[BaseGeometry, str]]) -> None:
        """Draws polygons with their labels as tooltips."""
        drawn = ((style, self._path(geometry), label) for geometry, label in shapes)
        self.shapes += (one for one in drawn if one[1])

    def add_together(self, style: str, geometries: Iterable[BaseGeometry], label: str) -> None:
        """Draws polygons that share a label: far less text than each with its own."""
        self.shapes.append((style, " ".join(filter(None, map(self._path, geometries))), label))

    @property
    def meridians(self) -> Iterator[Line]:
        """Lines from top to bottom, from west to east."""
        west, _, east, north = self._view
        step, digits = self._step
        free = 30.0  # where the next label may begin without touching the last
        for lon in _multiples(west, east, step):
            x, _ = self._xy(lon, north)
            label = degrees((lon + 180) % 360 - 180, "E", "W", digits)
            if free < x - 3 * len(label) and x < self.width - 30:
                free = x + 3 * len(label) + 8
                yield Line(x, label)
            else:
                yield Line(x, "")

    @property
    def parallels(self) -> Iterator[Line]:
        """Lines from left to right, from south to north."""
        west, south, _, north = self._view
        step, digits = self._step
        for lat in _multiples(south, north, step):
            _, y = self._xy(west, lat)
            yield Line(y, degrees(lat, "N", "S", digits) if 24 < y < self.height - 12 else "")

    @property
    def scale_bar(self) -> ScaleBar:
        """The longest bar of a round number of kilometres that leaves the map visible."""
        pixels_per_km = self._scale / 111.195
        round_numbers = (step * 10**power for power in range(-1, 4) for step in (1, 2, 5))
        fitting = (number for number in round_numbers if number * pixels_per_km < 0.27 * self.width)
        kilometres = max(fitting, default=0.1)
        length = kilometres * pixels_per_km
        return ScaleBar(self.width - 14 - length, self.height - 14, length, kilometres)

    @property
    def _step(self) -> tuple[float, int]:
        """Degrees between two lines of the graticule, and the digits that tell them apart."""
        west, south, east, north = self._view
        span = max((east - west) * self._squeeze, north - south)
        step = next((step for step in _STEPS if span / step >= 3), _STEPS[-1])
        return step, max(0, -math.floor(math.log10(step)))

    def _path(self, geometry: BaseGeometry) -> str:
        # Drawn beyond the frame, so that the frame shows no outline where it cuts.
        seen = shapely.clip_by_rect(geometry, *box(*self._view).buffer(8 / self._scale).bounds)
        polygons = (part for part in shapely.get_parts(seen.simplify(0.3 / self._scale)) if part.area)
        return " ".join(self._ring(ring) for part in polygons for ring in (part.exterior, *part.interiors))

    def _xy(self, lon: float, lat: float) -> tuple[float, float]:
        west, _, _, north = self._view
        return (lon - west) * self._squeeze * self._scale, (north - lat) * self._scale

    def _ring(self, ring: Any) -> str:
        points = (self._xy(lon, lat) for lon, lat, *_ in ring.coords)
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _multiples(low: float, high: float, step: float) -> list[float]:
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]
