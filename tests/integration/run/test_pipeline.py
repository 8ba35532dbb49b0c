"""The rules that never break, on whole runs: ground-decided, seamless, exact, resumable, whole."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from datetime import date

import numpy as np
import pytest
import rasterio
from rio_cogeo import cog_validate
from shapely.geometry import Polygon, box

from terramosaic import assemble, load_bundle, map_region, plan, run_block
from terramosaic.block.block import finished_block
from terramosaic.block.receipt import finished_blocks
from terramosaic.errors import CatalogError, NothingLeftError, OffsetConflictError, OutputError
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import zone_areas
from terramosaic.imagery.pool import READERS
from terramosaic.model.devices import Device, available_cpus
from terramosaic.model.generator import Needs
from terramosaic.model.single_graph import SingleGraphGenerator
from terramosaic.model.surroundings import Surroundings
from terramosaic.planning.folder import RunFolder, read_plan, write_plan
from terramosaic.planning.layers import QUALITY_CLOUD, QUALITY_EDGE, QUALITY_FILLED, QUALITY_NODATA
from terramosaic.request.area import area_from_box
from terramosaic.request.request import RegionRequest
from tests.integration.conftest import LAND, Catalog
from tests.support.pixels import assert_same_on_shared_pixels, read
from tests.support.scenes import dn_of, write_scene

ALL = ("S1GRD", "S1RTC", "NDVI", "LULC")
EXTRAS = ("std", "second", "probabilities")
SMALL = Rect(LAND.row + 410, LAND.col + 350, 150, 200)

MAP_AND_DIE_AFTER_BLOCKS = """
import os, signal, sys
from terramosaic import RegionRequest, map_region
from terramosaic.run.mapping import Quiet

class Fuse(Quiet):
    left = int(sys.argv[2])
    def block_done(self, block, receipt):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

