"""Heights as a model sees them: metres above the geoid on a zone's grid, from tiles that are read as one mosaic.

Points of the Copernicus DEM lie on whole seconds of a degree, a tile's first ones on its north and west edge. Between
the last points of one tile and the first of the next there is ground that is in neither, and is interpolated from both.
Rows have fewer points the nearer they are to a pole, so the rows above and below a joint at 50 or 60 degrees are each
interpolated by their own points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
from rasterio.crs import CRS
from rasterio.enums import Resampling
from rasterio.io import DatasetReader
from rasterio.windows import Window

from terramosaic.catalog.assets import AssetRef
from terramosaic.catalog.elevation import ROWS, Cell, Elevation, ElevationTile, Kind, name_of_cell
from terramosaic.errors import UnusableFileError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.asset_facts import asset_facts
from terramosaic.imagery.item_reader import ItemReader
from terramosaic.imagery.marks import Mark, marked, seen_in
from terramosaic.imagery.pool import READERS
from terramosaic.imagery.resampling import blended, moved, nearest
from terramosaic.imagery.scene_decision import SceneDecision, SourceDecisions
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.documents import shown

#: Heights of the Earth's surface, with room to spare: what is beyond is a gap.
_LOWEST, _HIGHEST = -1000.0, 9500.0

#: Share of a pixel by which a tile may lie beside its place.
_DUST = 0.01

#: Longest side, in pixels, of the overview by which numbers are judged.
_GLANCE = 128

_DEGREES = CRS.from_epsg(4326)


@dataclass(frozen=True)
class Heights:
    """The ground under a rectangle.

    Attributes:
        rect: where it lies on the grid.
        metres: float32 (1, height, width), above the geoid EGM2008, NaN in gaps.
        marks: uint8 (height, width), why there is no height, and which are of the sea or of GLO-90; see `Mark`.
    """

    rect: Rect
    metres: np.ndarray
    marks: np.ndarray


class ElevationReader(ItemReader[DatasetReader]):
    """Reads points of one tile.

    Args:
        tile: the tile.
        epsg: for `ReaderPool.lend` alone; points stay where they are.
        run: the run that it is read for. A file that failed in it for good is not asked for again.

    Attributes:
        tile: the tile.
    """

    def __init__(self, tile: ElevationTile, epsg: int = 4326, run: RunFolder | None = None) -> None:
        super().__init__(tile, run)
        self.tile = tile

    @property
    def columns(self) -> int:
        """Points in a row."""
        return self._use("DEM", lambda file: int(file.width))

    def read(self, rows: slice, cols: slice) -> np.ndarray:
        """Heights of some of its points: float32 (rows, columns), NaN in gaps.

        Raises:
            UnusableFileError: the file is gone for good, or is no tile of heights; names the asset.
            CatalogError: it could not be read, after as many tries as may help, but another time it may.
        """
        window = Window(cols.start, rows.start, cols.stop - cols.start, rows.stop - rows.start)
        return self._use("DEM", lambda file: _heights(file.read(1, window=window), file.nodata))

    def inspect(self) -> SceneDecision:
        """Looks at the tile's file and decides about it.

        Raises:
            CatalogError: it could not be read, which another time it may.
        """
        try:
            numbers = self._use("DEM", _overview)
            known = numbers[np.isfinite(numbers)]
            if not known.size:
                raise self._unusable("holds no height that the Earth has")
        except UnusableFileError as error:
            return SceneDecision.without(error)
        return SceneDecision(
            scene=self.tile.key,
            figures={"median height, m": float(np.median(known))},
            files=asset_facts(self.tile),
        )

    def _seen(self, asset: AssetRef, dataset: DatasetReader, closing: ExitStack) -> DatasetReader:
        for problem in _problems(dataset, self.tile):
            raise self._unusable(problem)
        return dataset

    def _unusable(self, problem: str) -> UnusableFileError:
        href = shown(self.tile.assets["DEM"].href)
        return UnusableFileError(f"asset DEM of {self.tile.key} {problem} ({href})", scene=self.tile.key)


def read_elevation(
    elevation: Elevation,
    rect: Rect,
    epsg: int,
    decisions: SourceDecisions,
    run: RunFolder | None = None,
) -> Heights:
    """Heights under a rectangle of a zone's grid, bilinear, across tiles too.

    Where GLO-30 has no tile, or a dead one, GLO-90 is read; cells of the sea are 0 m; what is left is a gap. Rectangles
    that overlap agree bit for bit.

    Args:
        elevation: which tiles there are, and which cells are sea.
        rect: the rectangle.
        epsg: the zone.
        decisions: which tiles are used.
        run: the run that it is read for.

    Raises:
        UnusableFileError: a file turned out to be gone for good after its tile was decided to be used.
        CatalogError: a file could not be read, which another time it may.
    """
    meridian = 6 * (epsg % 100) - 183

    def beside(longitudes: np.ndarray) -> np.ndarray:
        """On the zone's side of the antimeridian."""
        found: np.ndarray = longitudes - 360 * np.round((longitudes - meridian) / 360)
        return found

    lon, lat = moved(rect, epsg, _DEGREES, beside)
    fine = _Mosaic("GLO-30", elevation.tiles, elevation.sea, decisions, run)
    metres, marks = fine.at(lon, lat)
    gap = ~seen_in(marks)
    if gap.any() and elevation.coarse:
        filling, known = _Mosaic("GLO-90", elevation.coarse, elevation.sea, decisions, run).at(lon, lat)
        known[known == Mark.SEEN] = Mark.COARSE
        metres = np.where(gap, filling, metres)
        marks = np.where(gap, np.maximum(marks, known), marks)
    return Heights(rect, metres[None], marks)


