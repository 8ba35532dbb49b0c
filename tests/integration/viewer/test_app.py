"""The viewer over real runs: tiles in the report's colours, values as rasterio reads them, and nothing else."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner
from PIL import Image
from rasterio.enums import Resampling
from rasterio.warp import reproject, transform
from scipy import ndimage
from starlette.testclient import TestClient

from terramosaic.cli.app import cli
from terramosaic.errors import RequestError
from terramosaic.planning.folder import RunFolder, mosaics_of
from terramosaic.planning.plan import Plan
from terramosaic.publishing.painting import Paint
from terramosaic.publishing.quicklook import draw
from terramosaic.publishing.reduced import read_reduced
from terramosaic.viewer.app import make_app
from terramosaic.viewer.shelf import Shelf
from terramosaic.viewer.tiles import degrees_of, empty_tile
from tests.integration.viewer.conftest import out_of
from tests.support.loopback import serving

MERCATOR = 20_037_508.342789244


def client(out: Path | str, host: str = "127.0.0.1", **options) -> TestClient:
    return TestClient(make_app(Shelf(out), host=host), base_url="http://127.0.0.1:8000", **options)


def tile_at(lon: float, lat: float, z: int) -> tuple[int, int, int]:
    for x in range(2**z):
        west, _, east, _ = degrees_of(z, x, 0)
        if west <= lon < east:
            break
    y = next(y for y in range(2**z) if degrees_of(z, x, y)[1] <= lat)
    return z, x, y


def pixels(response) -> np.ndarray:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(response.content)).convert("RGBA"))


def warped(path: Path, at: tuple[int, int, int], method: Resampling) -> np.ndarray:
    """A tile's pixels as rasterio reprojects the whole mosaic onto them, at full resolution."""
    z, x, y = at
    side = 2 * MERCATOR / 2**z
    with rasterio.open(path) as mosaic:
        found = np.full((mosaic.count, 256, 256), mosaic.nodata, mosaic.dtypes[0])
        reproject(
            mosaic.read(),
            found,
            src_transform=mosaic.transform,
            src_crs=mosaic.crs,
            src_nodata=mosaic.nodata,
            dst_transform=rasterio.transform.from_origin(
                x * side - MERCATOR, MERCATOR - y * side, side / 256, side / 256
            ),
            dst_crs="EPSG:3857",
            dst_nodata=mosaic.nodata,
            resampling=method,
        )
    return found


def middle(plan: Plan) -> tuple[float, float]:
    """Longitude and latitude of the pixel that is farthest from any without data."""
    path = next(path for name, path in mosaics_of(plan).items() if name.startswith("NDVI"))
    with rasterio.open(path) as mosaic:
        inside = np.pad(mosaic.read(1) != mosaic.nodata, 1)
        far = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
        row, col = np.unravel_index(int(far.argmax()), far.shape)
        (lon,), (lat,) = transform(mosaic.crs, "EPSG:4326", *([one] for one in mosaic.xy(row, col)))
    return lon, lat


def test_runs_are_listed_with_place_period_and_model(kite):
    told = client(out_of(kite)).get("/runs.json").json()
    (run,) = told["runs"]
    assert told["problems"] == []
    assert (run["name"], run["first_day"], run["last_day"]) == (kite.run_id, "2023-08-15", "2023-08-20")
    assert run["model"] == kite.bundle.title and run["targets"] == ["S1GRD", "NDVI", "LULC"]
    west, south, east, north = run["bbox"]
    lon, lat = middle(kite)
    assert west < lon < east and south < lat < north
    assert client(out_of(kite)).get("/" + run["report"]).text.startswith("<!doctype html>")


