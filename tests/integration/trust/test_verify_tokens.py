"""Elsewhere tokens come first: values are made again of the run's own, and few may be drawn otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic import map_region, verify
from terramosaic.block.tokens import TOKENS
from terramosaic.ground.grid import Rect
from terramosaic.model.terramind import TerraMindGenerator
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, read_plan
from terramosaic.planning.plan import Plan
from terramosaic.storage.files import read_json, write_json
from tests.unit.model.toy_terramind import make_toy

#: In one block.
RECT = Rect(490_520, 50_190, 420, 300)
TARGETS = ("S1GRD", "NDVI")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


@pytest.fixture(scope="module")
def mapped(land, toy, tmp_path_factory) -> MapResult:
    return map_region(request_of(land, toy, tmp_path_factory.mktemp("mapped")))


def request_of(land, toy: str, out: Path):
    return land.request(RECT, out, targets=TARGETS, model=toy, steps=2)


def with_other_tokens(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Lets the model draw so many tokens of each window and target otherwise, as one does that rounds otherwise."""
    drawing = TerraMindGenerator.generate_with_tokens

    def drawn(self, windows: np.ndarray, randomness: Mapping, chain: Mapping | None = None, wanted=None):
        chain = drawing(self, windows, randomness)[1]
        for target in self.targets:  # each sees what was drawn for those before it
            chain[target] = drawing(self, windows, randomness, chain)[1][target]
            some = chain[target][:, 104 : 104 + count]  # in the middle of windows, where cores are
            some[...] = (some + 1) % 8
        return drawing(self, windows, randomness, chain)[0], chain

    monkeypatch.setattr(TerraMindGenerator, "generate_with_tokens", drawn)


def tell_surroundings(plan: Plan, *, tokens: bool = True) -> None:
    """Lets the receipts tell that the blocks were computed elsewhere, and on demand of no tokens."""
    for block in plan.blocks:
        receipt = RunFolder.of(plan).receipt_file(block)
        content = read_json(receipt)
        if not tokens:
            del content["files"][TOKENS]
        write_json(receipt, {**content, "surroundings": {**content["surroundings"], "onnxruntime": "1.2.3"}})


def test_a_block_keeps_its_tokens_and_little_room_they_take(mapped):
    for block in mapped.plan.blocks:
        path = RunFolder.of(mapped.plan).block_raster(block, TOKENS)
        with rasterio.open(path) as raster:
            assert raster.count == 2 and raster.shape == (raster.height // 14 * 14, raster.width // 14 * 14)
            assert raster.read().max() < 8
        receipt = read_json(RunFolder.of(mapped.plan).receipt_file(block))
        assert receipt["files"][TOKENS] == path.stat().st_size and TOKENS in receipt["hashes"]


def test_where_it_was_computed_all_has_the_same_bits(mapped, toy):
    found = verify(mapped, write=False)
    assert found.passed and found.verified == found.windows and not (found.elsewhere or found.tokens_drawn)


@pytest.fixture
def copy(mapped, tmp_path) -> Plan:
    return read_plan(Path(shutil.copytree(mapped.folder, tmp_path / "copy" / mapped.folder.name)))


def test_elsewhere_all_tokens_are_drawn_again(copy):
    tell_surroundings(copy)
    found = verify(RunFolder.of(copy).path)
    assert found.passed and not found.close and sum(found.elsewhere.values()) == found.windows
    assert found.tokens_same == found.tokens_drawn == found.windows * 2 * 196


def test_a_token_that_fell_to_the_other_side_proves_nothing_elsewhere(land, toy, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        with_other_tokens(patch, 1)
        plan = map_region(request_of(land, toy, tmp_path)).plan
    folder = RunFolder.of(plan).path
    here = verify(folder, write=False)
    assert here.differing and here.failure.exit_code == 7
    tell_surroundings(plan)
    found = verify(folder, write=False)
    assert found.passed and found.close == found.windows
    assert found.tokens_drawn - found.tokens_same == 2 * found.windows
    assert any("of which" in line for line in found.details)
    tell_surroundings(plan, tokens=False)
    unknown = verify(folder)
    assert not unknown.differing and any("tokens were not kept" in why for why in unknown.not_verifiable)


@pytest.mark.slow
def test_many_tokens_that_are_others_are_named(land, toy, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        with_other_tokens(patch, 30)
        plan = map_region(request_of(land, toy, tmp_path)).plan
    tell_surroundings(plan)
    found = verify(RunFolder.of(plan).path)
    assert len(found.differing) == found.looked_at and "of 392 tokens differ 60" in str(found.failure)


@pytest.mark.slow
def test_pixels_that_are_not_of_their_tokens_are_named(copy):
    tell_surroundings(copy)
    block = copy.blocks[0]
    path, receipt = RunFolder.of(copy).block_raster(block, TOKENS), RunFolder.of(copy).receipt_file(block)
    with rasterio.open(path, "r+") as raster:
        tokens = raster.read()
        tokens[0, 7::14, 7::14] = (tokens[0, 7::14, 7::14] + 1) % 8  # one of each window, in its core
        raster.write(tokens)
    content = read_json(receipt)
    sizes = {**content["files"], TOKENS: path.stat().st_size}
    write_json(receipt, {**content, "files": sizes, "hashes": {**content["hashes"], TOKENS: "0" * 64}})
    damaged = verify(RunFolder.of(copy).path, write=False)
    # Tokens that are not as they were written are none, and bits that are the same need none.
    assert damaged.passed and damaged.tokens_drawn < 392 * damaged.windows
    write_json(receipt, {**content, "files": sizes, "hashes": None})
    found = verify(RunFolder.of(copy).path, write=False)
    assert {window.block for window in found.differing} == {block.id}
    assert all("S1GRD" in window.mosaics for window in found.differing)
