"""Blocks that fill batches together: the same map, of fewer runs of the model."""

from __future__ import annotations

import pytest

import terramosaic.block.block
import terramosaic.model.opening
import terramosaic.run.threads
from terramosaic import map_region
from terramosaic.block.receipt import finished_blocks
from terramosaic.ground.grid import Rect
from terramosaic.model.generator import BATCH_SIZES, BatchSizes
from terramosaic.model.pipeline import Pipeline
from tests.integration.conftest import LAND
from tests.support.pixels import assert_same_on_shared_pixels
from tests.unit.model.toy_terramind import make_toy

#: Where four blocks meet: of five to ten windows each.
RECT = Rect(LAND.row + 350, LAND.col + 600, 320, 300)
BATCH = 8


@pytest.fixture
def runs(monkeypatch) -> list[int]:
    """How many windows each run of the model had room for, all in batches as on a GPU."""
    found: list[int] = []
    compute = Pipeline.compute

    def counted(pipeline, *arguments):
        found.append(pipeline.batch)
        return compute(pipeline, *arguments)

    monkeypatch.setattr(Pipeline, "compute", counted)
    monkeypatch.setattr(terramosaic.model.opening, "_terramind", {})
    return found


@pytest.mark.slow
def test_maps_are_the_same_and_batches_full(land, tmp_path, monkeypatch, runs):
    toy = str(make_toy(tmp_path / "toy"))
    monkeypatch.setitem(BATCH_SIZES, "cpu", BatchSizes(call=BATCH, terramind=BATCH, single_graph=1))

    def mapped(name: str):
        monkeypatch.setattr(terramosaic.model.opening, "_terramind", {})
        request = land.request(
            RECT, tmp_path / name, model=toy, targets=("S1GRD", "LULC"), steps=2, strides={"LULC": 112}
        )
        return map_region(request, workers=4)

    with monkeypatch.context() as patch:
        patch.setattr(terramosaic.block.block, "with_shared_batches", lambda model, *_: model)
        alone = mapped("alone")
    windows, padded = alone.plan.figures.windows, sum(runs)
    runs.clear()
    together = mapped("together")
    assert_same_on_shared_pixels(alone, together)
    # Five are those by which it is seen that batches may be shared.
    assert set(runs) == {BATCH}
    assert windows <= sum(runs) - 5 * BATCH < min(padded, windows + 4 * BATCH)


@pytest.mark.parametrize(("model", "threads"), [("toy", 6), ("demo", 3)])
def test_batches_that_follow_each_other_have_all_processors(land, tmp_path, monkeypatch, model, threads):
    monkeypatch.setattr(terramosaic.run.threads, "available_cpus", lambda: 6)
    bundle = str(make_toy(tmp_path / "toy")) if model == "toy" else model
    rect = Rect(LAND.row + 350, LAND.col + 600, 200, 200)
    request = land.request(rect, tmp_path / "out", model=bundle, targets=("LULC",))
    receipts = finished_blocks(map_region(request, workers=2).plan).values()
    assert {receipt.surroundings.threads for receipt in receipts if receipt.windows} == {threads}
