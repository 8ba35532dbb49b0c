"""What a bundle cannot do with its inputs or in an order is told when a map is planned, not by its first block."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from terramosaic import load_bundle, plan
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.model.manifest import InputSpec
from tests.integration.conftest import LAND
from tests.unit.model.toy_terramind import make_toy

PLACE = Rect(LAND.row + 500, LAND.col + 500, 60, 60)


def edited(folder: Path, to: Path, change: Callable[[dict[str, Any]], None]) -> str:
    copy = shutil.copytree(folder, to)
    content = json.loads((copy / "bundle.json").read_text())
    change(content)
    (copy / "bundle.json").write_text(json.dumps(content))
    return str(copy)


def test_a_target_that_no_later_one_sees_is_named_last(land, tmp_path):
    """So it is of checkpoints that lack its embedding in the encoder."""
    toy = make_toy(tmp_path / "toy")
    model = edited(
        toy, tmp_path / "without", lambda content: content["targets"]["NDVI"].update(fed_back=False)
    )

    def planned(*targets: str, **fields: str) -> bool:
        request = land.request(PLACE, tmp_path, model=model, targets=targets, steps=1, **fields)
        return bool(plan(request).run_id)

    with pytest.raises(RequestError, match="no later target can see NDVI; name it last"):
        planned("NDVI", "LULC")
    assert planned("LULC", "NDVI") and planned("NDVI", "embedding")
    assert planned("NDVI", "LULC", conditioning="independent")


def test_what_is_one_graph_takes_all_its_inputs():
    demo = load_bundle("demo")
    radar = InputSpec(bands=("VV", "VH"), unit="dB", convention="dB")
    manifest = demo.manifest.model_copy(update={"inputs": {**demo.inputs, "S1RTC": radar}})
    both = replace(demo, manifest=manifest)
    with pytest.raises(RequestError, match="takes S2L2A and S1RTC, no more and no less"):
        both.require(("NDVI",), ("S2L2A",))
    both.require(("NDVI",), ("S1RTC", "S2L2A"))
