"""Runs as a cube over time: the same pixels as their files have, in order, with what they mean."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.warp import Resampling, reproject

from terramosaic import MapResult, OutputError, RequestError, map_region, open_series
from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND, Catalog
from tests.integration.publishing.small_run import two_zone_run
from tests.support.scenes import write_scene

pytest.importorskip("odc.stac", reason="cubes are read by odc-stac, of the extra cubes")

RECT = Rect(LAND.row, LAND.col, 300, 240)
#: By month, of another brightness each.
DAYS = {"2023-06": "2023-06-10", "2023-07": "2023-07-15", "2023-08": "2023-08-20"}


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    """A tile three times, with a hole in July."""
    made = Catalog(tmp_path_factory.mktemp("season"))
    for number, day in enumerate(DAYS.values()):
        holes = np.zeros((480, 480), bool)
        holes[100:150, 60:200] = number == 1
        name = f"S2A_33TWL_{day.replace('-', '')}"
        place = Rect(LAND.row, LAND.col, 480, 480)
        made.add(write_scene(made.folder / name, place, name=name, day=day, holes=holes, level=400 * number))
    return made


@pytest.fixture(scope="module")
def season(catalog, tmp_path_factory) -> dict[str, MapResult]:
    """A run a month; August's was made first, and reaches farther south."""
    out = tmp_path_factory.mktemp("out")
    return {month: _run(catalog, out, month) for month in reversed(DAYS)}


def _run(catalog: Catalog, out, month: str, rect: Rect = RECT, **options) -> MapResult:
    fields = {"targets": ("S1GRD", "NDVI", "LULC"), "extras": ("std",), **options}
    return map_region(catalog.request(rect, out, datetime=month, **fields))


def _copied(season, folder) -> list[Path]:
    """The runs in another folder, the oldest first."""
    return [Path(shutil.copytree(season[month].folder, folder / season[month].folder.name)) for month in DAYS]


@pytest.fixture(scope="module")
def out(season):
    return season["2023-08"].folder.parent


def test_a_layer_is_the_runs_pixels_in_order_of_time(season, out):
    ndvi = open_series(out, "NDVI")
    assert ndvi.dims == ("time", "y", "x") and ndvi.dtype == np.float32 and ndvi.attrs["units"] == "1"
    assert ndvi.chunks is not None  # nothing is read yet
    assert [str(day)[:7] for day in ndvi.time.values] == list(DAYS)
    assert list(ndvi.run.values) == [season[month].plan.run_id for month in DAYS]
    for month, array in zip(DAYS, ndvi, strict=True):
        np.testing.assert_array_equal(array, season[month].open("NDVI")[0])
    assert np.isnan(ndvi[1]).any() and not np.isnan(ndvi[0]).any()


def test_several_bands_are_one_array_or_variables_of_a_dataset(season, out):
    backscatter = open_series(str(out), "S1GRD")
    assert backscatter.dims == ("time", "band", "y", "x") and list(backscatter.band.values) == ["VV", "VH"]
    expected = season["2023-07"].open("S1GRD")
    np.testing.assert_array_equal(backscatter.sel(time="2023-07").squeeze("time"), expected)
    assert backscatter.attrs["units"] == "dB"
    cube = open_series(out, ["S1GRD", "NDVI"])
    assert list(cube.data_vars) == ["S1GRD_VV", "S1GRD_VH", "NDVI"]
    np.testing.assert_array_equal(cube["S1GRD_VH"][1], expected[1])


def test_all_layers_with_what_their_numbers_mean(season):
    result = season["2023-07"]
    cube = result.cube()
    names = [layer for layer in result if layer not in ("S1GRD", "S1GRD_std", "acquired")]
    assert {*names, "S1GRD_VV", "S1GRD_std_VH", "acquired_day", "acquired_pass"} <= set(cube.data_vars)
    for name in ("LULC", "quality"):
        own = result.open(name)
        np.testing.assert_array_equal(cube[name][0], own[0])
        assert cube[name].dtype == own.dtype == np.uint8
        for told in ("flag_values", "flag_masks", "flag_meanings", "_FillValue"):
            assert cube[name].attrs.get(told) == own.attrs.get(told)
    assert cube["LULC"].attrs["flag_meanings"].split()[0] == "water"
    assert cube["LULC_confidence"].attrs["units"] == "%"
    assert np.isnan(cube["LULC_confidence"]).any()
    assert cube["acquired_day"].attrs["units"] == "days since 1970-01-01"
    days = np.unique(cube["acquired_day"])
    assert [str(np.datetime64("1970-01-01") + int(day)) for day in days if day] == [DAYS["2023-07"]]


