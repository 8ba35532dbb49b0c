"""A run compared with catalogs, files and points that were made for it, so that the right answers are known."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from affine import Affine
from shapely.geometry import box

from terramosaic import RequestError, assess, map_region, open_run
from terramosaic.errors import CatalogError, LeaseHeldError
from terramosaic.evaluation import reference_pixels
from terramosaic.evaluation.assessment import Assessment, Comparison, assessment_of
from terramosaic.evaluation.comparing import physical
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, is_complete
from terramosaic.storage.lease import lease
from terramosaic.trust.verifying import verified
from tests.integration.conftest import EPSG
from tests.support.file_server import serve_files

needs_odc = pytest.mark.skipif(
    pytest.importorskip("importlib.util").find_spec("odc.stac") is None,
    reason="odc-stac is not installed (extra assess)",
)

#: Four parts of a block, with part of the land's clouds.
RECT = Rect(490_496, 50_176, 512, 512)
DAY = "2023-08-18T05:00:00Z"


@pytest.fixture(scope="module")
def made(land, tmp_path_factory) -> MapResult:
    return map_region(land.request(RECT, tmp_path_factory.mktemp("run"), targets=("S1RTC", "LULC")))


@pytest.fixture
def run(made, tmp_path) -> MapResult:
    """A copy of the run, to write into."""
    return open_run(Path(shutil.copytree(made.folder, tmp_path / "copy" / made.folder.name)))


def pixels(run: MapResult, name: str) -> np.ndarray:
    with rasterio.open(run.mosaics[name]) as dataset:
        return physical(dataset.read(), run.plan.layer(name))


def write(
    path: Path, numbers: np.ndarray, *, nodata: float | None = None, east: float = 0, north: float = 0
) -> str:
    """A GeoTIFF on the run's grid, or so many metres beside."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with rasterio.open(
        path, "w", driver="GTiff", height=numbers.shape[-2], width=numbers.shape[-1],
        count=1 if numbers.ndim == 2 else len(numbers), dtype=numbers.dtype, nodata=nodata, crs=f"EPSG:{EPSG}",
        transform=Affine.translation(east, north) @ RECT.transform,
    ) as file:  # fmt: skip
        file.write(numbers if numbers.ndim == 3 else numbers[None])
    return str(path)


def add_item(folder: Path, id_: str, collection: str, assets: dict[str, str], **properties: Any) -> None:
    outline = lonlat_of(box(*RECT.pad(20).bounds), EPSG)
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "type": "Feature", "stac_version": "1.0.0", "id": id_, "collection": collection, "links": [],
        "geometry": as_geojson(outline), "bbox": list(outline.bounds), "properties": {"datetime": DAY, **properties},
        "assets": {name: {"href": href} for name, href in assets.items()},
    }  # fmt: skip
    (folder / f"{id_}.json").write_text(json.dumps(document))


def add_pass(
    folder: Path,
    run: MapResult,
    bias: float = 0,
    *,
    id_: str = "S1A",
    gaps: slice = slice(0),
    moved: int = 0,
    **how: Any,
) -> None:
    """A scene of Sentinel-1 that is the run's map less a bias, in linear power, with 0 in some rows."""
    keys = ("datetime", "sat:orbit_state", "sat:absolute_orbit")
    properties = {"sat:orbit_state": "descending", "sat:absolute_orbit": 49785, "platform": "SENTINEL-1A"}
    properties |= {key: how.pop(key) for key in keys if key in how}
    power = 10 ** ((pixels(run, "S1RTC") - bias) / 10)
    power[:, gaps] = 0
    power[np.isnan(power)] = -32768
    power = np.roll(power, moved, axis=1)
    assets = {
        name: write(folder / f"{id_}_{name}.tif", band, nodata=-32768, **how)
        for name, band in zip(("vv", "vh"), power, strict=True)
    }
    # As Planetary Computer writes it, with a space for the T.
    start = {"start_datetime": "2023-08-18 04:59:48.22+00:00", "proj:epsg": 32610, "proj:shape": [9, 9]}
    add_item(folder, id_, "sentinel-1-rtc", assets, **start, **properties)


def add_cover(folder: Path, numbers: np.ndarray, year: int) -> None:
    href = write(folder / f"cover_{year}.tif", numbers.astype(np.uint8))
    start, end = (f"{each}-01-01T00:00:00Z" for each in (year, year + 1))
    times = {"datetime": None, "start_datetime": start, "end_datetime": end}
    add_item(folder, f"33T-{year}", "io-lulc-annual-v02", {"data": href}, **times)


