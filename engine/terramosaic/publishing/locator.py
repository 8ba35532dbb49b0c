"""Where the run is: region, blocks and footprints as inline SVG in lon/lat, without any base map."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import shapely
from shapely.geometry import box, shape
from shapely.geometry.base import BaseGeometry

from terramosaic.ground.zones import lonlat_of
from terramosaic.planning.plan import Plan
from terramosaic.publishing.markup import Html, counted, fill, join
from terramosaic.publishing.record import RunRecord

#: Width of a map in its own units, and its height in widths.
_WIDTH, _SHAPE = 560.0, 0.74
_STEPS = (30, 20, 10, 5, 2, 1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002)


def locator_maps(record: RunRecord) -> Html:
    """Two maps: the scenes' footprints around the region, and the region's blocks."""
    plan = record.plan
    middle, region = region_beside(shape(plan.region))
    days = footprints(plan, middle)
    scenes = Panel(shapely.union_all([region, *(footprint for footprint, _ in days)]))
    scenes.add("footprint", days)
    scenes.add("region", [(region, "region")])
    blocks = Panel(region)
    blocks.add("footprint", days)
    blocks.add("region", [(region, "region")])
    blocks.add("block", ((beside(outline, middle), label) for outline, label in _blocks(record)))
    return join(
        (
            scenes.figure(f"The region under the footprints of {counted(len(plan.scenes), 'scene')}"),
            blocks.figure(f"The region in {counted(len(plan.blocks), 'block')} (dashed)"),
        )
    )


def region_beside(outline: BaseGeometry) -> tuple[float, BaseGeometry]:
    """A meridian in a region, and the region (lon/lat degrees) in one piece on its side of the antimeridian."""
    middle = outline.representative_point().x
    return middle, beside(outline, middle)


def footprints(plan: Plan, meridian: float) -> list[tuple[BaseGeometry, str]]:
    """Each acquisition's footprint with its label, the best drawn last."""
    return [
        (
            beside(shapely.union_all([plan.scenes[id_].geometry for id_ in day.scenes]), meridian),
            f"scenes of {day.solar_day}",
        )
        for day in reversed(plan.acquisitions)
    ]


def _blocks(record: RunRecord) -> Iterable[tuple[BaseGeometry, str]]:
    for block in record.plan.blocks:
        receipt = record.receipts[block.id]
        label = f"{block.id}: {receipt.windows} windows in {receipt.seconds['total']:.1f} s"
        yield lonlat_of(box(*block.rect.bounds), block.epsg), label


def beside(geometry: BaseGeometry, meridian: float) -> BaseGeometry:
    """The geometry on ``meridian``'s side of the antimeridian, in one piece again if it was split."""

    def move(points: Any) -> Any:
        points[:, 0] -= 360 * ((points[:, 0] - meridian) / 360).round()
        return points

    parts = [shapely.transform(part, move) for part in getattr(geometry, "geoms", [geometry])]
    return shapely.union_all(parts)