def test_a_run_tells_its_layers_legends_and_downloads(kite):
    asked = client(out_of(kite))
    told = asked.get(f"/runs/{kite.run_id}.json").json()
    layers = {layer["name"]: layer for layer in told["layers"]}
    assert set(layers) == {layer.name for layer in kite.layers}
    assert [layer["name"] for layer in told["layers"]][:3] == ["S1GRD", "NDVI", "LULC"]
    assert layers["imagery"]["group"] == "imagery" and layers["quality"]["group"] == "trust"
    ramp = layers["NDVI"]["ramps"][0]
    assert (ramp["low"], ramp["high"]) == (-0.2, 0.9) and ramp["colours"][0] == "#4a6a8a"
    swatches = {one["value"]: (one["label"], one["colour"]) for one in layers["LULC"]["swatches"]}
    assert swatches[1] == ("water", "#419bdf")
    assert [one["label"] for one in layers["acquired"]["swatches"]] == ["2023-08-15", "2023-08-20"]
    assert any("cloud" in one["label"] for one in layers["quality"]["swatches"])
    for download in told["downloads"]:
        response = asked.head("/" + download["href"])
        assert response.status_code == 200, download
        assert int(response.headers["content-length"]) == download["bytes"]


@pytest.mark.parametrize("name", ["NDVI", "S1GRD", "LULC", "quality", "imagery", "LULC_confidence"])
@pytest.mark.parametrize("z", [13, 17])
def test_a_tile_is_the_mosaic_in_the_reports_colours(kite, name, z):
    at = tile_at(*middle(kite), z)
    found = pixels(client(out_of(kite)).get(f"/tiles/{kite.run_id}/{name}/{'/'.join(map(str, at))}.png"))
    layer, zone = kite.layer(name), kite.zones[0]
    path = mosaics_of(kite)[name]
    paint = Paint.of(layer, draw(read_reduced(path, layer, kite.preview_factor, zone.rect)))
    method = Resampling.bilinear if layer.is_measured and z == 13 else Resampling.nearest
    wanted = paint.paint(warped(path, at, method)[list(paint.bands)])
    # GDAL may round where a border runs between two pixels, and takes an overview where it reduces.
    differ = np.abs(found.astype(int) - wanted).max(axis=-1) > (12 if z == 13 else 1)
    assert (found[..., 3] > 0).sum() > 2000
    assert differ.mean() < (0.08 if z == 13 else 0.02)


def test_zones_lie_side_by_side_in_a_tile(zones):
    asked = client(out_of(zones))
    at = tile_at(12.0, middle(zones)[1], 12)
    assert len(zones.zones) == 2
    both = pixels(asked.get(f"/tiles/{zones.run_id}/NDVI/{'/'.join(map(str, at))}.png"))[..., 3] > 0
    alone = [
        warped(path, at, Resampling.nearest)[0] != -32768
        for name, path in mosaics_of(zones).items()
        if name.startswith("NDVI")
    ]
    for one in alone:
        assert one.sum() > 50
        assert (both & one).sum() > 0.9 * one.sum()
    assert abs(int(both.sum()) - int((alone[0] | alone[1]).sum())) < 0.15 * both.sum()


def test_what_the_model_saw_lies_under_the_map_that_was_made_of_it(zones):
    """It is as large as the report's picture, at the place of the maps, and in the same colours."""
    asked = client(out_of(zones))
    told = asked.get(f"/runs/{zones.run_id}.json").json()["layers"]
    (layer,) = [one for one in told if one["group"] == "imagery"]
    assert layer["name"] == "S2" and "error" not in layer and layer["ramps"] == []
    at = tile_at(*middle(zones), 14)
    place = "/".join(map(str, at))
    seen = pixels(asked.get(f"/tiles/{zones.run_id}/S2/{place}.png"))
    made = pixels(asked.get(f"/tiles/{zones.run_id}/NDVI/{place}.png"))
    both, either = (seen[..., 3] > 0) & (made[..., 3] > 0), (seen[..., 3] > 0) | (made[..., 3] > 0)
    assert both.sum() > 10_000 and both.sum() > 0.97 * either.sum()
    colours = set()
    for picture in (out_of(zones) / zones.run_id / "quicklooks").glob("S2_*.png"):
        with Image.open(picture) as image:
            colours |= set(map(tuple, np.asarray(image.convert("RGBA")).reshape(-1, 4).tolist()))
    if zones.preview_factor == 1:
        assert set(map(tuple, seen[seen[..., 3] > 0].tolist())) <= colours
    lon, lat = middle(zones)
    params = {"lon": lon, "lat": lat}
    assert "S2" not in asked.get(f"/point/{zones.run_id}", params=params).text
    assert "without values" in asked.get(f"/point/{zones.run_id}", params={**params, "layer": "S2"}).text


