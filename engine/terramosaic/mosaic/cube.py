"""Finished runs as one xarray dataset over (time, y, x), lazy, by odc-stac.

Runs of one UTM zone share its grid of absolute pixels, so that their cube is their files' pixels, laid beside each
other; nothing is resampled. Onto another CRS or resolution they are: classes, flags and days as overviews are made of
them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from importlib.util import find_spec
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from odc.geo.crs import CRS
from odc.geo.geobox import GeoBox
from odc.geo.geom import BoundingBox
from pyproj.exceptions import CRSError

from terramosaic.errors import OutputError, RequestError, printable
from terramosaic.mosaic.meanings import meanings_of
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan, Zone
from terramosaic.storage.files import facts_of, read_json
from terramosaic.storage.gdal import local_files
from terramosaic.storage.location import is_remote

if TYPE_CHECKING:
    import pystac
    import xarray

#: What a task of dask reads of a mosaic, in pixels: its files have tiles of 512.
CHUNKS = {"x": 2048, "y": 2048}

#: The extension that tells odc-stac what numbers a file holds, and the one that tells where its pixels lie.
_RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"
_PROJECTION = "https://stac-extensions.github.io/projection/v1.1.0/schema.json"

#: The unit of days, in the words of the CF conventions.
_DAYS = "days since 1970-01-01"


@dataclass(frozen=True)
class Slice:
    """A finished run on the axis of time.

    Attributes:
        plan: what was done.
        start: of its first scene, UTC.
        end: of its last scene, UTC.
    """

    plan: Plan
    start: datetime
    end: datetime

    @classmethod
    def of(cls, plan: Plan) -> Slice:
        """That of a run, as its item dates it.

        Raises:
            OutputError: the item is damaged.
        """
        file = RunFolder.of(plan).item_file
        try:
            return cls(plan, *moments_in(read_json(file) or {}))
        except ValueError as error:
            raise OutputError(
                f"{file} is damaged: {error}; run the same request again, which makes it anew"
            ) from error


@dataclass(frozen=True)
class Cut:
    """The pixels that a cube has.

    Attributes:
        crs: as odc-geo reads it: an EPSG code, ``"EPSG:3035"``, WKT; None for that of the runs' zone.
        resolution: side of a pixel in the CRS's units; None for the runs' own.
        chunks: pixels of a task of dask by dimension; None for `CHUNKS`.
    """

    crs: Any = None
    resolution: float | None = None
    chunks: Mapping[str, Any] | None = None


def moments_in(item: Mapping[str, Any]) -> tuple[datetime, datetime]:
    """The first and the last moment of an item, UTC, without a time zone as xarray has them.

    Raises:
        ValueError: it tells none.
    """
    told = item.get("properties")
    told = told if isinstance(told, Mapping) else {}
    start = told.get("start_datetime") or told.get("datetime")
    end = told.get("end_datetime") or start
    if not isinstance(start, str) or not isinstance(end, str):
        raise ValueError("it tells no time")
    first, last = (datetime.fromisoformat(text).replace(tzinfo=None) for text in (start, end))
    return first, last


def cube_of(slices: Sequence[Slice], names: Sequence[str] | None, cut: Cut) -> xarray.Dataset:
    """Runs, the oldest first, as a dataset over (time, y, x); see `terramosaic.open_series`.

    Args:
        slices: the runs, each of another moment, in any order.
        names: their layers; None for all that all runs have, but embeddings.
        cut: which pixels.

    Raises:
        RequestError: a run has no such layer or another one of that name, two are of one moment, or no CRS is named
            for several zones.
    """
    _require_odc_stac()
    ordered = sorted(slices, key=lambda one: (one.start, one.plan.run_id))
    for one, other in pairwise(ordered):
        if one.start == other.start:
            raise RequestError(
                f"cube: runs {one.plan.run_id} and {other.plan.run_id} both begin at {one.start}; name the ones that "
                "you want, each of another time"
            )
    layers = [_layer(ordered, name) for name in _names(ordered, names)]
    geobox = _geobox(ordered, layers, cut)
    with local_files():  # says it plainly where PROJ finds no data
        loaded = _loaded(ordered, layers, geobox, cut)
    return _told(loaded, ordered, layers)


def _require_odc_stac() -> None:
    # Asked without importing it, which takes a second.
    if find_spec("odc.stac") is None:
        raise RequestError("cube: odc-stac reads cubes: pip install 'terramosaic[cubes]'")


def variables_of(layer: Layer) -> tuple[str, ...]:
    """The names that a layer's bands have in a dataset: ``NDVI``, but ``S1GRD_VV`` and ``S1GRD_VH``."""
    if len(layer.bands) == 1:
        return (layer.name,)
    return tuple(f"{layer.name}_{re.sub(r'[^0-9A-Za-z]+', '_', band)}" for band in layer.bands)


