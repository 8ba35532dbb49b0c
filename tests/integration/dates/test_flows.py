"""Several dates through Prefect: asked for as the form sends them, mapped and watched on a real server."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from terramosaic import map_region
from terramosaic.ground.grid import Rect
from terramosaic.request.request import RegionRequest
from tests.integration.conftest import Catalog
from tests.support.dated_model import make_dated
from tests.support.pixels import read
from tests.support.scenes import write_scene

GROUND = Rect(490_002, 50_004, 300, 300)
PLACE = Rect(GROUND.row + 60, GROUND.col + 60, 150, 150)
DAYS = ("2023-08-05", "2023-08-10", "2023-08-15")


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("catalog")
    catalog = Catalog(folder)
    for place, day in enumerate(DAYS):
        name = f"S2A_33TWL_{day.replace('-', '')}"
        catalog.add(write_scene(folder / day, GROUND, name=name, day=day, level=100 * place))
    return catalog


@pytest.fixture(scope="module")
def request_(ground: Catalog, tmp_path_factory: pytest.TempPathFactory) -> RegionRequest:
    folder = tmp_path_factory.mktemp("dates")
    model = str(make_dated(folder / "model", 2, ("S2L2A",)))
    dates = {"rule": "before_after", "reference": "2023-08-10"}
    fields = {"model": model, "inputs": ("S2L2A",), "targets": ("seen", "mixed"), "dates": dates}
    return ground.request(PLACE, folder / "alone", datetime="2023-08-01/..", **fields)


def as_the_form_sends(request: RegionRequest, **changes: object) -> dict[str, object]:
    """The fields that are said, in boxes, as JSON."""
    from terramosaic_flows.form import BOXES

    sent = json.loads(request.model_dump_json(exclude_defaults=True)) | changes
    boxed = {
        name: {field: sent.pop(field) for field in box.fields if field in sent} for name, box in BOXES.items()
    }
    return sent | boxed


def test_the_form_maps_the_dates_that_a_request_asks_for(
    server: None, request_: RegionRequest, tmp_path: Path
) -> None:
    from terramosaic_flows.form import BOXES
    from terramosaic_flows.map_region import map_region as flow

    alone = map_region(request_)
    assert [one.day for one in alone.plan.dates] == list(DAYS[:2])
    sent = as_the_form_sends(request_, out=str(tmp_path))
    box = next(name for name, box in BOXES.items() if "dates" in box.fields)
    assert sent[box]["dates"]["rule"] == "before_after"  # type: ignore[index]
    state = flow(sent, return_state=True)
    assert state.is_completed(), state.message
    assert state.result() == [str(tmp_path / alone.plan.run_id)]
    for name in ("seen", "mixed", "quality"):
        ours, _ = read(tmp_path / alone.plan.run_id / f"{name}.tif")
        np.testing.assert_array_equal(ours, read(alone.mosaics[name])[0])
    wrong = flow(as_the_form_sends(request_, dates={"rule": "before_after"}), return_state=True)
    assert wrong.is_failed() and "before_after is of a day" in str(wrong.message)


def test_a_watched_region_has_a_map_for_each_whole_set(
    server: None, request_: RegionRequest, tmp_path: Path
) -> None:
    from terramosaic_flows.watch_region import watch_region

    sent = as_the_form_sends(request_, out=str(tmp_path), dates={"count": 2})
    first = watch_region(sent, until=date(2023, 8, 9), return_state=True)
    assert str(first.message).endswith("nothing new: 0 acquisitions since 2023-08-01, all mapped")
    second = watch_region(sent, until=date(2023, 8, 16), return_state=True)
    assert str(second.message).endswith("mapped 2 of 2 acquisitions since 2023-08-01: 2023-08-10, 2023-08-15")
    runs = [run for run in (tmp_path / "acquisitions").iterdir() if run.is_dir() and not run.is_symlink()]
    items = [json.loads((run / "item.json").read_text()) for run in runs]
    told = sorted([one["day"] for one in item["properties"]["terramosaic:dates"]] for item in items)
    assert told == [list(DAYS[:2]), list(DAYS[1:])]
    assert (tmp_path / "newest" / "seen.tif").exists()