map_region(RegionRequest.model_validate_json(open(sys.argv[1]).read()), workers=2, progress=Fuse())
"""


@pytest.fixture(scope="module")
def whole(land, tmp_path_factory):
    """The whole land in blocks of 512."""
    return map_region(land.request(LAND, tmp_path_factory.mktemp("whole"), targets=ALL, extras=EXTRAS))


@pytest.mark.parametrize(
    ("rect", "options", "batch_size", "workers"),
    [
        pytest.param(LAND, {"block_size": 2048}, 8, 2, marks=pytest.mark.slow),
        pytest.param(LAND, {"block_size": 1024}, 1, 1, marks=pytest.mark.slow),
        (Rect(LAND.row + 333, LAND.col + 271, 700, 641), {}, 8, 4),
        (Rect(LAND.row + 590, LAND.col + 390, 40, 30), {"block_size": 2048}, 3, 1),
    ],
)
def test_ground_decides(whole, land, tmp_path, rect, options, batch_size, workers):
    request = land.request(rect, tmp_path, targets=ALL, extras=EXTRAS, **options)
    assert_same_on_shared_pixels(whole, map_region(request, batch_size=batch_size, workers=workers))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"composite": "median", "blend": "cosine", "stride": 112}, marks=pytest.mark.slow),
        {"composite": "single", "stride": 224, "offset": "keep"},
        pytest.param({"stride": 64, "blend": "cosine", "dtype": "float32"}, marks=pytest.mark.slow),
    ],
)
def test_ground_decides_whatever_the_options(land, tmp_path, options):
    around, part = (
        Rect(LAND.row + 300, LAND.col + 300, 420, 480),
        Rect(LAND.row + 410, LAND.col + 350, 150, 200),
    )
    options = {"targets": ("S1GRD", "LULC"), "extras": EXTRAS, **options}
    one = map_region(land.request(around, tmp_path / "around", **options))
    other = map_region(land.request(part, tmp_path / "part", **options, block_size=1024), batch_size=5)
    assert_same_on_shared_pixels(one, other)


def test_a_sliver_of_a_block_between_two_pixels_of_the_preview(land, tmp_path):
    # 1500 pixels are shown at every second one; the first block is cut to a single, odd column.
    odd = LAND.col // 512 * 512 + 511
    rect = Rect(LAND.row, odd, 1490, 100)
    result = map_region(land.request(rect, tmp_path, targets=("NDVI",)))
    assert result.plan.preview_factor == 2 and min(block.width for block in result.plan.blocks) == 1
    assert read(result.mosaics["NDVI"])[0].shape[1:] == rect.shape


def test_polygon_is_cut_and_keeps_the_pixels(whole, land, tmp_path):
    left, bottom, right, top = LAND.bounds
    outline = Polygon(
        [
            (left + 2000, top - 900),
            (right - 3000, top - 2500),
            (right - 4000, bottom + 2000),
            (left + 1000, bottom + 5000),
        ]
    )
    result = map_region(land.request(LAND, tmp_path, outline=outline, targets=ALL))
    pixels, rect = read(result.mosaics["NDVI"])
    full, full_rect = read(whole.mosaics["NDVI"])
    inside = rasterio.features.rasterize(
        [outline.buffer(-15)], out_shape=rect.shape, transform=rect.transform
    ).astype(bool)
    near = rasterio.features.rasterize(
        [outline.buffer(15)], out_shape=rect.shape, transform=rect.transform
    ).astype(bool)
    np.testing.assert_array_equal(pixels[0][inside], full[0][rect.slices(full_rect)][inside])
    assert (pixels[0][~near] == -32768).all()


def test_outputs_exist_exactly_where_input_was_valid(whole):
    expected = np.ones(LAND.shape, bool)
    # Holes are cut at 10 m and reach, at 60 m, to the pixels of the bands whose corner they hit.
    expected[602:802, 400:700] = False
    for name, nodata in (("NDVI", -32768), ("S1GRD", -32768), ("LULC", 0), ("quality", QUALITY_NODATA)):
        pixels, rect = read(whole.mosaics[name])
        valid = (pixels != nodata).all(axis=0)[LAND.slices(rect)]
        assert not valid[~expected].any(), name
        assert valid[:596].all() and valid[808:].all() and valid[:, :396].all() and valid[:, 706:].all(), name


def test_ndvi_is_that_of_the_files(whole):
    """Where the first acquisition is clear it is used; its NDVI is exact to half a step of the encoding."""
    pixels, rect = read(whole.mosaics["NDVI"])
    ndvi = pixels[0][LAND.slices(rect)] * 1e-4

    def of(level):
        red, nir = (dn_of(band, *LAND.shape, level=level).astype(float) for band in ("B04", "B08"))
        return (nir - red) / (nir + red)

    valid = pixels[0][LAND.slices(rect)] != -32768
    first, second = (np.abs(ndvi - of(level)) < 0.5e-4 + 1e-7 for level in (0, 300))
    assert (first | second)[valid].all()
    assert 0.8 < first[valid].mean() < 0.95


def test_acquired_tells_whose_pixels_they_are(whole):
    acquired, rect = read(whole.mosaics["acquired"])
    stored, _ = read(whole.mosaics["NDVI"])
    day, of_pass = acquired[:, *LAND.slices(rect)]
    ndvi = stored[0][LAND.slices(rect)]
    for level, wanted in ((0, date(2023, 8, 15)), (300, date(2023, 8, 20))):
        red, nir = (dn_of(band, *LAND.shape, level=level).astype(float) for band in ("B04", "B08"))
        here = day == (wanted - date(1970, 1, 1)).days
        assert here.sum() > 50_000
        assert np.abs(ndvi * 1e-4 - (nir - red) / (nir + red))[here].max() < 0.5e-4 + 1e-7
        assert {number // 1000 for number in np.unique(of_pass[here])} == {1}
    np.testing.assert_array_equal(day != 0, ndvi != -32768)


def test_the_median_of_several_acquisitions_has_no_day(land, tmp_path):
    result = map_region(land.request(SMALL, tmp_path, targets=("NDVI",), composite="median"))
    assert not read(result.mosaics["acquired"])[0].any()
    assert (read(result.mosaics["NDVI"])[0] != -32768).any()


def test_two_passes_of_a_day_are_told_apart(tmp_path):
    """An hour and a half apart, each clouded where the other is clear."""
    (tmp_path / "catalog").mkdir()
    catalog = Catalog(tmp_path / "catalog")
    west = np.full((150, 150), 4)
    west[:, :50] = 9
    for platform, time, orbit, scl in (("a", "09:50", 79, west), ("b", "11:30", 122, None)):
        item = write_scene(
            catalog.folder / platform, Rect(LAND.row, LAND.col, 300, 300), name=f"S2{platform}", scl=scl
        )
        item["properties"] |= {
            "platform": f"sentinel-2{platform}", "datetime": f"2023-08-15T{time}:00Z", "sat:relative_orbit": orbit,
            "eo:cloud_cover": orbit / 10,
        }  # fmt: skip
        catalog.add(item)
    result = map_region(catalog.request(Rect(LAND.row, LAND.col, 300, 300), tmp_path, targets=("NDVI",)))
    day, of_pass = read(result.mosaics["acquired"])[0]
    assert len(np.unique(day)) == 1 and (of_pass[:, :100] == 2122).all() and (of_pass[:, 100:] == 1079).all()
    with rasterio.open(result.mosaics["acquired"]) as file:
        assert file.tags()["ACQUISITION_19584_2122"] == "2023-08-15 sentinel-2b R122: S2b"


def test_a_run_that_was_begun_without_a_layer_stays_so_and_says_it(land, tmp_path, monkeypatch, caplog):
    request = land.request(SMALL, tmp_path, targets=("NDVI",))
    with monkeypatch.context() as earlier:
        made = plan(request)
        earlier.setattr("terramosaic.planning.planning.layers_of", lambda *_: tuple(
            layer for layer in made.layers if layer.name != "acquired"
        ))  # fmt: skip
        before = map_region(request)
    assert sorted(before) == ["NDVI", "quality"]
    times = {path: path.stat().st_mtime_ns for path in before.folder.rglob("*.*")}
    again = map_region(request)
    assert again.was_done and sorted(again) == ["NDVI", "quality"]
    assert times == {path: path.stat().st_mtime_ns for path in before.folder.rglob("*.*")}
    assert "has no acquired; to have them too, remove" in caplog.text
    # Nor are its blocks computed again where it was not finished.
    (before.folder / "item.json").unlink()
    (before.folder / "quality.tif").unlink()
    assert sorted(map_region(request)) == ["NDVI", "quality"]
    blocks = {path: time for path, time in times.items() if "blocks" in path.parts}
    assert blocks == {path: path.stat().st_mtime_ns for path in blocks}


def test_quality_tells_cloud_and_the_neighbourhood_of_gaps(whole):
    pixels, rect = read(whole.mosaics["quality"])
    quality = pixels[0][LAND.slices(rect)]
    valid = quality != QUALITY_NODATA
    cloudy = (quality & QUALITY_CLOUD > 0) & valid
    assert 0.001 < cloudy.mean() < 0.1
    edge = (quality & QUALITY_EDGE > 0) & valid
    assert edge[590:598, 500:600].all() and not edge[520:570, 500:600].any()
    filled = (quality & QUALITY_FILLED > 0) & valid
    assert (filled | ~edge).all() and filled.mean() < 0.5


def test_spread_is_small_for_exact_models_and_confidence_is_a_percentage(whole):
    std, _ = read(whole.mosaics["NDVI_std"])
    # NDVI by band arithmetic is the same in every window, so windows cannot disagree about it.
    assert set(np.unique(std)) <= {-32768, 0}
    confidence, _ = read(whole.mosaics["LULC_confidence"])
    assert confidence[confidence != 255].max() <= 100


def test_class_confidence_and_second_follow_from_the_probabilities(whole):
    shares, classes, confidence, second = (
        read(whole.mosaics[f"LULC{more}"])[0] for more in ("_probabilities", "", "_confidence", "_second")
    )
    valid = classes[0] != 0
    values = np.array([item.value for item in load_bundle("demo").targets["LULC"].classes])
    candidates = np.where(values[:, None] != 0, shares[:, valid], 0)
    np.testing.assert_array_equal(candidates.max(axis=0), confidence[0][valid])
    # Percents tie where probabilities do not.
    top, runner_up = np.sort(candidates, axis=0)[[-1, -2]]
    clear = top > runner_up
    np.testing.assert_array_equal(values[candidates.argmax(axis=0)][clear], classes[0][valid][clear])
    assert (second[0][valid] != classes[0][valid]).all() and (second[0][~valid] == 0).all()
    assert clear.any() and (shares[:, ~valid] == 255).all()


def test_windows_differ_only_where_there_are_several(whole):
    disagreement, rect = read(whole.mosaics["LULC_disagreement"])
    valid = read(whole.mosaics["LULC"])[0][0] != 0
    rows, cols = (
        np.arange(start, start + size) % 192 < 32
        for start, size in ((rect.row, rect.height), (rect.col, rect.width))
    )
    several = rows[:, None] | cols
    np.testing.assert_array_equal(disagreement[0] != 255, several & valid)
    np.testing.assert_array_equal(read(whole.mosaics["NDVI_std"])[0][0] != -32768, several & valid)
    # Classes by band arithmetic are the same in every window but where one was filled.
    assert np.median(disagreement[0][several & valid]) == 0


def test_mosaics_are_valid_cogs_with_their_meaning_inside(whole):
    for name, path in whole.mosaics.items():
        good, errors, warnings = cog_validate(path, strict=True)
        assert good and not errors and not warnings, (name, errors, warnings)
        with rasterio.open(path) as file:
            assert file.block_shapes[0] == (512, 512)
            assert file.overviews(1)
            assert file.tags()["TERRAMOSAIC_RUN"] == whole.plan.run_id
            assert "TerraMind" in file.tags()["TERRAMOSAIC_MODEL"]
    with rasterio.open(whole.mosaics["S1GRD"]) as file:
        assert (
            file.descriptions == ("VV", "VH") and file.units == ("dB", "dB") and file.scales == (0.01, 0.01)
        )
    with rasterio.open(whole.mosaics["LULC"]) as file:
        assert file.colormap(1)[1] == (0x41, 0x9B, 0xDF, 255)
        assert file.tags()["CLASS_5"] == "crops"
        assert file.nodata == 0


def test_result_opens_as_xarray_in_physical_units(whole):
    ndvi = whole.open("NDVI")
    assert float(ndvi.min()) >= -1 and float(ndvi.max()) <= 1
    assert ndvi.rio.crs.to_epsg() == 32633
    assert whole.open("LULC").dtype == np.uint8 and whole.open("quality").dtype == np.uint8
    confidence = whole.open("LULC_confidence")
    assert np.isnan(confidence.values[:, 620:780, 420:680]).all() and float(confidence.max()) <= 100


def test_float32_keeps_full_precision(land, tmp_path):
    rect = Rect(LAND.row + 100, LAND.col + 100, 300, 300)
    request = land.request(rect, tmp_path, targets=("NDVI",), dtype="float32", datetime="2023-08-15")
    pixels, found = read(map_region(request).mosaics["NDVI"])
    red, nir = (dn_of(band, *LAND.shape).astype(float)[found.slices(LAND)] for band in ("B04", "B08"))
    assert np.abs(pixels[0] - (nir - red) / (nir + red)).max() < 1e-6


def test_the_same_request_again_finds_everything_done(whole, land):
    stamps = {path: path.stat().st_mtime_ns for path in whole.folder.rglob("*") if path.is_file()}
    again = map_region(whole.plan.request)
    assert again.was_done
    assert {path: path.stat().st_mtime_ns for path in whole.folder.rglob("*") if path.is_file()} == stamps


def test_block_rasters_may_go_once_the_item_is_there(land, tmp_path):
    request = land.request(Rect(LAND.row, LAND.col, 300, 300), tmp_path, targets=("NDVI",))
    result = map_region(request)
    shutil.rmtree(result.folder / "blocks")
    assert map_region(request).was_done
    assert not (result.folder / "blocks").exists()


def test_run_id_is_content_not_circumstance(whole, land, tmp_path):
    moved = whole.plan.request.model_copy(update={"out": str(tmp_path), "max_cloud": 39.0})
    assert plan(moved).run_id == whole.plan.run_id
    for change in (
        {"seed": 1},
        {"stride": 176},
        {"blend": "cosine"},
        {"dtype": "float32"},
        {"composite": "median"},
    ):
        assert plan(whole.plan.request.model_copy(update=change)).run_id != whole.plan.run_id


def test_stages_can_be_called_alone_and_assemble_waits_for_all_blocks(whole, land, tmp_path):
    request = whole.plan.request.model_copy(update={"out": str(tmp_path), "targets": ("NDVI",), "extras": ()})
    made = plan(request)
    first, *rest = made.blocks
    run_block(made, first)
    with pytest.raises(OutputError, match=rf"{len(rest)} of {len(made.blocks)} blocks are not done"):
        assemble(made)
    assert not RunFolder.of(made).mosaic(made, made.zones[0], "NDVI").exists()
    assert finished_block(made, rest[0]) is None
    for block in rest:
        run_block(made, block)
    told = {receipt.surroundings for receipt in finished_blocks(made).values()}
    assert told == {Surroundings.of(Device("cpu"), threads=available_cpus(), batch=2)}
    ours, _ = read(assemble(made)[0])
    theirs, _ = read(whole.mosaics["NDVI"])
    np.testing.assert_array_equal(ours, theirs)


def test_models_that_take_one_window_or_eight_at_once_agree(whole, land, tmp_path):
    """The demo runs window by window on the CPU unless it is opened otherwise, as a GPU would be."""
    targets = ("S1GRD", "NDVI", "LULC")
    made = plan(land.request(LAND, tmp_path, targets=targets))
    model = SingleGraphGenerator(load_bundle("demo"), targets, Device("cpu"), batch_size=8, threads=2)
    for block in made.blocks[5:8]:
        run_block(made, block, model=model, batch_size=8)
        for name in targets:
            ours, rect = read(RunFolder.of(made).block_raster(block, name))
            theirs, around = read(whole.mosaics[name])
            np.testing.assert_array_equal(ours, theirs[:, *rect.slices(around)])


class RecordingModel:
    """A model of its own that answers with the red band and keeps what it was shown."""

    targets = ("NDVI",)
    needs = {"NDVI": Needs(noise_channels=0, uniform=False)}  # noqa: RUF012

    def __init__(self):
        self.seen = []

    def generate(self, windows, randomness, wanted=None):
        self.seen.append(windows["S2L2A"].copy())
        return {"NDVI": windows["S2L2A"][:, 3:4] / 10_000}


def test_the_model_is_shown_no_gap_and_no_invented_spectrum(land, tmp_path):
    """Windows over the hole are filled with real neighbouring spectra; the output there is no data all the same."""
    made = plan(land.request(Rect(LAND.row + 560, LAND.col + 360, 300, 300), tmp_path, targets=("NDVI",)))
    model = RecordingModel()
    for block in made.blocks:
        run_block(made, block, model=model)
    windows = np.concatenate(model.seen)
    assert windows.shape[1:] == (12, 224, 224) and windows.min() >= 1
    pixels, rect = read(assemble(made)[0])
    hole = Rect(LAND.row + 608, LAND.col + 408, 150, 150)
    assert (pixels[0][hole.slices(rect)] == -32768).all()
    assert (pixels[0] != -32768).mean() > 0.3


def test_what_is_missing_is_made_again_and_latest_follows(land, tmp_path):
    small = Rect(LAND.row, LAND.col, 300, 300)
    first = map_region(land.request(small, tmp_path, targets=("NDVI",)))
    second = map_region(land.request(small, tmp_path, targets=("LULC",)))
    assert (tmp_path / "latest").resolve() == second.folder
    first.report.unlink()
    assert not map_region(first.plan.request).was_done
    assert first.report.exists() and (tmp_path / "latest").resolve() == first.folder
    assert map_region(second.plan.request).was_done
    assert (tmp_path / "latest").resolve() == second.folder


def test_a_catalog_that_moved_and_a_worker_that_stands_elsewhere(land, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    shutil.copytree(land.folder, moved)
    for file in moved.glob("*.json"):
        file.write_text(file.read_text().replace(str(land.folder), str(moved)))
    request = land.request(Rect(LAND.row, LAND.col, 300, 300), tmp_path / "out", targets=("NDVI",))
    stale = write_plan(plan(request))
    made = plan(request.model_copy(update={"catalog": str(moved)}))
    assert write_plan(made).path == stale.path
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "carried"
    shutil.move(stale.path, elsewhere / made.run_id)
    again = read_plan(elsewhere / made.run_id)
    assert str(moved) in next(iter(again.scenes.values())).assets["B04"].href
    run_block(again, again.blocks[0])
    assert (elsewhere / made.run_id / "blocks" / made.blocks[0].id / "block.json").exists()
    assert not stale.path.exists()


def test_the_same_files_with_another_decision_are_read_anew(land, tmp_path):
    """Blocks run one by one leave their files open; a scene whose offset changed must not find the old one there."""
    rect = Rect(LAND.row, LAND.col, 200, 200)
    options = {"targets": ("NDVI",), "composite": "single", "datetime": "2023-08-20"}
    kept = plan(land.request(rect, tmp_path, offset_conflict="metadata", **options))
    (scene,) = kept.scenes.values()
    assets = {band: asset.model_copy(update={"offset": 0}) for band, asset in scene.assets.items()}
    other = kept.model_copy(
        update={"run_id": "other", "scenes": {scene.id: scene.model_copy(update={"assets": assets})}}
    )
    for made in (kept, other):
        run_block(made, made.blocks[0])
    one, two = (read(RunFolder.of(made).block_raster(made.blocks[0], "NDVI"))[0] for made in (kept, other))
    assert (one != two).mean() > 0.9


@pytest.mark.parametrize(
    ("dtype", "flip", "line"), [("float32", 1, "holds float32"), ("uint16", -1, "is not north-up")]
)
def test_a_file_that_is_no_sentinel_2_band_is_refused(tmp_path, dtype, flip, line):
    catalog = Catalog(tmp_path / "catalog")
    catalog.folder.mkdir()
    rect = Rect(490_002, 50_004, 300, 300)
    catalog.add(write_scene(catalog.folder, rect))
    path = next(catalog.folder.glob("*_B04.tif"))
    with rasterio.open(path) as file:
        profile, pixels = file.profile, file.read()
    profile.update(dtype=dtype, transform=profile["transform"] @ rasterio.Affine.scale(1, flip))
    with rasterio.open(path, "w", **profile) as file:
        file.write(pixels.astype(dtype))
    with pytest.raises(CatalogError, match=rf"asset B04 of S2A_33TWL_20230815 {line}"):
        map_region(catalog.request(rect, tmp_path, targets=("NDVI",)))


def test_a_damaged_block_is_computed_again(land, tmp_path):
    rect = Rect(LAND.row, LAND.col, 300, 300)
    made = plan(land.request(rect, tmp_path, targets=("NDVI",)))
    for block in made.blocks:
        run_block(made, block)
    raster = RunFolder.of(made).block_raster(made.blocks[0], "NDVI")
    whole_bytes = raster.read_bytes()
    raster.write_bytes(whole_bytes[:1000])
    assert finished_block(made, made.blocks[0]) is None
    run_block(made, made.blocks[0])
    assert raster.read_bytes() == whole_bytes


def test_where_the_one_scene_lacks_a_file_nothing_is_left_until_it_comes_back(land, tmp_path, quick_retries):
    red = next(land.folder.glob("a/*_B04.tif"))
    hidden = red.with_suffix(".hidden")
    request = land.request(
        Rect(LAND.row, LAND.col, 600, 600), tmp_path, targets=("NDVI",), datetime="2023-08-15"
    )
    # Blocks run one by one by other tests leave their files open.
    READERS.close_idle()
    red.rename(hidden)
    try:
        with pytest.raises(
            NothingLeftError, match=r"nothing is left to map.* asset B04 of S2A_33TWL_20230815"
        ):
            map_region(request)
    finally:
        hidden.rename(red)
    assert not list(tmp_path.rglob("*.partial"))
    assert map_region(request).mosaics["NDVI"].exists()


def test_offset_is_checked_on_pixels_recorded_and_a_conflict_stops(land, tmp_path):
    rect = Rect(LAND.row, LAND.col, 300, 300)
    options = {"targets": ("NDVI",), "composite": "single"}
    with_offset = map_region(land.request(rect, tmp_path / "b", datetime="2023-08-20", **options))
    record = json.loads((with_offset.folder / "scenes" / "S2B_33TWL_20230820.json").read_text())
    assert record["cause"] is None and record["evidence"]["verdict"] == "present"
    assert set(record["offsets"].values()) == {0, 1000} and record["offsets"]["SCL"] == 0
    # A product whose metadata promises +1000 while its pixels do not carry it.
    item = json.loads((land.folder / "S2A_33TWL_20230815.json").read_text())
    item["properties"]["s2:processing_baseline"] = "05.09"
    (tmp_path / "catalog").mkdir()
    (tmp_path / "catalog" / "item.json").write_text(json.dumps(item))
    request = land.request(rect, tmp_path / "out", catalog=str(tmp_path / "catalog"), **options)
    with pytest.raises(OffsetConflictError, match="S2A_33TWL_20230815"):
        map_region(request)
    honest = map_region(land.request(rect, tmp_path / "a", datetime="2023-08-15", **options))
    believed = map_region(request.model_copy(update={"offset_conflict": "pixels"}))
    np.testing.assert_array_equal(read(believed.mosaics["NDVI"])[0], read(honest.mosaics["NDVI"])[0])


def test_two_zones_give_two_mosaics_that_meet(tmp_path):
    # 12 degrees east: the boundary of zones 32 and 33.
    region = (11.97, 45.60, 12.03, 45.62)
    catalog = Catalog(tmp_path / "catalog")
    catalog.folder.mkdir()
    for name, zone in zip(
        ("S2A_32TQR_20230815", "S2A_33TTL_20230815"), zone_areas(area_from_box(*region)), strict=True
    ):
        around = zone.rect.pad(60).snap(6)
        catalog.add(write_scene(catalog.folder / name, around, name=name, epsg=zone.epsg))
    request = RegionRequest(
        region=region,
        datetime="2023-08-15",
        catalog=str(catalog.folder),
        out=str(tmp_path),
        targets=("NDVI",),
    )
    result = map_region(request)
    assert sorted(result.mosaics) == [
        f"{name}_{zone}" for name in ("NDVI", "acquired", "quality") for zone in (32632, 32633)
    ]
    areas = 0.0
    for zone in result.plan.zones:
        pixels, _ = read(result.mosaics[f"NDVI_{zone.epsg}"])
        assert zone.outline is not None
        areas += (pixels != -32768).sum() / 1e4
    assert areas == pytest.approx(result.plan.figures.area_km2, rel=0.01)
    assert float(result.open("NDVI_32632").max()) <= 1


@pytest.mark.slow
def test_killed_in_the_middle_and_started_again(whole, land, tmp_path):
    """SIGKILL while blocks are in flight: finished blocks stay untouched, and the mosaics' pixels are the same."""
    request = land.request(
        Rect(LAND.row + 100, LAND.col + 100, 1000, 1000), tmp_path, targets=ALL, extras=EXTRAS
    )
    file = tmp_path / "request.json"
    file.write_text(request.model_dump_json())
    command = [sys.executable, "-c", MAP_AND_DIE_AFTER_BLOCKS, str(file), "3"]
    killed = subprocess.run(command, check=False, stderr=subprocess.PIPE)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    done = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/blocks/*/block.json")}
    result = map_region(request)
    assert 3 <= len(done) < len(result.plan.blocks)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert not list(tmp_path.rglob("*.partial"))
    assert_same_on_shared_pixels(whole, result)


def test_wrong_bundle_stops_before_anything_runs(land, tmp_path):
    from terramosaic.errors import RequestError

    with pytest.raises(RequestError, match="DEM"):
        plan(land.request(LAND, tmp_path, targets=("DEM",)))


def test_half_the_region_without_imagery_is_dropped_and_counted(land, tmp_path):
    wide = Rect(LAND.row, LAND.col, 600, 3600)
    made = plan(land.request(wide, tmp_path, targets=("NDVI",)))
    assert made.figures.empty_blocks > 0
    assert made.figures.gap_share == pytest.approx(1 - 1500 / 3600, abs=0.01)
    assert any("stays without data" in warning for warning in made.warnings)
    left, bottom, right, top = LAND.bounds
    assert all(
        box(*block.rect.bounds).intersects(box(left - 500, bottom, right + 500, top)) for block in made.blocks
    )
