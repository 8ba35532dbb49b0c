"""Each layer of a folder of runs as one raster: over zones and dates, the same by both ways, wherever it is moved."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from rasterio.vrt import WarpedVRT
from rasterio.warp import transform

from terramosaic.planning.folder import RunFolder
from terramosaic.publishing.catalog import update_catalog
from terramosaic.publishing.publish import publish
from tests.integration.publishing.small_run import two_zone_run

NODATA = -32768


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    """Runs in two zones: one of several maps, and one of a map alone over the same ground."""
    folder = tmp_path_factory.mktemp("views")
    plans = [
        two_zone_run(folder, targets=("NDVI", "LULC", "S1GRD"), extras=()),
        two_zone_run(folder, extras=()),
    ]
    for plan in plans:
        publish(plan)
    return plans


@pytest.fixture
def out(plans, tmp_path) -> Path:
    """A copy, elsewhere; the first run is the newer one and lacks some pixels, and the other one has other numbers."""
    out = Path(shutil.copytree(RunFolder.of(plans[0]).path.parent, tmp_path / "moved", symlinks=True))
    newer, older = (out / plan.run_id for plan in plans)
    change(newer, lambda item: item["properties"].update(end_datetime="2023-08-20T10:00:00Z"))
    for mosaic in (*newer.glob("NDVI_3*.tif"), *older.glob("NDVI_3*.tif")):
        with rasterio.open(mosaic, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as dataset:
            pixels = dataset.read(1)
            if mosaic.parent == newer:
                pixels[100:140, 40:80] = NODATA
            else:
                pixels[pixels != NODATA] += 500
            dataset.write(pixels, 1)
    update_catalog(out)
    return out


def change(run: Path, how: Callable[[dict], object]) -> None:
    """Changes a run's item."""
    item = json.loads((run / "item.json").read_text())
    how(item)
    (run / "item.json").write_text(json.dumps(item))


def read(path: Path, **options: str) -> tuple[np.ndarray, rasterio.Affine, int]:
    with rasterio.open(path, **options) as dataset:
        return dataset.read(), dataset.transform, dataset.crs.to_epsg()


def placed(path: Path, like: Path) -> np.ndarray:
    """A raster's numbers at their place in a larger one of the same zone."""
    with rasterio.open(path) as own, rasterio.open(like) as whole:
        pixels = np.full((own.count, *whole.shape), own.nodata, own.dtypes[0])
        column, row = ~whole.transform @ (own.bounds.left, own.bounds.top)
        pixels[:, round(row) :, round(column) :][:, : own.height, : own.width] = own.read()
        return pixels


@pytest.mark.parametrize("ending", [".vrt", ".gti.gpkg"])
def test_the_newest_imagery_with_data_is_on_top(plans, out, ending):
    view = out / "layers" / f"NDVI{ending}"
    pixels, _, epsg = read(view)
    newer, older = plans
    expected = placed(out / older.run_id / "NDVI_32633.tif", view)
    above = placed(out / newer.run_id / "NDVI_32633.tif", view)
    assert ((expected != NODATA) & (above != NODATA)).any() and (
        (expected != NODATA) & (above == NODATA)
    ).any()
    expected[above != NODATA] = above[above != NODATA]
    assert epsg == 32633
    # But for what comes from the other zone.
    here = expected != NODATA
    assert (pixels[here] == expected[here]).mean() > 0.999 and here.sum() > 20_000
    assert (pixels != NODATA).sum() > here.sum() + 10_000


@pytest.mark.parametrize("layer", ["NDVI", "LULC", "quality", "acquired", "S1GRD"])
def test_both_ways_are_the_same_and_tell_what_numbers_mean(plans, out, layer):
    one, other = out / "layers" / f"{layer}.vrt", out / "layers" / f"{layer}.gti.gpkg"
    mine, theirs = read(one), read(other)
    assert (mine[0] == theirs[0]).all() and mine[1:] == theirs[1:]
    with (
        rasterio.open(one) as vrt,
        rasterio.open(other) as index,
        rasterio.open(out / plans[0].run_id / f"{layer}_32633.tif") as mosaic,
    ):
        for name in ("nodata", "dtypes", "scales", "offsets", "units", "descriptions", "colorinterp"):
            assert getattr(vrt, name) == getattr(index, name) == getattr(mosaic, name), name
        if layer == "LULC":
            for value in (0, 1, 2, 4, 5, 7, 8, 9, 10, 11):
                assert vrt.colormap(1)[value] == index.colormap(1)[value] == mosaic.colormap(1)[value]


