"""The flow of rows through the levels of a pyramid, and the assembly of the file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from odc.geo.geobox import GeoBox

from engine.cog.overviews import HALVE, Halve, OverviewMethod, is_nodata
from engine.cog.tiff import Level, Profile, build_head, frame, template_tags
from engine.cog.tiles import PREDICTORS, compress_tile
from engine.errors import OutputError

_COPY_BYTES = 1 << 20


def write_cog(
    path: Path,
    rows: Iterable[np.ndarray],
    *,
    geobox: GeoBox,
    dtype: np.typing.DTypeLike,
    count: int = 1,
    nodata: float | None = None,
    overviews: OverviewMethod = "average",
    descriptions: Sequence[str] | None = None,
    units: Sequence[str] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    tags: Mapping[str, str] | None = None,
    band_tags: Sequence[Mapping[str, str]] | None = None,
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None,
    level: int = 1,
    threads: int = 2,
    tile: int = 512,
) -> None:
    """Write a cloud-optimized GeoTIFF from rows that arrive from the top.

    The file appears under ``path`` whole or not at all. Its bytes depend on the pixels and the arguments, not
    on ``threads`` or on how the rows are cut. Memory holds two rows of tiles per level, about
    ``4 * tile * width`` pixels; compressed tiles wait in nameless temporary files beside ``path``, together as
    large as the result.

    Args:
        path: File to write; its folder must exist. An existing file is replaced.
        rows: Arrays ``(count, h, width)`` of ``dtype``, of any heights h that sum to the raster's height. Their
            producer may reuse an array as soon as the next one is asked for.
        geobox: CRS, transform and shape of the raster.
        dtype: uint8, int16, uint16 or float32.
        count: Number of bands.
        nodata: Value of invalid pixels, the same in all bands; may be NaN. Tiles of nothing else take no
            space.
        overviews: "average" for measurements (``halve_average``), "mode" for classes (``halve_mode``). Each
            level is made from the one before, until both sides are at most ``tile``.
        descriptions: Name of each band.
        units: Unit of each band.
        scale: Measured value = pixel * scale + offset, in all bands.
        offset: See ``scale``.
        tags: Metadata of the dataset.
        band_tags: Metadata of each band.
        colormap: Red, green, blue and alpha (0-255) of each value, for one band of uint8.
        level: ZSTD level, 1 to 22.
        threads: Threads that compress.
        tile: Side of a tile in pixels, a multiple of 16.

    Raises:
        OutputError: An argument or the rows do not fit the raster, or the file could not be written.
    """
    profile = Profile(
        geobox=geobox,
        dtype=np.dtype(dtype),
        count=count,
        nodata=nodata,
        descriptions=descriptions,
        units=units,
        scale=scale,
        offset=offset,
        tags=tags or {},
        band_tags=band_tags or [],
        colormap=colormap,
        tile=tile,
    )
    _check(path, profile, overviews=overviews, level=level, threads=threads)
    template = template_tags(profile)
    with ExitStack() as stack:
        with _reported(path):
            spools = [stack.enter_context(_spool(path)) for _ in _shapes(profile)]
        pyramid = _Pyramid(
            profile,
            HALVE[overviews],
            spools,
            level=level,
            pool=stack.enter_context(ThreadPoolExecutor(threads)),
        )
        # Errors of the producer pass as they are; only ours are reported as the file's.
        for chunk in _checked(path, rows, profile):
            with _reported(path):
                pyramid.feed(chunk)
        with _reported(path):
            pyramid.finish()
            _assemble(path, build_head(template, pyramid.layout), reversed(spools))


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


class _Pyramid:
    """Takes full resolution by rows and leaves every level's compressed tiles, framed, in its spool."""

    def __init__(
        self,
        profile: Profile,
        halve: Halve,
        spools: Sequence[BinaryIO],
        *,
        level: int,
        pool: ThreadPoolExecutor,
    ) -> None:
        self._tile = profile.tile
        self._nodata = profile.nodata
        self._halve = halve
        self._level = level
        self._pool = pool
        self._stages = []
        for (height, width), spool in zip(_shapes(profile), spools, strict=True):
            shape = (profile.count, self._tile, -(-width // self._tile) * self._tile)
            dtype = profile.dtype.newbyteorder("<")
            self._stages.append(_Stage(height, width, np.zeros(shape, dtype), np.zeros(shape, dtype), spool))

    @property
    def layout(self) -> list[Level]:
        """Size and tile sizes of each level, full resolution first; complete after ``finish``."""
        return [
            Level(stage.height, stage.width, np.array(stage.tile_sizes, np.int64)) for stage in self._stages
        ]

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
        stage.rows[:, : stage.filled, stage.width :] = stage.rows[
            :, : stage.filled, stage.width - 1 : stage.width
        ]
        stage.rows[:, stage.filled :] = stage.rows[:, stage.filled - 1 : stage.filled]
        stage.rows, stage.busy_rows = stage.busy_rows, stage.rows
        coarser = self._stages[index + 1] if index + 1 < len(self._stages) else None
        half = self._tile // 2
        for left in range(0, stage.busy_rows.shape[2], self._tile):
            pixels = stage.busy_rows[:, :, left : left + self._tile]
            cells = None
            if coarser is not None:
                cells = coarser.rows[:, coarser.filled : coarser.filled + half, left // 2 : left // 2 + half]
            # The first tile is never sparse: some validators look for a level's data there.
            is_first = not stage.tile_sizes and left == 0
            stage.busy.append(self._pool.submit(self._encode, pixels, cells, keep=is_first))
        if coarser is not None:
            coarser.filled += -(-stage.filled // 2)
        stage.filled = 0

    def _encode(self, pixels: np.ndarray, cells: np.ndarray | None, *, keep: bool) -> bytes:
        """In a thread: the compressed tile, empty if sparse; ``cells`` of the coarser level receive its half."""
        if cells is not None:
            cells[:] = self._halve(pixels, self._nodata)
        if not keep and self._nodata is not None and is_nodata(pixels, self._nodata).all():
            return b""
        return compress_tile(pixels, level=self._level)

    def _collect(self, index: int) -> None:
        """Wait for the row of tiles in work and store it; start on the coarser level's row if that is full."""
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


def _shapes(profile: Profile) -> list[tuple[int, int]]:
    """(height, width) of full resolution and of each overview."""
    height, width = profile.geobox.shape
    shapes = [(height, width)]
    while max(height, width) > profile.tile:
        height, width = -(-height // 2), -(-width // 2)
        shapes.append((height, width))
    return shapes


def _checked(path: Path, rows: Iterable[np.ndarray], profile: Profile) -> Iterator[np.ndarray]:
    """The rows, if they are what the profile says."""
    height, width = profile.geobox.shape
    done = 0
    for chunk in rows:
        if (
            chunk.ndim != 3
            or chunk.shape[0] != profile.count
            or chunk.shape[2] != width
            or chunk.dtype != profile.dtype
        ):
            raise OutputError(
                f"{path}: rows from {done} on are {chunk.dtype} {chunk.shape},"
                f" not {profile.dtype} ({profile.count}, rows, {width})"
            )
        done += chunk.shape[1]
        if done > height:
            raise OutputError(f"{path}: got {done} rows or more, but the raster has {height}")
        yield chunk
    if done < height:
        raise OutputError(f"{path}: got {done} rows, but the raster has {height}")


def _check(path: Path, profile: Profile, *, overviews: str, level: int, threads: int) -> None:
    """Refuse what would fail late or give a wrong file."""
    dtype, count, nodata = profile.dtype, profile.count, profile.nodata
    per_band = {
        "descriptions": profile.descriptions,
        "units": profile.units,
        "band_tags": profile.band_tags or None,
    }
    problems = {
        f"{name} must be a list of {count}, one entry per band": isinstance(values, str)
        or len(values) != count
        for name, values in per_band.items()
        if values is not None
    } | {
        f"dtype {dtype} is none of {', '.join(PREDICTORS)}": dtype.name not in PREDICTORS,
        f"nodata {nodata} is no value of {dtype}": nodata is not None
        and dtype.kind in "iu"
        and nodata % 1 != 0,
        f"overviews {overviews!r} is none of {', '.join(HALVE)}": overviews not in HALVE,
        f"tile {profile.tile} is not a multiple of 16": profile.tile < 16 or profile.tile % 16 != 0,
        f"level {level} is not in 1 to 22": not 1 <= level <= 22,
        f"threads {threads} is not positive": threads < 1,
        f"the raster is empty: {tuple(profile.geobox.shape)}": min(profile.geobox.shape) < 1,
        "a colormap needs one band of uint8": bool(profile.colormap) and (count, dtype.name) != (1, "uint8"),
    }
    for problem, is_true in problems.items():
        if is_true:
            raise OutputError(f"{path}: {problem}")


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"{path} could not be written: {reason}; check the folder and its free space"
        ) from error


def _spool(path: Path) -> BinaryIO:
    """A temporary file on the target's disk, that the system removes whatever becomes of this process."""
    return tempfile.TemporaryFile(dir=path.parent, prefix=f".{path.name}.")


def _assemble(path: Path, head: bytes, spools: Iterable[BinaryIO]) -> None:
    """Join the parts under a hidden name, make sure that they are on the disk, and give the file its name."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(head)
            for spool in spools:
                spool.seek(0)
                shutil.copyfileobj(spool, file, _COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