def _names(slices: Sequence[Slice], names: Sequence[str] | None) -> Sequence[str]:
    if names is not None:
        return list(dict.fromkeys(names))
    shared = [{layer.name for layer in one.plan.layers} for one in slices]
    return [
        layer.name
        for layer in slices[0].plan.layers
        if layer.kind != "embedding" and all(layer.name in own for own in shared)
    ]


def _layer(slices: Sequence[Slice], name: str) -> Layer:
    """What a name means in all runs.

    Raises:
        RequestError: one has none of that name, or it means something else there.
    """
    found = []
    for one in slices:
        of_name = [layer for layer in one.plan.layers if layer.name == name]
        if not of_name:
            made = ", ".join(layer.name for layer in one.plan.layers)
            raise RequestError(
                f"cube: there is no {printable(name)!r} in run {one.plan.run_id}; it made {made}"
            )
        found += of_name
    for one, layer in zip(slices, found, strict=True):
        if _meaning(layer) != _meaning(found[0]):
            raise RequestError(
                f"cube: {name} of run {one.plan.run_id} is not that of run {slices[0].plan.run_id} (other bands, unit, "
                "numbers or classes); open runs of one model and encoding"
            )
    return found[-1] if found[0].kind != "flags" else max(found, key=lambda layer: len(layer.flags))


def _meaning(layer: Layer) -> tuple[Any, ...]:
    """What must be the same of a layer in all runs. Their days are others, and of flags some runs have more."""
    classes = layer.classes if layer.kind == "class" else ()
    return layer.kind, layer.bands, layer.unit, layer.dtype, layer.scale, layer.nodata, layer.cell, classes


def _geobox(slices: Sequence[Slice], layers: Sequence[Layer], cut: Cut) -> GeoBox:
    """The grid that holds all runs."""
    if len({layer.cell for layer in layers}) > 1:
        sizes = ", ".join(f"{layer.name} {layer.resolution} m" for layer in layers)
        raise RequestError(f"cube: layers have pixels of one size; open these each by themselves: {sizes}")
    zones = [(one, zone) for one in slices for zone in one.plan.zones]
    own = [layer.geobox(zone.rect, zone.epsg) for layer in layers for _, zone in zones]
    codes = sorted({zone.epsg for _, zone in zones})
    if cut.crs is None:
        if len(codes) > 1:
            raise RequestError(
                f"crs: the pixels lie in the zones {', '.join(f'EPSG:{code}' for code in codes)}; name the CRS that "
                f"they are to be brought to, such as crs={codes[0]}"
            )
        crs = own[0].crs
    else:
        try:
            crs = CRS(cut.crs)
        except CRSError as error:
            raise RequestError(
                f"crs: {printable(str(cut.crs), 60)!r} is none; take an EPSG code such as 3035"
            ) from error
    assert crs is not None  # zones have one
    if len(codes) == 1 and crs.epsg == codes[0] and cut.resolution in (None, layers[0].resolution):
        return reduce(lambda one, other: one | other, own)
    resolution = cut.resolution or (
        layers[0].resolution
        if crs.projected and crs.units[0] == "metre"
        else abs(own[0].to_crs(crs).resolution.x)
    )
    if resolution <= 0:
        raise RequestError(f"resolution: {resolution:g} is no size of a pixel")
    bounds = _bounds([geobox.footprint(crs) for geobox in own])
    if crs.geographic and bounds.span_x > 180:
        raise RequestError(
            "crs: the pixels lie on both sides of the antimeridian; take a CRS in metres for them"
        )
    return GeoBox.from_bbox(bounds, crs, resolution=resolution)


def _bounds(footprints: Sequence[Any]) -> BoundingBox:
    left, bottom, right, top = zip(*(footprint.boundingbox for footprint in footprints), strict=True)
    return BoundingBox(min(left), min(bottom), max(right), max(top), footprints[0].crs)


