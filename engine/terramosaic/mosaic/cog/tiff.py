"""TIFF's header and directories for the layout of a cloud-optimized GeoTIFF.

    header | structural metadata | directory of full resolution, of overview 2, 4, ... | tiles of the smallest
    overview, ..., of full resolution

What the tags say of CRS, nodata, bands and colours comes from a template that GDAL writes in memory; only
sizes, tile offsets and byte counts are set here.

Sources: TIFF 6.0; BigTIFF (libtiff); the structural metadata, and the bytes around tiles that it promises,
are those of GDAL's COG driver, https://gdal.org/en/stable/drivers/raster/cog.html#file-format-details.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import rasterio
from odc.geo.geobox import GeoBox
from rasterio.errors import RasterioError
from rasterio.io import MemoryFile

from terramosaic.errors import OutputError
from terramosaic.mosaic.cog.overviews import HALVE, OverviewMethod
from terramosaic.mosaic.cog.tiles import PREDICTORS

#: A classic TIFF's offsets have 32 bits: no byte of it lies further.
CLASSIC_LIMIT = 2**32

SUBFILE_TYPE, WIDTH, HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS = 254, 256, 257, 324, 325
#: How pixels are stored and what their values stand for (sample format, predictor, colours, nodata, ...):
#: all that an overview needs. Georeference and metadata stand in the first directory alone.
PIXEL_TAGS = frozenset({258, 259, 262, 277, 284, 317, 320, 322, 323, 338, 339, 42113})

LONG, LONG8 = 4, 16
#: Bytes of a value of each type.
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 16: 8, 17: 8, 18: 8}

# GDAL needs the trailing blank: it turns NO into YES in place when it edits the file.
_STRUCTURE = (
    b"LAYOUT=IFDS_BEFORE_DATA\n"
    b"BLOCK_ORDER=ROW_MAJOR\n"
    b"BLOCK_LEADER=SIZE_AS_UINT4\n"
    b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED\n"
    b"KNOWN_INCOMPATIBLE_EDITION=NO\n "
)
STRUCTURAL_METADATA = b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(_STRUCTURE) + _STRUCTURE
#: Bytes that ``frame`` puts before a tile, and before and after it together.
LEADER_SIZE, FRAME_SIZE = 4, 8


@dataclass(frozen=True)
class RasterProfile:
    """What a raster is and says of itself.

    Attributes:
        geobox: CRS, transform and shape of the raster.
        dtype: uint8, int16, uint16, float16 or float32.
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
        tile: Side of a tile in pixels, a multiple of 16.

    Raises:
        OutputError: A field does not fit the others.
    """

    geobox: GeoBox
    dtype: np.dtype
    count: int = 1
    nodata: float | None = None
    overviews: OverviewMethod = "average"
    descriptions: Sequence[str] | None = None
    units: Sequence[str] | None = None
    scale: float | None = None
    offset: float | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    band_tags: Sequence[Mapping[str, str]] = ()
    colormap: Mapping[int, tuple[int, int, int, int]] | None = None
    tile: int = 512

    def __post_init__(self) -> None:
        """Refuses what would fail late or give a wrong file."""
        object.__setattr__(self, "dtype", np.dtype(self.dtype))
        if problem := next(self._problems(), None):
            raise OutputError(problem)

    def _problems(self) -> Iterator[str]:
        for name, values in (("descriptions", self.descriptions), ("units", self.units)):
            if values is not None and (isinstance(values, str) or len(values) != self.count):
                yield f"{name} must be a list of {self.count}, one entry per band"
        if len(self.band_tags) not in (0, self.count):
            yield f"band_tags must be a list of {self.count}, one entry per band"
        if self.dtype.name not in PREDICTORS:
            yield f"dtype {self.dtype} is none of {', '.join(PREDICTORS)}"
        if self.nodata is not None and self.dtype.kind in "iu" and self.nodata % 1 != 0:
            yield f"nodata {self.nodata} is no value of {self.dtype}"
        if self.overviews not in HALVE:
            yield f"overviews {self.overviews!r} is none of {', '.join(HALVE)}"
        if self.tile < 16 or self.tile % 16 != 0:
            yield f"tile {self.tile} is not a multiple of 16"
        if min(self.geobox.shape) < 1:
            yield f"the raster is empty: {tuple(self.geobox.shape)}"
        if self.colormap and (self.count, self.dtype.name) != (1, "uint8"):
            yield "a colormap needs one band of uint8"


@dataclass(frozen=True)
class Tag:
    """An entry of a directory; ``value`` is little-endian."""

    code: int
    type: int
    value: bytes

    @property
    def count(self) -> int:
        return len(self.value) // SIZES[self.type]


@dataclass(frozen=True)
class Level:
    """A resolution: its size in pixels, and the compressed size of each tile in reading order (0: sparse)."""

    height: int
    width: int
    tile_sizes: np.ndarray

    @property
    def spans(self) -> np.ndarray:
        """Bytes that each tile takes in the file with its frame."""
        return np.where(self.tile_sizes > 0, self.tile_sizes + FRAME_SIZE, 0)


def frame(tile: bytes) -> bytes:
    """A tile with its size before and its last four bytes again after it: GDAL can read it in one request."""
    return b"".join((struct.pack("<I", len(tile)), tile, tile[-4:]))


def template_tags(profile: RasterProfile) -> list[Tag]:
    """Tags by which GDAL describes such a raster, taken from an empty one of a single tile.

    Raises:
        OutputError: GDAL refuses the profile.
    """
    try:
        with MemoryFile() as memory:
            with memory.open(**_creation_options(profile)) as dataset:
                describe(dataset, profile)
            return read_directory(bytes(memory.getbuffer()))
    except (RasterioError, ValueError, TypeError) as error:
        raise OutputError(f"GDAL refuses the raster's profile: {error}") from error


def _creation_options(profile: RasterProfile) -> dict[str, object]:
    return {
        "driver": "GTiff",
        "height": profile.tile,
        "width": profile.tile,
        "count": profile.count,
        # GDAL before 3.11 knows half precision as float32 of 16 bits alone, and reads it as float32.
        **(
            {"dtype": "float32", "nbits": 16}
            if profile.dtype == np.float16
            else {"dtype": profile.dtype.name}
        ),
        "crs": profile.geobox.crs,
        "transform": profile.geobox.transform,
        "nodata": profile.nodata,
        "tiled": True,
        "blockxsize": profile.tile,
        "blockysize": profile.tile,
        "interleave": "pixel",
        "compress": "ZSTD",
        "predictor": int(PREDICTORS[profile.dtype.name]),
        "photometric": "PALETTE" if profile.colormap else "MINISBLACK",
        "endianness": "LITTLE",
        "bigtiff": "NO",
        "sparse_ok": True,
    }


def describe(dataset: rasterio.io.DatasetWriter, profile: RasterProfile) -> None:
    """Tells a dataset that is being written what its pixels stand for."""
    if profile.colormap:
        dataset.write_colormap(1, dict(profile.colormap))
    if profile.descriptions:
        dataset.descriptions = tuple(profile.descriptions)
    if profile.units:
        dataset.units = tuple(profile.units)
    if profile.scale is not None:
        dataset.scales = (profile.scale,) * profile.count
    if profile.offset is not None:
        dataset.offsets = (profile.offset,) * profile.count
    dataset.update_tags(**profile.tags)
    for band, tags in enumerate(profile.band_tags, start=1):
        dataset.update_tags(band, **tags)


def read_directory(data: bytes) -> list[Tag]:
    """The tags of the first directory of a classic little-endian TIFF."""
    (start,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, start)
    tags = []
    for entry in range(start + 2, start + 2 + 12 * entries, 12):
        code, kind, count = struct.unpack_from("<HHI", data, entry)
        size = count * SIZES[kind]
        position = entry + 8 if size <= 4 else struct.unpack_from("<I", data, entry + 8)[0]
        tags.append(Tag(code, kind, data[position : position + size]))
    return tags


def build_head(template: Sequence[Tag], levels: Sequence[Level]) -> bytes:
    """Everything before the first tile; framed tiles follow without gaps, those of the last level first.

    Args:
        template: Tags of ``template_tags``.
        levels: Full resolution, then overviews, each half of the one before.

    Returns:
        Header, structural metadata and directories; BigTIFF only where the file is too long for classic TIFF.
    """
    head = _directories(template, levels, first_tile=0, big=False)
    big = len(head) + sum(int(level.spans.sum()) for level in levels) > CLASSIC_LIMIT
    if big:
        head = _directories(template, levels, first_tile=0, big=True)
    return _directories(template, levels, first_tile=len(head), big=big)


def _directories(template: Sequence[Tag], levels: Sequence[Level], *, first_tile: int, big: bool) -> bytes:
    """The head, if tiles start at byte ``first_tile``. Its length does not depend on where they do."""
    offsets: list[np.ndarray] = []
    position = first_tile
    for level in reversed(levels):
        ends = position + np.cumsum(level.spans)
        offsets.insert(0, np.where(level.spans > 0, ends - level.spans + LEADER_SIZE, 0))
        position = int(ends[-1])

    pointer = "<Q" if big else "<I"
    fixed = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)
    head = bytearray(fixed + STRUCTURAL_METADATA)
    link = len(fixed) - struct.calcsize(pointer)
    for index, level in enumerate(levels):
        head += bytes(-len(head) % 8)
        struct.pack_into(pointer, head, link, len(head))
        tags = _level_tags(template, level, offsets[index], is_overview=index > 0, big=big)
        directory, link = _directory(tags, position=len(head), big=big)
        head += directory
    return bytes(head)


def _level_tags(
    template: Sequence[Tag], level: Level, offsets: np.ndarray, *, is_overview: bool, big: bool
) -> list[Tag]:
    """The template's tags, for an overview those of its pixels, with the level's size and tiles."""
    tags = {tag.code: tag for tag in template if tag.code in PIXEL_TAGS or not is_overview}
    layout = {WIDTH: [level.width], HEIGHT: [level.height], TILE_BYTE_COUNTS: level.tile_sizes}
    if is_overview:
        layout[SUBFILE_TYPE] = [1]
    for code, values in layout.items():
        tags[code] = Tag(code, LONG, np.asarray(values).astype("<u4").tobytes())
    kind, dtype = (LONG8, "<u8") if big else (LONG, "<u4")
    tags[TILE_OFFSETS] = Tag(TILE_OFFSETS, kind, offsets.astype(dtype).tobytes())
    return [tags[code] for code in sorted(tags)]


def _directory(tags: Sequence[Tag], *, position: int, big: bool) -> tuple[bytes, int]:
    """A directory for byte ``position``, its values behind it; and the place of its link to the next one."""
    count_format, entry_format, pointer = ("<Q", "<HHQ", "<Q") if big else ("<H", "<HHI", "<I")
    inline = struct.calcsize(pointer)
    entries = bytearray(struct.pack(count_format, len(tags)))
    link = position + len(entries) + len(tags) * (struct.calcsize(entry_format) + inline)
    values_start = link + inline
    values = bytearray()
    for tag in tags:
        entries += struct.pack(entry_format, tag.code, tag.type, tag.count)
        if len(tag.value) <= inline:
            entries += tag.value.ljust(inline, b"\0")
        else:
            values += bytes(-(values_start + len(values)) % 8)
            entries += struct.pack(pointer, values_start + len(values))
            values += tag.value
    return bytes(entries + bytes(inline) + values), link
