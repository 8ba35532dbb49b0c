"""The page in a real browser: pan, zoom, layers, swipe; what it tells under the pointer is what rasterio reads."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.warp import transform
from scipy.ndimage import maximum_filter, minimum_filter

from terramosaic.planning.folder import mosaics_of
from terramosaic.viewer.app import make_app
from terramosaic.viewer.shelf import Shelf
from tests.integration.viewer.conftest import out_of
from tests.support.browser import Screenshots, browser_page
from tests.support.loopback import serving

pytestmark = pytest.mark.slow

#: Where a pixel of the page lies, by the map itself.
PLACE = "([x, y]) => ol.proj.toLonLat(terramosaic.map.getCoordinateFromPixel([x, y]))"
PIXEL = "(lonlat) => terramosaic.map.getPixelFromCoordinate(ol.proj.fromLonLat(lonlat))"
#: Whether all tiles have come and are drawn.
DRAWN = """() => new Promise((done) => {
  terramosaic.map.once('rendercomplete', () => done(true)); terramosaic.map.render(); })"""
#: Opacity and colour of the canvas's pixels, in short: how many differ from the ground.
COLOURS = """() => { let count = 0;
  for (const canvas of document.querySelectorAll('#map canvas')) {
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    for (let at = 3; at < data.length; at += 4) if (data[at] > 200) count++;
  } return count; }"""


@pytest.fixture(scope="module")
def page(kite) -> Iterator[tuple[Any, list[str]]]:
    with serving(make_app(Shelf(out_of(kite)))) as port, browser_page() as page:
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_selector("#layers input[value=NDVI]")
        page.evaluate(DRAWN)
        yield page, complaints


def choose(page: Any, layer: str) -> None:
    page.check(f"#layers input[value={layer}]")
    page.wait_for_function(f"terramosaic.state.layer.name === '{layer}' && terramosaic.shown.main !== null")
    page.evaluate(DRAWN)


def test_it_finds_its_way_to_the_map(page, kite):
    shown, complaints = page
    assert kite.bundle.title in shown.inner_text("#runs")
    assert "2023-08-15 to 2023-08-20" in shown.inner_text("#runs")
    lon, lat = shown.evaluate("() => ol.proj.toLonLat(terramosaic.map.getView().getCenter())")
    west, south, east, north = shown.evaluate("() => terramosaic.state.run.bbox")
    assert west < lon < east and south < lat < north
    assert shown.evaluate(COLOURS) > 5000
    assert complaints == []


def test_values_under_the_pointer_are_those_that_rasterio_reads(page, kite):
    shown, complaints = page
    choose(shown, "NDVI")
    box = shown.locator("#map").bounding_box()
    told = 0
    with (
        rasterio.open(mosaics_of(kite)["NDVI"]) as mosaic,
        rasterio.open(mosaics_of(kite)["LULC"]) as classes,
    ):
        numbers, kinds = mosaic.read(1), classes.read(1)
        names = {one.value: one.name for one in kite.layer("LULC").classes}
        rows, cols = np.nonzero(numbers != mosaic.nodata)
        for index in np.random.default_rng(3).integers(len(rows), size=40):
            place = transform(
                mosaic.crs, "EPSG:4326", *([v] for v in mosaic.xy(int(rows[index]), int(cols[index])))
            )
            at = [round(value) for value in shown.evaluate(PIXEL, [place[0][0], place[1][0]])]
            if told == 4 or not (0.4 < at[0] / box["width"] < 0.62 and at[1] < 0.9 * box["height"]):
                continue  # cards lie over the rest
            lon, lat = shown.evaluate(PLACE, at)
            (easting,), (northing,) = transform("EPSG:4326", mosaic.crs, [lon], [lat])
            row, col = mosaic.index(easting, northing)
            stored = int(numbers[row, col])
            shown.keyboard.press("Escape")  # a click is forgotten
            with shown.expect_response(re.compile("/point/")):
                shown.mouse.move(box["x"] + at[0] + 3, box["y"] + at[1])
                shown.mouse.move(box["x"] + at[0], box["y"] + at[1])
            wanted = "no data" if stored == mosaic.nodata else f"{stored / 1e4:.4f}".replace("-", "−")
            shown.wait_for_function(
                "(text) => document.querySelector('#values dd[data-layer=NDVI]')?.textContent === text",
                arg=wanted,
            )
            told += stored != mosaic.nodata
            # A click tells all layers, classes by their names.
            shown.mouse.click(box["x"] + at[0], box["y"] + at[1])
            shown.wait_for_function(
                "(text) => document.querySelector('#values dd[data-layer=LULC]')?.textContent === text",
                arg=names.get(int(kinds[row, col]), "no data"),
            )
    shown.keyboard.press("Escape")
    assert told >= 3 and complaints == []


def test_values_that_were_clicked_stay_until_another_click_or_until_they_are_closed(page):
    shown, complaints = page
    choose(shown, "NDVI")
    box = shown.locator("#map").bounding_box()
    first, second = (
        (box["x"] + part * box["width"], box["y"] + 0.5 * box["height"]) for part in (0.45, 0.55)
    )
    place = "document.querySelector('#values h3')?.textContent"
    asked: list[str] = []
    shown.on("request", lambda request: asked.append(request.url) if "/point/" in request.url else None)
    shown.mouse.click(*first)
    shown.wait_for_selector("#values dd[data-layer=quality]")
    where, count = shown.evaluate(place), len(asked)
    # The page's own clock: what it had put off would have come by then.
    shown.evaluate("() => new Promise((done) => setTimeout(done, 2000))")
    shown.mouse.move(*second)
    shown.evaluate("() => new Promise((done) => setTimeout(done, 300))")
    assert len(asked) == count and shown.evaluate(place) == where
    shown.mouse.click(*second)
    shown.wait_for_function(f"(where) => {place} !== where", arg=where)
    shown.click("#values-close")
    assert shown.is_hidden("#values")
    shown.mouse.move(*first)
    # Once closed it follows the pointer again, with what is shown alone.
    shown.wait_for_selector("#values dd[data-layer=NDVI]")
    assert shown.locator("#values dd").count() == 1
    shown.keyboard.press("Escape")
    assert complaints == []


def test_an_address_leads_to_its_run_its_layers_and_its_place(page, kite):
    shown = page[0].context.new_page()
    west, south, east, north = page[0].evaluate("() => terramosaic.state.run.bbox")
    lon, lat = west + (east - west) / 3, south + (north - south) / 3
    run = page[0].evaluate("() => terramosaic.state.run.name")
    root = page[0].url.partition("#")[0]
    view = "() => [terramosaic.map.getView().getZoom(), ...ol.proj.toLonLat(terramosaic.map.getView().getCenter())]"
    here = f"#run={run}&layer=LULC&compare=NDVI&map=14.5/{lat:.5f}/{lon:.5f}"
    shown.goto(root + here)
    shown.wait_for_function("() => terramosaic.shown.main && terramosaic.shown.other")
    shown.evaluate(DRAWN)
    assert shown.evaluate("[terramosaic.state.layer.name, terramosaic.state.compare.name]") == [
        "LULC",
        "NDVI",
    ]
    assert shown.evaluate(view) == pytest.approx([14.5, lon, lat], abs=2e-5)
    # What is seen next is in the address, from which another page shows the same.
    shown.evaluate("() => terramosaic.map.getView().setZoom(15)")
    shown.wait_for_function("() => location.hash.includes('map=15.00/')")
    again = page[0].context.new_page()
    again.goto(shown.url)
    again.wait_for_function("() => terramosaic.shown.main && terramosaic.shown.other")
    assert again.evaluate(view) == pytest.approx([15, lon, lat], abs=2e-5)
    again.close()
    # Without a place all of the run is shown, and what is not there is said.
    shown.evaluate(f"() => {{ location.hash = '#run={run}&layer=missing'; }}")
    shown.wait_for_selector("#failed:not([hidden])")
    assert "the layer missing" in shown.inner_text("#failed")
    assert shown.evaluate(view)[0] < 14.5
    shown.evaluate("() => { location.hash = '#run=gone&map=3/0/0'; }")
    shown.wait_for_function("() => document.getElementById('failed').textContent.includes('the run gone')")
    assert shown.evaluate(view)[0] > 5
    shown.evaluate(f"() => {{ location.hash = '#run={run}&map=14/x/0'; }}")
    shown.wait_for_function(
        "() => document.getElementById('failed').hidden && location.hash.includes('layer=')"
    )
    shown.close()


def test_layers_are_switched_with_their_legends(page, kite):
    shown, complaints = page
    for layer in kite.layers:
        choose(shown, layer.name)
        assert shown.inner_text("#legend-title") != ""
    choose(shown, "LULC")
    assert "water" in shown.inner_text("#legend") and "trees" in shown.inner_text("#legend")
    choose(shown, "S1GRD")
    assert "−20" in shown.inner_text("#legend") and "dB" in shown.inner_text("#legend")
    assert "layer=S1GRD" in shown.evaluate("location.hash")
    assert complaints == []


def test_a_map_is_panned_and_zoomed(page):
    shown, complaints = page
    choose(shown, "NDVI")
    view = "() => [terramosaic.map.getView().getZoom(), ...terramosaic.map.getView().getCenter()]"
    _, x, _ = shown.evaluate(view)
    box = shown.locator("#map").bounding_box()
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    shown.mouse.move(*middle)
    shown.mouse.down()
    shown.mouse.move(middle[0] - 120, middle[1] - 60, steps=6)
    shown.mouse.up()
    shown.wait_for_function("(x) => terramosaic.map.getView().getCenter()[0] > x", arg=x)
    before = shown.evaluate(view)
    with shown.expect_response(re.compile(r"/tiles/.*\.png")):
        shown.click(".ol-zoom-in")
    shown.wait_for_function("(zoom) => terramosaic.map.getView().getZoom() > zoom + 0.9", arg=before[0])
    shown.focus("#map")
    shown.keyboard.press("-")
    shown.wait_for_function("(zoom) => terramosaic.map.getView().getZoom() < zoom + 0.1", arg=before[0])
    at = shown.evaluate(view)
    shown.keyboard.press("ArrowLeft")
    shown.wait_for_function("(x) => terramosaic.map.getView().getCenter()[0] < x", arg=at[1])
    shown.evaluate(DRAWN)
    shown.keyboard.press("Enter")
    shown.wait_for_selector("#values dd[data-layer=quality]")
    shown.keyboard.press("Escape")
    assert shown.is_hidden("#values")
    assert complaints == []


def test_of_runs_over_each_other_the_one_that_is_looked_at_is_clicked_and_none_tints_it(page, kite, tmp_path):
    """As the runs of a series lie."""
    for month in range(6):
        shutil.copytree(out_of(kite), tmp_path / str(month), symlinks=True)
    with rasterio.open(mosaics_of(kite)["LULC"]) as mosaic:
        classes = mosaic.read(1)
        alike = minimum_filter(classes, 9) == maximum_filter(classes, 9)
        row, col = (int(each) for each in np.argwhere(alike & (classes > 0))[0])
        (lon,), (lat,) = transform(mosaic.crs, "EPSG:4326", *([v] for v in mosaic.xy(row, col)))
    found = next(each for each in kite.layer("LULC").classes if each.value == classes[row, col])
    shown = page[0].context.new_page()
    with serving(make_app(Shelf(tmp_path))) as port:
        shown.goto(f"http://127.0.0.1:{port}/")
        shown.wait_for_selector("#layers input[value=LULC]")
        choose(shown, "LULC")
        run = shown.evaluate("terramosaic.state.run.name")
        shown.evaluate(
            "(lonlat) => terramosaic.map.getView().setCenter(ol.proj.fromLonLat(lonlat))", [lon, lat]
        )
        shown.evaluate(DRAWN)
        box = shown.locator("#map").bounding_box()
        at = [round(value) for value in shown.evaluate(PIXEL, [lon, lat])]
        x, y = box["x"] + at[0], box["y"] + at[1]
        picture = Image.open(io.BytesIO(shown.screenshot())).convert("RGB")
        assert picture.getpixel((int(x), int(y))) == tuple(found.colour)
        shown.mouse.click(x, y)
        shown.wait_for_function(
            "(text) => document.querySelector('#values dd[data-layer=LULC]')?.textContent === text",
            arg=found.name,
        )
        shown.wait_for_selector("#values dd[data-layer=quality]")  # of a click: all layers
        assert shown.evaluate("terramosaic.state.run.name") == run
        shown.close()


def test_two_layers_are_swiped_and_one_fades(page, tmp_path):
    shown, complaints = page
    choose(shown, "NDVI")
    shown.select_option("#compare", "imagery")
    shown.wait_for_function("terramosaic.shown.other !== null")
    shown.evaluate(DRAWN)
    assert shown.is_visible("#divider") and shown.inner_text("#right-name") == "Imagery that the model saw"
    shown.fill("#swipe", "25")
    assert shown.evaluate("document.getElementById('divider').style.left") == "25%"
    shown.fill("#opacity", "40")
    assert shown.evaluate("terramosaic.shown.main.getOpacity()") == pytest.approx(0.4)
    Screenshots(tmp_path).take(shown, "viewer")
    shown.fill("#opacity", "100")
    shown.select_option("#compare", "")
    shown.wait_for_function("terramosaic.shown.other === null")
    assert shown.is_hidden("#divider") and complaints == []


def test_it_fits_a_phone(page, tmp_path):
    shown, complaints = page
    usual = shown.viewport_size
    shown.set_viewport_size({"width": 390, "height": 844})
    shown.reload()
    shown.wait_for_selector("#layers input[value=NDVI]")
    shown.evaluate(DRAWN)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    box = shown.locator("#map").bounding_box()
    assert box["width"] == 390 and box["height"] > 300
    shown.click("#panel-button")
    shown.wait_for_function(
        "(height) => document.getElementById('map').clientHeight > height", arg=box["height"]
    )
    # The values are as wide as the page: what they are of moves out from under them.
    shown.mouse.click(box["width"] / 2, box["y"] + 0.55 * shown.locator("#map").bounding_box()["height"])
    shown.wait_for_selector("#values dd[data-layer=quality]")
    shown.evaluate(DRAWN)
    pin = "() => ol.proj.toLonLat(terramosaic.pin.getGeometry().getCoordinates())"
    _, y = shown.evaluate(PIXEL, shown.evaluate(pin))
    assert box["y"] + y < shown.locator("#values").bounding_box()["y"]
    shown.click("#values-close")
    Screenshots(tmp_path).take(shown, "viewer-phone")
    shown.click("#panel-button")
    shown.set_viewport_size(usual)
    assert complaints == []


def test_the_report_and_files_are_a_click_away(page, kite):
    shown, _ = page
    with shown.expect_popup() as opened:
        shown.click("#report")
    report = opened.value
    report.wait_for_load_state()
    assert kite.run_id in report.content()
    # It is a stranger to the page that led to it.
    assert report.evaluate("origin") == "null"
    report.close()
    with shown.expect_download() as loaded:
        shown.click("#downloads a[href$='NDVI.tif']")
    assert loaded.value.suggested_filename == "NDVI.tif"
    with rasterio.open(loaded.value.path()) as got, rasterio.open(mosaics_of(kite)["NDVI"]) as own:
        assert got.checksum(1) == own.checksum(1)
