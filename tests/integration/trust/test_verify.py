"""A map that is what its sources give passes; one that was tampered with does not, and it is said where."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from click.testing import CliRunner

from terramosaic import map_region, open_run, publish, verify
from terramosaic.cli.app import cli
from terramosaic.errors import (
    CheckFailedError,
    LeaseHeldError,
    NotVerifiableError,
    OutputError,
    RequestError,
)
from terramosaic.ground.grid import Rect
from terramosaic.imagery.pool import READERS
from terramosaic.imagery.scene_records import SceneRecords
from terramosaic.model.bundle import DEMO_FOLDER
from terramosaic.mosaic.assemble import assemble
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, is_complete, mosaics_of, read_plan
from terramosaic.planning.plan import Block, Plan
from terramosaic.publishing.publish import publish_again
from terramosaic.storage.files import read_json, write_json
from terramosaic.storage.lease import lease
from terramosaic.trust.verification import verification_of
from tests.integration.conftest import Catalog
from tests.integration.publishing.small_run import polygon_run
from tests.support.scenes import write_scene

#: Two whole blocks of 512 pixels, with part of the land's hole and of both acquisitions' clouds in them.
RECT = Rect(490_496, 50_176, 512, 1024)
TARGETS = ("S1GRD", "NDVI", "LULC")


@pytest.fixture(scope="module")
def whole(land, tmp_path_factory) -> MapResult:
    return map_region(land.request(RECT, tmp_path_factory.mktemp("whole"), targets=TARGETS))


@pytest.fixture
def copy(whole, tmp_path) -> Plan:
    """The plan of a copy of the run."""
    return read_plan(Path(shutil.copytree(whole.folder, tmp_path / "copy" / whole.folder.name)))


def made_again(plan: Plan) -> None:
    """Mosaics and item of whatever the blocks hold by now: all checksums are right."""
    folder = RunFolder.of(plan)
    for path in (*mosaics_of(plan).values(), folder.item_file):
        path.unlink()
    assemble(plan)
    publish(plan)


def take_rasters(plan: Plan, name: str, other: Plan, theirs: str) -> None:
    """Puts rasters of another block, or of another run's, in place of a block's, its receipt with them."""
    block, source = plan.block(name), other.block(theirs)
    target, origin = RunFolder.of(plan).receipt_file(block), RunFolder.of(other).receipt_file(source)
    own, receipt = read_json(target), read_json(origin)
    for path in origin.parent.glob("*.tif"):
        shutil.copy(path, target.parent / path.name)
    write_json(target, {**own, "files": receipt["files"], "hashes": receipt["hashes"]})


def change_pixels(plan: Plan, block: Block, layer: str, change: Callable[[np.ndarray], None]) -> None:
    """Changes numbers in a block's raster, and lets its receipt tell of what is there then."""
    path, receipt = RunFolder.of(plan).block_raster(block, layer), RunFolder.of(plan).receipt_file(block)
    with rasterio.open(path, "r+") as raster:
        pixels = raster.read()
        change(pixels)
        raster.write(pixels)
    content = read_json(receipt)
    sizes = {**content["files"], layer: path.stat().st_size}
    write_json(receipt, {**content, "files": sizes, "hashes": None})


def tell_surroundings(plan: Plan, **told: str) -> None:
    """Lets the receipts of all blocks tell that they were computed elsewhere; of nothing, where is not on record."""
    for block in plan.blocks:
        receipt = RunFolder.of(plan).receipt_file(block)
        content = read_json(receipt)
        surroundings = {**content["surroundings"], **told} if told else None
        write_json(receipt, {**content, "surroundings": surroundings})


def core(block: Block) -> tuple[slice, slice]:
    """Some pixels of a core in a block, by its own rows and columns."""
    row, col = (-(-start // 192) * 192 + 50 - start for start in (block.row, block.col))
    return slice(row, row + 20), slice(col, col + 20)


def test_a_map_is_what_its_sources_give(whole):
    files = {path: path.stat().st_mtime_ns for path in whole.folder.rglob("*")}
    found = verify(whole, seed=1, write=False)
    assert found.passed and found.verified == found.windows == found.drawn > 15
    assert found.is_all and found.planned == whole.plan.figures.windows >= found.windows
    assert found.blocks_seen == 2 and not found.not_verifiable
    assets = json.loads(whole.item.read_text())["assets"].values()
    assert found.files == sum("file:checksum" in asset for asset in assets) > 15
    assert files == {path: path.stat().st_mtime_ns for path in whole.folder.rglob("*")}
    again = verify(whole.folder, windows=10, whole=True, write=False)
    assert again.passed and again.verified == 10 and again.pixels > found.pixels / found.windows * 10


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(
            {"extras": ("std", "confidence"), "blend": "cosine", "composite": "median"},
            marks=pytest.mark.slow,
        ),
        pytest.param({"stride": 112, "dtype": "float32"}, marks=pytest.mark.slow),
        {"composite": "single", "stride": 224},
    ],
)
@pytest.mark.slow
def test_of_any_request(tmp_path, options):
    plan = polygon_run(tmp_path, **options)
    publish(plan)
    for whole in (False, True):
        found = verify(RunFolder.of(plan).path, whole=whole, windows=8)
        assert found.passed and found.verified == found.drawn > 5, found.failure
        assert found.whole is (whole or options.get("stride") == 112)


