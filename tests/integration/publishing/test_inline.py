"""What notebooks show: safe, small, complete in itself, true; and a result's handles."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import rasterio
from PIL import Image

from terramosaic import MapResult, Mosaic, RegionRequest
from terramosaic.errors import RequestError, UnknownMosaicError
from terramosaic.mosaic.result import result_of
from terramosaic.planning.plan import Block
from tests.integration.publishing.small_run import HOSTILE_ID, polygon_run, two_zone_run
from tests.integration.publishing.test_report import Page

HOSTILE = "<img src=x onerror=alert(1)>&'\""
LARGEST = 200_000


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> MapResult:
    return result_of(polygon_run(tmp_path_factory.mktemp("inline")))


@pytest.fixture(scope="module")
def two_zones(tmp_path_factory) -> MapResult:
    return result_of(two_zone_run(tmp_path_factory.mktemp("zones")))


def shown(value: object) -> Page:
    """What a notebook gets of a value, checked for what holds for all of them."""
    text = value._repr_html_()
    page = Page(text)
    assert len(text.encode()) < LARGEST
    assert not {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object"}
    assert not re.search(r"https?://|@import|url\(", text)
    for _, attributes in page.elements:
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
        assert not [name for name in attributes if name.startswith("on")]
    # Ink and ground are the notebook's own, light or dark.
    assert "color: inherit" in text and "prefers-color-scheme" not in text
    return page


class TestShown:
    def test_a_request_shows_its_region_and_what_is_not_default(self, result):
        page = shown(result.plan.request)
        assert "Extra layers std, confidence" in page.text and "Block size 512" in page.text
        assert "Steps" not in page.text and "By default: model demo" in page.text
        assert "Targets S1GRD, NDVI, LULC" in page.text
        own = shown(result.plan.request.model_copy(update={"targets": ()}))
        assert "What the model makes" in own.text and "Targets" not in own.text
        assert [attributes["class"] for tag, attributes in page.elements if tag == "path"].count(
            "region"
        ) == 1

    @pytest.mark.parametrize(
        ("region", "words"),
        [
            ((13.4, 45.5, 13.9, 45.9), "west 13.4, south 45.5, east 13.9, north 45.9"),
            ((179.5, -17, -179.5, -16), "west 179.5, south -17, east -179.5, north -16"),
            ("33TWL", "MGRS tile 33TWL"),
        ],
    )
    def test_regions_of_each_kind(self, region, words):
        assert words in shown(RegionRequest(region=region, datetime="2023-08")).text

    def test_a_region_whose_file_is_gone_is_said_and_no_error(self):
        page = shown(RegionRequest(region=f"/nowhere/{HOSTILE}.geojson", datetime="2023-08", out=HOSTILE))
        assert "cannot read /nowhere/" in page.text
        assert not [tag for tag, _ in page.elements if tag in ("img", "svg")]

    def test_a_plan_shows_region_blocks_footprints_figures_and_warnings(self, result):
        page = shown(result.plan)
        styles = [attributes.get("class") for tag, attributes in page.elements if tag == "path"]
        assert styles.count("block") == len(result.plan.blocks)
        assert styles.count("footprint") == len(result.plan.acquisitions)
        for words in (result.plan.run_id, "2 scenes of 2 acquisitions", "2023-08-20", "NOT TerraMind"):
            assert words in page.text

    def test_many_blocks_scenes_and_warnings_stay_small(self, result):
        plan = result.plan
        zone = plan.zones[0]
        blocks = tuple(
            Block.model_validate(
                zone.blocks[0].model_dump()
                | {"id": f"b{row}_{col}", "row": zone.row + row * 512, "col": zone.col + col * 512}
            )
            for row in range(50)
            for col in range(50)
        )
        unknown = f"processing baseline unknown: {', '.join([HOSTILE_ID] * 3000)}"
        large = plan.model_copy(
            update={
                "zones": (zone.model_copy(update={"blocks": blocks}),),
                "acquisitions": plan.acquisitions * 200,
                "warnings": (unknown,) * 20,
            }
        )
        page = shown(large)
        assert "2 500 blocks" in page.text and "and 392 more acquisitions" in page.text

    def test_a_mosaic_shows_its_picture_legend_and_figures(self, result):
        page = shown(result["NDVI"])
        (image,) = [attributes for tag, attributes in page.elements if tag == "img"]
        content = base64.b64decode(image["src"].partition(",")[2])
        assert Image.open(io.BytesIO(content)).size == result["NDVI"].zone.rect.shape[::-1]
        for words in ("UTM 33N (EPSG:32633)", "median", "float32, NaN", "NOT TerraMind", "−0.20"):
            assert words in page.text

    def test_classes_and_flags_show_shares(self, result):
        for name, words in (("LULC", "uint8, as stored"), ("quality", "generated under cloud")):
            page = shown(result[name])
            assert words in page.text and re.search(r"\d\.\d %", page.text)

    def test_a_result_shows_its_targets_and_names_its_files(self, result):
        page = shown(result)
        assert sum(tag == "img" for tag, _ in page.elements) == len(result.plan.request.targets)
        for name, mosaic in result.items():
            assert f'result["{name}"]' in page.text and mosaic.path.name in page.text

    @pytest.mark.slow
    def test_two_zones_show_a_picture_each(self, two_zones):
        page = shown(two_zones)
        assert "Vegetation index (NDVI), 32N" in page.text and "Vegetation index (NDVI), 33N" in page.text

    def test_what_is_gone_is_said_and_no_error(self, result, tmp_path):
        elsewhere = MapResult(
            result.plan, tmp_path, dict.fromkeys(result, tmp_path / f"{HOSTILE}.tif"), False
        )
        for value in (elsewhere, elsewhere["NDVI"]):
            page = shown(value)
            assert "cannot be read" in page.text
            assert not [tag for tag, _ in page.elements if tag == "img"]


class TestPlainText:
    """A notebook keeps the plain text beside what it shows."""

    def test_it_is_a_line(self, result):
        for value in (result.plan, result.plan.zones[0], result["NDVI"]):
            assert len(repr(value)) < 300
        assert result.plan.run_id in repr(result.plan)

    def test_a_long_border_is_cut(self):
        ring = [[10 + np.cos(angle), 50 + np.sin(angle)] for angle in np.linspace(0, 2 * np.pi, 5000)]
        ring[-1] = ring[0]
        request = RegionRequest(region={"type": "Polygon", "coordinates": [ring]}, datetime="2023-08")
        assert len(repr(request)) < 2000


class TestHandles:
    def test_a_result_is_a_mapping_of_its_mosaics(self, result, two_zones):
        assert list(result) == list(result.mosaics) and len(result) == len(result.mosaics)
        assert all(isinstance(mosaic, Mosaic) and mosaic.name == name for name, mosaic in result.items())
        assert result["NDVI"].path == result.mosaics["NDVI"] and "NDVI" in result
        assert [two_zones[name].zone.epsg for name in ("NDVI_32632", "NDVI_32633")] == [32632, 32633]

    def test_an_unknown_name_is_one_clear_line(self, result):
        with pytest.raises(KeyError) as caught:
            result["DEM"]
        assert str(caught.value) == f"mosaic: there is no 'DEM'; this run made {', '.join(result)}"
        assert isinstance(caught.value, RequestError) and isinstance(caught.value, UnknownMosaicError)
        assert result.get("DEM") is None and "DEM" not in result

    def test_values_open_masked_and_scaled(self, result):
        with rasterio.open(result.mosaics["S1GRD"]) as file:
            stored, bounds = file.read().astype(float), file.bounds
        stored[stored == -32768] = np.nan
        opened = result["S1GRD"].open()
        assert opened.name == "S1GRD" and opened.dims == ("band", "y", "x")
        assert opened.rio.crs.to_epsg() == 32633 and opened.rio.bounds() == tuple(bounds)
        np.testing.assert_allclose(opened.values, stored * 0.01, rtol=1e-6)
        assert np.isnan(opened.values).any()

    def test_classes_and_flags_open_as_stored_with_their_meanings(self, result):
        classes, flags = result["LULC"].open(), result["quality"].open()
        assert classes.dtype == flags.dtype == np.uint8
        meanings = dict(
            zip(classes.attrs["flag_values"], classes.attrs["flag_meanings"].split(), strict=True)
        )
        assert meanings[1] == "water" and meanings[7] == "built_area"
        assert flags.attrs["flag_masks"] == [1, 2, 4, 8, 16]
        assert len(flags.attrs["flag_meanings"].split()) == 5

    def test_opening_reads_no_pixels(self, result):
        opened = result["NDVI"].open()
        assert not opened.variable._in_memory
        opened[:, :5, :5].load()
        assert not opened.variable._in_memory