class _Mosaic:
    """All tiles of a kind as one set of points.

    Args:
        kind: how far rows are apart.
        tiles: the tiles.
        sea: cells that are 0 m.
        decisions: which tiles are used.
        run: the run.
    """

    def __init__(
        self,
        kind: Kind,
        tiles: Iterable[ElevationTile],
        sea: Iterable[Cell],
        decisions: SourceDecisions,
        run: RunFolder | None,
    ) -> None:
        self._rows = ROWS[kind]
        self._tiles = {tile.cell: tile for tile in tiles}
        self._sea = frozenset(sea)
        self._decisions, self._run = decisions, run

    def at(self, lon: np.ndarray, lat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Heights at places in degrees: float32, NaN in gaps; and marks, uint8, of the nearest points."""
        down = (90 - lat) * self._rows
        north = np.floor(down)
        south = (down - north).astype(np.float32)
        rows = north.astype(np.intp)
        above, east_above, marks_above = self._row(rows, lon)
        below, east_below, marks_below = self._row(rows + 1, lon)
        east = (east_above, east_below)
        metres = blended((*above, *below), south, east)
        return metres, nearest((*marks_above, *marks_below), south, east)

    def _row(
        self, rows: np.ndarray, lon: np.ndarray
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """In rows of points, those to the west and east of places: heights, share of the way east, and marks."""
        west, east = (np.full(rows.shape, np.nan, np.float32) for _ in range(2))
        marks_west, marks_east = (np.zeros(rows.shape, np.uint8) for _ in range(2))
        share = np.zeros(rows.shape, np.float32)
        souths, wests = 89 - rows // self._rows, np.floor(lon).astype(np.intp)
        for cell in sorted(set(zip(souths.ravel().tolist(), wests.ravel().tolist(), strict=True))):
            inside = (souths == cell[0]) & (wests == cell[1])
            columns = self._columns(cell)
            along = (lon[inside] - cell[1]) * columns
            col = np.minimum(np.floor(along), columns - 1).astype(np.intp)
            row = rows[inside] % self._rows
            heights, marks = self._points(
                cell, slice(int(row.min()), int(row.max()) + 1), slice(int(col.min()), int(col.max()) + 2), columns
            )  # fmt: skip
            row, col, at = row - row.min(), col - col.min(), (along - col).astype(np.float32)
            west[inside], east[inside] = heights[row, col], heights[row, col + 1]
            marks_west[inside], marks_east[inside] = marks[row, col], marks[row, col + 1]
            share[inside] = at
        return (west, east), share, (marks_west, marks_east)

    def _columns(self, cell: Cell) -> int:
        """Points in a row of a cell; where it has no tile any number will do."""
        with self._lent(cell) as reader:
            return self._rows if reader is None else reader.columns

    def _points(self, cell: Cell, rows: slice, cols: slice, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Heights of points of a cell, and marks; the column after the last is the next cell's first."""
        heights, marks = self._of_cell(cell, rows, slice(cols.start, min(cols.stop, columns)))
        if cols.stop > columns:
            beyond, marks_beyond = self._of_cell((cell[0], cell[1] + 1), rows, slice(0, 1))
            heights, marks = np.hstack([heights, beyond]), np.hstack([marks, marks_beyond])
        return heights, marks

    def _of_cell(self, cell: Cell, rows: slice, cols: slice) -> tuple[np.ndarray, np.ndarray]:
        shape = rows.stop - rows.start, cols.stop - cols.start
        with self._lent(cell) as reader:
            if reader is None:
                metres, mark = (0.0, Mark.SEA) if _turned(cell) in self._sea else (np.nan, Mark.MISSING)
                return np.full(shape, metres, np.float32), np.full(shape, mark, np.uint8)
            heights = reader.read(rows, cols)
        known = np.isfinite(heights)
        if known.any():
            self._decisions.uses(reader.tile)
        return heights, marked(known, Mark.NO_DATA)

    @contextmanager
    def _lent(self, cell: Cell) -> Iterator[ElevationReader | None]:
        """The reader of a cell's tile; None if it has none that is used."""
        tile = self._tiles.get(_turned(cell))
        if tile is None or self._decisions.leaves_out(tile):
            yield None
            return
        with READERS.lend(ElevationReader, tile, 4326, self._run) as reader:
            yield reader if self._decisions.decision(reader).is_used else None


def _turned(cell: Cell) -> Cell:
    """A cell by its longitude from -180 to 179."""
    return cell[0], (cell[1] + 180) % 360 - 180


def _heights(numbers: np.ndarray, nodata: float | None) -> np.ndarray:
    """Heights, NaN in gaps: 0 is a height, also where a file calls it none."""
    known = (numbers >= _LOWEST) & (numbers <= _HIGHEST)
    if nodata:
        known &= numbers != nodata
    found: np.ndarray = np.where(known, numbers, np.nan).astype(np.float32)
    return found


def _overview(file: DatasetReader) -> np.ndarray:
    shape = tuple(min(side, _GLANCE) for side in file.shape)
    return _heights(file.read(1, out_shape=shape, resampling=Resampling.nearest), file.nodata)


def _problems(dataset: DatasetReader, tile: ElevationTile) -> Iterator[str]:
    """All that makes a file another one than its item says."""
    transform, rows = dataset.transform, ROWS[tile.kind]
    if dataset.tags(ns="OVERVIEWS"):
        yield "names another file for its overviews"
    if dataset.count != 1:
        yield f"holds {dataset.count} bands, not heights alone"
    if dataset.dtypes[0] not in ("float32", "float64", "int16"):
        yield f"holds {dataset.dtypes[0]}, not heights as float32"
    if dataset.crs is None or not dataset.crs.is_geographic:
        yield f"comes in {dataset.crs or 'no CRS'}, not in degrees"
    if transform.b or transform.d or not transform.a > 0 > transform.e:
        yield "is not north-up"
    if dataset.height != rows or abs(transform.a * dataset.width - 1) > _DUST * transform.a:
        yield f"has {dataset.height} x {dataset.width} pixels, which are no tile of {tile.kind}"
    south, west = tile.cell
    east_off = (transform.c + transform.a / 2 - west) / transform.a
    # Tiles at 180 degrees west may be said to lie at 180 east.
    east_off -= round(east_off * transform.a / 360) * 360 / transform.a
    south_off = (south + 1 - transform.f - transform.e / 2) * rows
    if max(abs(east_off), abs(south_off)) > _DUST or abs(-transform.e * rows - 1) > _DUST / rows:
        yield (
            f"lies {east_off:+.2f} pixels east and {-south_off:+.2f} north of the cell {name_of_cell(tile.cell)} "
            "that its item says"
        )
