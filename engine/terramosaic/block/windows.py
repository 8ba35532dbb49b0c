"""From the strips of a stack to the windows that a block must compute."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import rasterio.features
import shapely
from rasterio.errors import NotGeoreferencedWarning
from scipy import ndimage

from terramosaic.block.rasters import SOURCE_BANDS, SourceRows
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import Lattice
from terramosaic.imagery.stack import Strip
from terramosaic.planning.plan import Block, Plan
from terramosaic.storage.gdal import local_files

# rasterio rasterises into an array of its own first, and warns that this one lies nowhere.
warnings.filterwarnings("ignore", category=NotGeoreferencedWarning, module="rasterio.features")


@dataclass(frozen=True)
class WindowRow:
    """A row of windows of one lattice: its index there, and the columns of those that are cut.

    Attributes:
        columns: of those that touch the region in the block, and of those in rings around them.
        rings: of the latter, how many windows away the next one is that touches it.
        is_own: whether the row touches the block.
    """

    lattice: Lattice
    i: int
    columns: Sequence[int]
    rings: Mapping[int, int] = field(default_factory=dict)
    is_own: bool = True

    @property
    def start(self) -> int:
        """The first row of pixels."""
        return self.i * self.lattice.stride

    @property
    def windows(self) -> list[Rect]:
        """The pixels of each, from the left to the right."""
        return [self.lattice.window(self.i, j) for j in self.columns]


def windows_by_row(
    lattices: Iterable[Lattice], block: Rect, region: np.ndarray, rings: Mapping[Lattice, int] | None = None
) -> list[WindowRow]:
    """Each row of windows that touches the block, with the columns of those that touch the region in it.

    Args:
        lattices: of the windows; where two have a row that starts with the same pixels, the first comes first.
        block: the block's pixels.
        region: bool (height, width) of the block, from `region_mask`.
        rings: of windows around these that are cut as well; none of a lattice that is not named.

    Returns:
        From top to bottom; with rings so many rows above and below the block as well.
    """
    found = []
    for lattice in lattices:
        own = lattice.rows(block)
        first, around = (own[0], lattice.cols(block)[0]), (rings or {}).get(lattice, 0)
        distance = _rings_around(_touching(lattice, block, region), around)
        for row, distances in enumerate(distance):
            i = first[0] - around + row
            rings_of = {
                first[1] - around + col: int(ring) for col, ring in enumerate(distances) if ring <= around
            }
            away = {j: ring for j, ring in rings_of.items() if ring}
            found.append(WindowRow(lattice, i, list(rings_of), away, is_own=i in own))
    return sorted(found, key=lambda row: row.start)


def _touching(lattice: Lattice, block: Rect, region: np.ndarray) -> np.ndarray:
    """Which windows touch the region in the block: bool, by row and column of those that touch the block."""
    rows, cols = lattice.rows(block), lattice.cols(block)
    found = np.zeros((len(rows), len(cols)), bool)
    for row, i in enumerate(rows):
        for col, j in enumerate(cols):
            shared = lattice.window(i, j).intersection(block)
            found[row, col] = region[shared.slices(block)].any()
    return found


def _rings_around(own: np.ndarray, rings: int) -> np.ndarray:
    """How far away the next window is that is wanted, of all that are and so many rings: whole numbers."""
    if not own.any():
        return np.full((own.shape[0] + 2 * rings, own.shape[1] + 2 * rings), rings + 1)
    distance: np.ndarray = ndimage.distance_transform_cdt(~np.pad(own, rings), "chessboard")
    return distance


def pixels_under(rows: Iterable[WindowRow], block: Rect) -> tuple[Rect, np.ndarray]:
    """The rectangle that the windows cover (the block, where there is none), and in it the pixels under any of them."""
    windows = [window for row in rows for window in row.windows]
    if not windows:
        return block, np.zeros(block.shape, bool)
    cover = windows[0]
    for window in windows[1:]:
        cover = cover.union(window)
    wanted = np.zeros(cover.shape, bool)
    for window in windows:
        wanted[window.slices(cover)] = True
    return cover, wanted


class HeldRows:
    """The rows of a stack that windows still need; strips are taken in as they are asked for.

    Args:
        strips: of the stack.
        bands: of the level of Sentinel-2 that leads, the first ones of the strips.
        kept: the layer as which strips are wanted themselves, behind finished rows, if any; see `SourceRows`.
        last: where the rows end behind which all strips that are left are handed out.
    """

    def __init__(
        self, strips: Iterator[Strip], bands: tuple[str, ...], *, kept: str = "", last: int | None = None
    ) -> None:
        self._strips, self._kept, self._last, self._count = strips, kept, last, len(bands)
        # A model without a visible band is shown by its first one.
        self._shown = [bands.index(band) if band in bands else 0 for band in SOURCE_BANDS]
        self._held: list[Strip] = []
        self._new: list[Strip] = []

    def drop_above(self, row: int) -> None:
        """Forgets strips that end above ``row``."""
        while self._held and self._held[0].rect.row_end <= row:
            self._held.pop(0)

    def cut(self, window: Rect, pixels: np.ndarray, planes: Sequence[int] | None = None) -> np.ndarray:
        """Writes a window into float32 (bands, side, side); returns its valid pixels; outside the stack none is.

        Args:
            window: where it lies.
            pixels: what is written to.
            planes: which bands of the strips it takes; by default all.
        """
        self._take_until(window.row_end)
        valid = np.zeros(window.shape, bool)
        if not self._covers(window):
            pixels[:] = 0
        for strip in self._held:
            shared = strip.rect.intersection(window)
            if not shared.is_empty:
                here, there = shared.slices(window), shared.slices(strip.rect)
                for index, plane in enumerate(range(len(strip.dn)) if planes is None else planes):
                    pixels[index][here] = strip.dn[plane][there]
                valid[shared.slices(window)] = strip.valid[shared.slices(strip.rect)]
        return valid

    def _covers(self, window: Rect) -> bool:
        if not self._held:
            return False
        top, bottom = self._held[0].rect, self._held[-1].rect
        return top.union(bottom).intersection(window) == window

    def marks(self, rect: Rect) -> np.ndarray:
        """What is known of the pixels of a rectangle that is held: see `Mark`, uint8 (height, width)."""
        marks = np.zeros(rect.shape, np.uint8)
        for strip in self._held:
            shared = strip.rect.intersection(rect)
            if not shared.is_empty:
                marks[shared.slices(rect)] = strip.marks[shared.slices(strip.rect)]
        return marks

    def cloudy(self, rect: Rect) -> np.ndarray:
        """Which pixels of a rectangle that is held are flagged as cloud: bool (height, width)."""
        cloudy = np.zeros(rect.shape, bool)
        for strip in self._held:
            shared = strip.rect.intersection(rect)
            if not shared.is_empty:
                cloudy[shared.slices(rect)] = strip.cloudy[shared.slices(strip.rect)]
        return cloudy

    def close(self) -> None:
        """As `InputRows.close`: strips are read by who made the stack."""

    def source(self, rect: Rect, region: np.ndarray) -> SourceRows:
        """What lies under ``rect``, valid only inside the region's mask."""
        if not rect.is_empty:
            self._take_until(rect.row_end)
        if self._kept and rect.row_end == self._last:
            # Windows below the block may have asked for more than its own.
            self._take_until(None)
        source = SourceRows.empty(rect, len(self._shown), self._taken(rect))
        for strip in self._held:
            shared = strip.rect.intersection(rect)
            if not shared.is_empty:
                source.take(strip, shared, self._shown)
        source.valid[~region] = False
        return source

    def _taken(self, rect: Rect) -> dict[str, tuple[Strip, ...]]:
        """Strips that nobody has been given yet, for rows that go on to be written."""
        if rect.is_empty or not self._kept:
            return {}
        new, self._new = self._new, []
        return {self._kept: tuple(new)}

    def _take_until(self, row: int | None) -> None:
        while (row is None or not self._held or self._held[-1].rect.row_end < row) and (
            strip := next(self._strips, None)
        ) is not None:
            self._held.append(strip)
            if self._kept:
                # Behind the bands that are kept may be those of the L1C beside them.
                self._new.append(replace(strip, dn=strip.dn[: self._count]))


def region_mask(plan: Plan, block: Block) -> np.ndarray:
    """Bool (height, width) of the block: pixels whose centre lies in the region."""
    outline = plan.zone_of(block).shape
    if outline is None:
        return np.ones(block.rect.shape, bool)
    nearby = shapely.clip_by_rect(outline, *block.rect.pad(plan.bundle.window).bounds)
    if nearby.area == 0:
        return np.zeros(block.rect.shape, bool)
    with local_files():
        mask: np.ndarray = rasterio.features.rasterize(
            [(nearby, 1)], out_shape=block.rect.shape, transform=block.rect.transform, fill=0, dtype=np.uint8
        ).astype(bool)
    return mask
