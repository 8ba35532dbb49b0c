"""A target with a stride of its own is what it is in a run of that stride, and the others are as if it had none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic import map_region, plan, read_plan, run_block, verify
from terramosaic.block.receipt import finished_blocks
from terramosaic.block.tokens import TOKENS
from terramosaic.ground.grid import Rect
from terramosaic.model.denoiser import Denoiser
from terramosaic.model.io_binding import BoundGraph
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder
from terramosaic.planning.layers import QUALITY_NODATA
from terramosaic.planning.plan import Plan
from terramosaic.publishing.facts import PlanFacts
from terramosaic.publishing.seams import told_seams
from terramosaic.storage.files import read_json, write_json
from terramosaic.trust.sampling import Windows
from tests.integration.conftest import LAND
from tests.support.pixels import assert_same_on_shared_pixels, read
from tests.unit.model.toy_terramind import make_toy

#: Where four blocks meet, over a part of the hole and of both acquisitions' clouds.
RECT = Rect(LAND.row + 420, LAND.col + 600, 220, 200)
#: Within one of them.
SMALL = Rect(LAND.row + 500, LAND.col + 610, 130, 70)
#: In one block, with the core of a window of stride 192.
TOY_RECT = Rect(490_520, 50_190, 180, 200)
TARGETS = ("S1GRD", "NDVI", "LULC")
EXTRAS = ("std", "second", "probabilities")


@pytest.fixture(scope="module")
def own(land, tmp_path_factory) -> MapResult:
    out = tmp_path_factory.mktemp("own")
    return map_region(land.request(RECT, out, targets=TARGETS, extras=EXTRAS, strides={"LULC": 112}))


@pytest.fixture(scope="module")
def alike(land, tmp_path_factory) -> dict[int, MapResult]:
    """Runs without it, by stride."""
    out = tmp_path_factory.mktemp("alike")
    return {
        stride: map_region(land.request(RECT, out, targets=TARGETS, extras=EXTRAS, stride=stride))
        for stride in (192, 112)
    }


def test_each_target_is_that_of_a_run_of_its_stride(own, alike):
    assert own.mosaics.keys() == alike[192].mosaics.keys()
    for name in own.mosaics:
        if name != "quality":
            stride = 112 if name.startswith("LULC") else 192
            np.testing.assert_array_equal(
                read(own.mosaics[name])[0], read(alike[stride].mosaics[name])[0], err_msg=name
            )
    # With four windows and more over every pixel all have an opinion beside the first.
    disagreement, quality = (read(own.mosaics[name])[0] for name in ("LULC_disagreement", "quality"))
    np.testing.assert_array_equal(disagreement == 255, quality == QUALITY_NODATA)


def test_flags_of_all_windows_are_joined(own, alike):
    together, *alone = (read(run.mosaics["quality"])[0] for run in (own, alike[192], alike[112]))
    assert (alone[0] != alone[1]).any()
    np.testing.assert_array_equal(together, alone[0] | alone[1])


def test_windows_of_both_are_planned_and_computed(own, alike):
    planned = [run.plan.figures.windows for run in (own, alike[192], alike[112])]
    assert planned[0] == planned[1] + planned[2]
    done = [
        sum(receipt.windows for receipt in finished_blocks(run.plan).values())
        for run in (own, alike[192], alike[112])
    ]
    assert done[0] == done[1] + done[2] <= planned[0]


def test_plan_files_item_and_report_tell_it(own, alike):
    counts = [alike[stride].plan.figures.windows for stride in (192, 112)]
    assert own.plan.figures.windows_by_stride == dict(zip((192, 112), counts, strict=True))
    assert (
        f"({counts[0]} of stride 192 for S1GRD, NDVI; {counts[1]} of stride 112 for LULC, without diffusion)"
        in PlanFacts(plan=own.plan).figures["Work"]
    )
    told = json.loads(own.item.read_text())["properties"]
    assert (told["terramosaic:stride"], told["terramosaic:strides"]) == (192, {"LULC": 112})
    assert "every 192 (LULC: 112), through" in told["processing:lineage"]
    assert "192 (LULC: 112) pixels, mean" in own.report.read_text()
    for name, stride in (("NDVI", "192"), ("LULC", "112"), ("LULC_confidence", "112"), ("quality", "192")):
        with rasterio.open(own.mosaics[name]) as mosaic:
            assert mosaic.tags()["TERRAMOSAIC_STRIDE"] == stride
    assert "terramosaic:strides" not in json.loads(alike[192].item.read_text())["properties"]
    assert alike[192].plan.figures.windows_by_stride == {}


def test_seams_are_looked_for_where_a_targets_windows_meet(own, alike):
    seams = told_seams(own.plan)
    assert seams["LULC"] == told_seams(alike[112].plan)["LULC"] != told_seams(alike[192].plan)["LULC"]
    assert seams["NDVI"] == told_seams(alike[192].plan)["NDVI"] != told_seams(alike[112].plan)["NDVI"]


def test_ground_decides(own, land, tmp_path):
    request = land.request(
        SMALL, tmp_path, targets=TARGETS, extras=EXTRAS, strides="LULC=112", block_size=1024
    )
    assert_same_on_shared_pixels(own, map_region(request, batch_size=5, workers=1))


class StoppedError(Exception):
    """Ends a block in its middle."""


def test_a_run_that_was_stopped_in_a_block_and_gone_on_with_is_the_same(own, land, tmp_path):
    request = own.plan.request.model_copy(update={"out": str(tmp_path)})
    made = plan(request)
    assert made.run_id == own.plan.run_id
    run_block(made, made.blocks[0])

    def stop(_: int) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        run_block(made, made.blocks[1], on_windows=stop)
    assert_same_on_shared_pixels(own, map_region(request))


@pytest.mark.parametrize(
    "options",
    [
        {"strides": {"LULC": 224, "S1GRD": 80}, "blend": "cosine", "stride": 160},
        {"strides": {"NDVI": 48}, "composite": "median", "stride": 224},
        {"strides": {"S1GRD": 96, "NDVI": 96, "LULC": 96}},
    ],
)
@pytest.mark.slow
def test_any_strides_of_any_targets(land, tmp_path, options):
    def mapped(folder: str, **more) -> MapResult:
        return map_region(land.request(SMALL, tmp_path / folder, targets=TARGETS, extras=EXTRAS, **more))

    found = mapped("own", **options)
    for target in TARGETS:
        plain = {
            **options,
            "strides": {},
            "stride": options["strides"].get(target, options.get("stride", 192)),
        }
        alone = mapped(f"alone {target}", **plain)
        for name in (name for name in found.mosaics if name.startswith(target)):
            np.testing.assert_array_equal(
                read(found.mosaics[name])[0], read(alone.mosaics[name])[0], err_msg=name
            )
    assert verify(found, windows=12, write=False).passed


@pytest.fixture(scope="module")
def mapped(land, tmp_path_factory) -> Callable[..., MapResult]:
    """Makes maps with the toy, each once."""
    toy = str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))
    options = {"model": toy, "steps": 2, "extras": ("probabilities",)}
    out = tmp_path_factory.mktemp("mapped")

    def mapped(targets=TARGETS, **more) -> MapResult:
        return map_region(land.request(TOY_RECT, out, targets=targets, **options, **more))

    return mapped


class TestTokens:
    """Of a model whose targets see the tokens of those before them, drawn for windows of their own stride."""

    def test_they_are_those_of_a_run_of_that_stride(self, mapped):
        own, at_192, at_112 = mapped(strides={"LULC": 112}), mapped(), mapped(stride=112)
        for name, other in (
            ("S1GRD", at_192),
            ("NDVI", at_192),
            ("LULC", at_112),
            ("LULC_probabilities", at_112),
        ):
            np.testing.assert_array_equal(
                read(own.mosaics[name])[0], read(other.mosaics[name])[0], err_msg=name
            )
        # Otherwise all this would be so whatever they saw.
        unseeing = mapped(stride=112, conditioning="independent")
        for other in (at_192, unseeing):
            probabilities = (read(run.mosaics["LULC_probabilities"])[0] for run in (own, other))
            assert np.not_equal(*probabilities).mean() > 0.1

    @pytest.mark.slow
    def test_those_behind_see_tokens_of_their_own_windows(self, mapped):
        targets = ("LULC", "NDVI", "S1GRD")
        own = mapped(targets, strides={"LULC": 112, "S1GRD": 160})
        for name, stride in (("LULC", 112), ("NDVI", 192), ("S1GRD", 160)):
            np.testing.assert_array_equal(
                read(own.mosaics[name])[0],
                read(mapped(targets, stride=stride).mosaics[name])[0],
                err_msg=name,
            )

    def test_blocks_keep_those_of_each_lattice(self, mapped):
        own, alone = mapped(strides={"LULC": 112}).plan, mapped(stride=112).plan
        (block,) = own.blocks
        with (
            rasterio.open(RunFolder.of(own).block_raster(block, f"{TOKENS}_112")) as ours,
            rasterio.open(RunFolder.of(alone).block_raster(block, TOKENS)) as theirs,
            rasterio.open(RunFolder.of(own).block_raster(block, TOKENS)) as base,
        ):
            np.testing.assert_array_equal(ours.read(), theirs.read())
            assert (ours.count, base.count, ours.transform) == (3, 2, theirs.transform)
        told, (of_112,) = finished_blocks(own)[block.id].tokens, finished_blocks(alone).values()
        assert told.keys() == set(TARGETS) and told["LULC"] == of_112.tokens["LULC"]

    def test_the_map_is_verified_and_windows_of_land_cover_take_no_diffusion(self, mapped, monkeypatch):
        run = mapped(strides={"LULC": 112})
        runs: list[Denoiser] = []
        denoise = Denoiser.denoise

        def counted(denoiser: Denoiser, first: BoundGraph) -> None:
            runs.append(denoiser)
            denoise(denoiser, first)

        monkeypatch.setattr(Denoiser, "denoise", counted)
        found = verify(run, write=False)
        assert found.passed and found.verified == found.windows and not found.elsewhere and not found.whole
        # A core is of one window, and two of the targets of its stride are by diffusion.
        of_192 = [draw for draw in Windows(run.plan, whole=False).draw(300, 0) if draw.lattice.stride == 192]
        assert len(runs) == 2 * len(of_192) < 2 * found.windows

    @pytest.mark.slow
    def test_elsewhere_tokens_of_each_lattice_are_drawn_again(self, mapped, tmp_path):
        folder = mapped(strides={"LULC": 112}).folder
        copy = read_plan(Path(shutil.copytree(folder, tmp_path / folder.name)))
        tell_elsewhere(copy)
        found = verify(RunFolder.of(copy).path, write=False)
        assert found.passed and not found.close and sum(found.elsewhere.values()) == found.windows
        # Of windows of stride 192 tokens of two targets are drawn, 196 each; of those of 112, which are compared whole,
        # of all three, and for all windows that overlap one.
        assert found.tokens_same == found.tokens_drawn > found.windows * 2 * 196
        change_tokens(copy)
        other = verify(RunFolder.of(copy).path, write=False)
        # Values are made of what was kept: classes of other tokens are other ones.
        assert {window.stride for window in other.differing} == {112}
        assert all(window.mosaics.keys() >= {"LULC_probabilities"} for window in other.differing)
        (block,) = copy.blocks
        RunFolder.of(copy).block_raster(block, f"{TOKENS}_112").unlink()
        # Without one of its files a block is not done, and where it was computed is not on record.
        without = verify(RunFolder.of(copy).path, windows=3, write=False)
        assert without.passed and without.tokens_drawn == 0

    @pytest.mark.parametrize(
        ("layer", "stride"), [("LULC", 112), pytest.param("NDVI", None, marks=pytest.mark.slow)]
    )
    def test_a_single_pixel_is_found(self, mapped, tmp_path, layer, stride):
        folder = mapped(strides={"LULC": 112}).folder
        copy = read_plan(Path(shutil.copytree(folder, tmp_path / folder.name)))
        (zone,) = copy.zones
        # In the middle of the core of a window of stride 192.
        row, col = (-(-start // 192) * 192 + 60 - start for start in (zone.row, zone.col))
        path = RunFolder.of(copy).mosaic(copy, zone, layer)
        with rasterio.open(path, "r+", IGNORE_COG_LAYOUT_BREAK="YES") as mosaic:
            pixels = mosaic.read()
            pixels[0, row, col] = (
                3 - min(2, pixels[0, row, col]) if layer == "LULC" else pixels[0, row, col] + 1
            )
            mosaic.write(pixels)
        found = verify(RunFolder.of(copy).path, write=False)
        assert found.differing and {window.stride for window in found.differing} == {stride}
        assert all(window.mosaics == {layer: 1} for window in found.differing)
        assert {window.first for window in found.differing} == {(row, col)}
        assert ("of stride 112: of" in str(found.failure)) == (stride == 112)


def tell_elsewhere(copy: Plan) -> None:
    """Lets the receipts tell that the blocks were computed elsewhere."""
    for block in copy.blocks:
        receipt = RunFolder.of(copy).receipt_file(block)
        content = read_json(receipt)
        write_json(receipt, {**content, "surroundings": {**content["surroundings"], "onnxruntime": "1.2.3"}})


def change_tokens(copy: Plan) -> None:
    """Changes all tokens of land cover that were kept for stride 112, as if others had been drawn there."""
    (block,) = copy.blocks
    path, receipt = (
        RunFolder.of(copy).block_raster(block, f"{TOKENS}_112"),
        RunFolder.of(copy).receipt_file(block),
    )
    with rasterio.open(path, "r+") as raster:
        tokens = raster.read()
        tokens[2] = np.where(tokens[2] < 8, (tokens[2] + 1) % 8, tokens[2])
        raster.write(tokens)
    content = read_json(receipt)
    sizes = {**content["files"], path.stem: path.stat().st_size}
    write_json(receipt, {**content, "files": sizes, "hashes": None})
