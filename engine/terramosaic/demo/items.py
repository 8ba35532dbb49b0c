"""The made-up world's static STAC catalog, in Planetary Computer's words for Sentinel-2 L2A."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pystac
from numpy.typing import NDArray
from pyproj import Transformer
from shapely.geometry import Polygon, box, mapping

from terramosaic.bands import GSD, L2A_FILES
from terramosaic.demo.overpasses import EPSG, OVERPASSES, Overpass, Tile, item_id, swath_end

COLLECTION = "sentinel-2-l2a"
#: The catalog's field that tells which world it describes.
WORLD_FIELD = "terramosaic:demo_world"

_MADE_UP = "Made up by Terramosaic's demo. No satellite saw this: there is no land at this place."

_EXTENSIONS = [
    "https://stac-extensions.github.io/eo/v1.1.0/schema.json",
    "https://stac-extensions.github.io/grid/v1.1.0/schema.json",
    # Of this extension's versions the only one that knows both proj:code and the proj:epsg that catalogs still carry.
    "https://stac-extensions.github.io/projection/v1.2.0/schema.json",
    "https://stac-extensions.github.io/sat/v1.0.0/schema.json",
]

#: Properties that count classes of the scene classification, as a product's metadata has them.
_CLASS_SHARES = {
    "s2:saturated_defective_pixel_percentage": 1,
    "s2:dark_features_percentage": 2,
    "s2:cloud_shadow_percentage": 3,
    "s2:vegetation_percentage": 4,
    "s2:not_vegetated_percentage": 5,
    "s2:water_percentage": 6,
    "s2:unclassified_percentage": 7,
    "s2:medium_proba_clouds_percentage": 8,
    "s2:high_proba_clouds_percentage": 9,
    "s2:thin_cirrus_percentage": 10,
    "s2:snow_ice_percentage": 11,
}
_CLOUDS = (8, 9, 10)


def make_catalog(
    identity: dict[str, int], tiles: tuple[Tile, Tile], classes: dict[str, NDArray[np.uint8]]
) -> Iterator[tuple[PurePosixPath, str]]:
    """The catalog's files, the root last.

    Args:
        identity: what tells this world from others; goes into the root and every item.
        tiles: the two tiles.
        classes: item id -> scene classification on the 20 m grid; cloud cover and the like are counted in it.

    Yields:
        Path relative to the catalog's folder, and JSON text with relative links.
    """
    root = pystac.Catalog(
        "terramosaic-demo",
        _MADE_UP,
        "Terramosaic's made-up Sentinel-2 world",
        extra_fields={WORLD_FIELD: identity},
    )
    items = [
        _item(overpass, tile, classes[item_id(overpass, tile)], identity)
        for overpass in OVERPASSES
        for tile in tiles
    ]
    collection = _collection(items)
    root.add_child(collection)
    collection.add_items(items)
    # Any folder does: only relative links are written.
    root.normalize_hrefs("/", strategy=pystac.layout.TemplateLayoutStrategy(item_template="${id}"))
    root.catalog_type = collection.catalog_type = pystac.CatalogType.SELF_CONTAINED
    for thing in (*items, collection, root):
        path = PurePosixPath(thing.self_href).relative_to("/")
        yield path, json.dumps(thing.to_dict(include_self_link=False), indent=1) + "\n"


def _collection(items: list[pystac.Item]) -> pystac.Collection:
    boxes = [item.bbox for item in items if item.bbox]
    whole = [
        min(b[0] for b in boxes),
        min(b[1] for b in boxes),
        max(b[2] for b in boxes),
        max(b[3] for b in boxes),
    ]
    return pystac.Collection(
        COLLECTION,
        f"{_MADE_UP} In everything else like Planetary Computer's Sentinel-2 Level-2A.",
        pystac.Extent(
            pystac.SpatialExtent([whole]),
            pystac.TemporalExtent([[OVERPASSES[0].sensed, OVERPASSES[-1].sensed]]),
        ),
        "Made-up Sentinel-2 Level-2A",
        license="CC0-1.0",
    )


def _item(
    overpass: Overpass, tile: Tile, classes: NDArray[np.uint8], identity: dict[str, int]
) -> pystac.Item:
    footprint = _footprint(overpass, tile)
    item = pystac.Item(
        item_id(overpass, tile),
        mapping(footprint),
        list(footprint.bounds),
        overpass.sensed,
        {
            "title": f"Made-up Sentinel-2 scene, tile {tile.mgrs}, {overpass.sensed:%Y-%m-%d}",
            "description": _MADE_UP,
            **_product(overpass, tile),
            **_counts(classes),
            "proj:code": f"EPSG:{EPSG}",
            "proj:epsg": EPSG,
            "updated": _stamp(overpass.generated),
            WORLD_FIELD: identity,
        },
        stac_extensions=list(_EXTENSIONS),
        collection=COLLECTION,
    )
    for band in L2A_FILES:
        item.add_asset(band, _asset(band, GSD[band], tile))
    return item


def _footprint(overpass: Overpass, tile: Tile) -> Polygon:
    """The part of the tile inside the swath, lon/lat degrees rounded to a tenth of a metre."""
    left, bottom, right, top = tile.bounds
    end_top, end_bottom = swath_end(overpass, tile.size)
    swath = Polygon([(left, top), (end_top, top), (end_bottom, bottom), (left, bottom)])
    to_degrees = Transformer.from_crs(EPSG, 4326, always_xy=True)
    seen = box(left, bottom, right, top).intersection(swath)
    degrees = to_degrees.itransform(seen.exterior.coords)
    return Polygon([(round(lon, 6), round(lat, 6)) for lon, lat in degrees])


def _product(overpass: Overpass, tile: Tile) -> dict[str, Any]:
    """What a product's metadata tells of itself."""
    platform, baseline = overpass.platform, overpass.baseline
    sensed, generated = f"{overpass.sensed:%Y%m%dT%H%M%S}", f"{overpass.generated:%Y%m%dT%H%M%S}"
    orbit = f"{overpass.absolute_orbit:06}"
    product = f"{platform}_MSIL2A_{sensed}_N{baseline.replace('.', '')}_R{overpass.relative_orbit:03}"
    made = f"{platform}_OPER_MSI_L2A_{{}}_2APS_{generated}_{{}}_N{baseline}"
    return {
        "platform": f"Sentinel-{platform[1:]}",
        "constellation": "Sentinel 2",
        "instruments": ["msi"],
        "grid:code": f"MGRS-{tile.mgrs}",
        "sat:orbit_state": "descending",
        "sat:relative_orbit": overpass.relative_orbit,
        "s2:mgrs_tile": tile.mgrs,
        "s2:processing_baseline": baseline,
        "s2:generation_time": _stamp(overpass.generated),
        "s2:product_type": "S2MSI2A",
        "s2:product_uri": f"{product}_T{tile.mgrs}_{generated}.SAFE",
        "s2:datatake_id": f"G{platform}_{sensed}_{orbit}_N{baseline}",
        "s2:datatake_type": "INS-NOBS",
        "s2:datastrip_id": made.format("DS", f"S{overpass.datastrip:%Y%m%dT%H%M%S}"),
        "s2:granule_id": made.format("TL", f"A{orbit}_T{tile.mgrs}"),
        "s2:mean_solar_zenith": overpass.sun_zenith,
        "s2:mean_solar_azimuth": overpass.sun_azimuth,
    }


