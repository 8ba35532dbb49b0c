"""A map's classes as polygons: as many, as large and where the mosaic has them, in files that others read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import rasterio
import shapely
from rasterio.features import rasterize
from scipy import ndimage

from terramosaic import OutputError, RequestError, map_region, open_run, polygons, publish
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import lonlat_of
from tests.integration.conftest import LAND
from tests.integration.publishing.small_run import two_zone_run

#: More rows than a strip has.
RECT = Rect(LAND.row + 300, LAND.col + 200, 700, 320)


@pytest.fixture(scope="module")
def result(land, tmp_path_factory):
    """Land cover with a hole in it."""
    return map_region(land.request(RECT, tmp_path_factory.mktemp("out"), targets=("LULC", "NDVI")))


@pytest.fixture(scope="module")
def mosaic(result):
    with rasterio.open(result.mosaics["LULC"]) as dataset:
        return dataset.read(1), dataset.transform


def naive(classes: np.ndarray, value: int) -> tuple[np.ndarray, int]:
    return ndimage.label(classes == value)


def test_parquet_is_in_the_zones_metres_and_geopandas_reads_it(result, mosaic, tmp_path):
    geopandas = pytest.importorskip("geopandas", reason="geopandas comes with the extra vectors")
    told = polygons(result, tmp_path / "cover.parquet")
    frame = geopandas.read_parquet(tmp_path / "cover.parquet")
    assert frame.crs.to_epsg() == 32633
    classes, transform = mosaic
    burnt = rasterize(zip(frame.geometry, frame.value, strict=True), classes.shape, transform=transform)
    np.testing.assert_array_equal(burnt, classes)
    names = {item.value: item.name for item in result["LULC"].layer.classes}
    for value, name in names.items():
        own = frame[frame["class"] == name]
        _, count = naive(classes, value)
        assert len(own) == count == told.polygons[name]
        assert own.area_ha.sum() == pytest.approx(np.count_nonzero(classes == value) / 100)
        assert own.area_ha.sum() == pytest.approx(told.hectares[name])
    assert (frame.area / 10_000).values == pytest.approx(frame.area_ha.values, abs=0.005)
    assert set(frame.run) == {result.plan.run_id} and set(frame.zone) == {32633}
    assert frame.start.min().isoformat() == "2023-08-15T10:00:00+00:00"
    assert frame.end.min().isoformat() == "2023-08-20T10:00:00+00:00"
    assert len(frame) > 20 and frame.geometry.bounds.miny.min() < transform.f - 512 * 10 < transform.f


def test_confidence_is_the_mean_over_the_pixels(result, mosaic, tmp_path):
    geopandas = pytest.importorskip("geopandas", reason="geopandas comes with the extra vectors")
    polygons(result, tmp_path / "cover.parquet")
    frame = geopandas.read_parquet(tmp_path / "cover.parquet")
    with rasterio.open(result.mosaics["LULC_confidence"]) as dataset:
        confidence = dataset.read(1, masked=True)
    classes, transform = mosaic
    for row in frame.sort_values("area_ha").tail(3).itertuples():
        inside = rasterize([(row.geometry, 1)], classes.shape, transform=transform).astype(bool)
        assert row.confidence == pytest.approx(confidence[inside].mean(), abs=0.006)


def test_geojson_is_in_degrees_and_only_of_what_is_asked_for(result, mosaic, tmp_path, run_here):
    done = run_here(
        "polygons", str(result.folder), "--class", "built_area", "--class", "Crops", "--min-area", "0.2",
        "--out", str(tmp_path / "part.geojson"), "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    document = json.loads((tmp_path / "part.geojson").read_text())
    found = document["features"]
    assert list(told["polygons"]) == ["crops", "built area"] and sum(told["polygons"].values()) == len(found)
    classes, _ = mosaic
    values = {item.name: item.value for item in result["LULC"].layer.classes}
    for name in told["polygons"]:
        labels, count = naive(classes, values[name])
        sizes = ndimage.sum_labels(classes == values[name], labels, range(1, count + 1))
        own = sorted(one["properties"]["area_ha"] for one in found if one["properties"]["class"] == name)
        assert own == sorted((sizes[sizes >= 20] / 100).tolist())
    first = found[0]["properties"]
    assert first.keys() == {"class", "value", "area_ha", "confidence", "zone", "run", "start", "end"}
    assert first["start"] == "2023-08-15T10:00:00Z"
    inside = shapely.union_all([shapely.from_geojson(json.dumps(one["geometry"])) for one in found])
    bounds = lonlat_of(shapely.box(*rasterio.open(result.mosaics["LULC"]).bounds), 32633)
    assert bounds.buffer(1e-5).contains(inside)


def test_nothing_found_is_an_empty_file(result, tmp_path):
    geopandas = pytest.importorskip("geopandas", reason="geopandas comes with the extra vectors")
    told = polygons(result, tmp_path / "none.parquet", classes="clouds", min_area_ha=1000)
    assert told.polygons == {"clouds": 0}
    assert len(geopandas.read_parquet(tmp_path / "none.parquet")) == 0
    polygons(result, tmp_path / "none.geojson", classes=["clouds"], min_area_ha=1000)
    assert json.loads((tmp_path / "none.geojson").read_text())["features"] == []


def test_several_zones_are_one_layer_in_degrees(tmp_path, monkeypatch):
    geopandas = pytest.importorskip("geopandas", reason="geopandas comes with the extra vectors")
    made = two_zone_run(tmp_path, targets=("LULC",))
    publish(made)
    result = open_run(f"{made.request.out}/{made.run_id}")
    told = polygons(result, tmp_path / "both.parquet")
    frame = geopandas.read_parquet(tmp_path / "both.parquet")
    assert frame.crs.equals("OGC:CRS84") and set(frame.zone) == {32632, 32633}
    assert frame[frame.zone == 32632].total_bounds[2] <= 12.0005
    assert frame[frame.zone == 32633].total_bounds[0] >= 11.9995
    pixels = sum(np.count_nonzero(rasterio.open(path).read(1)) for name, path in result.mosaics.items()
                 if name.startswith("LULC_3"))  # fmt: skip
    assert sum(told.hectares.values()) == pytest.approx(pixels / 100)


def test_what_cannot_be_written_is_said(land, result, tmp_path, run_here):
    with pytest.raises(
        RequestError, match=r"class: LULC has no 'watr'; it has water, trees, .*; did you mean water\?$"
    ):
        polygons(result, tmp_path / "a.geojson", classes=["watr"])
    with pytest.raises(RequestError, match=r"out: 'a.shp' says no format that is known; end it in .parquet"):
        polygons(result, tmp_path / "a.shp")
    with pytest.raises(RequestError, match="layer: there is no map of classes 'NDVI'; there is LULC"):
        polygons(result, tmp_path / "a.geojson", layer="NDVI")
    with pytest.raises(RequestError, match="min_area_ha: -1 is no area"):
        polygons(result, tmp_path / "a.geojson", min_area_ha=-1)
    ndvi = map_region(land.request(RECT, tmp_path / "ndvi", targets=("NDVI",)))
    with pytest.raises(
        RequestError, match=r"layer: run .* has no map of classes; it made NDVI, acquired, quality"
    ):
        polygons(ndvi, tmp_path / "a.geojson")
    assert not list(tmp_path.glob("a.*"))
    done = run_here("polygons", str(tmp_path), "--out", "a.geojson")
    assert done.returncode == 2 and "there is no such file" in done.stderr


def test_a_mosaic_that_is_broken_leaves_no_file(land, tmp_path):
    result = map_region(land.request(Rect(LAND.row, LAND.col, 100, 100), tmp_path / "out", targets=("LULC",)))
    path = result.mosaics["LULC"]
    size = path.stat().st_size
    path.write_bytes(b"\0" * size)
    with pytest.raises(
        OutputError, match=r"LULC.tif cannot be read: .*; remove it and run the same request again"
    ):
        polygons(result, tmp_path / "a.geojson")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_from_a_store_and_to_it(land, tmp_path, monkeypatch):
    pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
    from tests.support.s3 import BUCKET, s3_server

    monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(tmp_path / "scratch"))
    with s3_server() as store:
        request = land.request(Rect(LAND.row, LAND.col, 100, 100), f"s3://{BUCKET}/maps", targets=("LULC",))
        result = map_region(request)
        told = polygons(str(result.folder), f"s3://{BUCKET}/water.geojson")
        body = store.client.get_object(Bucket=BUCKET, Key="water.geojson")["Body"].read()
    assert len(json.loads(body)["features"]) == sum(told.polygons.values()) > 0
