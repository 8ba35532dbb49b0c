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
    named = _planes_of(array)
    bands = {name: str(band_called(name)) for name in named}
    try:
        one = next(iter(named.values()))
        crs, transform = one.rio.crs or array.rio.crs, one.rio.transform()
        planes = [_plane(plane, one.rio.x_dim, one.rio.y_dim) for plane in named.values()]
        gaps = [plane.rio.nodata for plane in named.values()]
    except Exception as error:  # rioxarray's errors have no common base
        raise RequestError(f"imagery: the array does not say where it lies: {one_line(error)}") from error
    if crs is None:
        raise RequestError("imagery: the array has no CRS; give it one with array.rio.write_crs(...)")
    _require_places(one)
    _require_numbers(planes)
    if not sensed and "time" in array.coords and array.coords["time"].size == 1:
        sensed = str(array.coords["time"].values.reshape(-1)[0])[:10]
    if sensed and day_in(sensed) is None:
        raise RequestError(f"imagery: sensed is {printable(sensed, 60)}, which is no day; write 2023-08-15")
    if transform.a < 0:  # columns from east to west
        planes = [plane[:, ::-1] for plane in planes]
        transform = transform @ Affine.translation(planes[0].shape[1], 0) @ Affine.scale(-1, 1)
    if transform.e > 0:  # rows from south to north, as netCDF has them
        planes = [plane[::-1] for plane in planes]
        transform = transform @ Affine.translation(0, len(planes[0])) @ Affine.scale(1, -1)
    # TIFF has no floats of half precision.
    kind = np.result_type(*(np.float32 if plane.dtype == np.float16 else plane.dtype for plane in planes))
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


def _planes_of(array: Any) -> dict[str, Any]:
    """The bands of an array by their names.

    Raises:
        RequestError: it is of other dimensions, or a name is no band of Sentinel-2, or one is there twice.
    """
    import rioxarray  # noqa: F401  (adds `.rio`)
    import xarray as xr

    named: dict[str, Any] = {}
    if isinstance(array, xr.Dataset):
        named = {str(name): array[name] for name in array.data_vars if str(name) != "spatial_ref"}
    elif isinstance(array, xr.DataArray) and array.ndim > 2:
        places = _places_among(array)
        others = [name for name in array.dims if name not in places]
        if len(others) > 1:  # such as a moment that was chosen as a slice
            array = array.squeeze([name for name in others if array.sizes[name] == 1])
            others = [name for name in others if name in array.dims]
        if len(others) == 1:
            (bands,) = others
            labels = array.coords[bands].values if bands in array.coords else range(1, array.sizes[bands] + 1)
            named = {str(label): array.isel({bands: index}) for index, label in enumerate(labels)}
            if len(named) < array.sizes[bands]:
                raise RequestError(
                    f"imagery: the array's {bands} names a band twice: {', '.join(map(str, labels))}"
                )
    if not named:
        raise RequestError(
            "imagery: an array of bands, rows and columns is wanted, or a Dataset with a variable a band; of several "
            "moments choose one"
        )
    found = {name: band_called(name) for name in named}
    if unknown := [name for name, band in found.items() if band is None]:
        raise RequestError(
            f"imagery: {printable(', '.join(unknown), 60)} is no band of Sentinel-2; name bands B02, B03 ... or blue, "
            "green ..."
        )
    if len(set(found.values())) < len(found):
        raise RequestError(f"imagery: two of the array's names are the same band: {', '.join(found)}")
    return named


def _places_among(array: Any) -> tuple[Any, Any]:
    """Which of its dimensions are rows and columns: by name, else the last two."""
    try:
        return array.rio.y_dim, array.rio.x_dim
    except Exception:  # rioxarray's errors have no common base
        return array.dims[-2], array.dims[-1]


def _require_numbers(planes: list[np.ndarray]) -> None:
    if any(plane.ndim != 2 or plane.shape != planes[0].shape for plane in planes):
        raise RequestError(
            "imagery: the array has more than bands, rows and columns; choose one moment of it"
        )
    if odd := [plane.dtype for plane in planes if plane.dtype.kind not in "uif"]:
        raise RequestError(f"imagery: the array holds {odd[0]}, which is no number of reflectance")


def _plane(array: Any, x: str, y: str) -> np.ndarray:
    """Rows and columns of a band; what else it has of dimensions stays, to be told."""
    plain = array.squeeze([name for name in array.dims if name not in (x, y) and array.sizes[name] == 1])
    return np.asarray((plain.transpose(y, x) if plain.ndim == 2 else plain).values)


def _require_places(array: Any) -> None:
    """Refuses an array whose pixels do not say where they lie, or lie at steps of their own.

    Raises:
        RequestError: it has no coordinates and no transform, or its coordinates are not evenly spaced.
    """
    if (
        array.rio.grid_mapping in array.coords
        and "GeoTransform" in array.coords[array.rio.grid_mapping].attrs
    ):
        return
    for name in (array.rio.x_dim, array.rio.y_dim):
        if name not in array.coords:
            raise RequestError(
                f"imagery: the array has no coordinates {name}, and so does not say where it lies; give it the middles "
                "of its pixels as coordinates, or array.rio.write_transform(...)"
            )
        steps = np.diff(np.asarray(array.coords[name].values, float))
        if len(steps) and not np.allclose(steps, steps[0], rtol=1e-3, atol=0):
            raise RequestError(
                f"imagery: the array's coordinates {name} are not evenly spaced ({steps.min():g} to {steps.max():g}); "
                "resample it to a grid first"
            )


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
