"""Every level of a raster at once, built from rows of full resolution that come from the top."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np

from terramosaic.mosaic.cog.overviews import HALVE, is_nodata
from terramosaic.mosaic.cog.tiff import Level, RasterProfile, frame
from terramosaic.mosaic.cog.tiles import compress_tile


def level_shapes(profile: RasterProfile) -> list[tuple[int, int]]:
    """(height, width) of full resolution and of each overview, until both sides are at most a tile."""
    height, width = profile.geobox.shape
    shapes = [(height, width)]
    while max(height, width) > profile.tile:
        height, width = -(-height // 2), -(-width // 2)
        shapes.append((height, width))
    return shapes


@dataclass
class _Stage:
    """One level under construction: the row of tiles that fills up, and what became of the rows before it."""

    height: int
    width: int
    rows: np.ndarray  # (count, tile, width up to whole tiles): fills up
    busy_rows: np.ndarray  # the same, while threads compress it
    spool: BinaryIO
    filled: int = 0
    busy: list[Future[bytes]] = field(default_factory=list)
    tile_sizes: list[int] = field(default_factory=list)


class Pyramid:
    """Takes full resolution by rows and leaves each level's compressed tiles, framed, in the level's spool.

    A level has two rows of tiles: one fills up while threads compress the other. The thread that compresses a
    tile also halves it, while it is in the processor's cache, into the coarser level's filling row.
    Cells of 2 x 2 pixels never lie across tiles, so a tile needs nothing of its neighbours.

    Args:
        profile: The raster.
        spools: A file for each of ``level_shapes``.
        pool: Its threads compress.
        level: ZSTD level.
    """

    def __init__(
        self, profile: RasterProfile, *, spools: Sequence[BinaryIO], pool: Executor, level: int
    ) -> None:
        self._tile = profile.tile
        self._nodata = profile.nodata
        self._halve = HALVE[profile.overviews]
        self._pool = pool
        self._level = level
        self._stages = []
        dtype = profile.dtype.newbyteorder("<")
        for (height, width), spool in zip(level_shapes(profile), spools, strict=True):
            shape = (profile.count, self._tile, -(-width // self._tile) * self._tile)
            self._stages.append(_Stage(height, width, np.zeros(shape, dtype), np.zeros(shape, dtype), spool))

    @property
    def layout(self) -> list[Level]:
        """Size and tile sizes of each level, full resolution first; complete after ``finish``."""
        return [Level(s.height, s.width, np.array(s.tile_sizes, np.int64)) for s in self._stages]

    def feed(self, chunk: np.ndarray) -> None:
        """Take ``(count, h, width)``, the next rows of full resolution."""
        base = self._stages[0]
        start = 0
        while start < chunk.shape[1]:
            part = chunk[:, start : start + self._tile - base.filled]
            base.rows[:, base.filled : base.filled + part.shape[1], : base.width] = part
            base.filled += part.shape[1]
            start += part.shape[1]
            if base.filled == self._tile:
                self._compress(0)

    def finish(self) -> None:
        """Compress what is left at the bottom of every level."""
        for index, stage in enumerate(self._stages):
            self._collect(index)
            if stage.filled:
                self._compress(index)
                self._collect(index)

    def _compress(self, index: int) -> None:
        """Set threads to work on the filled row of tiles; the row before it must be done first."""
        self._collect(index)
        stage = self._stages[index]
        # Beyond the raster its last column and row are repeated: they compress to nothing, and the cells of
        # an odd edge weigh the pixels that exist equally.
        rows = stage.rows
        rows[:, : stage.filled, stage.width :] = rows[:, : stage.filled, stage.width - 1 : stage.width]
        rows[:, stage.filled :] = rows[:, stage.filled - 1 : stage.filled]
        stage.rows, stage.busy_rows = stage.busy_rows, rows
        coarser = self._stages[index + 1] if index + 1 < len(self._stages) else None
        half = self._tile // 2
        for left in range(0, rows.shape[2], self._tile):
            pixels = rows[:, :, left : left + self._tile]
            cells = None
            if coarser is not None:
                cells = coarser.rows[:, coarser.filled : coarser.filled + half, left // 2 : left // 2 + half]
            # The first tile is never sparse: some validators look for a level's data there.
            is_first = not stage.tile_sizes and left == 0
            stage.busy.append(self._pool.submit(self._compressed, pixels, cells, keep=is_first))
        if coarser is not None:
            coarser.filled += -(-stage.filled // 2)
        stage.filled = 0

    def _compressed(self, pixels: np.ndarray, cells: np.ndarray | None, *, keep: bool) -> bytes:
        """In a thread: the compressed tile, empty if sparse; ``cells`` of the coarser level get its half."""
        if cells is not None:
            cells[:] = self._halve(pixels, self._nodata)
        if not keep and self._nodata is not None and is_nodata(pixels, self._nodata).all():
            return b""
        return compress_tile(pixels, level=self._level)

    def _collect(self, index: int) -> None:
        """Wait for the row of tiles in work and store it; start the coarser level's row if it is full."""
        stage = self._stages[index]
        if not stage.busy:
            return
        for future in stage.busy:
            data = future.result()
            stage.tile_sizes.append(len(data))
            if data:
                stage.spool.write(frame(data))
        stage.busy = []
        if index + 1 < len(self._stages) and self._stages[index + 1].filled == self._tile:
            self._compress(index + 1)