def only(found: Assessment) -> Comparison:
    (one,) = found.comparisons
    return one


@needs_odc
def test_a_known_bias_with_zeros_as_gaps(made, tmp_path):
    add_pass(tmp_path, made, bias=1.5, gaps=slice(100, 160))
    found = assess(made, ["s1-rtc"], catalog=str(tmp_path), samples=99, write=False)
    one = only(found)
    valid = np.isfinite(pixels(made, "S1RTC")[0])
    assert (one.mapped, one.parts, one.parts_compared, found.parts) == (valid.sum(), 4, 4, 4)
    assert one.compared == valid.sum() - valid[100:160].sum()
    for band in one.bands:
        assert (band.bias, band.mae, band.rmse) == pytest.approx((1.5, 1.5, 1.5), abs=1e-4)
        assert band.correlation == pytest.approx(1, abs=1e-6) and 0.9 < band.ssim < 1
    assert one.when == "2023-08-18" and "passes are descending" in one.notes
    assert any("days lie between" in note for note in one.notes)
    assert not any("misaligned" in note for note in one.notes) and found.failure is None


@needs_odc
def test_gaps_of_a_slice_are_filled_by_the_next_of_its_pass_and_by_no_other_pass(made, tmp_path):
    add_pass(tmp_path, made, bias=1, id_="a", gaps=slice(0, 256))
    add_pass(tmp_path, made, bias=1, id_="b", gaps=slice(300, 512))
    add_pass(
        tmp_path, made, bias=9, id_="c", datetime="2023-08-23T17:00:00Z", **{"sat:orbit_state": "ascending"}
    )
    add_pass(
        tmp_path, made, bias=9, id_="d", datetime="2023-08-10T05:00:00Z", **{"sat:absolute_orbit": 49000}
    )
    one = only(assess(made, ["s1-rtc"], catalog=str(tmp_path), write=False))
    assert one.compared == one.mapped and one.bands[0].bias == pytest.approx(1, abs=1e-4)


@needs_odc
def test_a_known_confusion_and_areas(made, tmp_path):
    cover = pixels(made, "LULC")[0]
    reference = np.where(np.isnan(cover), 0, cover)
    values, counts = np.unique(cover[np.isfinite(cover)], return_counts=True)
    common = int(values[counts.argmax()])
    # In every second row what is mapped so is water.
    reference[::2][cover[::2] == common] = 1
    add_cover(tmp_path, reference, 2023)
    one = only(assess(made, ["io-lulc"], catalog=str(tmp_path), write=False))
    wrong = int((cover[::2] == common).sum())
    table, known = one.classes, np.isin(cover, (0, 10), invert=True) & np.isfinite(cover)
    assert table.pixels == known.sum() and table.overall == pytest.approx(1 - wrong / known.sum())
    rows = {row.value: row for row in table.classes}
    assert rows[common].users == pytest.approx(1 - wrong / (cover == common).sum())
    assert rows[common].producers == 1 and table.water.iou == 0 and table.water.referred == wrong
    assert table.counts[[*rows].index(common)][[*rows].index(1)] == wrong
    assert table.water.area_km2 == pytest.approx(wrong * 1e-4, rel=0.02)
    assert table.water.area_margin_km2 > 0.1 * table.water.area_km2


@needs_odc
def test_a_reference_of_another_year_is_told_and_not_used(made, tmp_path):
    add_cover(tmp_path, pixels(made, "LULC")[0], 2020)
    one = only(found := assess(made, ["io-lulc"], catalog=str(tmp_path), write=False))
    assert one.compared == 0 and one.classes is None
    assert "nothing there of 2023; there is of 2020, which is not compared" in one.summary
    assert isinstance(found.failure, CatalogError) and found.failure.exit_code == 4


@needs_odc
def test_the_nearest_year_is_used_and_told(made, tmp_path):
    href = write(tmp_path / "map.tif", np.full(RECT.shape, 80, np.uint8), nodata=0)
    for year in (2020, 2021):
        times = {"datetime": None, "start_datetime": f"{year}-01-01T00:00:00Z"}
        add_item(tmp_path, f"WorldCover_{year}", "esa-worldcover", {"map": href}, **times)
    one = only(assess(made, ["worldcover"], catalog=str(tmp_path), write=False))
    assert "another year: the reference is of 2021, up to 2 from the imagery's" in one.notes
    assert one.classes.water.referred == one.classes.pixels > 0


