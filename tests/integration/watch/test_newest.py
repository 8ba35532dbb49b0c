"""Mosaics of the newest pixels: how days arrive does not show in them, and what is mapped again loses nothing."""

from __future__ import annotations

import json
import shutil
from datetime import date

import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, utm_of
from terramosaic.planning.layers import layers_of
from terramosaic.request.request import RegionRequest
from tests.integration.conftest import LAND, Catalog
from tests.integration.watch import newest_region
from tests.integration.watch.newest_region import days, newest, watch

PLACE = Rect(LAND.row, LAND.col, 600, 600)

#: Cloud over the western third, and over the eastern.
WEST, EAST = np.full((300, 300), 4), np.full((300, 300), 4)
WEST[:, :100] = EAST[:, 200:] = 9


@pytest.fixture
def catalog(tmp_path) -> Catalog:
    """A catalog that grows."""
    (tmp_path / "catalog").mkdir()
    return Catalog(tmp_path / "catalog")


def put(catalog, day, *, place=PLACE, **options):
    return newest_region.put(catalog, day, place=place, **options)


def request_for(catalog, out, **options) -> RegionRequest:
    return catalog.request(PLACE, out, datetime="2023-01-01/..", targets=("NDVI", "LULC"), **options)


def assert_same(ours, theirs):
    for name, pixels in theirs.items():
        np.testing.assert_array_equal(ours[name], pixels, err_msg=name)


def number(day: str) -> int:
    return (date.fromisoformat(day) - date(1970, 1, 1)).days


def pixels_of(out, day) -> np.ndarray:
    links = json.loads((out / "collection.json").read_text())["links"]
    (run,) = [link["terramosaic:run_id"] for link in links if link.get("terramosaic:solar_day") == day]
    with rasterio.open(out / "acquisitions" / run / "NDVI.tif") as dataset:
        return dataset.read(1)


@pytest.mark.slow
def test_they_are_the_last_clear_ones_however_the_days_arrived(catalog, tmp_path):
    first = put(catalog, "2023-08-15")
    put(catalog, "2023-08-20", level=300, scl=WEST)
    forward, at_once, late = (tmp_path / name for name in ("forward", "at_once", "late"))
    for day in ("2023-08-15", "2023-08-20"):
        watch(request_for(catalog, forward), day)
    watch(request_for(catalog, at_once), "2023-08-20")
    first.rename(tmp_path / "kept.json")
    watch(request_for(catalog, late), "2023-08-20")
    (tmp_path / "kept.json").rename(first)
    watch(request_for(catalog, late), "2023-08-20")
    seen = newest(forward)
    assert_same(newest(at_once), seen)
    assert_same(newest(late), seen)
    for day in ("2023-08-15", "2023-08-20"):
        here = seen["acquired"] == number(day)
        np.testing.assert_array_equal(seen["NDVI"][here], pixels_of(forward, day)[here])
    # Where the later day is clouded, the earlier one is seen.
    assert (seen["acquired"][:, :190] == number("2023-08-15")).all()
    assert (seen["acquired"][:, 210:] == number("2023-08-20")).all()


@pytest.mark.slow
def test_a_day_that_is_mapped_again_loses_no_pixels_of_days_before_the_look_back(catalog, tmp_path):
    put(catalog, "2023-07-10")
    old = put(catalog, "2023-08-20", level=300, scl=WEST)
    out = tmp_path / "maps"
    for day in ("2023-07-10", "2023-08-20"):
        watch(request_for(catalog, out), day)
    # Processed again: other pixels, and its cloud lies elsewhere.
    old.unlink()
    put(catalog, "2023-08-20", processing="0510", level=700, offset=1000, scl=EAST)
    assert days(watch(request_for(catalog, out), "2023-08-21").again) == [date(2023, 8, 20)]
    seen = newest(out)
    assert not (seen["quality"] & 1).any()
    assert (seen["acquired"][:, :390] == number("2023-08-20")).all()
    assert (seen["acquired"][:, 410:] == number("2023-07-10")).all()
    for day in ("2023-07-10", "2023-08-20"):
        here = seen["acquired"] == number(day)
        np.testing.assert_array_equal(seen["NDVI"][here], pixels_of(out, day)[here])


@pytest.mark.slow
def test_many_acquisitions_are_laid_over_each_other_a_few_at_a_time(catalog, tmp_path, monkeypatch):
    rng = np.random.default_rng(4)
    seven = [f"2023-08-{day:02}" for day in range(10, 17)]
    for level, day in enumerate(seven):
        cloudy = rng.random((30, 30)) < 0.7
        put(catalog, day, level=50 * level, scl=np.where(np.kron(cloudy, np.ones((10, 10), bool)), 9, 4))
    out = tmp_path / "maps"
    watch(request_for(catalog, out), "2023-08-20")
    seen = newest(out)
    # All at once, and from nothing: the acquisitions are there.
    monkeypatch.setattr("terramosaic.watch.overlay._AT_ONCE", 100)
    shutil.rmtree(out / "newest")
    assert not watch(request_for(catalog, out), "2023-08-20").new
    assert_same(seen, newest(out))
    assert set(np.unique(seen["acquired"])) == {number(day) for day in seven}
    for day in seven:
        here = seen["acquired"] == number(day)
        np.testing.assert_array_equal(seen["NDVI"][here], pixels_of(out, day)[here])
    files = {
        "LULC.tif", "LULC.tif.aux.xml", "LULC_confidence.tif", "LULC_disagreement.tif", "NDVI.tif", "acquired.tif",
        "quality.tif",
    }  # fmt: skip
    files |= {name.replace(".tif", ".qml") for name in files if name.endswith(".tif")}
    told = {"newest.json", "item.json", "report.html", "quicklooks"}
    assert {path.name for path in (out / "newest").iterdir() if path.is_symlink()} == {*files, "current"}
    assert {path.name for path in (out / "newest" / "current").iterdir()} == files | told


