"""The imagery that the model saw, kept as a mosaic: of all bands, exact, and without a trace on the others."""

from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate

from terramosaic import map_region, open_run, plan, verify
from terramosaic.bands import COMMON_NAMES, GSD, S2L2A_BANDS
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.layers import QUALITY_NODATA, QUALITY_REPAIRED
from terramosaic.watch.generation import Mosaics
from tests.integration.conftest import LAND
from tests.support.scenes import dn_of

#: Four blocks, over the hole and both acquisitions' clouds.
RECT = Rect(LAND.row + 400, LAND.col + 350, 500, 500)


@pytest.fixture(scope="module")
def kept(land, tmp_path_factory) -> MapResult:
    out = tmp_path_factory.mktemp("kept")
    return map_region(land.request(RECT, out, targets=("NDVI", "LULC"), keep_imagery=True))


def test_it_holds_what_the_model_saw(kept):
    path = kept.mosaics["imagery"]
    is_cog, errors, _ = cog_validate(path, quiet=True)
    assert is_cog and not errors
    with rasterio.open(path) as mosaic:
        assert mosaic.descriptions == S2L2A_BANDS and mosaic.nodata == 0 and mosaic.dtypes == ("uint16",) * 12
        assert mosaic.scales == (0.0001,) * 12
        found = mosaic.read()
    day, quality = (rasterio.open(kept.mosaics[name]).read(1) for name in ("acquired", "quality"))
    assert len(np.unique(day[day > 0])) == 2 and (day == 0).any()
    inside = RECT.slices(LAND)
    for band, numbers in zip(S2L2A_BANDS, found, strict=True):
        factor = GSD[band] // 10
        side = LAND.height // factor
        earlier, later = (
            np.kron(dn_of(band, side, side, level=level), np.ones((factor, factor), np.uint16))[inside]
            for level in (0, 300)
        )
        wanted = np.where(day == day[day > 0].min(), earlier, later)
        # At the hole's rim coarse bands are 0 where others are not, and put right.
        shown = (quality == QUALITY_NODATA) | (quality & QUALITY_REPAIRED == 0)
        np.testing.assert_array_equal(numbers[shown], np.where(day > 0, wanted, 0)[shown], err_msg=band)


def test_the_run_and_its_other_mosaics_are_the_same(kept, land, tmp_path):
    without = map_region(land.request(RECT, tmp_path, targets=("NDVI", "LULC")))
    assert without.plan.run_id == kept.plan.run_id and "imagery" not in without
    for name, path in without.mosaics.items():
        assert path.read_bytes() == kept.mosaics[name].read_bytes(), name


def test_item_and_report_tell_it(kept):
    item = json.loads(kept.item.read_text())
    asset = item["assets"]["imagery"]
    assert asset["roles"] == ["data", "reflectance"] and asset["title"] == "Imagery that the model saw"
    assert [band["eo:common_name"] for band in asset["bands"]] == list(COMMON_NAMES.values())
    assert all((band["raster:scale"], band["nodata"]) == (0.0001, 0) for band in asset["bands"])
    red = kept.open("imagery").sel(band=4)
    figures = asset["bands"][3]["statistics"]
    assert figures["maximum"] == pytest.approx(float(red.max())) and 0 < figures["mean"] < 1
    assert any("/eo/v2.0.0/" in extension for extension in item["stac_extensions"])
    assert "imagery_quicklook" not in item["assets"]
    assert "What the model saw is kept: <code>imagery.tif</code>" in kept.report.read_text()
    assert kept["imagery"]._repr_html_().count("<img") == 1
    assert kept.plan.figures.output_gigabytes["imagery"] > 3 * kept.plan.figures.output_gigabytes["NDVI"]


def test_it_is_verified_as_the_others_are(kept):
    assert verify(kept, windows=6, write=False).passed


def test_newest_mosaics_do_without(kept):
    assert {layer.name for layer in Mosaics.of(kept.plan).layers}.isdisjoint({"imagery"})


def test_asked_for_too_late_it_is_not_made_and_that_is_told(land, tmp_path, caplog):
    request = land.request(Rect(RECT.row, RECT.col, 100, 100), tmp_path, targets=("NDVI",))
    map_region(request)
    with caplog.at_level(logging.WARNING):
        late = map_region(request.model_copy(update={"keep_imagery": True}))
    assert late.was_done and "imagery" not in late and "has no imagery" in caplog.text
    assert "imagery" not in open_run(late.folder)


def test_a_plan_without_it_says_nothing_of_it(land, tmp_path):
    made = plan(land.request(RECT, tmp_path, targets=("NDVI",)))
    assert "imagery" not in made.figures.output_gigabytes
    assert not any(layer.kind == "imagery" for layer in made.layers)