def test_a_tile_elsewhere_is_empty(kite):
    asked = client(out_of(kite))
    assert asked.get(f"/tiles/{kite.run_id}/NDVI/12/5/5.png").content == empty_tile()
    assert not pixels(asked.get(f"/tiles/{kite.run_id}/NDVI/12/5/5.png")).any()


@pytest.mark.parametrize("which", ["kite", "zones"])
def test_values_are_those_that_rasterio_reads(request, which):
    plan = request.getfixturevalue(which)
    asked = client(out_of(plan))
    rng = np.random.default_rng(7)
    told_of = 0
    for name, path in mosaics_of(plan).items():
        layer = plan.layer(re.sub(r"_\d{5}$", "", name))
        with rasterio.open(path) as mosaic:
            stored, scales = mosaic.read(), mosaic.scales
            rows, cols = np.nonzero(stored[0] != mosaic.nodata)
            for index in rng.integers(len(rows), size=4) if len(rows) else ():
                row, col = int(rows[index]), int(cols[index])
                (lon,), (lat,) = transform(mosaic.crs, "EPSG:4326", *([v] for v in mosaic.xy(row, col)))
                told = asked.get(
                    f"/point/{plan.run_id}", params={"lon": lon, "lat": lat, "layer": layer.name}
                )
                (found,) = told.json()["layers"]
                assert [band["stored"] for band in found["bands"]] == stored[:, row, col].tolist()
                for band, number, scale in zip(found["bands"], stored[:, row, col], scales, strict=True):
                    assert band["value"] == pytest.approx(number * scale, abs=1e-9)
                told_of += 1
    assert told_of >= 4


def test_values_are_told_in_words(kite):
    asked = client(out_of(kite))
    lon, lat = middle(kite)
    told = asked.get(f"/point/{kite.run_id}", params={"lon": lon, "lat": lat}).json()["layers"]
    texts = {one["layer"]: one["text"] for one in told}
    assert set(texts) == {layer.name for layer in kite.layers}
    assert texts["LULC"] in {one.name for one in kite.layer("LULC").classes}
    assert texts["acquired"].startswith("2023-08-")
    assert "VV\xa0−" in texts["S1GRD"] and texts["S1GRD"].endswith("dB")
    far = asked.get(f"/point/{kite.run_id}", params={"lon": 100, "lat": 0}).json()["layers"]
    assert {one["text"] for one in far} == {"no data"}


@pytest.mark.parametrize(
    ("path", "status", "says"),
    [
        ("/tiles/nobody/NDVI/1/1/1.png", 404, "run: there is no finished run 'nobody'"),
        ("/tiles/{run}/nothing/1/1/1.png", 404, "layer: run {run} has no 'nothing'; it has S1GRD"),
        ("/tiles/{run}/NDVI/3/8/1.png", 404, "there is no tile 3/8/1"),
        ("/tiles/{run}/NDVI/99/0/0.png", 404, "z is 0 to 18"),
        ("/tiles/{run}/NDVI/a/0/0.png", 400, "z: "),
        ("/point/{run}?lon=x&lat=1", 400, "lon: "),
        ("/point/{run}?lon=1", 400, "lat: "),
        ("/point/{run}?lon=1&lat=91", 400, "lat: "),
        ("/runs/nobody.json", 404, "run: "),
    ],
)
def test_what_cannot_be_answered_is_a_line_of_json(kite, path, status, says):
    response = client(out_of(kite)).get(path.format(run=kite.run_id))
    assert response.status_code == status
    (text,) = response.json().values()
    assert says.format(run=kite.run_id) in text and "\n" not in text and str(out_of(kite)) not in text


