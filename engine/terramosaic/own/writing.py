"""A band on the grid of 10 m as the engine reads it: where a user's file is not so already, a copy that is."""

from __future__ import annotations

import math
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import RasterioError
from rasterio.vrt import WarpedVRT
from rasterio.warp import calculate_default_transform, transform_bounds
from rasterio.windows import Window

from terramosaic.bands import GSD, SCL_UNCLEAR, is_coarse
from terramosaic.errors import RequestError, one_line
from terramosaic.ground.grid import RESOLUTION, is_utm
from terramosaic.own.scene import BandSource, Scaling, opened, surroundings_of
from terramosaic.storage.files import whole_file
from terramosaic.storage.gdal import local_files

#: How a band comes from its own grid to the engine's.
Resample = Literal["no", "nearest", "bilinear", "cubic"]

#: Digital numbers to a reflectance of 1.
_STEPS = 10_000

#: Rows that are converted at once.
_ROWS = 512

#: Share of a pixel by which a grid may lie off and count as the same.
_SAME = 1e-3


@dataclass(frozen=True)
class Placed:
    """A band's file as an item tells it.

    Attributes:
        file: the user's own, or the copy.
        epsg: its zone.
        bounds: left, bottom, right, top in metres.
        size: of a pixel, in metres.
        declared: scale and offset of its numbers, where they are known.
        note: what was done to it, for people; empty if nothing.
    """

    file: str
    epsg: int
    bounds: tuple[float, float, float, float]
    size: float
    declared: dict[str, float]
    note: str = ""


def place(
    band: str,
    source: BandSource,
    said: Scaling | None,
    resample: Resample,
    copy: Path,
    epsg: int | None = None,
) -> Placed:
    """A band's file as it can be read, or a copy that can.

    A file is used as it is where it holds one band of uint16 (of the scene classification uint8) on the engine's grid:
    in a UTM zone, pixels of 10, 20 or 60 m, beginning on whole ones. One that lies off by a fraction is moved to the
    nearest; any other grid is resampled, if that is asked for.

    Args:
        band: its name.
        source: the file.
        said: scale and offset by the request, which go before the item's and the file's tags.
        resample: how another grid is resampled; ``no`` refuses it.
        copy: where a copy would go.
        epsg: the zone to resample to; by default the file's own, or that of its middle.

    Raises:
        RequestError: the file lies nowhere, on a grid that is not the engine's, or does not say what its numbers are.
    """
    is_classes = band == "SCL"
    with opened(source.file) as file:
        if file.crs is None:
            raise RequestError(f"imagery: {source.name} has no CRS; give it one")
        if source.index > file.count:
            raise RequestError(
                f"imagery: {band} is said to be band {source.index} of {source.name}, which has {file.count}"
            )
        scaling = None if is_classes else _scaling(file, source, said)
        own = file.crs.to_epsg()
        size = float(file.transform.a)
        is_upright = not (file.transform.b or file.transform.d) and math.isclose(
            size, -file.transform.e, rel_tol=1e-6
        )
        fits = (
            is_utm(own)
            and is_upright
            and any(abs(size - metres) < 1e-6 * metres for metres in (10, 20, 60))
            and not is_coarse(band, size)
        )
        fits = fits and (epsg is None or own == epsg)
        if not fits and resample == "no":
            raise RequestError(
                f"imagery: {source.name} is on another grid than the map's: {_grid_in_words(file, own, size)}; "
                "say resample, nearest, bilinear or cubic"
            )
        off = _off(file.transform) if fits else 0.0
        kind = np.dtype(file.dtypes[source.index - 1])
        is_plain = file.count == 1 and kind == (np.uint8 if is_classes else np.uint16) and off < _SAME
        known = scaling is None or _is_sentinels(scaling)
        if fits and is_plain and known and file.nodatavals[0] in (None, 0):
            declared = scaling.declared if scaling else {}
            return Placed(source.file, own, tuple(file.bounds), size, declared)
        # Whether digital numbers that nothing is told of carry the +1000 is found as in any catalog.
        declared = Scaling(1 / _STEPS, 0.0).declared if scaling else {}
        if scaling is None and not is_classes:
            if kind != np.uint16:
                raise RequestError(
                    f"imagery: {source.name} holds {kind} and no tag says what of it is reflectance; say "
                    "imagery_scale (and imagery_offset), such as 0.0001 of digital numbers, 1 of reflectance"
                )
            scaling = Scaling(1 / _STEPS, 0.0)
        how = resample if not fits else "no"
        return _copied(band, file, source, scaling, declared, how, copy, epsg, off)