def test_pixels_of_another_zone_are_the_nearest_ones(plans, out):
    run = plans[0].run_id
    view = out / "layers" / "NDVI.vrt"
    warped = out / "layers" / "zones" / "NDVI_32632_warped.vrt"
    with rasterio.open(out / run / "NDVI_32632.tif") as mosaic, rasterio.open(view) as whole:
        rows, columns = np.nonzero(mosaic.read(1) != NODATA)
        seen = mosaic.read(1)[rows, columns]
        x, y = mosaic.transform @ (columns + 0.5, rows + 0.5)
        at = transform(mosaic.crs, whole.crs, x, y)
        there = np.array(list(whole.sample(zip(*at, strict=True))))[:, 0]
        assert (there == seen).mean() > 0.6 and (there != NODATA).mean() > 0.99
        beside = read(out / run / "NDVI_32633.tif")[0]
        older = np.concatenate([read(path)[0].ravel() for path in out.glob(f"{plans[1].run_id}/NDVI_3*.tif")])
        assert set(np.unique(there)) <= {*np.unique(seen), *np.unique(beside), *np.unique(older)}
        zone = out / "layers" / "zones" / "NDVI_32632.vrt"
        with (
            rasterio.open(zone) as mosaics,
            rasterio.open(warped) as ours,
            WarpedVRT(
                mosaics, crs=whole.crs, transform=ours.transform, width=ours.width, height=ours.height
            ) as theirs,
        ):
            assert (ours.read(1) == theirs.read(1)).all()


def test_dates_and_models_can_be_chosen(plans, out):
    with closing(sqlite3.connect(out / "layers" / "NDVI.gti.gpkg")) as database:
        rows = database.execute(
            'SELECT run, item, location, start, "end", model FROM tiles ORDER BY rank'
        ).fetchall()
    assert {run for run, *_ in rows} == {plan.run_id for plan in plans}
    assert rows[-1][0] == plans[0].run_id and "demo" in rows[0][-1]
    for _, item, location, *_ in rows:
        assert (out / "layers" / item).is_file() and (out / "layers" / location).is_file()
    view = out / "layers" / "NDVI.gti.gpkg"
    chosen, *_ = read(view, FILTER=f"run = '{plans[1].run_id}'")
    expected = placed(out / plans[1].run_id / "NDVI_32633.tif", view)
    here = expected != NODATA
    assert (chosen[here] == expected[here]).mean() > 0.999 and (chosen != read(view)[0]).any()
    early, *_ = read(view, FILTER="\"end\" < '2023-08-17'")
    assert (early == chosen).all()


def test_a_geopackage_that_others_read(out):
    pyogrio = pytest.importorskip("pyogrio", reason="pyogrio is not installed")
    found = pyogrio.read_info(out / "layers" / "NDVI.gti.gpkg")
    assert found["crs"] == "EPSG:32633" and found["features"] == 4 and found["geometry_type"] == "Polygon"
    (left, bottom, right, top) = found["total_bounds"]
    with rasterio.open(out / "layers" / "NDVI.gti.gpkg") as dataset:
        box = dataset.bounds
    assert box.left <= left < right <= box.right and box.bottom <= bottom < top <= box.top


def test_styles_lie_beside_with_the_flags_and_days_of_all(out):
    layers = out / "layers"

    def legend(path: Path) -> set[str]:
        return {entry.attrib["value"] for entry in ElementTree.parse(path).iter("paletteEntry")}

    for layer in ("NDVI", "LULC", "quality", "acquired", "S1GRD"):
        assert (layers / f"{layer}.qml").read_bytes() == (layers / f"{layer}.gti.qml").read_bytes()
    for layer in ("quality", "acquired"):
        with rasterio.open(layers / f"{layer}.vrt") as dataset:
            held = {str(value) for value in np.unique(dataset.read(1)) if value != dataset.nodata}
        assert held <= legend(layers / f"{layer}.qml"), layer
        assert len(legend(layers / f"{layer}.qml")) <= len(held) + 2
    with rasterio.open(layers / "S1GRD_composite.vrt") as dataset:
        vv, vh, difference = dataset.read().astype(int)
        assert (difference == vv - vh)[vv != NODATA].all() and (vv != NODATA).any()
    assert "multibandcolor" in (layers / "S1GRD_composite.qml").read_text()