def _counts(classes: NDArray[np.uint8]) -> dict[str, float]:
    """Percentages: of no data in the whole tile, of each class among the valid pixels."""
    pixels = np.bincount(classes.ravel(), minlength=12)
    valid = max(1, int(pixels[1:].sum()))
    counts = {name: round(100 * int(pixels[value]) / valid, 6) for name, value in _CLASS_SHARES.items()}
    return {
        "eo:cloud_cover": round(100 * sum(int(pixels[value]) for value in _CLOUDS) / valid, 6),
        "s2:nodata_pixel_percentage": round(100 * int(pixels[0]) / classes.size, 6),
        "s2:degraded_msi_data_percentage": 0.0,
        **counts,
    }


def _asset(band: str, gsd: int, tile: Tile) -> pystac.Asset:
    left, bottom, right, top = tile.bounds
    count = tile.size * 10 // gsd
    title = "Scene classification map (SCL)" if band == "SCL" else f"Band {band[1:].lstrip('0')} - {gsd}m"
    fields: dict[str, Any] = {
        "gsd": gsd,
        "proj:bbox": [left, bottom, right, top],
        "proj:shape": [count, count],
        "proj:transform": [gsd, 0, left, 0, -gsd, top],
    }
    if band != "SCL":
        fields["eo:bands"] = [{"name": band}]
    return pystac.Asset(
        f"./{band}.tif", title, media_type=pystac.MediaType.COG, roles=["data"], extra_fields=fields
    )


def _stamp(moment: dt.datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%S}.000000Z"