class Panel:
    """A map of a bounding box with a little air, equirectangular, its proportions true in the middle.

    Args:
        content: what must be seen, lon/lat degrees, in one piece at the antimeridian.
        width: of the map, in the units that its lettering of 11 is measured in.
    """

    def __init__(self, content: BaseGeometry, width: float = _WIDTH) -> None:
        self._width = width
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
        self._scale = self._width / ((east - west) * self._squeeze)
        self._height = (north - south) * self._scale
        self._shapes: list[Html] = []

    def add(self, style: str, shapes: Iterable[tuple[BaseGeometry, str]]) -> None:
        """Draws polygons with their labels as tooltips."""
        for geometry, label in shapes:
            self._draw(style, self._path(geometry), label)

    def add_together(self, style: str, geometries: Iterable[BaseGeometry], label: str) -> None:
        """Draws polygons that share a label: far less text than each with its own."""
        self._draw(style, " ".join(filter(None, map(self._path, geometries))), label)

    def figure(self, caption: str) -> Html:
        """The SVG with graticule, scale bar and caption."""
        return fill(
            '<figure class="locator"><svg viewBox="0 0 $width $height" role="img" aria-label="$caption">'
            "$shapes$graticule$bar</svg><figcaption>$caption</figcaption></figure>",
            width=f"{self._width:.0f}",
            height=f"{self._height:.0f}",
            shapes=join(self._shapes),
            graticule=self._graticule(),
            bar=self._scale_bar(),
            caption=caption,
        )

    def _draw(self, style: str, path: str, label: str) -> None:
        if path:
            drawn = fill('<path class="$style" d="$path"><title>$label</title></path>',
                         style=style, path=path, label=label)  # fmt: skip
            self._shapes.append(drawn)

    def _path(self, geometry: BaseGeometry) -> str:
        # Drawn beyond the frame, so that the frame shows no outline where it cuts.
        seen = shapely.clip_by_rect(geometry, *box(*self._view).buffer(8 / self._scale).bounds)
        seen = seen.simplify(0.3 / self._scale)
        return " ".join(
            self._ring(ring) for part in _polygons(seen) for ring in (part.exterior, *part.interiors)
        )

    def _xy(self, lon: float, lat: float) -> tuple[float, float]:
        west, _, _, north = self._view
        return (lon - west) * self._squeeze * self._scale, (north - lat) * self._scale

    def _ring(self, ring: Any) -> str:
        points = (self._xy(lon, lat) for lon, lat, *_ in ring.coords)
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"

    def _graticule(self) -> Html:
        west, south, east, north = self._view
        span = max((east - west) * self._squeeze, north - south)
        step = next((step for step in _STEPS if span / step >= 3), _STEPS[-1])
        digits = max(0, -math.floor(math.log10(step)))
        lines = []
        free = 30.0  # where the next label may begin without touching the last
        for lon in _multiples(west, east, step):
            x, _ = self._xy(lon, north)
            lines.append(
                fill('<path class="grid" d="M${x} 0V$bottom"/>', x=f"{x:.1f}", bottom=f"{self._height:.1f}")
            )
            text = degrees((lon + 180) % 360 - 180, "E", "W", digits)
            if free < x - 3 * len(text) and x < self._width - 30:
                free = x + 3 * len(text) + 8
                lines.append(
                    fill('<text x="$x" y="12" text-anchor="middle">$text</text>', x=f"{x:.1f}", text=text)
                )
        for lat in _multiples(south, north, step):
            _, y = self._xy(west, lat)
            lines.append(
                fill('<path class="grid" d="M0 ${y}H$right"/>', y=f"{y:.1f}", right=f"{self._width:.1f}")
            )
            if 24 < y < self._height - 12:
                text = degrees(lat, "N", "S", digits)
                lines.append(fill('<text x="5" y="$y">$text</text>', y=f"{y - 3:.1f}", text=text))
        return join(lines)

    def _scale_bar(self) -> Html:
        pixels_per_km = self._scale / 111.195
        kilometres = max(
            (
                step * 10**power
                for power in range(-1, 4)
                for step in (1, 2, 5)
                if step * 10**power * pixels_per_km < 0.27 * self._width
            ),
            default=0.1,
        )
        length, y = kilometres * pixels_per_km, self._height - 14
        return fill(
            '<path class="bar" d="M$start ${top}v6h${length}v-6"/>'
            '<text x="$middle" y="$top" text-anchor="middle">$text</text>',
            start=f"{self._width - 14 - length:.1f}",
            top=f"{y:.1f}",
            length=f"{length:.1f}",
            middle=f"{self._width - 14 - length / 2:.1f}",
            text=f"{kilometres:g} km",
        )


def degrees(value: float, positive: str, negative: str, digits: int) -> str:
    """``13.5° E``."""
    return f"{abs(value):.{digits}f}°\u202f{positive if value >= 0 else negative}"


def place(plan: Plan) -> str:
    """The region's middle in words."""
    point = shape(plan.region).centroid
    if not shape(plan.region).buffer(1e-9).contains(point):
        point = shape(plan.region).representative_point()
    return f"{degrees(point.y, 'N', 'S', 2)}, {degrees(point.x, 'E', 'W', 2)}"


def _polygons(geometry: BaseGeometry) -> list[Any]:
    return [
        part
        for part in getattr(geometry, "geoms", [geometry])
        if part.geom_type == "Polygon" and not part.is_empty
    ]


def _multiples(low: float, high: float, step: float) -> list[float]:
    first = math.ceil(low / step)
    return [index * step for index in range(first, math.floor(high / step) + 1)]
