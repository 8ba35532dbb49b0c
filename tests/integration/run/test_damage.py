"""What is damaged in a run folder is found, told and made again, and the map is the same."""

from __future__ import annotations

import json
import shutil
from contextlib import closing
from pathlib import Path

import pytest
import rasterio

from terramosaic import assemble, map_region, open_run, run_block
from terramosaic.block.fence import Fence
from terramosaic.block.reading import DamagedRasterError, RasterReader
from terramosaic.block.receipt import finished_block, finished_blocks
from terramosaic.errors import DamagedBlocksError, OutputError
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, is_complete, mosaics_of, read_plan
from terramosaic.planning.plan import Plan
from terramosaic.run.mapping import map_plan
from tests.integration.conftest import LAND

#: Four blocks.
RECT = Rect(LAND.row, LAND.col, 600, 600)


@pytest.fixture(scope="module")
def whole(land, tmp_path_factory) -> MapResult:
    return map_region(land.request(RECT, tmp_path_factory.mktemp("whole")), targets=("NDVI",), progress=True)


def test_who_asked_for_it_was_told_how_far_the_run_is(request, capsys):
    request.getfixturevalue("whole")
    assert capsys.readouterr().err == (
        "4 blocks, 0 done before; 30 windows to compute\nputting mosaics together\nwriting report and item\n"
    )


@pytest.fixture
def copy(whole, tmp_path) -> Plan:
    """The plan of a copy of the run."""
    return read_plan(Path(shutil.copytree(whole.folder, tmp_path / whole.folder.name)))


@pytest.fixture
def unmade(copy) -> Plan:
    """The same, before its mosaics are made."""
    folder = RunFolder.of(copy)
    for path in (*mosaics_of(copy).values(), folder.item_file, folder.report_file):
        path.unlink()
    return copy


def flip(path: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 64
    path.write_bytes(content)


def assert_same_files(made: Plan, whole: MapResult) -> None:
    for name, path in mosaics_of(made).items():
        assert path.read_bytes() == whole.mosaics[name].read_bytes(), name


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: "",
        lambda _: "[]",
        lambda _: "\0" * 90,
        lambda text: text[:200],
        lambda text: json.dumps({"run_id": json.loads(text)["run_id"]}),
        lambda text: json.dumps({**json.loads(text), "files": {}, "checksum": None}),
        lambda text: json.dumps({**json.loads(text), "seconds": {}, "checksum": None}),
        lambda text: text.replace('"windows": ', '"windows": 1'),
    ],
)
def test_a_damaged_receipt_is_none(copy, damage):
    first, *others = copy.blocks
    receipt = RunFolder.of(copy).receipt_file(first)
    receipt.write_text(damage(receipt.read_text()))
    assert finished_block(copy, first) is None
    assert list(finished_blocks(copy)) == [block.id for block in others]


@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_damaged_blocks_are_named_and_lose_their_receipts(unmade, place):
    folder, (first, second, *others) = RunFolder.of(unmade), unmade.blocks
    flip(folder.block_raster(first, "NDVI"), place)
    flip(folder.block_raster(second, "quality"), place)
    with pytest.raises(
        DamagedBlocksError, match=rf"rasters of 2 blocks are not .* \({first.id}, {second.id}\)"
    ):
        assemble(unmade)
    mosaics = mosaics_of(unmade)
    assert not mosaics["NDVI"].exists() and not mosaics["quality"].exists()
    assert list(finished_blocks(unmade)) == [block.id for block in others]


@pytest.mark.parametrize("layer", ["NDVI", "quality", "S2"])
@pytest.mark.parametrize(
    "damage",
    [flip, pytest.param(lambda path: path.write_bytes(bytes(path.stat().st_size)), marks=pytest.mark.slow)],
)
def test_they_are_computed_again_and_the_map_is_the_same(unmade, whole, caplog, layer, damage):
    folder = RunFolder.of(unmade)
    damage(folder.block_raster(unmade.blocks[1], layer))
    receipts = {block.id: folder.receipt_file(block).stat().st_mtime_ns for block in unmade.blocks}
    map_plan(unmade)
    assert f"a raster of a block is not as it was written ({unmade.blocks[1].id})" in caplog.text
    assert_same_files(unmade, whole)
    again = [
        block
        for block in unmade.blocks
        if folder.receipt_file(block).stat().st_mtime_ns != receipts[block.id]
    ]
    assert again == [unmade.blocks[1]]


@pytest.mark.parametrize("told", [{"count": 30_000}, {"height": 16}, {"dtype": "uint8"}])
def test_a_raster_whose_header_tells_of_another_is_not_read(tmp_path, told):
    """A flipped bit makes of one band thousands, which would take hours."""
    path, rect = tmp_path / "NDVI.tif", Rect(4, 8, 64, 64)
    own = {"count": 1, "height": 64, "dtype": "int16"}
    with rasterio.open(
        path, "w", driver="GTiff", width=64, transform=rect.transform, SPARSE_OK=True, **own | told
    ):
        pass
    with (
        closing(RasterReader(path, rect, 1, "int16", 0, None)) as reader,
        pytest.raises(DamagedRasterError, match="it is another raster"),
    ):
        reader.read(rect)


def test_a_disk_that_damages_again_and_again_stops_the_run(unmade, monkeypatch):
    from terramosaic.run import mapping

    tries: list[Plan] = []

    def spoil_and_assemble(made: Plan) -> None:
        tries.append(made)
        flip(RunFolder.of(made).block_raster(made.blocks[0], "NDVI"))
        assemble(made)

    monkeypatch.setattr(mapping, "assemble", spoil_and_assemble)
    with pytest.raises(DamagedBlocksError, match="run the same request again"):
        map_plan(unmade)
    assert len(tries) == 3


