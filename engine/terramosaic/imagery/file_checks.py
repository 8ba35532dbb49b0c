"""What a band's file says of itself, held against what its item says of it. Pure: files are asked elsewhere.

What is unambiguous is used: a declared value of no data, a mask. What contradicts the item makes the file unusable, by
name, rather than something else being read into it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags
from rasterio.io import DatasetReader

from terramosaic.bands import GSD, is_coarse
from terramosaic.catalog.offset import OFFSET

#: What tags of scale and offset ask to have subtracted. A scale of 1 is GDAL's word for none; with it the offset may be
#: of digital numbers, or of the reflectances that every product of Sentinel-2 makes of them by 0.0001.
_TAGS = {(1e-4, 0.0): 0, (1e-4, -0.1): OFFSET, (1.0, -1000.0): OFFSET, (1.0, -0.1): OFFSET}

#: What else than 0 a pixel may hold.
_NUMBERS = range(1, 65_536)


@dataclass(frozen=True)
class FileFacts:
    """What a file says of itself.

    Attributes:
        dtype: of its first band, as numpy calls it.
        crs: its CRS, None if it has none.
        transform: from (column, row) to the CRS.
        others: what its bands after the first are.
        nodata: the value that it declares to be no data, None if it does not.
        has_mask: whether it has a mask of its own: inside, or beside it (``.msk``).
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
        flags = dataset.mask_flag_enums[0]
        return cls(
            dtype=dataset.dtypes[0],
            crs=dataset.crs,
            transform=dataset.transform,
            others=tuple(dataset.colorinterp[1:]),
            nodata=dataset.nodatavals[0],
            has_mask=MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags,
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
        has_alpha: whether its second band does, by 0.
        tagged_offset: what its tags ask to have subtracted, 0 or 1000; None if they do not say.
    """

    problem: str = ""
    note: str = ""
    nodata: int | None = None
    has_mask: bool = False
    has_alpha: bool = False
    tagged_offset: int | None = None

    @property
    def declares_holes(self) -> bool:
        """Whether it says where there is no data in another way than by 0."""
        return self.has_mask or self.has_alpha or self.nodata is not None


def check_file(
    facts: FileFacts, *, band: str, epsg: int, others: Mapping[str, Affine] | None = None
) -> FileVerdict:
    """Holds a file against its item, and against the other files of its scene.

    Args:
        facts: what the file says.
        band: what the item says it holds, ``SCL`` or a band by ESA's name.
        epsg: the zone that the item says its pixels come in.
        others: from (column, row) to the CRS, of files of the scene's other bands.
    """
    for problem in (*_problems(facts, band, epsg), *_misplaced(facts.transform, others or {})):
        return FileVerdict(problem)
    size, nodata = _size(facts.transform), facts.nodata
    return FileVerdict(
        note=f"has pixels of {size:g} m, not of {GSD[band]} m" if size > GSD[band] else "",
        # 0 is no data anyway; what no pixel can hold says nothing.
        nodata=int(nodata) if nodata is not None and nodata in _NUMBERS else None,
        has_mask=facts.has_mask,
        has_alpha=bool(facts.others),
        tagged_offset=None if band == "SCL" else _tagged_offset(facts),
    )


def _is_tagged(facts: FileFacts) -> bool:
    return (facts.scale, facts.offset) != (1, 0)


def _tagged_offset(facts: FileFacts) -> int | None:
    """What scale and offset ask to have subtracted, in digital numbers; None if they are not Sentinel-2's."""
    known = (
        asked
        for (scale, offset), asked in _TAGS.items()
        if math.isclose(facts.scale, scale, rel_tol=1e-6)
        and math.isclose(facts.offset, offset, rel_tol=1e-6, abs_tol=1e-9)
    )
    return next(known, None)


def _size(transform: Affine) -> float:
    """The longer side of a pixel."""
    return max(float(transform.a), -float(transform.e))


def _misplaced(transform: Affine, others: Mapping[str, Affine]) -> Iterator[str]:
    """Files of one scene begin at one corner, but for what each was cut to whole pixels of its own."""
    for band, other in others.items():
        east, south = transform.c - other.c, other.f - transform.f
        # Not ">": what is no number is elsewhere, too.
        if not max(abs(east), abs(south)) < max(_size(transform), _size(other)):
            yield f"begins {east:g} m east and {south:g} m south of where the file of {band} does"


def _problems(facts: FileFacts, band: str, epsg: int) -> Iterator[str]:
    """All that makes a file another one than its item says."""
    transform, size = facts.transform, _size(facts.transform)
    if facts.overviews_elsewhere:
        # GDAL reads coarse pixels from whatever file the tag names, one of this machine included.
        yield "names another file for its overviews"
    if facts.crs is None:
        yield "has no CRS"
    elif facts.crs.to_epsg() != epsg and facts.crs != CRS.from_epsg(epsg):
        yield f"comes in {_name_of(facts.crs)}, and its item says EPSG:{epsg}"
    if transform.b or transform.d or not transform.a > 0 > transform.e:
        yield "is not north-up"
    if is_coarse(band, size):
        yield f"has pixels of {size:g} m, and {band} comes at {GSD[band]} m"
    if facts.others not in ((), (ColorInterp.alpha,)):
        yield f"holds {1 + len(facts.others)} bands, not {band} alone"
    # Reflectances stored as 0..1 would all become 0, no data; those of 8 bits look like the darkest water.
    if facts.dtype != "uint16" and (band, facts.dtype) != ("SCL", "uint8"):
        yield f"holds {facts.dtype}, not {'classes as uint8' if band == 'SCL' else 'digital numbers as uint16'}"
    if band != "SCL" and _is_tagged(facts) and _tagged_offset(facts) is None:
        yield f"has the tags scale {facts.scale:g} and offset {facts.offset:g}, not Sentinel-2's 0.0001 and 0 or -0.1"


def _name_of(crs: CRS) -> str:
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else "another CRS"