def test_rioxarray_knows_where_it_is(season, out, tmp_path):
    ndvi = open_series(out, "NDVI")
    with rasterio.open(season["2023-07"].mosaics["NDVI"]) as own:
        assert ndvi.rio.crs == own.crs and ndvi.rio.transform() == own.transform
    assert np.isnan(ndvi.rio.nodata)
    ndvi[1].rio.to_raster(tmp_path / "july.tif")
    with rasterio.open(tmp_path / "july.tif") as again:
        assert again.crs.to_epsg() == 32633
        np.testing.assert_array_equal(again.read(1), ndvi[1])
    assert open_series(out, "LULC").rio.nodata == 0


def test_it_goes_through_zarr(out, tmp_path):
    xarray = pytest.importorskip("xarray")
    pytest.importorskip("zarr", reason="zarr is of the extra terramesh")
    cube = open_series(out, ["NDVI", "LULC"])
    cube.to_zarr(tmp_path / "cube.zarr")
    again = xarray.open_zarr(tmp_path / "cube.zarr", mask_and_scale=False)
    np.testing.assert_array_equal(again["NDVI"], cube["NDVI"])
    np.testing.assert_array_equal(again["LULC"], cube["LULC"])
    assert again["LULC"].attrs["flag_meanings"] == cube["LULC"].attrs["flag_meanings"]


def test_a_period_takes_the_runs_that_begin_in_it(out):
    assert open_series(out, "NDVI", period="2023-07").sizes["time"] == 1
    assert open_series(out, "NDVI", period="2023-06-10/2023-07-15").sizes["time"] == 2
    with pytest.raises(RequestError, match=r"out: there is no finished run in .* that begins in the period"):
        open_series(out, "NDVI", period="2022")
    with pytest.raises(RequestError, match="period: 'summer' is not an ISO 8601 date"):
        open_series(out, "NDVI", period="summer")


def test_runs_that_are_named_are_taken_wherever_they_are(season):
    july, august = season["2023-07"], season["2023-08"]
    ndvi = open_series([str(august.folder), july], "NDVI")
    np.testing.assert_array_equal(ndvi[1], august.open("NDVI")[0])
    with pytest.raises(RequestError, match="period: it chooses of a folder's runs"):
        open_series([july], "NDVI", period="2023")


def test_a_run_that_is_not_finished_is_left_out_and_a_damaged_one_is_an_error(season, tmp_path):
    june, july, _ = _copied(season, tmp_path)
    (june / "item.json").unlink()
    assert open_series(tmp_path, "NDVI").sizes["time"] == 2
    (july / "NDVI.tif").write_bytes(b"short")
    with pytest.raises(OutputError, match=r"NDVI.tif is damaged"):
        open_series(tmp_path, "NDVI")


def test_coarser_pixels_are_averages_and_most_frequent_classes(season, out):
    ndvi = open_series(out, "NDVI", resolution=40)
    fine = open_series(out, "NDVI")[0]
    assert abs(ndvi.rio.resolution()[0]) == 40
    expected = fine.rio.reproject("EPSG:32633", transform=ndvi.rio.transform(), shape=ndvi.shape[1:],
                                  resampling=Resampling.average)  # fmt: skip
    np.testing.assert_allclose(ndvi[0], expected, atol=0.0002)
    cover = open_series(out, "LULC", resolution=40)
    assert set(np.unique(cover)) <= set(np.unique(open_series(out, "LULC")))


def test_another_crs(season, out):
    ndvi = open_series(out, "NDVI", crs=3035)
    assert ndvi.rio.crs.to_epsg() == 3035 and abs(ndvi.rio.resolution()[0]) == 10
    degrees = open_series(out, "NDVI", crs="EPSG:4326")
    assert 5e-5 < abs(degrees.rio.resolution()[0]) < 2e-4
    with pytest.raises(RequestError, match="crs: 'EPSG:99999' is none; take an EPSG code"):
        open_series(out, "NDVI", crs="EPSG:99999")


