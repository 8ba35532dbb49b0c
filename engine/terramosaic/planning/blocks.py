"""Cuts a region into blocks, and finds the scenes that each of them is made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import shapely
from scipy import ndimage
from shapely.geometry import box
from shapely.geometry.base import BaseGeometry

from terramosaic.catalog import Acquisition
from terramosaic.ground.grid import NORTHING_OF_ROW_0, RESOLUTION, Rect, zone_name
from terramosaic.ground.lattice import Lattice
from terramosaic.ground.zones import ZoneArea, as_geojson
from terramosaic.model.bundle import Bundle
from terramosaic.model.devices import parse_device
from terramosaic.planning.footprints import Drawn, Footprints
from terramosaic.planning.lattices import TargetLattice, margin_of
from terramosaic.planning.plan import Block, Zone
from terramosaic.request.request import RegionRequest

_Scene = TypeVar("_Scene", bound=Drawn)

#: Pixels to a block's side where nobody says. Windows at blocks' edges are computed twice: of a Sentinel-2 tile 18 % in
#: blocks of 2048, 5 % in blocks of 8192.
_BLOCK_SIZE = 2048
#: The same on a GPU, of TerraMind and of other models of one date. What is lost where a block breaks off is a minute or
#: two (25 ms a window of TerraMind).
_TERRAMIND_ON_GPU, _OTHERS_ON_GPU = 8192, 4096


def block_size_for(bundle: Bundle, device: str) -> int:
    """The size of blocks that suits a model on a device; a table's, so that the same request is the same run.

    The demo takes milliseconds a window anywhere, and several dates a gigabyte in blocks of 2048.
    """
    has_dates = any(spec.dates > 1 for spec in bundle.inputs.values())
    if bundle.is_demo or has_dates or parse_device(device).kind == "cpu":
        return _BLOCK_SIZE
    return _TERRAMIND_ON_GPU if bundle.is_terramind else _OTHERS_ON_GPU


def cut_into_blocks(
    request: RegionRequest,
    areas: Sequence[ZoneArea],
    acquisitions: Sequence[Acquisition[Any]],
    lattices: Sequence[TargetLattice],
) -> tuple[list[Zone], int, dict[int, Footprints[Any]]]:
    """Cuts each zone into blocks.

    Returns:
        The zones that have any; the number of blocks without imagery; by zone, the scenes that are near.
    """
    zones, empty = [], 0
    near: dict[int, Footprints[Any]] = {}
    margin = margin_of(lattices)
    for area in areas:
        finder = _SceneFinder(acquisitions, area.epsg, area.rect, margin)
        near[area.epsg] = finder.footprints
        blocks, outline = [], _Outline(area.outline)
        for block_rect in _aligned_blocks(area.rect, request.block_size):
            rect = block_rect.intersection(area.rect)
            inside = outline.inside(rect)
            if inside.area == 0:
                continue
            touching = finder.touching(rect, inside)
            if not touching:
                empty += 1
                continue
            row, col = block_rect.row // request.block_size, block_rect.col // request.block_size
            blocks.append(
                Block(
                    id=f"{zone_name(area.epsg)}_r{row:04d}_c{col:04d}",
                    epsg=area.epsg,
                    row=rect.row, col=rect.col, height=rect.height, width=rect.width,
                    acquisitions=touching,
                    windows=sum(_count_windows(each.lattice, rect, inside) for each in lattices),
                )
            )  # fmt: skip
        if blocks:
            cut = None if area.outline is None else as_geojson(area.outline)
            zones.append(
                Zone(
                    epsg=area.epsg, outline=cut, blocks=tuple(blocks),
                    row=area.rect.row, col=area.rect.col, height=area.rect.height, width=area.rect.width,
                )
            )  # fmt: skip
    return zones, empty, near


def seen_at_all(zones: Sequence[Zone], acquisitions: int) -> tuple[list[Zone], int]:
    """Zones with the blocks that all of so many acquisitions touch, and how many blocks that leaves out."""
    kept, left_out = [], 0
    for zone in zones:
        blocks = tuple(block for block in zone.blocks if len(block.acquisitions) == acquisitions)
        left_out += len(zone.blocks) - len(blocks)
        if blocks:
            kept.append(zone.model_copy(update={"blocks": blocks}))
    return kept, left_out


def reaching_blocks(scenes: Sequence[_Scene], zones: Sequence[Zone], margin: int) -> list[_Scene]:
    """Those of some scenes that may have imagery of the blocks and around them.

    Args:
        scenes: any.
        zones: with their blocks.
        margin: pixels that windows reach beyond them.
    """
    found: dict[int, _Scene] = {}
    for zone in zones:
        footprints = Footprints(scenes, zone.epsg, zone.rect.pad(margin))
        for block in zone.blocks:
            reaching = footprints.reaching(_box(block.rect.pad(margin)))
            found |= {id(scene): scene for scene in (footprints.scenes[index] for index in reaching)}
    return list(found.values())


def windows_of(lattices: Iterable[TargetLattice], zone: Zone, block: Block) -> Iterator[Rect]:
    """The windows of a block that touch the region in it, and those in rings around them, lattice by lattice."""
    inside = _Outline(zone.shape).inside(block.rect)
    for each in lattices:
        for i, j in zip(*_windows(each.lattice, block.rect, inside, each.rings), strict=True):
            yield each.lattice.window(int(i), int(j))


def windows_around(lattices: Sequence[TargetLattice], zones: Sequence[Zone]) -> int:
    """Windows in the rings around those to compute, all blocks together; some may turn out to be without a pixel."""
    ringed = [each for each in lattices if each.rings]
    return sum(
        _count_windows(each.lattice, rect, inside, each.rings) - _count_windows(each.lattice, rect, inside)
        for rect, inside in (_blocks_inside(zones) if ringed else ())
        for each in ringed
    )


def windows_by_stride(lattices: Sequence[TargetLattice], zones: Sequence[Zone]) -> dict[int, int]:
    """Windows to compute on each of a request's lattices, all blocks together."""
    return {
        each.lattice.stride: sum(
            _count_windows(each.lattice, rect, inside) for rect, inside in _blocks_inside(zones)
        )
        for each in lattices
    }


