"""What is damaged in a run folder is found, told and made again, and the map is the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from terramosaic import map_region
from terramosaic.block.receipt import finished_block, finished_blocks
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, read_plan
from terramosaic.planning.plan import Plan
from tests.integration.conftest import LAND

#: Four blocks.
RECT = Rect(LAND.row, LAND.col, 600, 600)


@pytest.fixture(scope="module")
def whole(land, tmp_path_factory) -> MapResult:
    return map_region(land.request(RECT, tmp_path_factory.mktemp("whole"), targets=("NDVI",)))


@pytest.fixture
def copy(whole, tmp_path) -> Plan:
    """The plan of a copy of the run."""
    return read_plan(Path(shutil.copytree(whole.folder, tmp_path / whole.folder.name)))


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