@needs_odc
def test_a_reference_half_a_pixel_off_is_told(made, tmp_path):
    add_pass(tmp_path, made, east=5)
    one = only(assess(made, ["s1-rtc"], catalog=str(tmp_path), write=False))
    assert "misaligned: 1 of 1 files lie between the map's pixels, S1A by 5 m east and 0 m north" in str(
        one.notes
    )


@needs_odc
def test_a_file_that_lies_where_it_does_not_say_is_found_out(made, tmp_path):
    # Reprocessed scenes lay 20 m off under headers that told nothing.
    add_pass(tmp_path, made, moved=2)
    one = only(assess(made, ["s1-rtc"], catalog=str(tmp_path), write=False))
    assert "misaligned: the reference seems to lie +0 m east and -20 m north of the map" in str(one.notes)


@needs_odc
def test_what_is_missing_is_named(made, tmp_path):
    add_pass(tmp_path, made, datetime="2023-07-01T05:00:00Z")
    one = only(assess(made, ["s1-rtc"], catalog=str(tmp_path), write=False))
    assert "within 6 days of the imagery; the nearest is of 2023-07-01" in one.summary
    add_item(tmp_path, "vv_only", "sentinel-1-rtc", {"vv": str(tmp_path / "S1A_vv.tif")})
    add_item(tmp_path, "gone", "sentinel-1-rtc", {"vv": "/gone/vv.tif", "vh": "/gone/vh.tif"})
    one = only(assess(made, ["s1-rtc"], catalog=str(tmp_path), write=False))
    assert "left out: vv_only: without asset vh" in one.notes
    assert list(one.missing.values()) == [4] and "asset vv of gone cannot be read" in str(one.missing)


@needs_odc
def test_a_document_that_names_other_files_is_none(made, tmp_path):
    add_pass(tmp_path, made)
    vrt = tmp_path / "vv.vrt"
    with rasterio.open(tmp_path / "S1A_vv.tif") as source:
        rasterio.shutil.copy(source, vrt, driver="VRT")
    add_item(tmp_path, "S1A", "sentinel-1-rtc", {"vv": str(vrt), "vh": str(tmp_path / "S1A_vh.tif")})
    one = only(assess(made, ["s1-rtc"], catalog=str(tmp_path), write=False))
    assert (
        one.compared == 0 and "asset vv of S1A cannot be read" in one.summary and "recognized" in one.summary
    )