@pytest.fixture
def folder(kite, tmp_path) -> Path:
    """A copy of the kite's output folder, to be spoilt, with what must not be seen beside it and in it."""
    out = tmp_path / "out"
    shutil.copytree(out_of(kite), out, symlinks=True)
    (tmp_path / "secret.txt").write_text("secret")
    (out / "notes.txt").write_text("secret")
    (out / ".hidden").mkdir()
    (out / ".hidden" / "secret.json").write_text("secret")
    run = out / kite.run_id
    (run / ".NDVI.tif.partial").write_text("secret")
    (run / "link.txt").symlink_to(tmp_path / "secret.txt")
    (run / "inner.txt").symlink_to(out / "notes.txt")
    (run / "away").symlink_to(tmp_path)
    (run / "loop").symlink_to(run / "loop")
    (out / "world").symlink_to("/etc")
    return out


HOSTILE = [
    "../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt", "%252e%252e/secret.txt", "..%5csecret.txt",
    "....//secret.txt", "{run}/../../secret.txt", "{run}/%2e%2e/%2e%2e/secret.txt", "{run}/..%2f..%2fsecret.txt",
    "{run}/%2e/item.json", "{run}/link.txt", "{run}/inner.txt", "{run}/away/secret.txt", "{run}/loop",
    "world/passwd", "notes.txt", ".hidden/secret.json", "{run}/.NDVI.tif.partial", "/etc/passwd", "//etc/passwd",
    "%2fetc%2fpasswd", "{run}/NDVI.tif%00", "{run}", "{run}/", "{run}//item.json", "{run}/" + "x" * 5000,
    "file:///etc/passwd", "{run}/item.json/../../notes.txt", "~root/.bashrc", "{run}\\item.json", "%ff%fe",
    "collections/../notes.txt", "collections/.x.json",
]  # fmt: skip


@pytest.mark.parametrize("before", ["/files/", "/"])
@pytest.mark.parametrize("path", HOSTILE)
def test_nothing_but_runs_and_catalog_is_served(folder, kite, before, path):
    response = client(folder).get(before + path.format(run=kite.run_id), follow_redirects=False)
    assert response.status_code in (400, 404), response.text
    assert "secret" not in response.text.replace("secret.txt", "").replace("secret.json", "")
    assert "root:" not in response.text
    assert set(response.json()) == {"error"}


def test_files_of_runs_and_catalog_are_served_where_links_in_stac_lead(folder, kite):
    asked = client(folder)
    views = ("layers/NDVI.vrt", "layers/NDVI.gti.gpkg", "layers/NDVI.qml", "items.parquet")
    (folder / "layers" / "notes.txt").write_text("secret")
    (folder / "series-notes.html").write_text("secret")
    for path in ("layers/notes.txt", "series-notes.html"):
        assert asked.get(f"/files/{path}").status_code == 404
    page = "series-0123456789ab.html"  # as a series of runs leaves it
    (folder / page).write_text("of a series")
    for path in ("catalog.json", f"{kite.run_id}/item.json", f"latest/{'NDVI.tif'}", page, *views):
        plain, named = asked.get(f"/{path}"), asked.get(f"/files/{path}")
        assert plain.status_code == named.status_code == 200
        assert plain.content == named.content == (folder / path).read_bytes()
        assert "sandbox" in plain.headers["content-security-policy"]
    (collection,) = (folder / "collections").iterdir()
    assert asked.get(f"/files/collections/{collection.name}").status_code == 200