@pytest.mark.slow
def test_a_run_that_was_removed_and_is_mapped_again_is_seen(catalog, tmp_path, monkeypatch):
    put(catalog, "2023-08-15")
    out = tmp_path / "maps"
    (run,) = (made.run_id for made in watch(request_for(catalog, out), "2023-08-15").new.values())
    whole = newest(out)
    with rasterio.open(out / "newest" / "NDVI.tif", "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
        dataset.write(np.zeros((1, *dataset.shape), "int16"))
    for file in (out / "acquisitions" / run).glob("*.*"):
        file.unlink()
    assert [made.run_id for made in watch(request_for(catalog, out), "2023-08-15").new.values()] == [run]
    assert_same(newest(out), whole)


@pytest.mark.slow
def test_numbers_of_another_kind_make_them_anew(catalog, tmp_path):
    put(catalog, "2023-08-15")
    put(catalog, "2023-08-20", level=300)
    out = tmp_path / "maps"
    watch(request_for(catalog, out), "2023-08-15")
    # The first acquisition has left the rolling period.
    other = request_for(catalog, out).model_copy(update={"dtype": "float32", "targets": ("NDVI",)})
    assert days(watch(other, "2023-08-21", look_back_days=3).new) == [date(2023, 8, 20)]
    with rasterio.open(out / "newest" / "NDVI.tif") as dataset:
        assert dataset.dtypes == ("float32",) and -1 <= dataset.read(1).max() <= 1
    # Nobody would keep it up to date.
    assert not (out / "newest" / "LULC.tif").exists()
    assert set(np.unique(newest(out)["acquired"])) == {number("2023-08-20")}


def test_a_run_that_lacks_a_layer_is_no_data_in_it_and_stays_in_the_others(catalog, tmp_path, monkeypatch):
    """As those that earlier versions have mapped."""
    put(catalog, "2023-08-15", scl=EAST)
    out = tmp_path / "maps"

    def fewer(*args):
        return tuple(layer for layer in layers_of(*args) if layer.measure != "confidence")

    with monkeypatch.context() as earlier:
        earlier.setattr("terramosaic.planning.planning.layers_of", fewer)
        watch(request_for(catalog, out), "2023-08-15")
    assert not (out / "newest" / "LULC_confidence.tif").exists()
    put(catalog, "2023-08-20", level=300, scl=WEST)
    # What is mapped is not mapped again for that.
    assert days(watch(request_for(catalog, out), "2023-08-21").new) == [date(2023, 8, 20)]
    seen = newest(out, ("NDVI", "LULC_confidence", "acquired", "quality"))
    first = seen["acquired"] == number("2023-08-15")
    assert (first[:, :190]).all() and not (seen["quality"] & 1).any()
    np.testing.assert_array_equal(seen["NDVI"][first], pixels_of(out, "2023-08-15")[first])
    np.testing.assert_array_equal(seen["LULC_confidence"] == 255, first)


@pytest.mark.slow
def test_a_day_with_imagery_of_one_zone_leaves_the_other_as_it_is(catalog, tmp_path):
    # 18 degrees east: the boundary of zones 33 and 34.
    region, out = box(17.960, 45.500, 18.040, 45.508), tmp_path / "maps"

    def around(epsg, shape=region):
        left, bottom, right, top = utm_of(shape, epsg).bounds
        row, col = int(10_000_000 - top) // 60 * 6 - 30, int(left) // 60 * 6 - 30
        return Rect(row, col, int(top - bottom) // 60 * 6 + 66, int(right - left) // 60 * 6 + 66)

    for epsg, tile in ((32633, "33TYL"), (32634, "34TBR")):
        put(catalog, "2023-08-10", place=around(epsg), tile=tile, epsg=epsg)
    put(
        catalog,
        "2023-08-20",
        place=around(32633, box(17.960, 45.500, 17.975, 45.508)),
        tile="33TYL",
        level=300,
    )
    request = RegionRequest(
        region=as_geojson(region),
        datetime="2023-01-01/..",
        catalog=str(catalog.folder),
        out=str(out),
        targets=("NDVI",),
        block_size=512,
    )
    watch(request, "2023-08-10")
    east = newest(out, suffix="_32634")
    found = watch(request, "2023-08-20", look_back_days=3)
    assert [zone.epsg for made in found.new.values() for zone in made.zones] == [32633]
    assert_same(newest(out, suffix="_32634"), east)
    west = newest(out, suffix="_32633")["acquired"]
    assert {number("2023-08-10"), number("2023-08-20")} <= set(np.unique(west))
    assets = json.loads((out / "collection.json").read_text())["assets"]
    assert {"newest-NDVI_32633", "newest-NDVI_32634"} <= set(assets)
    assert all((out / asset["href"]).exists() for asset in assets.values())
