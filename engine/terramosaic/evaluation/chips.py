"""Chips with masks of water: Sentinel-2 in GeoTIFFs, and beside each a raster of what is water.

Sen1Floods11 (Bonafilia et al. 2020) has them as ``S2Hand/Ghana_103272_S2Hand.tif`` and
``LabelHand/Ghana_103272_LabelHand.tif``: 13 bands of L1C, and -1 for no data, 0 for land and 1 for water. Any folder
like it is read: a chip has 12 bands (L2A) or 13 (L1C), a mask has one, and both have the same name but for the word
behind the last underscore, or the same name in two folders.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from rasterio.errors import RasterioError

from terramosaic.bands import S2L2A_BANDS
from terramosaic.errors import RequestError, one_line
from terramosaic.evaluation.samples import DamagedSampleError

#: Bands of L1C, in the order of its products: one more, of cirrus, which L2A lacks.
_L1C_BANDS = (*S2L2A_BANDS[:10], "B10", *S2L2A_BANDS[10:])
_BANDS_OF = {len(bands): bands for bands in (S2L2A_BANDS, _L1C_BANDS)}

#: How the word that names a mask begins, where several rasters could be one.
_MASK_WORDS = ("label", "mask")

#: Pixels of a side that a chip may have at most: whole scenes are mapped, not held in memory.
_LARGEST = 4096


@dataclass(frozen=True)
class Chip:
    """A picture and its mask.

    Attributes:
        key: the name of its picture.
        image: the file of Sentinel-2.
        mask: the file of water.
        is_l1c: whether the picture is of the top of the atmosphere.
    """

    key: str
    image: Path
    mask: Path
    is_l1c: bool


def chips_in(folder: Path) -> tuple[list[Chip], dict[str, str]]:
    """The chips of a folder and those below it, by name; and by key those that cannot be used, and why.

    Raises:
        RequestError: there are none.
    """
    if not folder.is_dir():
        raise RequestError(f"water: there is no folder {folder}")
    left_out: dict[str, str] = {}
    images: list[tuple[Path, int]] = []
    masks: dict[str, list[Path]] = defaultdict(list)
    for file in sorted(file for ending in ("*.tif", "*.tiff") for file in folder.rglob(ending)):
        try:
            with rasterio.open(file, driver="GTiff") as dataset:
                bands = dataset.count
        except RasterioError as error:
            left_out[file.name] = one_line(error)
            continue
        if bands in _BANDS_OF:
            images.append((file, bands))
        elif bands == 1:
            for key in {file.stem, _base(file)}:
                masks[key].append(file)
    if not images:
        raise RequestError(f"water: {folder} has no GeoTIFF of 12 or 13 bands")
    chips, stems = [], {image.stem for image, _ in images}
    for image, bands in images:
        # A mask that is called as another chip is that one's.
        others = [mask for mask in masks[_base(image)] if mask.stem not in stems]
        found = _named_masks(masks[image.stem] or others)
        if len(found) == 1:
            chips.append(Chip(image.stem, image, found[0], is_l1c=bands == len(_L1C_BANDS)))
        else:
            several = f"several rasters could be its mask: {', '.join(mask.name for mask in found)}"
            left_out[image.stem] = several if found else "it has no mask"
    return chips, left_out


def read_chip(chip: Chip) -> tuple[np.ndarray, np.ndarray]:
    """A chip's pixels.

    Returns:
        uint16 (12, height, width), digital numbers in the order of `S2L2A_BANDS`; and int16 (height, width): 1 for
        water, 0 for land, -1 where nothing is known.

    Raises:
        DamagedSampleError: it cannot be used; says why in a line.
    """
    with rasterio.open(chip.image, driver="GTiff") as image, rasterio.open(chip.mask, driver="GTiff") as mask:
        if max(image.shape) > _LARGEST:
            raise DamagedSampleError(
                f"it has {image.height} x {image.width} pixels, and a chip at most {_LARGEST}"
            )
        if image.shape != mask.shape:
            raise DamagedSampleError(
                f"it has {image.height} x {image.width} pixels, and its mask {mask.height} x {mask.width}"
            )
        try:
            # By name where the file tells names, for not all have the product's order.
            names = [_band_name(text) for text in image.descriptions]
            known = names if set(S2L2A_BANDS) <= set(names) else list(_BANDS_OF[image.count])
            stored = image.read([1 + known.index(band) for band in S2L2A_BANDS])
            water = mask.read(1)
        except RasterioError as error:
            raise DamagedSampleError(f"it cannot be read: {one_line(error)}") from error
    if not np.issubdtype(stored.dtype, np.integer) and np.nanmax(stored, initial=0) <= 2:
        raise DamagedSampleError("its numbers are no digital numbers (reflectance x 10 000), but up to 2")
    dn = np.clip(np.nan_to_num(stored), 0, np.iinfo(np.uint16).max).astype(np.uint16)
    return dn, np.select([water == 1, water == 0], [1, 0], -1).astype(np.int16)


def _named_masks(found: list[Path]) -> list[Path]:
    """Of several those that say of themselves that they are masks."""
    named = [
        mask
        for mask in found
        if any(
            word.lower().startswith(_MASK_WORDS) for word in (mask.stem.rpartition("_")[2], mask.parent.name)
        )
    ]
    return named if len(found) > 1 and named else found


def _base(file: Path) -> str:
    """A name without its last word."""
    return file.stem.rpartition("_")[0] or file.stem


def _band_name(text: str | None) -> str:
    """``B1`` and ``B01`` are one."""
    name = (text or "").strip().upper()
    return f"B0{name[1]}" if len(name) == 2 and name[0] == "B" and name[1].isdigit() else name


def starts(size: int, side: int, stride: int) -> Iterable[int]:
    """Where windows begin that cover so many pixels: in steps of a stride, and the last one at the end."""
    return sorted({*range(0, size - side, stride), size - side})
