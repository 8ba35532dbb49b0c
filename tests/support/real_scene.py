"""Real Sentinel-2, end to end: local STAC catalogs over ``../shared/data``, mapped, and NDVI checked against the files.

    python -m tests.support.real_scene --out DIR

Cases: the full 12-band tile 29RKH (every tenth pixel, read as 10 m) in two conventions and two vocabularies; true 10 m
12-band patches of TerraMesh; and ten items over tiles 33TWL and 33TWM on five dates, with four bands at 120 m.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.transform import Affine
from shapely.geometry import box

from terramosaic import RegionRequest, map_region
from terramosaic.bands import GSD, S2L2A_BANDS
from terramosaic.ground.grid import RESOLUTION, Rect, rect_from_bounds
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.storage.location import Location
from tests.conftest import SHARED_DATA
from tools.make_demo_bundle import make_bundle

#: TerraMesh patches that are here, and the +1000 that one of them still carries.
PATCHES = {"38D_378R_2_3": 0, "637U_59R_1_3": 0, "433D_629L_3_1": 1000}


@dataclass(frozen=True)
class Case:
    """A catalog to map, and how a band's true digital numbers are read without the engine.

    Attributes:
        truth: truth(band, rect) -> (harmonised DN as float64, True where exactly one acquisition has data).
    """

    name: str
    catalog: Path
    epsg: int
    region: Any
    datetime: str
    truth: Callable[[str, Rect], tuple[np.ndarray, np.ndarray]]
    options: dict[str, Any] = field(default_factory=dict)

    def request(self, out: Path, **options: Any) -> RegionRequest:
        """The request for this case."""
        fields = {"targets": ("S1GRD", "NDVI", "LULC"), **self.options, **options}
        return RegionRequest(
            region=self.region,
            datetime=self.datetime,
            catalog=str(self.catalog),
            out=str(out / self.name),
            **fields,
        )


def cases(data: Path, work: Path) -> list[Case]:
    """All cases; catalogs are made below ``work``."""
    tiles = [
        _tile_case(data, work, f"{vocabulary}_29RKH_20200219_{baseline}", offset)
        for vocabulary in ("pc", "es")
        for baseline, offset in (("pb0214", 0), ("pb0509", 1000))
        if (data / "scene-29RKH" / f"{vocabulary}_29RKH_20200219_{baseline}.json").exists()
    ]
    return [*tiles, *(_patch_case(data, work, name) for name in PATCHES), _seam_case(data, work)]


def _tile_case(data: Path, work: Path, item: str, offset: int) -> Case:
    folder = data / "scene-29RKH"
    catalog = work / item
    catalog.mkdir(parents=True, exist_ok=True)
    content = json.loads((folder / f"{item}.json").read_text())
    for asset in content["assets"].values():
        asset["href"] = str((folder / asset["href"]).resolve())
    (catalog / "item.json").write_text(json.dumps(content))
    bands = folder / item.rsplit("_", 1)[1]

    def truth(band: str, rect: Rect) -> tuple[np.ndarray, np.ndarray]:
        return _dn([bands / f"{band}.tif"], rect, offset)

    return Case(
        item, catalog, 32629, content["bbox"] if "bbox" in content else _bbox(content), "2020-02-19", truth
    )


def _patch_case(data: Path, work: Path, name: str) -> Case:
    """A TerraMesh patch as a scene: its bands as files on the nearest 10 m grid, all pixels called vegetation."""
    catalog = work / name
    catalog.mkdir(parents=True, exist_ok=True)
    with rasterio.open(data / "terramesh-examples" / "S2L2A" / f"{name}.tif") as patch:
        pixels, epsg = patch.read(), patch.crs.to_epsg()
        left, top = (
            round(value / RESOLUTION) * RESOLUTION for value in (patch.transform.c, patch.transform.f)
        )
    transform = Affine(RESOLUTION, 0, left, 0, -RESOLUTION, top)
    rect = rect_from_bounds((left, top - 2240, left + 2240, top))
    layers = dict(zip(S2L2A_BANDS, pixels.astype(np.uint16), strict=True)) | {
        "SCL": np.full((224, 224), 4, np.uint8)
    }
    for band, layer in layers.items():
        profile = {
            "driver": "GTiff",
            "height": 224,
            "width": 224,
            "count": 1,
            "dtype": layer.dtype,
            "nodata": 0,
        }
        with rasterio.open(
            catalog / f"{band}.tif", "w", crs=f"EPSG:{epsg}", transform=transform, **profile
        ) as file:
            file.write(layer, 1)
    outline = lonlat_of(box(*rect.bounds), epsg)
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": "sentinel-2-l2a",
        "geometry": as_geojson(outline), "bbox": list(outline.bounds), "links": [],
        "properties": {
            "datetime": "2021-06-15T10:00:00Z", "platform": "sentinel-2a", "eo:cloud_cover": 0.0, "proj:epsg": epsg,
            "s2:processing_baseline": "05.00" if PATCHES[name] else "02.14",
        },
        "assets": {
            band: {"href": f"./{band}.tif", "type": "image/tiff", "gsd": GSD[band], "roles": ["data"],
                   "proj:shape": [224, 224], "proj:transform": list(transform)}
            for band in layers
        },
    }  # fmt: skip
    (catalog / "item.json").write_text(json.dumps(item))

    def truth(band: str, rect: Rect) -> tuple[np.ndarray, np.ndarray]:
        return _dn([catalog / f"{band}.tif"], rect, PATCHES[name])

    return Case(name, catalog, epsg, as_geojson(outline), "2021-06-15", truth)


def _seam_case(data: Path, work: Path) -> Case:
    """A region over the seam of two tiles; the clearest day covers it with both."""
    folder = data / "scenes-33TWL-33TWM"
    bundle = work / "bundle-10m-bands"
    if not bundle.exists():
        make_bundle(bundle, targets=["NDVI"], bands=["B02", "B03", "B04", "B08"])
    scenes = [folder / "sentinel-2-l2a" / f"S2A_{tile}_20230815_0_L2A" for tile in ("33TWL", "33TWM")]

    def truth(band: str, rect: Rect) -> tuple[np.ndarray, np.ndarray]:
        return _dn([scene / f"{band}.tif" for scene in scenes], rect, 0)

    return Case(
        "seam-33TWL-33TWM",
        folder / "catalog.json",
        32633,
        as_geojson(lonlat_of(box(520_000, 5_085_000, 540_000, 5_105_000), 32633)),
        "2023-08-15",
        truth,
        {"model": str(bundle), "targets": ("NDVI",), "max_cloud": 100},
    )


def _dn(paths: list[Path], rect: Rect, offset: int) -> tuple[np.ndarray, np.ndarray]:
    """Digital numbers under the centres of a rectangle's pixels, and where exactly one of the files has data."""
    values, hits = np.zeros(rect.shape), np.zeros(rect.shape, int)
    for path in paths:
        with rasterio.open(path) as file:
            native, transform = file.read(1), file.transform
        x = (rect.col + np.arange(rect.width) + 0.5) * RESOLUTION
        y = rect.bounds[3] - (np.arange(rect.height) + 0.5) * RESOLUTION
        cols = np.floor((x - transform.c) / transform.a).astype(int)
        rows = np.floor((y - transform.f) / transform.e).astype(int)
        inside = np.ix_((rows >= 0) & (rows < native.shape[0]), (cols >= 0) & (cols < native.shape[1]))
        raw = np.zeros(rect.shape, np.int64)
        raw[inside] = native[np.ix_(rows[inside[0].ravel()], cols[inside[1].ravel()])]
        values = np.where(raw > 0, np.maximum(raw - offset, 1), values)
        hits += raw > 0
    return values, hits == 1