def write_clear(like: Placed, path: Path) -> Placed:
    """A scene classification by which all is clear, under a file; all pixels are alike, which takes few bytes."""
    left, bottom, right, top = like.bounds
    width, height = (math.ceil((high - low) / like.size) for low, high in ((left, right), (bottom, top)))
    transform = Affine(like.size, 0, left, 0, -like.size, top)
    with whole_file(path) as unfinished, local_files(), rasterio.open(
        unfinished, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8",
        crs=CRS.from_epsg(like.epsg), transform=transform,
        compress="zstd", tiled=True, blockxsize=512, blockysize=512,
    ) as out:  # fmt: skip
        for row in range(0, height, _ROWS):
            rows = min(_ROWS, height - row)
            out.write(np.full((rows, width), _CLEAR, np.uint8), 1, window=Window(0, row, width, rows))
    return Placed(str(path), like.epsg, like.bounds, like.size, {})


def cloud_in(file: str) -> float:
    """Percent of a scene that its classification calls unclear, by a coarse picture of it."""
    with opened(file) as held, surroundings_of(file):
        shape = tuple(min(size, _COARSE) for size in held.shape)
        classes = held.read(1, out_shape=shape, resampling=Resampling.nearest)
    seen = classes != 0
    return round(100 * float(np.isin(classes[seen], SCL_UNCLEAR).mean()), 2) if seen.any() else 100.0


#: Vegetation, in the scene classification; and the longest side of what its clouds are counted on.
_CLEAR, _COARSE = 4, 1024


def _copied(
    band: str,
    file: rasterio.DatasetReader,
    source: BandSource,
    scaling: Scaling | None,
    declared: dict[str, float],
    resample: Resample,
    copy: Path,
    epsg: int | None,
    off: float,
) -> Placed:
    crs, transform, width, height = _target(band, file, resample, epsg)
    method = Resampling[resample] if resample != "no" and band != "SCL" else Resampling.nearest
    profile = {
        "driver": "GTiff", "width": width, "height": height, "count": 1, "crs": crs, "transform": transform,
        "dtype": "uint8" if band == "SCL" else "uint16", "nodata": 0, "compress": "zstd", "zstd_level": 3,
        "predictor": 2, "tiled": True, "blockxsize": 512, "blockysize": 512, "bigtiff": "if_safer",
    }  # fmt: skip
    nodata = _nodata(file, source)
    copy.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(copy) as unfinished, surroundings_of(source.file), ExitStack() as closing_:
        held: rasterio.DatasetReader = file
        if resample != "no":
            held = closing_.enter_context(
                WarpedVRT(
                    file,
                    crs=crs,
                    transform=transform,
                    width=width,
                    height=height,
                    resampling=method,
                    src_nodata=nodata,
                    # A mask comes over as alpha; a file's own alpha does so by itself.
                    add_alpha=_has_mask(file, source) and _alpha_of(file) is None,
                    dtype="float32" if band != "SCL" else None,
                )
            )
        alpha = _alpha_of(held)
        with closing(rasterio.open(unfinished, "w", **profile)) as out:
            for row in range(0, height, _ROWS):
                window = Window(0, row, width, min(_ROWS, height - row))
                try:
                    numbers = held.read(source.index, window=window)
                    seen = held.read_masks(source.index, window=window) != 0
                    if alpha is not None:
                        seen &= held.read(alpha, window=window) != 0
                except RasterioError as error:
                    raise RequestError(
                        f"imagery: {source.name} cannot be read to its end ({one_line(error)}); is it whole?"
                    ) from error
                if nodata == 0:
                    seen &= numbers != 0
                out.write(_stored(numbers, seen, scaling), 1, window=window)
    moved = f"lay {off:.2g} of a pixel off the grid and was moved to the nearest" if off >= _SAME else ""
    note = f"was resampled ({resample})" if resample != "no" else moved
    left, top = transform.c, transform.f
    bounds = (left, top + height * transform.e, left + width * transform.a, top)
    return Placed(
        str(copy),
        crs.to_epsg(),
        bounds,
        float(transform.a),
        declared,
        note,
    )


