"""What a band's file says of itself, held against what its item says of it. Pure: files are asked elsewhere.

What is unambiguous is used: a declared value of no data, a mask. What contradicts the item makes the file unusable, by
name, rather than something else being read into it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from terramosaic.bands import GSD, is_coarse
from terramosaic.catalog.offset import OFFSET

#: Digital numbers are reflectances by this scale, in every product of Sentinel-2; 1 is GDAL's word for none.
_SCALES = (1.0, 1e-4)

#: What else than 0 a pixel may hold, and what its numbers may carry.
_NUMBERS = range(1, 65_536)
_OFFSETS = (0, OFFSET)


@dataclass(frozen=True)
class FileFacts:
    """What a file says of itself.

    Attributes:
        dtype: of its first band, as numpy calls it.
        crs: its CRS, None if it has none.
        transform: from (column, row) to the CRS.
        others: what its bands after the first are.
        nodata: the value that it declares to be no data, None if it does not.
        has_mask: whether it has a mask of its own: inside, beside it (``.msk``), or as alpha.
        scale: the tag; 1 if there is none.
        offset: the tag; 0 if there is none.
        overviews_elsewhere: whether it names another file for its overviews.
    """

    dtype: str
    crs: CRS | None
    transform: Affine
    others: tuple[ColorInterp, ...] = ()
    nodata: float | None = None
    has_mask: bool = False
    scale: float = 1.0
    offset: float = 0.0
    overviews_elsewhere: bool = False

    @classmethod
    def of(cls, dataset: DatasetReader) -> FileFacts:
        """Those of an open file."""
        return cls(
            dtype=dataset.dtypes[0],
            crs=dataset.crs,
            transform=dataset.transform,
            others=tuple(dataset.colorinterp[1:]),
            nodata=dataset.nodatavals[0],
            has_mask=MaskFlags.per_dataset in dataset.mask_flag_enums[0],
            scale=dataset.scales[0],
            offset=dataset.offsets[0],
            overviews_elsewhere=bool(dataset.tags(ns="OVERVIEWS")),
        )


@dataclass(frozen=True)
class FileVerdict:
    """How a file is to be read.

    Attributes:
        problem: why it cannot be, to follow the asset's name; empty if it can.
        note: what is odd, though it can.
        nodata: a number that means no data, besides 0; None if there is none.
        has_mask: whether its mask says where there is no data.
        tagged_offset: what its tags ask to have subtracted, 0 or 1000; None if they do not say.
    """

    problem: str = ""
    note: str = ""
    nodata: int | None = None
    has_mask: bool = False
    tagged_offset: int | None = None

    @property
    def declares_holes(self) -> bool:
        """Whether it says where there is no data in another way than by 0."""
        return self.has_mask or self.nodata is not None


def check_file(facts: FileFacts, *, band: str, epsg: int) -> FileVerdict:
    """Holds a file against its item.

    Args:
        facts: what the file says.
        band: what the item says it holds, ``SCL`` or a band by ESA's name.
        epsg: the zone that the item says its pixels come in.
    """
    for problem in _problems(facts, band, epsg):
        return FileVerdict(problem)
    size, nodata = facts.transform.a, facts.nodata
    return FileVerdict(
        note=f"has pixels of {size:g} m, not of {GSD[band]} m" if size > GSD[band] else "",
        # 0 is no data anyway; what no pixel can hold says nothing.
        nodata=int(nodata) if nodata is not None and nodata in _NUMBERS else None,
        has_mask=facts.has_mask,
        tagged_offset=None if band == "SCL" else _tagged_offset(facts),
    )


def _tagged_offset(facts: FileFacts) -> int | None:
    """What scale and offset ask to have subtracted, in digital numbers; None if a file has neither."""
    if (facts.scale, facts.offset) == (1, 0) or not facts.scale:
        return None
    return round(-facts.offset / facts.scale)


def _problems(facts: FileFacts, band: str, epsg: int) -> Iterator[str]:
    """All that makes a file another one than its item says."""
    transform, size = facts.transform, facts.transform.a
    if facts.overviews_elsewhere:
        # GDAL reads coarse pixels from whatever file the tag names, one of this machine included.
        yield "names another file for its overviews"
    if facts.crs is None:
        yield "has no CRS"
    elif facts.crs.to_epsg() != epsg and facts.crs != CRS.from_epsg(epsg):
        yield f"comes in {_name_of(facts.crs)}, and its item says EPSG:{epsg}"
    if transform.b or transform.d or not size > 0 > transform.e:
        yield "is not north-up"
    if is_coarse(band, size):
        yield f"has pixels of {size:g} m, and {band} comes at {GSD[band]} m"
    if facts.others not in ((), (ColorInterp.alpha,)):
        yield f"holds {1 + len(facts.others)} bands, not {band} alone"
    # Reflectances stored as 0..1 would all become 0, no data; those of 8 bits look like the darkest water.
    if facts.dtype != "uint16" and (band, facts.dtype) != ("SCL", "uint8"):
        yield f"holds {facts.dtype}, not {'classes as uint8' if band == 'SCL' else 'digital numbers as uint16'}"
    if band != "SCL" and (_tagged_offset(facts) not in (None, *_OFFSETS) or not _is_known(facts.scale)):
        yield f"has the tags scale {facts.scale:g} and offset {facts.offset:g}, not Sentinel-2's 0.0001 and 0 or -0.1"


def _is_known(scale: float) -> bool:
    return any(abs(scale / known - 1) < 1e-6 for known in _SCALES)


def _name_of(crs: CRS) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else "another CRS"