def test_a_misplaced_block(copy):
    first, second = copy.blocks[0].id, copy.blocks[1].id
    take_rasters(copy, first, copy, second)
    made_again(copy)
    found = verify(RunFolder.of(copy).path, windows=12)
    assert {window.block for window in found.differing} == {first} and not found.flaws
    assert isinstance(found.failure, CheckFailedError) and f"block {first}, window (" in str(found.failure)


@pytest.mark.slow
def test_a_stale_block_of_another_seed(copy, land, tmp_path):
    other = map_region(land.request(RECT, tmp_path / "other", targets=TARGETS, seed=1)).plan
    name = copy.blocks[1].id
    take_rasters(copy, name, other, name)
    made_again(copy)
    found = verify(RunFolder.of(copy).path, windows=12)
    assert {window.block for window in found.differing} == {name}
    # Neither has noise of its own.
    assert {mosaic for window in found.differing for mosaic in window.mosaics} == {"S1GRD"}


def test_a_flipped_byte(copy):
    path = mosaics_of(copy)["NDVI"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 64
    path.write_bytes(content)
    found = verify(RunFolder.of(copy).path, windows=0)
    assert [flaw.file for flaw in found.flaws] == ["NDVI.tif"]
    assert "NDVI.tif: its hash is not" in str(found.failure) and found.failure.exit_code == 7


def test_a_single_pixel_under_checksums_that_are_right(copy):
    block = copy.blocks[1]
    row, col = block.row // 192 * 192 + 192 + 100, block.col // 192 * 192 + 192 + 90

    def by_a_step(pixels: np.ndarray) -> None:
        pixels[0, row - block.row, col - block.col] += 1

    change_pixels(copy, block, "NDVI", by_a_step)
    made_again(copy)
    (window,) = verify(RunFolder.of(copy).path).differing
    assert (window.block, window.mosaics) == (block.id, {"NDVI": 1})
    assert window.first == (row - RECT.row, col - RECT.col)
    assert (window.i, window.j) == (row // 192, col // 192)


@pytest.mark.parametrize("told", [{"onnxruntime": "1.2.3"}, pytest.param({}, marks=pytest.mark.slow)])
def test_a_block_that_was_computed_elsewhere_has_the_same_bits_or_nearly_so(copy, told):
    tell_surroundings(copy, **told)
    exact = verify(RunFolder.of(copy).path, windows=12, write=False)
    assert exact.passed and not exact.close and "bit for bit: with" in exact.confidence
    ((how, count),) = exact.elsewhere.items()
    assert count == 12 and how.startswith(
        next((f"{name} {it}" for name, it in told.items()), "the run does not say")
    )

    def by_a_step(pixels: np.ndarray) -> None:
        pixels[0][core(block)][::3, ::2] += 1

    def of_few_classes(pixels: np.ndarray) -> None:
        few = pixels[0][core(block)][:5]
        few[...] = np.where(few == 2, 1, 2)

    for block in copy.blocks:
        change_pixels(copy, block, "NDVI", by_a_step)
        change_pixels(copy, block, "LULC", of_few_classes)
    made_again(copy)
    found = verify(RunFolder.of(copy).path)
    assert found.passed and found.close == 2 and found.verified == found.windows
    assert (
        f"give, {found.windows - 2} bit for bit and 2 within the tolerance for what was computed elsewhere "
        "(values off by no more than 1 stored step, and at least 99% of classes" in found.confidence
    )
    assert found.confidence in RunFolder.of(copy).report_file.read_text()


def test_what_no_rounding_explains_is_named_wherever_it_was_computed(copy):
    first, second = copy.blocks

    def far_off(numbers: np.ndarray) -> None:
        numbers[0][core(block)] += 40

    def of_other_classes(numbers: np.ndarray) -> None:
        some = numbers[0][core(block)]
        some[...] = np.where(some == 2, 1, 2)

    def of_the_next_day(numbers: np.ndarray) -> None:
        numbers[0][core(block)] += 1

    tell_surroundings(copy, onnxruntime="1.2.3")
    for block, layer, change in (
        (first, "NDVI", far_off),
        (first, "LULC", of_other_classes),
        (second, "acquired", of_the_next_day),
    ):
        change_pixels(copy, block, layer, change)
    made_again(copy)
    found = verify(RunFolder.of(copy).path)
    assert {window.block: window.mosaics for window in found.differing} == {
        first.id: {"NDVI": 400, "LULC": 400},
        second.id: {"acquired": 400},
    }
    assert found.failure.exit_code == 7 and "pixels differ beyond tolerance 400 in NDVI" in str(found.failure)


@pytest.mark.slow
def test_another_model_behind_the_same_name(land, tmp_path):
    bundle = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "bundle"))
    result = map_region(land.request(RECT, tmp_path / "out", targets=("NDVI",), model=str(bundle)))
    assert verify(result, windows=3).passed
    manifest = json.loads((bundle / "bundle.json").read_text())
    (bundle / "bundle.json").write_text(json.dumps({**manifest, "title": "another one"}))
    found = verify(result, windows=3)
    assert "another model than the run was made with: another one" in found.model and not found.looked_at
    assert isinstance(found.failure, CheckFailedError) and str(bundle) in str(found.failure)