@needs_odc
def test_over_http_with_a_token_and_a_server_that_is_busy_at_first(made, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(reference_pixels, "ASSET", dataclasses.replace(reference_pixels.ASSET, pause=0.001))
    add_pass(tmp_path, made, bias=1)
    with serve_files(tmp_path) as server:
        hrefs = {name: f"{server.url(f'S1A_{name}.tif')}?sig=SECRET" for name in ("vv", "vh")}
        add_item(tmp_path, "S1A", "sentinel-1-rtc", hrefs, **{"sat:orbit_state": "descending"})
        server.fail["S1A_vh.tif"] = 503, 2
        one = only(assess(made, ["s1-rtc"], catalog=str(tmp_path), write=False))
        assert one.compared == one.mapped and one.bands[1].bias == pytest.approx(1, abs=1e-4)
        hrefs["vh"] = f"{server.url('gone.tif')}?sig=SECRET"
        add_item(tmp_path, "S1A", "sentinel-1-rtc", hrefs, **{"sat:orbit_state": "descending"})
        one = only(assess(made, ["s1-rtc"], catalog=str(tmp_path), write=False))
    assert one.missing == {"asset vh of S1A cannot be read: HTTP response code: 404": 4}
    assert "SECRET" not in caplog.text + one.model_dump_json()


@needs_odc
def test_a_folder_of_geotiffs_and_one_on_another_grid(made, tmp_path):
    radar = np.nan_to_num(pixels(made, "S1RTC") + 2, nan=-99).astype(np.float32)
    write(tmp_path / "own" / "a.tif", radar[:, :300], nodata=-99)
    (tmp_path / "own" / "broken.tif").write_bytes(b"II*\0")
    one = only(assess(made, [f"S1RTC={tmp_path / 'own'}"], write=False))
    assert [band.bias for band in one.bands] == pytest.approx([-2, -2], abs=1e-4)
    assert one.compared == np.isfinite(pixels(made, "S1RTC")[0, :300]).sum()
    assert "left out: broken.tif" in str(one.notes)
    degrees = tmp_path / "degrees.tif"
    west, south, east, north = lonlat_of(box(*RECT.pad(9).bounds), EPSG).bounds
    with rasterio.open(
        degrees, "w", driver="GTiff", height=400, width=400, count=1, dtype="uint8", crs="EPSG:4326",
        transform=rasterio.transform.from_bounds(west, south, east, north, 400, 400),
    ) as file:  # fmt: skip
        file.write(np.full((1, 400, 400), 11, np.uint8))
    one = only(assess(made, [f"LULC={degrees}"], write=False))
    assert "1 of 1 files have another grid and were resampled (nearest)" in one.notes
    assert one.compared == one.mapped


def feature(geometry: dict, value: int) -> dict:
    return {"type": "Feature", "properties": {"LULC": value}, "geometry": geometry}


def write_points(path: Path, cover: np.ndarray, wrong: int) -> str:
    """Twenty points with the map's own classes, of which some say water; and one far off."""
    features = []
    rows, cols = np.nonzero(np.isfinite(cover))
    for place in range(20):
        row, col = rows[place * 991], cols[place * 991]
        left, _, _, top = Rect(RECT.row + row, RECT.col + col, 1, 1).bounds
        point = lonlat_of(box(left + 4, top - 6, left + 6, top - 4), EPSG).centroid
        features.append(feature(as_geojson(point), 1 if place < wrong else int(cover[row, col])))
    features.append(feature({"type": "Point", "coordinates": [0, 0]}, 1))
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


def test_points(made, tmp_path):
    path = write_points(tmp_path / "points.geojson", pixels(made, "LULC")[0], wrong=3)
    one = only(assess(made, [f"LULC={path}"], write=False))
    assert one.compared == one.classes.pixels == 20 and one.parts == 0
    assert one.classes.overall == pytest.approx(17 / 20) and one.missing == {"the map has no pixel there": 1}
    other = tmp_path / "other.geojson"
    for features, said in (
        ([], "holds no features"),
        ([feature({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, 1)], "holds a LineString; points"),
        (
            [{**feature({"type": "Point", "coordinates": [0, 0]}, 1), "properties": {"a": 1}}],
            "has no property LULC or",
        ),
    ):
        other.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        with pytest.raises(RequestError, match=rf"^reference: {other} {said}"):
            assess(made, [f"LULC={other}"], write=False)


def test_it_is_kept_and_told(run, tmp_path, run_here):
    reference = "LULC=" + write_points(tmp_path / "points.geojson", pixels(run, "LULC")[0], wrong=5)
    before = run.report.read_bytes()
    assert run_here("assess", str(run.folder), "--reference", reference, "--no-write").returncode == 0
    assert run.report.read_bytes() == before and not (run.folder / "assessment.json").exists()
    done = run_here("assess", str(run.folder), "--reference", reference, "--seed", "7", "--json")
    assert done.returncode == 0, done.stderr
    kept = assessment_of(RunFolder(run.folder))
    assert kept is not None and kept == Assessment.model_validate_json(done.stdout) and kept.seed == 7
    assert is_complete(run.plan) and not verified(run.plan, windows=0).flaws
    item = json.loads(run.item.read_text())
    assert "overall accuracy 75.0 %" in item["assets"]["assessment"]["description"]
    report = run.report.read_text()
    assert (
        "overall accuracy 75.0 %" in report
        and "What this does not show: how good the reference itself is" in report
    )
    shown = run_here("assess", str(run.folder), "--reference", reference)
    assert "overall accuracy 75.0 %" in shown.stdout and "points were drawn at random" in shown.stdout
    with lease(RunFolder(run.folder).lease, owner="a verification"), pytest.raises(LeaseHeldError):
        assess(run, [reference])


def test_what_is_asked_wrong(made, tmp_path, run_here):
    done = run_here("assess", str(made.folder), "--reference", "cop-dem")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "terramosaic: reference: cop-dem is of DEM, and the run has S1RTC, LULC\n"
    unfinished = Path(shutil.copytree(made.folder, tmp_path / made.folder.name))
    (unfinished / "item.json").unlink()
    with pytest.raises(RequestError, match="is not finished"):
        assess(unfinished, ["s1-rtc"])


def test_without_odc_stac_that_is_said(made, monkeypatch):
    monkeypatch.setattr("terramosaic.evaluation.reference_pixels.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'terramosaic\[assess\]'"):
        assess(made, ["s1-rtc"])