def square_kilometres(zones: Sequence[Zone]) -> float:
    """Area of the region that lies in blocks, as the zones' grids have it."""
    return sum(float(inside.area) for _, inside in _blocks_inside(zones)) / 1e6


def _blocks_inside(zones: Sequence[Zone]) -> Iterator[tuple[Rect, BaseGeometry]]:
    """Each block's rectangle, and what of it lies in the region."""
    for zone in zones:
        outline = _Outline(zone.shape)
        yield from ((block.rect, outline.inside(block.rect)) for block in zone.blocks)


class _SceneFinder:
    """Finds the scenes that touch a rectangle of one zone, in rank order.

    Args:
        acquisitions: in rank order.
        epsg: the zone.
        rect: its pixels that will be asked for.
        margin: pixels that windows reach beyond them.

    Attributes:
        footprints: of the scenes near the rectangle.
    """

    def __init__(self, acquisitions: Sequence[Acquisition[Any]], epsg: int, rect: Rect, margin: int) -> None:
        self._margin = margin
        self._days = {
            scene.key: day for day, acquisition in enumerate(acquisitions) for scene in acquisition.scenes
        }
        scenes = [scene for acquisition in acquisitions for scene in acquisition.scenes]
        self.footprints = Footprints(scenes, epsg, rect.pad(margin))

    def touching(self, rect: Rect, inside: BaseGeometry) -> tuple[tuple[str, ...], ...]:
        """Keys per acquisition of the scenes under ``rect`` and its margin; none if none touches the region there."""
        if not self.footprints.reach(inside):
            return ()
        days: dict[int, list[str]] = {}
        for index in self.footprints.reaching(_box(rect.pad(self._margin))):
            key = self.footprints.scenes[index].key
            days.setdefault(self._days[key], []).append(key)
        return tuple(tuple(days[day]) for day in sorted(days))


def _aligned_blocks(rect: Rect, size: int) -> list[Rect]:
    whole = rect.snap(size)
    rows, cols = range(whole.row, whole.row_end, size), range(whole.col, whole.col_end, size)
    return [Rect(row, col, size, size) for row in rows for col in cols]


class _Outline:
    """A region's outline in a zone's metres, or None where all of the zone's rectangle is the region.

    Blocks come row by row: the outline is cut to a row once, and blocks are cut from that, to the same coordinates. Of
    a border with two million vertices a block takes 2.5 ms, not 45.
    """

    def __init__(self, outline: BaseGeometry | None) -> None:
        self._outline = outline
        self._row: tuple[float, float] | None = None
        self._in_row: BaseGeometry | None = None

    def inside(self, rect: Rect) -> BaseGeometry:
        """What of a rectangle lies in it."""
        if self._outline is None:
            return _box(rect)
        _, bottom, _, top = rect.bounds
        if self._in_row is None or self._row != (bottom, top):
            west, _, east, _ = self._outline.bounds
            # A metre more on each side: nothing is cut there.
            self._in_row = shapely.clip_by_rect(self._outline, west - 1, bottom, east + 1, top)
            self._row = bottom, top
        return shapely.clip_by_rect(self._in_row, *rect.bounds)


def _box(rect: Rect) -> BaseGeometry:
    return box(*rect.bounds)


def _count_windows(lattice: Lattice, rect: Rect, inside: BaseGeometry, rings: int = 0) -> int:
    """Windows that touch ``inside``, the region's part of the block ``rect``, and those in rings around them."""
    if _is_all(inside, rect):
        return (len(lattice.rows(rect)) + 2 * rings) * (len(lattice.cols(rect)) + 2 * rings)
    return len(_windows(lattice, rect, inside, rings)[0])


def _is_all(inside: BaseGeometry, rect: Rect) -> bool:
    return bool(inside.area >= _box(rect).area * (1 - 1e-9))


def _windows(
    lattice: Lattice, rect: Rect, inside: BaseGeometry, rings: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the lattice of the windows that `_count_windows` counts."""
    rows, cols = lattice.rows(rect), lattice.cols(rect)
    i, j = (index.ravel() for index in np.meshgrid(list(rows), list(cols), indexing="ij"))
    left, top = j * lattice.stride * RESOLUTION, NORTHING_OF_ROW_0 - i * lattice.stride * RESOLUTION
    side = lattice.side * RESOLUTION
    windows = shapely.box(left, top - side, left + side, top)
    shapely.prepare(inside)
    touching = shapely.intersects(inside, windows).reshape(len(rows), len(cols))
    # Rings around all of them together are the windows within so many of any.
    wanted = ndimage.maximum_filter(np.pad(touching, rings), 2 * rings + 1)
    i, j = np.nonzero(wanted)
    return i + rows[0] - rings, j + cols[0] - rings