def test_receipts_without_hashes_are_taken(unmade, whole):
    for block in unmade.blocks:
        receipt = RunFolder.of(unmade).receipt_file(block)
        content = json.loads(receipt.read_text())
        del content["hashes"], content["checksum"]
        receipt.write_text(json.dumps(content))
    assert len(finished_blocks(unmade)) == len(unmade.blocks)
    assemble(unmade)
    assert_same_files(unmade, whole)


def test_a_second_finisher_of_a_block_leaves_the_first_ones_files(unmade):
    block, folder = unmade.blocks[0], RunFolder.of(unmade)
    raster, receipt = folder.block_raster(block, "NDVI"), folder.receipt_file(block)
    receipt.rename(receipt.with_name("kept"))
    before = {path: path.stat().st_mtime_ns for path in (raster, receipt.with_name("kept"))}

    class First(Fence):
        """Another one finishes the block at the last moment."""

        def check(self) -> None:
            super().check()
            if not receipt.exists():
                receipt.write_bytes(receipt.with_name("kept").read_bytes())

    told = run_block(unmade, block, fence=First())
    assert told == finished_block(unmade, block)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not list(folder.path.rglob("*.partial"))


def publishing_times(made: Plan) -> dict[str, int]:
    folder = RunFolder.of(made)
    paths = (folder.plan_file, folder.item_file, folder.report_file, *mosaics_of(made).values())
    return {path.name: path.stat().st_mtime_ns for path in paths}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


ALL = {"NDVI.tif", "acquired.tif", "quality.tif", "report.html", "item.json"}


def emptied(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize(
    ("name", "damage", "made_anew"),
    [
        *(("NDVI.tif", damage, {"NDVI.tif", "report.html", "item.json"}) for damage in (cut, Path.unlink, emptied)),
        *(("report.html", damage, {"report.html", "item.json"}) for damage in (cut, Path.unlink, emptied)),
        *(("plan.json", damage, {"plan.json", "report.html", "item.json"})
          for damage in (cut, flip, Path.unlink, emptied)),
        ("item.json", Path.unlink, {"report.html", "item.json"}),
        # Nothing tells any more how the others were.
        ("item.json", cut, ALL),
        ("item.json", emptied, ALL),
    ],
)  # fmt: skip
def test_a_finished_run_that_is_damaged_is_mended(copy, whole, name, made_anew, damage):
    before = publishing_times(copy)
    damage(RunFolder.of(copy).path / name)
    assert not is_complete(copy)
    assert not map_plan(copy).was_done
    after = publishing_times(copy)
    assert {name for name in after if after[name] != before[name]} == made_anew
    assert_same_files(copy, whole)
    assert is_complete(copy) and map_plan(copy).was_done


@pytest.mark.parametrize("text", ["[]", "{}", '{"type": "Feature", "assets": {}}', '{"type": "Feature", "assets": [1]}',
                                  '{"type": "Feature", "assets": {"NDVI": {"href": 3}}}'])  # fmt: skip
def test_an_item_that_is_none_is_published_again(copy, whole, text):
    item = RunFolder.of(copy).item_file
    before = json.loads(item.read_text())
    item.write_text(text)
    cut(mosaics_of(copy)["NDVI"])  # which nothing tells
    assert not map_plan(copy).was_done
    assert json.loads(item.read_text())["assets"].keys() == before["assets"].keys()
    assert_same_files(copy, whole)


@pytest.mark.parametrize("damage", [cut, emptied, lambda path: path.write_bytes(bytes(path.stat().st_size))])
@pytest.mark.parametrize("name", ["NDVI", "quality"])
def test_of_a_run_without_an_item_mosaics_that_were_cut_are_made_anew(copy, whole, name, damage):
    RunFolder.of(copy).item_file.unlink()
    damage(mosaics_of(copy)[name])
    map_plan(copy)
    assert_same_files(copy, whole)


def test_where_the_blocks_are_gone_they_are_computed_again(copy, whole):
    shutil.rmtree(RunFolder.of(copy).blocks)
    cut(mosaics_of(copy)["NDVI"])
    map_plan(copy)
    assert_same_files(copy, whole)


@pytest.mark.parametrize("name", ["NDVI.tif", "report.html", "plan.json", "quicklooks/NDVI.png"])
def test_hashes_are_compared_where_somebody_asks(copy, whole, name):
    path = RunFolder.of(copy).path / name
    flip(path)
    opened = name != "plan.json"  # a plan says so itself
    if opened:
        folder = RunFolder.of(copy).path
        assert open_run(folder).was_done
        with pytest.raises(
            OutputError, match=rf"{path.name} is damaged: its hash is not .* again with --check-files"
        ):
            open_run(folder, check=True)
        assert map_plan(copy).was_done
    assert not map_plan(copy, check_files=True).was_done
    assert_same_files(copy, whole)
    assert map_plan(copy, check_files=True).was_done and open_run(RunFolder.of(copy).path, check=True)


def test_a_mosaic_of_another_size_is_not_opened(copy):
    cut(mosaics_of(copy)["NDVI"])
    with pytest.raises(
        OutputError, match=r"NDVI\.tif is damaged: it has \d+ bytes, and its item says \d+; run"
    ):
        open_run(RunFolder.of(copy).path)
