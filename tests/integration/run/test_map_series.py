"""A run for each period: the runs that each has by itself, one page over all, and what has no imagery told."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import rasterio

from terramosaic import NoScenesError, OutputError, RequestError, map_region, map_series, open_series, plan
from terramosaic.ground.grid import Rect
from tests.integration.conftest import LAND, Catalog
from tests.support.scenes import write_scene

RECT = Rect(LAND.row, LAND.col, 300, 240)
#: No imagery in July.
DAYS = ("2023-06-10", "2023-08-20", "2023-08-25")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory) -> Catalog:
    made = Catalog(tmp_path_factory.mktemp("year"))
    for number, day in enumerate(DAYS):
        name = f"S2A_33TWL_{day.replace('-', '')}"
        place = Rect(LAND.row, LAND.col, 480, 480)
        made.add(write_scene(made.folder / name, place, name=name, day=day, level=500 * number))
    return made


@pytest.fixture(scope="module")
def request_of_series(catalog, tmp_path_factory):
    return catalog.request(RECT, tmp_path_factory.mktemp("out"), datetime="2023-06/2023-08", every="month",
                           targets=("S1GRD", "NDVI", "LULC"))  # fmt: skip


@pytest.fixture(scope="module")
def series(request_of_series):
    return map_series(request_of_series)


def test_each_period_is_the_run_that_it_is_by_itself(series, catalog):
    assert list(series) == ["2023-06", "2023-08"]
    assert series.missing.keys() == {"2023-07"} and "no scene found" in series.missing["2023-07"]
    fields = {"targets": ("S1GRD", "NDVI", "LULC")}
    alone = map_region(catalog.request(RECT, series["2023-08"].folder.parent, datetime="2023-08", **fields))
    assert alone.was_done and alone.plan.run_id == series["2023-08"].plan.run_id
    assert alone.plan.request.every == "none"


def test_a_series_goes_on_and_is_recognised(series, request_of_series):
    (series["2023-06"].folder / "item.json").unlink()
    again = map_series(request_of_series)
    assert {name: result.was_done for name, result in again.items()} == {"2023-06": False, "2023-08": True}
    assert again.report == series.report


def test_its_cube_is_the_runs_along_time(series):
    pytest.importorskip("odc.stac", reason="cubes are read by odc-stac, of the extra cubes")
    cube = series.cube(["NDVI"])
    assert [str(day)[:7] for day in cube.time.values] == ["2023-06", "2023-08"]
    np.testing.assert_array_equal(cube["NDVI"][1], series["2023-08"].open("NDVI")[0])


def test_one_page_tells_all(series):
    page = series.report.read_text()
    assert series.report.parent == series["2023-06"].folder.parent
    assert re.fullmatch(r"series-[0-9a-f]{12}\.html", series.report.name)
    for result in series.values():
        assert page.count(f'href="{result.plan.run_id}/report.html"') == 4  # three pictures, and the list
    assert page.count('src="data:image/') == 6 and "no map" in page
    assert re.search(r"<li>2023-07: no scene found in", page)
    item = json.loads(series["2023-06"].item.read_text())
    mean = item["assets"]["NDVI"]["bands"][0]["statistics"]["mean"]
    assert f"<td class=n>{mean:.3f}</td>" in page.replace("\u2212", "-")
    with rasterio.open(series["2023-08"].mosaics["LULC"]) as dataset:
        classes = dataset.read(1)
    by_value = {item.value: item.name for item in series["2023-08"]["LULC"].layer.classes}
    values, counts = np.unique(classes[classes > 0], return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        row = re.search(rf"<td>{by_value[value]}</td>(.*?)</tr>", page, re.DOTALL)
        assert row and f"{count / 100:,.1f}".replace(",", "\u202f") in row[1].split("</td>")[1]
    assert "built area" in page and "VV − VH" in page  # the legends
    assert "<script" not in page


def test_the_command_line_maps_a_series(request_of_series, series, run_here, catalog, tmp_path):
    region = tmp_path / "region.geojson"
    region.write_text(json.dumps(series["2023-06"].plan.region))
    arguments = ("--region", str(region), "--datetime", "2023-06/2023-08", "--every", "month", "--catalog",
                 str(catalog.folder), "--targets", "S1GRD,NDVI,LULC", "--block-size", "512", "--out",
                 str(series.report.parent))  # fmt: skip
    done = run_here("map", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert [run["run_id"] for run in json.loads(done.stdout)] == [
        result.plan.run_id for result in series.values()
    ]
    assert "2 months mapped, all on" in done.stderr
    planned = run_here("plan", *arguments, "--json")
    assert [one["run_id"] for one in json.loads(planned.stdout)] == [
        result.plan.run_id for result in series.values()
    ]


@pytest.mark.slow
def test_a_series_in_a_store_is_the_one_on_disk(series, request_of_series, run_here, tmp_path, monkeypatch):
    pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
    pytest.importorskip("odc.stac", reason="cubes are read by odc-stac, of the extra cubes")
    from tests.support.s3 import s3_server

    monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(tmp_path / "scratch"))
    with s3_server() as store:
        out = store.url("lakes/maps")
        stored = map_series(request_of_series.model_copy(update={"out": out}))
        assert list(stored) == list(series) and stored.missing.keys() == series.missing.keys()
        assert {name: made.plan.run_id for name, made in stored.items()} == {
            name: made.plan.run_id for name, made in series.items()
        }
        assert str(stored.report) == f"{out}/{series.report.name}"
        page = store.read(f"lakes/maps/{series.report.name}").decode()
        for result in stored.values():
            assert page.count(f'href="{result.plan.run_id}/report.html"') == 4

        along = open_series(out, "NDVI", period="2023").load()
        assert [str(day)[:7] for day in along.time.values] == ["2023-06", "2023-08"]
        of_one = stored.cube(["NDVI"])["NDVI"].load()
        on_disk = open_series(series.report.parent, "NDVI", period="2023").load()
        for cube in (along, of_one):
            np.testing.assert_array_equal(cube, on_disk)

        before = store.objects("lakes")
        again = map_series(request_of_series.model_copy(update={"out": out}))
        assert all(result.was_done for result in again.values()) and str(again.report) == str(stored.report)
        changed = {key for key, facts in store.objects("lakes").items() if before.get(key) != facts}
        assert not [key for key in changed if key.endswith((".tif", "item.json"))]
        listed = run_here("runs", out, "--json")
        assert {run["run"] for run in json.loads(listed.stdout)} == {
            result.plan.run_id for result in series.values()
        }


def test_what_is_no_series_is_said(request_of_series, catalog, tmp_path):
    with pytest.raises(
        RequestError, match=r"every: a plan is of one run; map_series and `terramosaic map` make one"
    ):
        plan(request_of_series)
    with pytest.raises(RequestError, match="every: say month, season or year"):
        map_series(catalog.request(RECT, tmp_path))
    with pytest.raises(NoScenesError, match=r"failed, 2 of 2 periods.*|period 2021"):
        map_series(catalog.request(RECT, tmp_path, datetime="2021/2022", every="year"))
    assert not list(tmp_path.glob("series*"))


def test_a_period_that_fails_does_not_stop_the_others(catalog, tmp_path):
    fields = {"targets": ("NDVI",)}
    june = plan(catalog.request(RECT, tmp_path, datetime="2023-06", **fields))
    (tmp_path / june.run_id).write_text("in the way")
    with pytest.raises(
        OutputError, match=r"failed, 1 of 3 periods; the others are mapped\nperiod 2023-06: "
    ) as error:
        map_series(catalog.request(RECT, tmp_path, datetime="2023-06/2023-08", every="month", **fields))
    assert "2023-07" not in str(error.value)  # which has no imagery, and is no failure
    (page,) = tmp_path.glob("series-*.html")
    assert page.read_text().count("/report.html") == 2
    (tmp_path / june.run_id).unlink()
    again = map_series(catalog.request(RECT, tmp_path, datetime="2023-06/2023-08", every="month", **fields))
    assert again.report == page and again["2023-08"].was_done and not again["2023-06"].was_done