def test_items_with_urls_for_programs_that_take_no_relative_ones(folder, kite, monkeypatch):
    asked = client(folder)
    (item,) = asked.get("/items.json").json()["features"]
    told = json.loads((folder / kite.run_id / "item.json").read_text())
    assert item["id"] == told["id"] and item["properties"] == told["properties"]
    assert {link["rel"] for link in item["links"]} == {"self", "root", "parent", "collection"}
    for thing in (*item["assets"].values(), *item["links"]):
        assert thing["href"].startswith("http://127.0.0.1:8000/"), thing
        assert asked.get(thing["href"]).status_code == 200
    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", "https://maps.example/all/")
    (item,) = asked.get("/items.json").json()["features"]
    assert item["assets"]["NDVI"]["href"] == f"https://maps.example/all/{kite.run_id}/NDVI.tif"


def test_a_file_comes_in_ranges_and_again_only_when_it_changed(folder, kite):
    asked, url = client(folder), f"/files/{kite.run_id}/NDVI.tif"
    content = (folder / kite.run_id / "NDVI.tif").read_bytes()
    whole = asked.get(url)
    assert whole.content == content and whole.headers["accept-ranges"] == "bytes"
    for text, part in {
        "bytes=0-99": content[:100], "bytes=100-": content[100:], "bytes=-50": content[-50:],
        "bytes=5-5": content[5:6], f"bytes=10-{10**17}": content[10:], f"bytes=-{10**17}": content,
    }.items():  # fmt: skip
        found = asked.get(url, headers={"Range": text})
        assert (found.status_code, found.content) == (206, part)
        assert found.headers["content-range"].endswith(f"/{len(content)}")
    for text in (f"bytes={len(content)}-", "bytes=9-8", "bytes=-0"):
        assert asked.get(url, headers={"Range": text}).status_code == 416
    # What is no single range is answered by the whole.
    for text in ("bytes=0-1,5-6", "bytes=-", "rows=1-2", "bytes=0-1," * 5000):
        assert asked.get(url, headers={"Range": text}).status_code == 200
    tag = whole.headers["etag"]
    assert asked.get(url, headers={"If-None-Match": tag}).status_code == 304
    assert asked.get(url, headers={"Range": "bytes=0-9", "If-Range": '"old"'}).status_code == 200
    with (folder / kite.run_id / "NDVI.tif").open("ab") as file:
        file.write(b"more")
    assert asked.get(url, headers={"If-None-Match": tag}).status_code == 200