def test_two_zones_want_a_crs(tmp_path):
    from terramosaic import open_run, publish

    made = two_zone_run(tmp_path)
    publish(made)
    result = open_run(f"{made.request.out}/{made.run_id}")
    with pytest.raises(
        RequestError, match=r"crs: the pixels lie in the zones EPSG:32632, EPSG:32633; name the CRS"
    ):
        result.cube(["NDVI"])
    ndvi = result.cube(["NDVI"], crs=32633)["NDVI"][0]
    with (
        rasterio.open(result.mosaics["NDVI_32633"]) as east,
        rasterio.open(result.mosaics["NDVI_32632"]) as west,
    ):
        own = east.read(1, masked=True)
        col, row = (round(part) for part in ~ndvi.rio.transform() @ (east.bounds.left, east.bounds.top))
        part = ndvi.values[row : row + east.height, col : col + east.width]
        # Of the zone that it is brought to, the pixels are the file's.
        first = np.isfinite(part) & ~own.mask
        scaled = own.data.astype(np.float32) * np.float32(0.0001)
        assert np.mean(part[first] == scaled[first]) > 0.99
        there = np.full(ndvi.shape, -32768, np.int16)
        reproject(rasterio.band(west, 1), there, dst_transform=ndvi.rio.transform(), dst_crs="EPSG:32633",
                  dst_nodata=-32768, resampling=Resampling.bilinear)  # fmt: skip
    seen = there != -32768
    assert seen.sum() > 5_000 and np.isfinite(ndvi.values[seen]).all()


def test_runs_that_do_not_go_together_are_refused(catalog, season, out, tmp_path):
    july = season["2023-07"]
    with pytest.raises(RequestError, match=r"cube: there is no 'DEM' in run \w+; it made S1GRD, S1GRD_std"):
        july.cube(["DEM"])
    twice = _run(catalog, tmp_path / "twice", "2023-07", seed=1)
    with pytest.raises(
        RequestError, match=r"cube: runs \w+ and \w+ both begin at 2023-07-15 .* name the ones"
    ):
        open_series([july, twice], "NDVI")
    plain = _run(catalog, tmp_path / "plain", "2023-06", dtype="float32", extras=())
    with pytest.raises(
        RequestError, match=r"cube: NDVI of run \w+ is not that of run \w+ \(other bands, unit"
    ):
        open_series([plain, july], "NDVI")
    # What only some runs have is left out where nothing is named.
    assert "NDVI_std" not in open_series([_run(catalog, tmp_path / "few", "2023-06", extras=()), july])
    elsewhere = Rect(LAND.row, LAND.col, 60, 60)
    _run(catalog, tmp_path / "regions", "2023-06", elsewhere)
    _run(catalog, tmp_path / "regions", "2023-07")
    with pytest.raises(RequestError, match=r"out: the runs in .* are of 2 regions \(such as"):
        open_series(tmp_path / "regions", "NDVI")
    with pytest.raises(RequestError, match=r"out: .* is a run; give the folder that it lies in"):
        open_series(july.folder, "NDVI")
    with pytest.raises(RequestError, match=r"out: there is no folder"):
        open_series(tmp_path / "none", "NDVI")


def test_an_item_without_times_is_left_out(season, tmp_path, caplog):
    june, *_ = _copied(season, tmp_path)
    item = json.loads((june / "item.json").read_text())
    item["properties"].pop("start_datetime"), item["properties"].pop("datetime")
    (june / "item.json").write_text(json.dumps(item))
    assert open_series(tmp_path, "NDVI").sizes["time"] == 2
    assert f"{june.name} is left out: its item is damaged: it tells no time" in caplog.text


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(tmp_path / "scratch"))
    return tmp_path / "scratch"


def test_runs_in_a_store_are_copied_when_they_are_read(catalog, scratch):
    pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
    from tests.support.s3 import BUCKET, s3_server

    with s3_server() as store:
        _is_read_by_file(catalog, store, f"s3://{BUCKET}/maps")


def _is_read_by_file(catalog, store, out: str) -> None:
    runs = {month: _run(catalog, out, month, targets=("NDVI",)) for month in DAYS}
    before = len(store.requests)
    ndvi = open_series(out, "NDVI")
    assert not [
        path for method, path in store.requests[before:] if method == "GET" and path.endswith("NDVI.tif")
    ]
    july = ndvi.sel(time="2023-07").load()
    fetched = [path for method, path in store.requests[before:] if method == "GET" and "NDVI.tif" in path]
    assert {path.split("/")[-2] for path in fetched} == {runs["2023-07"].plan.run_id}
    np.testing.assert_array_equal(july[0], runs["2023-07"].open("NDVI")[0])
