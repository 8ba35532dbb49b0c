"""What a run tells against itself: seams of its windows, tokens, values at the bound; and what a limit makes of it."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from prefect import runtime

from terramosaic import map_region, open_run
from terramosaic.errors import CheckFailedError
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import as_begun, write_plan
from terramosaic.planning.planning import plan
from terramosaic.publishing.seams import seams_beyond_limit, told_seams
from terramosaic_flows import earlier_plans
from tests.unit.model.toy_terramind import make_toy

#: Some windows in each direction, in four blocks.
RECT = Rect(490_300, 50_104, 900, 900)


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> str:
    return str(make_toy(tmp_path_factory.mktemp("toy") / "bundle"))


@pytest.fixture(scope="module")
def mapped(land, toy, tmp_path_factory) -> MapResult:
    """By a model that adds to every pixel what it thinks of the whole window: its windows do not agree."""
    out = tmp_path_factory.mktemp("mapped")
    return map_region(land.request(RECT, out, targets=("S1GRD", "NDVI"), model=toy, steps=2))


def properties(result: MapResult) -> dict:
    return json.loads(result.item.read_text())["properties"]


def test_seams_are_told_in_item_and_report(mapped):
    seams = told_seams(mapped.plan)
    assert seams.keys() == {"S1GRD", "NDVI"}
    told = properties(mapped)["terramosaic:seams"]["S1GRD"]
    assert told.keys() == {"step", "texture", "block_step"}
    assert told["step"]["low"] <= told["step"]["value"] <= told["step"]["high"]
    # Blocks agree bit for bit, whatever windows do.
    assert seams["S1GRD"].block_step.departure < 1.1
    report = mapped.report.read_text()
    assert f"{told['texture']['value']:.3f} (" in report
    assert "Different tokens of S1GRD" in report
    assert "S1GRD at the bound of samples" in report


def test_self_checks_are_told_in_the_item_and_doubts_among_the_warnings(mapped):
    told = properties(mapped)["terramosaic:self_checks"]
    assert 1 < told["distinct_tokens"]["S1GRD"] <= 8
    assert told["ndvi"]["pixels"] > 10_000
    assert told["share_at_bound"]["S1GRD"].keys() == {"VV", "VH"}
    # The toy's NDVI has nothing to do with the imagery's.
    assert told["ndvi"]["correlation"] < 0.5
    assert any(
        line.startswith("NDVI: what was generated") for line in properties(mapped)["terramosaic:warnings"]
    )


def test_limits_of_ndvi_are_told_and_a_complete_run_says_that_it_keeps_to_its_own(mapped, tmp_path, caplog):
    assert properties(mapped)["terramosaic:self_checks"]["ndvi"]["limits"] == {
        "correlation": 0.5, "bias": 0.1, "error": 0.2
    }  # fmt: skip
    out = shutil.copytree(mapped.folder.parent, tmp_path / "out", symlinks=True)
    lenient = {"correlation": -1, "bias": 2, "error": 2}
    asked = mapped.plan.request.model_copy(update={"ndvi_limits": lenient, "out": str(out)})
    held = map_region(asked)
    assert held.was_done and "is complete, and its warnings keep to the ndvi_limits" in caplog.text
    held.item.unlink()
    again = map_region(asked)
    assert again.plan.run_id == mapped.plan.run_id and not again.was_done
    told = properties(again)
    assert told["terramosaic:self_checks"]["ndvi"]["limits"] == lenient
    assert not any(line.startswith("NDVI: what was generated") for line in told["terramosaic:warnings"])


def test_statistics_are_of_all_pixels(mapped):
    values = mapped.open("NDVI").values
    held = values[~np.isnan(values)]
    figures = json.loads(mapped.item.read_text())["assets"]["NDVI"]["bands"][0]["statistics"]
    assert figures["minimum"] == pytest.approx(float(held.min()), abs=1e-6)
    assert figures["maximum"] == pytest.approx(float(held.max()), abs=1e-6)


def test_a_limit_fails_the_run_once_it_is_written_and_each_time_it_is_asked_for(land, toy, mapped):
    limited = mapped.plan.request.model_copy(update={"max_seam": 1.02})
    before = mapped.item.read_bytes()
    for _ in range(2):
        with pytest.raises(
            CheckFailedError, match=r"^max_seam: run \w+ shows seams beyond a factor of 1\.02: "
        ):
            map_region(limited)
    assert mapped.item.read_bytes() == before
    assert open_run(mapped.folder).keys() == mapped.keys()
    assert map_region(limited.model_copy(update={"max_seam": 50})).was_done


def test_a_flow_run_that_is_started_again_holds_a_finished_run_to_its_own_limit(mapped, monkeypatch):
    limited = mapped.plan.request.model_copy(update={"max_seam": 1.02})
    made = as_begun(plan(limited))
    write_plan(made)
    monkeypatch.setattr(earlier_plans, "is_deployed", lambda: True)
    monkeypatch.setattr(runtime.flow_run, "run_count", 2, raising=False)
    monkeypatch.setattr(runtime.flow_run, "id", "some", raising=False)
    earlier_plans.keep_plans(limited, {"": made})
    assert seams_beyond_limit(earlier_plans.earlier_plans(limited)[""]) is not None
    earlier_plans.forget_plans(limited)


def test_a_limit_that_too_little_was_measured_for_is_told(land, tmp_path, caplog):
    small = land.request(Rect(490_304, 50_104, 60, 60), tmp_path, targets=("NDVI",), max_seam=1.1)
    assert map_region(small).mosaics
    assert "max_seam: too little of NDVI was measured to hold it to the limit" in caplog.text


def test_the_command_line_says_so_and_exits_with_7(mapped, tmp_path, run_here):
    region = tmp_path / "region.geojson"
    region.write_text(json.dumps(mapped.plan.region))
    request = mapped.plan.request
    done = run_here(
        "map", "--region", str(region), "--datetime", request.datetime, "--catalog", request.catalog, "--model",
        request.model, "--steps", "2", "--targets", "S1GRD,NDVI", "--block-size", "512", "--out", request.out,
        "--max-seam", "1.02",
    )  # fmt: skip
    assert done.returncode == 7
    assert re.search(
        r"^terramosaic: max_seam: run .* (S1GRD|NDVI): (step|texture) [\d.]+ \(", done.stderr, re.MULTILINE
    )


def test_a_factor_below_one_is_refused(run_here):
    done = run_here("map", "--mgrs", "33TWL", "--datetime", "2023-08", "--max-seam", "0.1")
    assert done.returncode == 2
    assert "max_seam: 0.1 is below 1" in done.stderr