def _bbox(item: dict[str, Any]) -> list[float]:
    lon, lat = zip(*item["geometry"]["coordinates"][0], strict=True)
    return [min(lon), min(lat), max(lon), max(lat)]


def ndvi_error(mosaic: Location, case: Case) -> tuple[float, int, int]:
    """Largest difference between a mosaic's NDVI and that of the files, pixels compared, and pixels of the mosaic."""
    with rasterio.open(mosaic) as file:
        stored, scale = file.read(1), file.scales[0]
        rect = rect_from_bounds(tuple(file.bounds))
        valid = stored != file.nodata
    red, one_red = case.truth("B04", rect)
    near_infrared, one_nir = case.truth("B08", rect)
    compared = valid & one_red & one_nir
    expected = (near_infrared - red) / np.maximum(near_infrared + red, 1)
    error = np.abs(stored * scale - expected)[compared]
    return float(error.max(initial=0)), int(compared.sum()), int(valid.sum())


def main() -> None:
    """Maps every case and prints how exact its NDVI is."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out.resolve()
    if not SHARED_DATA.is_dir():
        sys.exit("../shared/data with real Sentinel-2 samples is not there")
    failed = 0
    for case in cases(SHARED_DATA, out / "catalogs"):
        for dtype, allowed in (("int16", 0.5e-4 + 1e-7), ("float32", 1e-6)):
            started = time.perf_counter()
            result = map_region(case.request(out / dtype, dtype=dtype))
            error, compared, pixels = ndvi_error(result.mosaics["NDVI"], case)
            good = error <= allowed and compared > 0
            failed += not good
            print(
                f"{case.name:26} {dtype:8} {pixels:9,d} pixels, NDVI off by at most {error:.1e} on {compared:9,d}, "
                f"{time.perf_counter() - started:5.1f} s  {'ok' if good else 'WRONG'}  {result.report}",
                flush=True,
            )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