def test_a_changed_plan(copy):
    folder = RunFolder.of(copy)
    content = read_json(folder.plan_file)
    content["request"]["seed"] = 7
    write_json(folder.plan_file, content)
    found = verify(folder.path, windows=0)
    assert any(flaw.file == "plan.json" and "another id" in flaw.reason for flaw in found.flaws)


@pytest.fixture
def two_tiles(tmp_path) -> Catalog:
    """Two tiles beside each other, each with a scene of its own."""
    catalog = Catalog(tmp_path / "tiles")
    for name, rect in (
        ("S2A_33TWL_20230815", Rect(490_002, 50_004, 600, 504)),
        ("S2A_33TXL_20230815", Rect(490_002, 50_508, 600, 504)),
    ):
        item = write_scene(catalog.folder / name, rect, name=name)
        item["properties"] |= {"proj:shape": list(rect.shape), "proj:transform": list(rect.transform)[:6]}
        catalog.add(item)
    return catalog


@pytest.mark.slow
def test_windows_whose_scene_is_gone_are_not_verifiable(two_tiles, tmp_path, quick_retries):
    rect = Rect(490_100, 50_100, 400, 800)
    result = map_region(two_tiles.request(rect, tmp_path / "out", targets=("NDVI",)))
    READERS.close_idle()
    shutil.rmtree(two_tiles.folder / "S2A_33TXL_20230815")
    found = verify(result)
    assert found.passed and found.verified and not found.differing
    ((reason, count),) = found.not_verifiable.items()
    assert "S2A_33TXL_20230815" in reason and "could not be read" in reason
    # All that lies west of the border, and a half of the rest is the other scene's.
    assert count + found.verified == found.windows and found.verified >= found.windows // 3
    shutil.rmtree(two_tiles.folder / "S2A_33TWL_20230815")
    READERS.close_idle()
    none = verify(result)
    assert isinstance(none.failure, NotVerifiableError) and none.failure.exit_code == 4


def test_decisions_are_never_made_anew(copy):
    records = RunFolder.of(copy).scenes
    shutil.rmtree(records)
    found = verify(RunFolder.of(copy).path, windows=5)
    assert sum(found.not_verifiable.values()) == 5 and not records.exists()
    assert all("not on record" in reason for reason in found.not_verifiable)
    assert not SceneRecords(RunFolder.of(copy)).read_all(copy)


def test_a_run_that_is_not_finished(copy):
    RunFolder.of(copy).item_file.unlink()
    with pytest.raises(RequestError, match="is not finished"):
        verify(RunFolder.of(copy).path)


def test_another_kind_of_device(whole):
    with pytest.raises(RequestError, match="device: the run was made on cpu"):
        verify(whole, device="cuda", write=False)


def test_the_command(whole, copy):
    done = CliRunner().invoke(
        cli, ["verify", str(whole.folder), "--windows", "5", "--seed", "3", "--json", "--no-write"]
    )
    told = json.loads(done.stdout)
    assert done.exit_code == 0 and (told["verified"], told["seed"]) == (5, 3)
    np.testing.assert_equal(told["differing"], [])
    mosaics_of(copy)["LULC"].unlink()
    failed = CliRunner().invoke(cli, ["verify", str(RunFolder.of(copy).path), "--windows", "5"])
    assert isinstance(failed.exception, CheckFailedError) and "LULC.tif: it is missing" in str(
        failed.exception
    )