def _nodata(file: rasterio.DatasetReader, source: BandSource) -> float | None:
    """The number that stands for no data: as the file says, else 0, if it has no mask of its own either."""
    declared = file.nodatavals[source.index - 1]
    is_masked = _has_mask(file, source) or _alpha_of(file) is not None
    return declared if declared is not None or is_masked else 0


def _has_mask(file: rasterio.DatasetReader, source: BandSource) -> bool:
    return MaskFlags.per_dataset in file.mask_flag_enums[source.index - 1]


def _alpha_of(file: rasterio.DatasetReader) -> int | None:
    """The number of the last band, if it is alpha: GDAL takes it for a mask of two bands and of four alone."""
    return file.count if file.count > 1 and file.colorinterp[-1] == ColorInterp.alpha else None


def _stored(numbers: np.ndarray, seen: np.ndarray, scaling: Scaling | None) -> np.ndarray:
    """As the engine reads it: uint16, reflectance x 10 000, 0 where nothing was seen; classes as they are."""
    if scaling is None:
        return np.where(seen, numbers, 0).astype(np.uint8)
    dn = np.rint((numbers.astype(np.float64) * scaling.scale + scaling.offset) * _STEPS)
    seen = seen & np.isfinite(dn)
    # What is as dark as 0 was seen all the same.
    return np.where(seen, np.clip(np.nan_to_num(dn), 1, 65_535), 0).astype(np.uint16)


def _target(
    band: str, file: rasterio.DatasetReader, resample: Resample, epsg: int | None
) -> tuple[CRS, Affine, int, int]:
    """CRS, transform, width and height of a copy."""
    if resample == "no":
        size = float(file.transform.a)
        left, top = (round(edge / RESOLUTION) * RESOLUTION for edge in (file.transform.c, file.transform.f))
        return file.crs, Affine(size, 0, left, 0, -size, top), file.width, file.height
    own = file.crs.to_epsg()
    zone = epsg or (own if is_utm(own) else _zone_of(file))
    crs = CRS.from_epsg(zone)
    metres = max(RESOLUTION, GSD[band]) if band != "SCL" else 20
    default, width, height = calculate_default_transform(
        file.crs, crs, file.width, file.height, *file.bounds, resolution=metres
    )
    left, top = math.floor(default.c / 60) * 60, math.ceil(default.f / 60) * 60
    right, bottom = default.c + width * metres, default.f - height * metres
    return (
        crs,
        Affine(metres, 0, left, 0, -metres, top),
        math.ceil((right - left) / metres),
        math.ceil((top - bottom) / metres),
    )


def _zone_of(file: rasterio.DatasetReader) -> int:
    left, bottom, right, top = transform_bounds(file.crs, CRS.from_epsg(4326), *file.bounds)
    zone = min(60, int(((left + right) / 2 + 180) // 6) + 1)
    return (32600 if bottom + top >= 0 else 32700) + zone


def _scaling(file: rasterio.DatasetReader, source: BandSource, said: Scaling | None) -> Scaling | None:
    """What reflectance is of the numbers: by the request, the item or the file's tags; None where nothing says it."""
    if said is not None or source.scaling is not None:
        return said or source.scaling
    scale, offset = file.scales[source.index - 1], file.offsets[source.index - 1]
    return None if (scale, offset) == (1, 0) else Scaling(float(scale), float(offset))


def _is_sentinels(scaling: Scaling) -> bool:
    """Whether digital numbers of such a scaling are Sentinel-2's, with the +1000 of baseline 04.00 or without."""
    return math.isclose(scaling.scale, 1e-4) and any(
        math.isclose(scaling.offset, offset, abs_tol=1e-9) for offset in (0, -0.1)
    )


def _off(transform: Affine) -> float:
    """How far a grid lies off the map's, as a share of its pixels."""
    steps = transform.c / RESOLUTION, transform.f / RESOLUTION
    return max(abs(step - round(step)) for step in steps)


def _grid_in_words(file: rasterio.DatasetReader, epsg: int | None, size: float) -> str:
    where = f"EPSG:{epsg}" if epsg else "a CRS without EPSG code"
    unit = "m" if file.crs.is_projected else "degrees"
    turned = ", turned" if file.transform.b or file.transform.d else ""
    turned = turned or (", rows from south to north" if file.transform.e > 0 else "")
    return f"{where}, pixels of {size:g} {unit}{turned}"
