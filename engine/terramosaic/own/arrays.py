"""An array in memory as a file that a request can name."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS
from rasterio.dtypes import in_dtype_range

from terramosaic.bands import band_called
from terramosaic.errors import RequestError, one_line, printable
from terramosaic.own.names import day_in
from terramosaic.storage.files import whole_file
from terramosaic.storage.gdal import local_files


def write_imagery(array: Any, folder: str | Path, *, sensed: str = "") -> str:
    """Writes an xarray array of reflectance or digital numbers as a GeoTIFF that `RegionRequest.imagery` can name.

    A request refers to files, so that a run can be resumed and verified when the array is gone. The same array is the
    same file.

    Args:
        array: a DataArray (band, y, x) whose bands have names, or a Dataset with a variable for each band; with a CRS
            and coordinates, as rioxarray and odc-stac leave them. What it says of no data, scale and offset counts.
        folder: where the file goes, such as the folder ``imagery`` of the output folder.
        sensed: the day, such as ``2023-08-15``; by default what the array's coordinate ``time`` says, if anything.

    Returns:
        The file's path.

    Raises:
        RequestError: the array has no CRS, is not of two dimensions and bands, a name is no band of Sentinel-2, or
            ``sensed`` is no day.
    """
    import rioxarray  # noqa: F401  (adds `.rio`)
    import xarray as xr

    if isinstance(array, xr.Dataset):
        named = {str(name): array[name] for name in array.data_vars if str(name) != "spatial_ref"}
    elif isinstance(array, xr.DataArray) and array.ndim == 3:
        first = array.dims[0]
        labels = array.coords[first].values if first in array.coords else range(1, array.shape[0] + 1)
        named = {str(label): array.isel({first: index}) for index, label in enumerate(labels)}
    else:
        raise RequestError(
            "imagery: an array of bands, rows and columns is wanted, or a Dataset with a variable a band"
        )
    bands = {name: band_called(name) for name in named}
    if unknown := [name for name, band in bands.items() if band is None]:
        raise RequestError(
            f"imagery: {', '.join(unknown)} is no band of Sentinel-2; name bands B02, B03 ... or blue, green ..."
        )
    try:
        one = next(iter(named.values()))
        crs, transform = one.rio.crs or array.rio.crs, one.rio.transform()
        planes = [np.asarray(plane.squeeze().values) for plane in named.values()]
        gaps = [plane.rio.nodata for plane in named.values()]
    except Exception as error:  # rioxarray's errors have no common base
        raise RequestError(f"imagery: the array does not say where it lies: {one_line(error)}") from error
    if crs is None:
        raise RequestError("imagery: the array has no CRS; give it one with array.rio.write_crs(...)")
    if any(plane.ndim != 2 or plane.shape != planes[0].shape for plane in planes):
        raise RequestError(
            "imagery: the array has more than bands, rows and columns; choose one moment of it"
        )
    if not sensed and "time" in array.coords and array.coords["time"].size == 1:
        sensed = str(array.coords["time"].values.reshape(-1)[0])[:10]
    if sensed and day_in(sensed) is None:
        raise RequestError(f"imagery: sensed is {printable(sensed, 60)}, which is no day; write 2023-08-15")
    if transform.e > 0:  # rows from south to north, as netCDF has them
        planes = [plane[::-1] for plane in planes]
        transform = transform @ Affine.translation(0, len(planes[0])) @ Affine.scale(1, -1)
    kind = np.result_type(*planes)
    planes, nodata = _with_one_nodata(planes, gaps, kind)
    scales = [
        (float(plane.attrs.get("scale_factor", 1)), float(plane.attrs.get("add_offset", 0)))
        for plane in named.values()
    ]
    said = [str(crs), tuple(transform), list(bands.values()), str(kind), nodata, scales]
    digest = hashlib.sha256(repr(said).encode())
    for plane in planes:
        digest.update(np.ascontiguousarray(plane, kind).tobytes())
    path = Path(folder).expanduser().absolute() / f"array_{sensed or 'undated'}_{digest.hexdigest()[:12]}.tif"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, planes, list(bands.values()), kind, crs, transform, nodata, scales)
    return str(path)


def _with_one_nodata(
    planes: list[np.ndarray], gaps: list[float | None], kind: np.dtype[Any]
) -> tuple[list[np.ndarray], float]:
    """Planes of which one number is no data, as a TIFF has it: theirs if it is the same of all, else NaN or 0."""
    first = gaps[0]
    if first is not None and all(gap == first for gap in gaps) and in_dtype_range(first, kind):
        return planes, float(first)
    nodata = np.nan if kind.kind == "f" else 0.0
    filled = [
        plane if gap is None else np.where(plane == gap, np.asarray(nodata, kind), plane)
        for plane, gap in zip(planes, gaps, strict=True)
    ]
    return filled, nodata


def _write(
    path: Path,
    planes: list[np.ndarray],
    bands: list[str | None],
    kind: np.dtype[Any],
    crs: CRS,
    transform: Any,
    nodata: float,
    scales: list[tuple[float, float]],
) -> None:
    height, width = planes[0].shape
    with whole_file(path) as unfinished, local_files(), rasterio.open(
        unfinished, "w", driver="GTiff", width=width, height=height, count=len(planes), dtype=kind, crs=crs,
        transform=transform, nodata=nodata, compress="zstd", tiled=True, blockxsize=512,
        blockysize=512, interleave="band", bigtiff="if_safer",
    ) as out:  # fmt: skip
        for index, (plane, band) in enumerate(zip(planes, bands, strict=True), start=1):
            out.write(plane.astype(kind, copy=False), index)
            out.set_band_description(index, band or "")
        if any(pair != (1, 0) for pair in scales):
            out.scales, out.offsets = zip(*scales, strict=True)
