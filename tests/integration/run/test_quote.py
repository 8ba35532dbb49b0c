"""A run says what it was quoted and what it took; one above a limit is refused before anything of it exists."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from terramosaic import map_region, plan, run_block
from terramosaic.block.block import open_model
from terramosaic.block.receipt import finished_blocks
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import RunFolder
from terramosaic.publishing.numbers import size
from tests.integration.conftest import LAND, Catalog
from tests.unit.model.toy_terramind import make_toy

PLACE = Rect(LAND.row + 300, LAND.col + 300, 520, 520)


def test_report_and_item_tell_quote_against_actual(land: Catalog, tmp_path: Path) -> None:
    before = time.process_time()
    result = map_region(land.request(PLACE, tmp_path / "out"), workers=2)
    spent = time.process_time() - before
    receipts = finished_blocks(result.plan).values()
    each = [receipt.processor_seconds for receipt in receipts]
    assert len(each) > 1 and None not in each and min(filter(None, each)) > 0
    assert 0 < sum(filter(None, each)) <= spent  # shared out, nothing twice
    told = json.loads(Path(result.item).read_text())["properties"]["terramosaic:quote"]
    quoted, taken = told["quoted"], told["taken"]
    assert taken["processor_minutes"] == pytest.approx(sum(filter(None, each)) / 60, abs=1e-5)
    assert quoted["processor_minutes"] < result.plan.figures.minutes and quoted["device"] == "cpu"
    on_disk = sum(path.stat().st_size for path in result.mosaics.values())
    assert taken["mosaics_gigabytes"] == pytest.approx(on_disk / 1e9, abs=1e-6)
    # Two acquisitions of 12 bands and SCL, over 520 pixels and the windows' margins; the clear one covers nearly all.
    pixels = sum(receipt.read_bytes or 0 for receipt in receipts) / 2 / 5.64
    assert PLACE.height * PLACE.width < pixels < 8 * PLACE.height * PLACE.width
    # Of the second nearly all is read for the first one's clouds, which lie all over it.
    assert quoted["read_gigabytes"] == pytest.approx(taken["read_gigabytes"], rel=0.25)
    page = Path(result.report).read_text()
    assert "processor time of blocks" in page and "blocks on disk" in page and size(on_disk) in page


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        ("demo", {}),
        ("demo", {"dtype": "float32", "extras": ("std", "second", "probabilities"), "keep_imagery": True}),
        ("toy", {"targets": ("S1GRD", "NDVI", "LULC", "embedding"), "strides": {"LULC": 112}}),
        ("toy", {"targets": ("NDVI", "coordinates")}),
    ],
)
def test_blocks_on_disk_are_as_quoted(
    land: Catalog, tmp_path: Path, model: str, fields: dict[str, Any]
) -> None:
    bundle = model if model == "demo" else str(make_toy(tmp_path / "toy", locates=True))
    made = plan(land.request(PLACE, tmp_path / "out", model=bundle, **fields))
    opened = open_model(made)
    receipts = [run_block(made, block, model=opened) for block in made.blocks]
    quote = made.figures.quote
    assert quote is not None and len(receipts) > 1
    taken = sum(sum(receipt.files.values()) for receipt in receipts) / 1e9
    assert quote.blocks_gigabytes == pytest.approx(taken, rel=0.15)
    # Two acquisitions lie in patches, and take next to nothing.
    assert sum(each.files["acquired"] for each in receipts) < 0.3 * PLACE.height * PLACE.width


def test_a_limit_refuses_before_there_is_a_folder(land: Catalog, tmp_path: Path) -> None:
    request = land.request(PLACE, tmp_path / "out", max_minutes=0.001)
    with pytest.raises(RequestError, match=r"max_minutes: run .* is quoted") as error:
        map_region(request)
    assert error.value.exit_code == 2 and not (tmp_path / "out").exists()
    free = request.model_copy(update={"max_minutes": 0})
    done = map_region(free)
    # The same run, which takes nothing any more.
    again = map_region(request)
    assert again.was_done and again.plan.run_id == done.plan.run_id == plan(free).run_id
    assert RunFolder.of(again.plan).item_file.exists()