def test_it_is_made_again_the_same_and_not_written_for_nothing(out):
    files = {path: path.read_bytes() for path in (out / "layers").rglob("*") if path.is_file()}
    times = {path: path.stat().st_mtime_ns for path in files}
    update_catalog(out)
    assert times == {path: path.stat().st_mtime_ns for path in files}
    shutil.rmtree(out / "layers")
    update_catalog(out)
    assert files == {path: path.read_bytes() for path in (out / "layers").rglob("*") if path.is_file()}


def test_what_runs_have_no_more_goes_and_what_is_not_ours_stays(plans, out):
    layers = out / "layers"
    (layers / "notes.txt").write_text("mine")
    (layers / "Fields.vrt").write_text("<VRTDataset/>")
    # QGIS saves a style under the same name.
    (layers / "NDVI.qml").write_text("<qgis version='3.40'/>")
    shutil.rmtree(out / plans[0].run_id)
    change(out / plans[1].run_id, in_one_zone)
    update_catalog(out)
    assert not (layers / "LULC.vrt").exists() and not list((layers / "zones").iterdir())
    assert (layers / "notes.txt").exists() and (layers / "Fields.vrt").exists()
    assert (layers / "NDVI.qml").read_text() == "<qgis version='3.40'/>"
    for view in ("NDVI.vrt", "NDVI.gti.gpkg"):
        assert (read(layers / view)[0] == read(out / plans[1].run_id / "NDVI_32633.tif")[0]).all()


def in_one_zone(item: dict) -> None:
    """Leaves the mosaics of one zone in an item."""
    item["assets"] = {name: asset for name, asset in item["assets"].items() if "32632" not in name}


def test_zones_that_lie_far_apart_are_seen_in_longitude_and_latitude(plans, out):
    def far_off(item: dict) -> None:
        for name in [name for name in item["assets"] if name.startswith("NDVI_32632")]:
            item["assets"][name.replace("32632", "32705")] = item["assets"].pop(name)
        item["assets"]["NDVI_32705"]["proj:code"] = "EPSG:32705"

    for plan in plans:
        change(out / plan.run_id, far_off)
    update_catalog(out)
    with (
        rasterio.open(out / "layers" / "NDVI.vrt") as one,
        rasterio.open(out / "layers" / "NDVI.gti.gpkg") as other,
    ):
        assert one.crs.to_epsg() == other.crs.to_epsg() == 4326
        assert one.transform.almost_equals(other.transform, 1e-9) and one.shape == other.shape
        assert one.bounds.left < -150 and one.bounds.right > 12
        with rasterio.open(out / plans[0].run_id / "NDVI_32633.tif") as mosaic:
            x, y = transform(mosaic.crs, one.crs, *[[value] for value in mosaic.xy(60, 60)])
            expected = [[mosaic.read(1)[60, 60]]]
        for view in (one, other):
            assert np.array_equal(list(view.sample(zip(x, y, strict=True))), expected)


def test_numbers_of_another_kind_are_left_out_and_told(plans, out, caplog):
    def rescale(item: dict) -> None:
        in_one_zone(item)
        item["assets"]["NDVI_32633"]["bands"][0]["raster:scale"] = 0.01

    change(out / plans[0].run_id, rescale)
    update_catalog(out)
    assert f"layers/NDVI: without {plans[1].run_id}" in caplog.text
    assert (read(out / "layers" / "NDVI.vrt")[0] == read(out / plans[0].run_id / "NDVI_32633.tif")[0]).all()


def test_a_damaged_item_costs_its_run_alone(plans, out, caplog):
    change(out / plans[0].run_id, lambda item: item["assets"]["NDVI_32633"].pop("proj:shape"))
    update_catalog(out)
    assert f"{plans[0].run_id}: its item is damaged" in caplog.text
    assert (read(out / "layers" / "NDVI.gti.gpkg")[0] != NODATA).any()


def test_files_that_lead_elsewhere_are_in_no_view(plans, out):
    def lead_elsewhere(item: dict) -> None:
        in_one_zone(item)
        item["assets"]["LULC_32633"]["href"] = "../../elsewhere.tif"
        item["assets"]["S1GRD_32633_style"]["href"] = "../../elsewhere.qml"

    change(out / plans[0].run_id, lead_elsewhere)
    update_catalog(out)
    assert not (out / "layers" / "LULC.vrt").exists()
    assert not (out / "layers" / "S1GRD.qml").exists() and (out / "layers" / "S1GRD.vrt").exists()
