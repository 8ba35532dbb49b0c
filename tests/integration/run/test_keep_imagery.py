"""The imagery that the model saw, kept as a mosaic: of all bands, exact, and without a trace on the others."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate
from shapely.geometry import Polygon

from terramosaic import map_region, open_run, plan, verify
from terramosaic.bands import COMMON_NAMES, GSD, S2L2A_BANDS
from terramosaic.ground.grid import Rect
from terramosaic.ground.lattice import WINDOW
from terramosaic.imagery.pool import READERS
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, mosaics_of
from terramosaic.planning.layers import QUALITY_NODATA, QUALITY_REPAIRED
from terramosaic.planning.plan import Plan
from terramosaic.watch.generation import Mosaics
from tests.integration.conftest import LAND, Catalog
from tests.integration.trust.test_verify import change_pixels, made_again
from tests.support.scenes import dn_of, write_scene

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
        # Windows see beyond the map's edge; what they see there is kept, too.
        around = RECT.pad(WINDOW - 1)
        assert tuple(mosaic.bounds) == around.bounds
        found = mosaic.read()
    beyond = np.ones(around.shape, bool)
    beyond[RECT.slices(around)] = False
    assert (found[:, beyond] > 0).any()
    found = found[:, *RECT.slices(around)]
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
    assert asset["proj:shape"] == [500 + 2 * 223] * 2 and item["properties"]["proj:shape"] == [500, 500]
    assert asset["roles"] == ["data", "reflectance"] and asset["title"] == "Imagery that the model saw"
    assert [band["eo:common_name"] for band in asset["bands"]] == [COMMON_NAMES[band] for band in S2L2A_BANDS]
    assert all((band["raster:scale"], band["nodata"]) == (0.0001, 0) for band in asset["bands"])
    red = kept.open("imagery").sel(band=4)
    figures = asset["bands"][3]["statistics"]
    assert figures["maximum"] == pytest.approx(float(red.max())) and 0 < figures["mean"] < 1
    assert any("/eo/v2.0.0/" in extension for extension in item["stac_extensions"])
    assert "imagery_quicklook" not in item["assets"]
    assert 'What the model saw is kept: <a href="imagery.tif"' in kept.report.read_text()
    assert kept["imagery"]._repr_html_().count("<img") == 1
    assert kept.plan.figures.output_gigabytes["imagery"] > 3 * kept.plan.figures.output_gigabytes["NDVI"]


def test_it_is_verified_as_the_others_are(kept):
    found = verify(kept, windows=6, write=False)
    assert found.passed and not found.from_imagery


@pytest.fixture(
    params=[{"composite": "median"}, {"extras": ("std",), "outline": True}], ids=["median", "cut"]
)
def without_sources(request, tmp_path, quick_retries) -> Plan:
    """A finished run over two acquisitions with clouds and a hole, whose files are all gone."""
    catalog = Catalog(tmp_path / "gone")
    rect, holes = Rect(490_002, 50_004, 900, 900), np.zeros((900, 900), bool)
    holes[300:420, 350:500] = True
    scl = np.full((450, 450), 4)
    scl[100:220, 200:330] = 9
    for day, offset, classes in ((15, 0, scl), (20, 1000, scl.T)):
        catalog.add(
            write_scene(
                catalog.folder / f"{day}",
                rect,
                name=f"S2A_33TWL_202308{day}",
                day=f"2023-08-{day}",
                offset=offset,
                scl=classes,
                holes=holes,
                level=offset // 4,
            )
        )
    part = Rect(rect.row + 350, rect.col + 100, 300, 500)
    options = dict(request.param)
    if options.pop("outline", False):
        left, bottom, right, top = part.bounds
        options["outline"] = Polygon([(left, bottom), (right, bottom), (left, top)])
    result = map_region(
        catalog.request(part, tmp_path / "out", targets=("S1GRD", "LULC"), keep_imagery=True, **options)
    )
    assert verify(result, whole=True, write=False).passed
    shutil.rmtree(catalog.folder)
    READERS.close_idle()
    return result.plan


@pytest.mark.slow
def test_a_run_whose_sources_are_gone_is_verified_from_it(without_sources):
    folder = RunFolder.of(without_sources)
    for whole in (True, False):
        found = verify(folder.path, whole=whole)
        assert found.passed and found.verified == found.windows == sum(found.from_imagery.values()) > 4
        assert found.confidence.endswith(
            "are what the imagery that the run kept gives, bit for bit. What was kept does not prove what the sources "
            "held."
        )
        assert (
            all("could not be read" in reason for reason in found.from_imagery) and not found.not_verifiable
        )
    assert found.confidence in folder.report_file.read_text()
    block = without_sources.blocks[-1]
    row, col = (-(-start // 192) * 192 + 40 - start for start in (block.row, block.col))

    def by_a_step(pixels: np.ndarray) -> None:
        pixels[0, row, col] += 1

    change_pixels(without_sources, block, "S1GRD", by_a_step)
    made_again(without_sources)
    told = verify(folder.path, whole=True)
    assert {window.block for window in told.differing} == {block.id}, told
    assert all(window.mosaics == {"S1GRD": 1} for window in told.differing)
    assert "or for" not in told.confidence and told.failure.exit_code == 7
    # With the imagery gone as well nothing is left to compute from.
    mosaics_of(without_sources)["imagery"].unlink()
    none = verify(folder.path, write=False)
    assert not none.looked_at and sum(none.not_verifiable.values()) == none.drawn


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