def test_gdal_reads_a_mosaic_through_the_server(kite):
    """In a process of its own: rasterio keeps the interpreter to itself while it opens, and the server needs it."""
    read = "import rasterio, sys; print(rasterio.open(sys.argv[1]).checksum(1), rasterio.open(sys.argv[1]).shape)"
    path = mosaics_of(kite)["NDVI"]
    found = []
    with serving(make_app(Shelf(out_of(kite)))) as port:
        for place in (f"/vsicurl/http://127.0.0.1:{port}/files/{kite.run_id}/NDVI.tif", str(path)):
            environment = {**os.environ, "NO_PROXY": "127.0.0.1", "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
            command = [sys.executable, "-c", read, place]
            found.append(
                subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
            )
    assert found[0] == found[1]


def test_a_tile_is_sent_again_only_when_its_mosaic_changed(folder, kite):
    asked = client(folder)
    url = f"/tiles/{kite.run_id}/NDVI/{'/'.join(map(str, tile_at(*middle(kite), 14)))}.png"
    first = asked.get(url)
    tag = first.headers["etag"]
    assert asked.get(url, headers={"If-None-Match": tag}).status_code == 304
    path = folder / kite.run_id / "NDVI.tif"
    with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as mosaic:
        mosaic.write(np.full((1, *mosaic.shape), 5000, np.int16))
    second = asked.get(url, headers={"If-None-Match": tag})
    assert second.status_code == 200 and second.content != first.content


@pytest.mark.parametrize("how", ["gone", "cut", "garbage"])
def test_a_damaged_layer_is_told_and_others_go_on(folder, kite, how):
    path, asked = folder / kite.run_id / "NDVI.tif", client(folder)
    at = "/".join(map(str, tile_at(*middle(kite), 14)))
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    else:
        path.write_bytes(b"\0" * path.stat().st_size)
    response = asked.get(f"/tiles/{kite.run_id}/NDVI/{at}.png")
    assert response.status_code in (404, 500)
    assert "NDVI.tif" in response.json()["error"] and str(folder) not in response.text
    assert (pixels(asked.get(f"/tiles/{kite.run_id}/LULC/{at}.png"))[..., 3] > 0).any()
    layers = {one["name"]: one for one in asked.get(f"/runs/{kite.run_id}.json").json()["layers"]}
    assert "NDVI.tif" in layers["NDVI"]["error"] and "error" not in layers["LULC"]
    lon, lat = middle(kite)
    values = asked.get(f"/point/{kite.run_id}", params={"lon": lon, "lat": lat}).json()["layers"]
    assert {one["layer"] for one in values if "error" in one} == {"NDVI"}


def test_what_cannot_be_shown_is_told_beside_the_runs(folder, kite, zones):
    shutil.copytree(out_of(zones) / zones.run_id, folder / "region" / zones.run_id)
    (folder / kite.run_id / "item.json").write_text("{")
    told = client(folder).get("/runs.json").json()
    assert [run["name"] for run in told["runs"]] == [f"region/{zones.run_id}"]
    (problem,) = told["problems"]
    assert problem["name"] == kite.run_id and "damaged" in problem["reason"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"properties": {"terramosaic:targets": 5}},
        {"properties": {"terramosaic:valid_pixels": "many"}},
        {"properties": {"terramosaic:valid_pixels": [1]}},
        {"assets": ["NDVI.tif"]},
        {"assets": {"NDVI": {"href": "./NDVI.tif", "roles": 5}}},
    ],
)
def test_an_item_that_says_what_none_does_costs_its_run_alone(folder, kite, zones, wrong):
    shutil.copytree(out_of(zones) / zones.run_id, folder / zones.run_id)
    path = folder / kite.run_id / "item.json"
    item = json.loads(path.read_text())
    for key, value in wrong.items():
        item[key] = {**item[key], **value} if isinstance(value, dict) and key == "properties" else value
    path.write_text(json.dumps(item))
    asked = client(folder)
    told = asked.get("/runs.json").json()
    assert zones.run_id in [run["name"] for run in told["runs"]]
    in_full = asked.get(f"/runs/{kite.run_id}.json")
    assert in_full.status_code == 500 and "its item is damaged" in in_full.json()["error"]
    if "properties" in wrong:
        assert [one["name"] for one in told["problems"]] == [kite.run_id]


def test_many_ask_at_once(kite):
    """Tiles are made in threads: each is what it is alone, and a layer is opened once."""
    asked = client(out_of(kite))
    z, x, y = tile_at(*middle(kite), 15)
    urls = [
        f"/tiles/{kite.run_id}/{name}/{z}/{x + dx}/{y + dy}.png"
        for name in ("NDVI", "LULC", "S1GRD")
        for dx in (-1, 0, 1)
        for dy in (-1, 0, 1)
    ]
    alone = {url: asked.get(url).content for url in urls}
    fresh = client(out_of(kite))
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda url: (url, fresh.get(url).content), urls * 3))
    assert all(alone[url] == content for url, content in together)