def _loaded(slices: Sequence[Slice], layers: Sequence[Layer], geobox: GeoBox, cut: Cut) -> xarray.Dataset:
    """Stored numbers, as dask arrays."""
    import odc.stac  # an extra, and slow to import
    import rioxarray  # noqa: F401  (adds `.rio`)

    from terramosaic.mosaic.cube_driver import Copying

    items, versions = [], dict[str, str]()
    for index, one in enumerate(slices):
        for zone in one.plan.zones:
            items.append(_item(one, zone, layers, index))
            for asset in items[-1].assets.values():
                if "://" in asset.href:
                    versions[asset.href] = asset.extra_fields.pop("version")
    bands = {f"{layer.name}.{number}" if len(layer.bands) > 1 else layer.name: (layer, variable)
             for layer in layers for number, variable in enumerate(variables_of(layer), start=1)}  # fmt: skip
    is_own = any(geobox.crs == layers[0].geobox(zone.rect, zone.epsg).crs for zone in slices[0].plan.zones)
    loaded: xarray.Dataset = odc.stac.load(
        items,
        bands=list(bands),
        geobox=geobox,
        chunks=dict(cut.chunks or CHUNKS),
        groupby="run",
        preserve_original_order=True,  # of zones, as they are in the plan
        resampling={band: _resampling(layer, geobox, is_own) for band, (layer, _) in bands.items()},
        driver=Copying(versions),
    )
    return loaded.rename({band: variable for band, (_, variable) in bands.items() if band != variable})


def _resampling(layer: Layer, geobox: GeoBox, is_own: bool) -> str:
    """How pixels are brought to a grid: as overviews are made where it is coarser, and else as little as possible."""
    metres = abs(geobox.resolution.x) * (
        1 if is_own or geobox.crs is None or geobox.crs.projected else 111_320
    )
    if metres >= 2 * layer.resolution:
        return layer.overviews
    return "bilinear" if layer.overviews == "average" else "nearest"


def _item(one: Slice, zone: Zone, layers: Sequence[Layer], index: int) -> pystac.Item:
    """A run's files in a zone, as odc-stac wants to be told of them."""
    import pystac  # for start-up time

    folder, assets = RunFolder.of(one.plan), dict[str, pystac.Asset]()
    for layer in layers:
        path = folder.mosaic(one.plan, zone, layer.name)
        geobox = layer.geobox(zone.rect, zone.epsg)
        more: dict[str, Any] = {
            "proj:epsg": zone.epsg,
            "proj:shape": list(geobox.shape),
            "proj:transform": list(geobox.transform)[:6],
            "raster:bands": [{"data_type": layer.dtype, "nodata": layer.nodata}] * len(layer.bands),
        }
        if is_remote(path):
            facts = facts_of(path)
            more["version"] = facts.version if facts else ""
        href = str(path if is_remote(path) else path.resolve())
        assets[layer.name] = pystac.Asset(
            href, media_type=pystac.MediaType.COG, roles=["data"], extra_fields=more
        )
    region = one.plan.region
    return pystac.Item(
        f"{index:06}-{zone.epsg}",
        region,
        None,
        one.start,
        {"run": f"{index:06}"},
        stac_extensions=[_RASTER, _PROJECTION],
        assets=assets,
    )


def _told(loaded: xarray.Dataset, slices: Sequence[Slice], layers: Sequence[Layer]) -> xarray.Dataset:
    """Stored numbers in their units, with what they mean."""
    found = loaded.assign_coords(
        time=("time", _moments(one.start for one in slices)),
        end=("time", _moments(one.end for one in slices)),
        run=("time", [one.plan.run_id for one in slices]),
    )
    for name, layer, unit in chain.from_iterable(
        zip(variables_of(layer), [layer] * len(layer.bands), layer.units, strict=True) for layer in layers
    ):
        array = found[name]
        if layer.is_measured:
            array = array.where(array != layer.nodata).astype(np.float32) * np.float32(layer.scale)
        array.attrs = _attributes(layer, unit)
        array.encoding["grid_mapping"] = "spatial_ref"
        found[name] = array
    models = dict.fromkeys(one.plan.bundle.title for one in slices)
    found.attrs = {"Conventions": "CF-1.11", "source": f"{', '.join(models)}: modelled, not measured"}
    return found


def _attributes(layer: Layer, unit: str) -> dict[str, Any]:
    if layer.is_measured:
        return {"units": unit, "_FillValue": np.float32("nan")}
    told = {"_FillValue": np.dtype(layer.dtype).type(layer.nodata), **meanings_of(layer)}
    if layer.kind == "days" and unit != "1":
        told["units"] = _DAYS
    return told


def _moments(moments: Iterator[datetime]) -> np.ndarray:
    return np.array(list(moments), "datetime64[ns]")
