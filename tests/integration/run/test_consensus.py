"""Windows that share tokens: maps are a function of the place, and where windows overlap they are made of the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic import map_region, plan, verify
from terramosaic.block.tokens import NO_TOKEN, TOKENS
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.pool import READERS
from terramosaic.model.terramind import TerraMindGenerator
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder
from terramosaic.publishing.facts import PlanFacts
from terramosaic.storage.files import read_json, write_json
from tests.integration.conftest import LAND, Catalog
from tests.support.pixels import assert_same_on_shared_pixels, read
from tests.support.scenes import write_scene
from tests.unit.model.toy_terramind import make_toy

#: Where four blocks meet, over a part of the hole.
RECT = Rect(LAND.row + 420, LAND.col + 600, 240, 200)
TARGETS = ("S1GRD", "NDVI", "LULC")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


def request_of(land, toy: str, out: Path, rect: Rect = RECT, **fields):
    fields = {"targets": TARGETS, "model": toy, "steps": 2, "consensus": "tokens", **fields}
    return land.request(rect, out, **fields)


#: Ways to ask for it.
WAYS = [
    pytest.param({}, id="chained"),
    pytest.param({"conditioning": "independent"}, id="independent"),
    pytest.param({"strides": {"LULC": 112}}, id="two lattices", marks=pytest.mark.slow),
    pytest.param({"targets": ("NDVI", "LULC"), "stride": 96}, id="stride 96", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=WAYS)
def way(request) -> dict:
    return request.param


@pytest.fixture(scope="module")
def mapped(land, toy, way, tmp_path_factory) -> MapResult:
    return map_region(request_of(land, toy, tmp_path_factory.mktemp("mapped"), **way))


@pytest.mark.parametrize("block_size", [512, 2048])
def test_maps_do_not_depend_on_blocks_or_regions(mapped, land, toy, way, block_size, tmp_path):
    rect = Rect(RECT.row + 60, RECT.col - 50, 150, 180)
    other = map_region(request_of(land, toy, tmp_path, rect, block_size=block_size, **way))
    assert_same_on_shared_pixels(mapped, other)


def test_each_window_is_computed_again_with_the_same_bits(mapped):
    found = verify(mapped.folder, windows=3, write=False)
    assert found.passed and found.verified == found.drawn > 0 and found.failure is None


def agreement(mapped: MapResult) -> dict[str, tuple[int, int]]:
    """By target, in how many of the patches that several windows cover all of these have the same token."""
    found: dict[str, dict[tuple[int, int, int], set[int]]] = {}
    for block in mapped.plan.blocks:
        for each in mapped.plan.lattices:
            stride, side = each.lattice.stride, each.lattice.patches
            name = TOKENS if stride == mapped.plan.stride else f"{TOKENS}_{stride}"
            with rasterio.open(RunFolder.of(mapped.plan).block_raster(block, name)) as raster:
                numbers = raster.read()
            for row, i in enumerate(each.lattice.rows(block.rect)):
                for col, j in enumerate(each.lattice.cols(block.rect)):
                    window = numbers[:, row * side : (row + 1) * side, col * side : (col + 1) * side]
                    for target, ids in zip(each.drawn, window, strict=True):
                        if (ids == NO_TOKEN).any():
                            continue
                        for (down, right), token in np.ndenumerate(ids):
                            place = stride, i * stride // 16 + down, j * stride // 16 + right
                            seen = found.setdefault(target, {}).setdefault(place, [])
                            seen.append(int(token))
    return {
        target: (sum(len(set(ids)) == 1 for ids in places.values() if len(ids) > 1),
                 sum(len(ids) > 1 for ids in places.values()))
        for target, places in found.items()
    }  # fmt: skip


def test_windows_share_tokens_where_they_overlap(mapped, land, toy, way, tmp_path):
    for same, several in agreement(mapped).values():
        assert same == several > 100
    alone = map_region(request_of(land, toy, tmp_path, **way | {"consensus": "none"}))
    assert all(same < several for same, several in agreement(alone).values())


@pytest.fixture(scope="module")
def chained(land, toy, tmp_path_factory) -> MapResult:
    """In one block."""
    rect = Rect(490_560, 50_190, 180, 160)
    return map_region(
        request_of(land, toy, tmp_path_factory.mktemp("chained"), rect, targets=("NDVI", "LULC"))
    )


def test_plan_report_and_item_tell_it(chained, land, toy, tmp_path):
    made = chained.plan
    (each,) = made.lattices
    rows, cols = (len(lines(made.zones[0].rect)) for lines in (each.lattice.rows, each.lattice.cols))
    around = (rows + 4) * (cols + 4) - rows * cols
    assert made.figures.windows == rows * cols and made.figures.windows_around == around
    assert f"and up to {around} around them" in PlanFacts(plan=made).figures["Work"]
    item = json.loads(chained.item.read_text())["properties"]
    assert item["terramosaic:consensus"] == "tokens"
    assert "tokens shared by overlapping windows" in item["processing:lineage"]
    assert "Consensus" in chained.report.read_text()
    fields = {"targets": made.request.targets, "consensus": "none"}
    alone = plan(request_of(land, toy, tmp_path, made.zones[0].rect, **fields))
    assert alone.run_id != made.run_id and alone.figures.windows_around == 0
    assert alone.figures.read_gigabytes < made.figures.read_gigabytes


def test_elsewhere_values_are_made_of_the_runs_own_tokens(chained, monkeypatch):
    """A token in every tile of the ground falls to the other side, and changes nothing that is not its own."""
    for block in chained.plan.blocks:
        receipt = RunFolder.of(chained.plan).receipt_file(block)
        content = read_json(receipt)
        write_json(receipt, {**content, "surroundings": {**content["surroundings"], "onnxruntime": "1.2.3"}})
    as_they_are = verify(chained, write=False)
    assert as_they_are.passed and as_they_are.tokens_same == as_they_are.tokens_drawn > 0
    drawing = TerraMindGenerator.draw_mean

    def drawn(self, *arguments):
        ids = drawing(self, *arguments)
        ids[50:51] = (ids[50:51] + 1) % 8
        return ids

    monkeypatch.setattr(TerraMindGenerator, "draw_mean", drawn)
    found = verify(chained, write=False)
    assert found.passed and found.elsewhere and found.verified == found.drawn
    assert 0.99 <= found.tokens_same / found.tokens_drawn < 1


def test_bundles_without_its_graphs_are_refused_when_a_map_is_planned(land, toy, tmp_path):
    with pytest.raises(RequestError, match="consensus: bundle 'demo' draws no tokens"):
        plan(request_of(land, "demo", tmp_path))
    folder = Path(shutil.copytree(toy, tmp_path / "old"))
    content = json.loads((folder / "bundle.json").read_text())
    del content["graphs"]["draw"]
    (folder / "bundle.json").write_text(json.dumps(content))
    with pytest.raises(RequestError, match="export the bundle anew"):
        plan(request_of(land, str(folder), tmp_path))
    assert plan(request_of(land, str(folder), tmp_path, consensus="none")).run_id


def test_imagery_is_kept_as_far_as_tokens_hang_on_it(toy, tmp_path, quick_retries):
    catalog = Catalog(tmp_path / "gone")
    rect = Rect(489_600, 50_004, 1200, 1200)
    catalog.add(write_scene(catalog.folder / "a", rect, name="S2A_33TWL_20230815"))
    # Under one row of windows, which ends in a strip of imagery above the one that the ring below reaches.
    part = Rect(490_300, rect.col + 480, 60, 90)
    result = map_region(
        request_of(catalog, toy, tmp_path / "out", part, targets=("LULC",), keep_imagery=True)
    )
    (each,) = result.plan.lattices
    imagery, rect = read(result.mosaics["imagery"])
    assert rect == part.pad(each.margin - 1) == part.pad(223 + 192)
    assert (imagery[:, *each.cover(part).slices(rect)] > 0).all()
    shutil.rmtree(catalog.folder)
    READERS.close_idle()
    found = verify(result.folder, whole=True, write=False)
    assert found.passed and found.verified == found.windows == sum(found.from_imagery.values()) > 0


def test_scenes_beside_a_region_count_where_its_tokens_hang_on_them(toy, tmp_path):
    """Two scenes of a pass side by side: one region lies in the first alone, another one in both."""
    catalog, west = Catalog(tmp_path / "two"), Rect(490_002, 50_004, 900, 600)
    for name, rect in (("33TWL", west), ("33TXL", Rect(west.row, west.col_end, 900, 300))):
        catalog.add(write_scene(catalog.folder / name, rect, name=f"S2A_{name}_20230815"))
    alone = Rect(west.row + 300, west.col_end - 230, 200, 200)
    both = Rect(west.row + 320, west.col_end - 200, 150, 300)
    runs = [
        map_region(request_of(catalog, toy, tmp_path / "out", rect, targets=("LULC",)))
        for rect in (alone, both)
    ]
    assert_same_on_shared_pixels(*runs)
    assert [len(run.plan.scenes) for run in runs] == [2, 2]
    without = plan(request_of(catalog, toy, tmp_path, alone, targets=("LULC",), consensus="none"))
    assert len(without.scenes) == 1