def test_runs_of_regions_and_runs_that_finish_later_are_found(folder, kite, zones, monkeypatch):
    monkeypatch.setattr("terramosaic.viewer.shelf._FRESH", 0)
    asked = client(folder)
    name = f"region/acquisitions/{zones.run_id}"
    assert len(asked.get("/runs.json").json()["runs"]) == 1
    shutil.copytree(out_of(zones) / zones.run_id, folder / name)
    assert {run["name"] for run in asked.get("/runs.json").json()["runs"]} == {kite.run_id, name}
    at = "/".join(map(str, tile_at(*middle(zones), 12)))
    assert (pixels(asked.get(f"/tiles/{name}/NDVI/{at}.png"))[..., 3] > 0).any()
    assert asked.get(f"/files/{name}/item.json").status_code == 200
    # One that is not finished is not shown.
    (folder / name / "item.json").unlink()
    assert len(asked.get("/runs.json").json()["runs"]) == 1
    assert asked.get(f"/files/{name}/plan.json").status_code == 404


def test_a_single_run_is_shown_alone(folder, kite):
    for place in (folder / kite.run_id, folder / "latest"):
        asked = client(place)
        assert [run["name"] for run in asked.get("/runs.json").json()["runs"]] == [kite.run_id]
        assert asked.get(f"/files/{kite.run_id}/item.json").status_code == 200
        assert asked.get("/files/catalog.json").status_code == 404


def test_nothing_is_changed_and_nothing_is_left_behind(kite):
    before = {path: path.stat().st_mtime_ns for path in out_of(kite).rglob("*")}
    asked = client(out_of(kite))
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"):
        response = asked.request(method, f"/files/{kite.run_id}/item.json")
        assert response.status_code == 405 and response.headers["allow"] == "GET, HEAD"
    asked.get(f"/runs/{kite.run_id}.json")
    asked.get(f"/tiles/{kite.run_id}/NDVI/3/4/4.png")
    assert {path: path.stat().st_mtime_ns for path in out_of(kite).rglob("*")} == before


def test_pages_of_others_cannot_ask_under_a_name_of_theirs(kite, monkeypatch):
    asked = client(out_of(kite))
    assert asked.get("/runs.json", headers={"Host": "evil.example"}).status_code == 421
    assert asked.get("/runs.json", headers={"Host": "evil.example:127.0.0.1"}).status_code == 421
    for host in ("localhost", "127.0.0.1:9", "[::1]:8000"):
        assert asked.get("/runs.json", headers={"Host": host}).status_code == 200
    assert (
        "access-control-allow-origin" not in asked.get("/runs.json", headers={"Origin": "http://x"}).headers
    )
    monkeypatch.setenv("TERRAMOSAIC_PUBLIC_URL", "https://maps.example/here")
    assert client(out_of(kite)).get("/runs.json", headers={"Host": "maps.example"}).status_code == 200
    # Who listens to the network answers by any name.
    assert (
        client(out_of(kite), "0.0.0.0").get("/runs.json", headers={"Host": "any.example"}).status_code == 200
    )


def test_places_beyond_the_roots_are_refused(kite, tmp_path, monkeypatch):
    monkeypatch.setenv("TERRAMOSAIC_ROOTS", str(tmp_path))
    with pytest.raises(RequestError, match=r"out: .* is beyond what TERRAMOSAIC_ROOTS allows"):
        Shelf(out_of(kite))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["/nowhere/at/all"], "out: there is no folder"),
        (["{out}", "--host", "no.such.host.invalid"], "host: "),
    ],
)
def test_the_command_says_what_is_wrong(kite, arguments, says):
    result = CliRunner().invoke(cli, ["serve", *(one.format(out=out_of(kite)) for one in arguments)])
    assert isinstance(result.exception, RequestError) and says in str(result.exception)


def test_a_port_that_is_taken_is_told(kite):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(cli, ["serve", str(out_of(kite)), "--port", str(port)])
    assert isinstance(result.exception, RequestError) and "take another with --port" in str(result.exception)


def test_a_run_that_is_not_finished_is_told(kite, tmp_path):
    run = tmp_path / kite.run_id
    run.mkdir()
    shutil.copy(RunFolder.of(kite).plan_file, run / "plan.json")
    with pytest.raises(RequestError, match="a run that is not finished"):
        Shelf(run)
