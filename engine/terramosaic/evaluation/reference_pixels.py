"""Reference data on a map's own grid, read by odc-stac.

Cubes of foreign items on a given grid are what odc-stac is for. What it is told of an item is its files and the part
that is wanted: footprints, projections and times of reference items are wrong too often to choose by them, and each
file's own header says best where its pixels lie.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, TypeVar

import numpy as np
from odc.geo.geobox import GeoBox
from rasterio.crs import CRS
from rasterio.io import DatasetReader
from shapely.geometry.base import BaseGeometry
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from terramosaic.catalog.profiles import sign
from terramosaic.errors import CatalogError, RequestError
from terramosaic.evaluation.reference import Reference
from terramosaic.evaluation.reference_items import ReferenceItem
from terramosaic.ground.zones import as_geojson
from terramosaic.imagery.failures import FAILURES, is_hopeless, is_missing, is_refusal, line_of
from terramosaic.storage.gdal import local_files
from terramosaic.storage.gdal_names import DRIVERS, gdal_options, gdal_path
from terramosaic.storage.retries import ASSET
from terramosaic.url_secrets import hide_in_log, scrubbed

_Result = TypeVar("_Result")

# They tell what GDAL says, and which file was read. What odc-stac fails with is said by the error that is raised.
hide_in_log("rasterio._env", "rasterio._err", "odc.loader._rio")
logging.getLogger("odc.loader").setLevel(logging.CRITICAL)

_RASTER = "https://stac-extensions.github.io/raster/v1.1.0/schema.json"

#: Shares of a pixel that are no shift: what rounding leaves.
_DUST = 0.01


def require_odc_stac() -> None:
    """Makes sure that reference data can be read.

    Raises:
        RequestError: odc-stac is not installed.
    """
    # Asked without importing it, which takes a second.
    if find_spec("odc.stac") is None:
        raise RequestError("reference: odc-stac reads reference data: pip install 'terramosaic[assess]'")


@dataclass(frozen=True)
class Frame:
    """Where a file's pixels lie, by its header."""

    crs: CRS
    transform: Any

    def shift(self, geobox: GeoBox) -> tuple[float, float] | None:
        """Metres east and north that its pixels lie off a grid's; None where it has another grid altogether."""
        there, here = self.transform, geobox.affine
        same_zone = geobox.crs is not None and self.crs.to_epsg() == geobox.crs.epsg
        if not same_zone or (there.a, there.e, there.b, there.d) != (here.a, here.e, 0, 0):
            return None
        east, north = (there.c - here.c) / here.a, (there.f - here.f) / here.e
        return _part(east) * here.a + 0.0, _part(north) * here.e + 0.0  # no -0


def read(
    reference: Reference,
    items: Sequence[ReferenceItem],
    assets: Sequence[str],
    geobox: GeoBox,
    part: BaseGeometry,
    *,
    signed_by: str = "",
) -> np.ndarray:
    """Reference data on a grid, as they are compared.

    Where several items have data, the first one's are taken, after gaps were masked in each.

    Args:
        reference: says how numbers are read.
        items: what to read; all of one pass or year.
        assets: one for each band.
        geobox: the grid.
        part: the same ground in lon/lat degrees.
        signed_by: the provider whose signatures open the files.

    Returns:
        float32 (bands, height, width), NaN where there is nothing to compare with.

    Raises:
        CatalogError: a file could not be read, which is named.
    """
    bands = np.full((len(assets), *geobox.shape), np.nan, np.float32)
    for item in items:
        numbers = _load(item, assets, geobox, part, reference.resampling, signed_by)
        values = converted(numbers, reference)
        # A spectrum, here a pair of polarisations, is of one item.
        known = np.isfinite(values).all(axis=0) & np.isnan(bands[0])
        bands[:, known] = values[:, known]
    return bands


def converted(numbers: np.ndarray, reference: Reference) -> np.ndarray:
    """A file's numbers as a map has them: gaps NaN, dB, scale, classes."""
    values = np.where(np.isin(numbers, reference.gaps), np.nan, numbers).astype(np.float32)
    if reference.conversion == "linear to dB":
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.where(values > 0, 10 * np.log10(values), np.nan).astype(np.float32)
    values = values * np.float32(reference.scale) + np.float32(reference.offset)
    if reference.classes:
        known = np.full(values.shape, np.nan, np.float32)
        for theirs, ours in reference.classes.items():
            known[values == theirs] = ours
        values = known
    return values


def frame_of(item: ReferenceItem, asset: str, *, signed_by: str = "") -> Frame:
    """Where the pixels of an item's file lie, by its header.

    Raises:
        CatalogError: it could not be read.
    """
    name = asset.partition(".")[0]
    return _frame(f"asset {name} of {item.id}", item.hrefs[name], signed_by)


@lru_cache(maxsize=1024)
def _frame(what: str, href: str, signed_by: str) -> Frame:
    def opened() -> Frame:
        with DatasetReader(gdal_path(sign(href, signed_by)), driver=DRIVERS) as dataset:
            return Frame(dataset.crs, dataset.transform)

    return _tried(what, href, opened)


def _load(
    item: ReferenceItem,
    assets: Sequence[str],
    geobox: GeoBox,
    part: BaseGeometry,
    resampling: str,
    signed_by: str,
) -> np.ndarray:
    import odc.stac  # an extra, and slow to import
    import pystac

    for name in item.hrefs:
        # odc-stac would take a file for whatever GDAL takes it for.
        frame_of(item, name, signed_by=signed_by)
    documents = {
        name: pystac.Asset(
            href,
            media_type=pystac.MediaType.COG,
            roles=["data"],
            # odc-stac counts the bands of a file by these.
            extra_fields={"raster:bands": [{}] * item.bands},
        )
        for name, href in item.hrefs.items()
    }
    document = pystac.Item(
        item.id,
        as_geojson(part),
        list(part.bounds),
        item.moment,
        {},
        stac_extensions=[_RASTER],
        assets=documents,
    )
    wanted = [asset if item.bands > 1 else asset.partition(".")[0] for asset in assets]

    def loaded() -> np.ndarray:
        found = odc.stac.load(
            [document],
            bands=wanted,
            geobox=geobox,
            resampling=resampling,
            dtype="float32",
            nodata=np.nan,
            patch_url=lambda href: gdal_path(sign(href, signed_by)),
            fail_on_error=True,
        )
        return np.stack([found[name].values[0] for name in wanted])

    return _tried(f"{', '.join(wanted)} of {item.id}", next(iter(item.hrefs.values())), loaded)


def _tried(what: str, href: str, function: Callable[[], _Result]) -> _Result:
    """What a function gives that reads a file, tried again as scenes' files are."""
    tries = Retrying(
        stop=stop_after_attempt(ASSET.tries),
        wait=wait_random_exponential(multiplier=ASSET.pause, exp_base=ASSET.growth),
        retry=retry_if_exception(_may_pass),
        reraise=True,
    )
    try:
        with local_files(**gdal_options(href)):
            return tries(function)
    except FAILURES as error:
        raise CatalogError(f"{what} cannot be read: {scrubbed(line_of(error))}") from error


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, FAILURES) and not (is_hopeless(error) or is_missing(error) or is_refusal(error))


def _part(pixels: float) -> float:
    """What of a number of pixels is no whole one, from -0.5 to 0.5; 0 of what rounding leaves."""
    part = pixels - round(pixels)
    return part if abs(part) > _DUST else 0.0