def test_no_window_is_begun_when_the_time_is_up(whole):
    found = verify(whole, minutes=0, write=False)
    assert found.looked_at == 0 and found.drawn > 15 and found.passed


def test_what_came_of_it_is_told_in_report_and_item(copy):
    folder = RunFolder.of(copy)
    assert "has not been verified" in folder.report_file.read_text()
    found = verify(folder.path, windows=6)
    assert verification_of(folder) == found and is_complete(copy)
    assert open_run(folder.path, check=True)
    assert found.confidence in folder.report_file.read_text()
    asset = json.loads(folder.item_file.read_text())["assets"]["verification"]
    assert asset["href"] == "./verification.json" and asset["description"] == found.confidence
    # A file of its own may be written anew at any time, and another verification counts then.
    again = verify(folder.path, windows=7)
    assert again.passed and verification_of(folder) == again and is_complete(copy)


@pytest.mark.slow
def test_a_verification_of_mosaics_that_were_made_anew_since_is_not_told(copy):
    folder = RunFolder.of(copy)
    verify(folder.path, windows=2)
    take_rasters(copy, copy.blocks[0].id, copy, copy.blocks[1].id)
    made_again(copy)
    assert "has not been verified" in folder.report_file.read_text()
    found = verify(folder.path, windows=12)
    report = folder.report_file.read_text()
    assert not found.passed and is_complete(copy)
    assert "a verification has failed" in report and str(found.differing[0]) in report


def test_damaged_files_are_never_vouched_for(copy, caplog):
    folder, path = RunFolder.of(copy), mosaics_of(copy)["NDVI"]
    path.write_bytes(path.read_bytes().replace(b"Contains modified", b"Contains Modified"))
    item = folder.item_file.read_bytes()
    assert verify(folder.path, windows=0) == verification_of(folder)
    assert folder.item_file.read_bytes() == item and "files of the run are damaged" in caplog.text
    with pytest.raises(OutputError, match=r"NDVI\.tif is not the file that the run's item tells of"):
        publish_again(copy)
    assert folder.item_file.read_bytes() == item


def test_of_a_run_without_its_blocks_report_and_item_stay(copy, caplog):
    folder = RunFolder.of(copy)
    shutil.rmtree(folder.blocks)
    item = folder.item_file.read_bytes()
    found = verify(folder.path, windows=4)
    assert found.passed and found.verified == 4 and verification_of(folder) == found
    assert folder.item_file.read_bytes() == item and is_complete(copy)
    assert "are gone" in caplog.text


def test_one_at_a_time_adds_to_a_run(copy):
    folder = RunFolder.of(copy)
    with lease(folder.lease, owner="somebody"), pytest.raises(LeaseHeldError, match="somebody"):
        verify(folder.path, windows=0)
    assert verification_of(folder) is None


def test_an_asset_that_changed_behind_an_unchanged_item(two_tiles, tmp_path):
    result = map_region(
        two_tiles.request(Rect(490_100, 50_100, 400, 800), tmp_path / "out", targets=("NDVI",))
    )
    READERS.close_idle()
    path = two_tiles.folder / "S2A_33TXL_20230815" / "S2A_33TXL_20230815_B08.tif"
    with rasterio.open(path, "r+") as file:
        file.write(file.read(1) + np.uint16(7), 1)
    found = verify(result)
    assert found.verified and not found.differing and found.passed
    ((reason, count),) = found.not_verifiable.items()
    assert reason == "files of S2A_33TXL_20230815 have changed since the run read them"
    assert count + found.verified == found.windows
    ((scene, (line,)),) = found.changed.items()
    assert scene == "S2A_33TXL_20230815" and line.startswith("B08: it ")
    assert f"changed since the run: {scene}: {line}" in result.report.read_text()


def test_a_file_that_is_only_newer_changes_nothing(two_tiles, tmp_path):
    result = map_region(
        two_tiles.request(Rect(490_100, 50_100, 400, 300), tmp_path / "out", targets=("NDVI",))
    )
    READERS.close_idle()
    (two_tiles.folder / "S2A_33TWL_20230815" / "S2A_33TWL_20230815_B02.tif").touch()
    found = verify(result)
    assert found.passed and found.verified == found.windows and not found.not_verifiable
    assert "B02: it was written" in found.changed["S2A_33TWL_20230815"][0]
