"""TerraMind through the whole line: a real region to mosaics, report and item, twice and with an overlap."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from terramosaic import MapResult, load_bundle, map_region
from terramosaic.ground.grid import Rect, rect_from_bounds
from terramosaic.ground.zones import lonlat_of
from tests.support.pixels import read
from tests.support.real_scene import Case, cases

TARGETS = ("S1GRD", "NDVI", "LULC")

#: Two regions of about 2 x 2 windows that share three quarters of their ground, as pixels from the scene's corner.
REGIONS = {"one": (300, 300, 400, 400), "other": (300, 400, 400, 400)}


@pytest.fixture(scope="module")
def runs(
    shared_data: Path, narrow_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, MapResult]:
    """Both regions, and the first one again in another folder with smaller blocks' batches."""
    work = tmp_path_factory.mktemp("mapping")
    case = next(case for case in cases(shared_data, work) if case.name == "pc_29RKH_20200219_pb0509")
    return {
        "one": _map(case, "one", work / "one", narrow_bundle),
        "again": _map(case, "one", work / "again", narrow_bundle),
        "other": _map(case, "other", work / "other", narrow_bundle),
    }


def _map(case: Case, region: str, out: Path, bundle: Path) -> MapResult:
    row, col, height, width = REGIONS[region]
    scene = json.loads((case.catalog / "item.json").read_text())
    with rasterio.open(scene["assets"]["B04"]["href"]) as file:
        corner = rect_from_bounds(tuple(file.bounds))
    rect = Rect(corner.row + row, corner.col + col, height, width)
    left, bottom, right, top = rect.bounds
    outline = lonlat_of(box(left + 4, bottom + 4, right - 4, top - 4), case.epsg)
    request = replace(case, region=list(outline.bounds)).request(
        out, targets=TARGETS, model=str(bundle), steps=2, dtype="float32", seed=3, x0_clip=2
    )
    return map_region(request)


def test_two_runs_of_a_plan_are_equal_byte_for_byte(runs: dict[str, MapResult]) -> None:
    one, again = runs["one"], runs["again"]
    assert one.folder.name == again.folder.name
    assert set(one.mosaics) == {*TARGETS, "LULC_confidence", "LULC_disagreement", "acquired", "quality"}
    for name, path in one.mosaics.items():
        assert path.read_bytes() == again.mosaics[name].read_bytes(), name


def test_overlapping_runs_agree_on_shared_ground(runs: dict[str, MapResult], narrow_bundle: Path) -> None:
    """On at least 99.9 % of pixels, to a thousandth of a target's standard deviation; classes on as many."""
    specs = load_bundle(narrow_bundle).targets
    for target in TARGETS:
        (a, rect_a), (b, rect_b) = (read(runs[name].mosaics[target]) for name in ("one", "other"))
        shared = rect_a.intersection(rect_b)
        assert shared.height * shared.width > 100_000
        a, b = a[:, *shared.slices(rect_a)], b[:, *shared.slices(rect_b)]
        if specs[target].classes:
            agree = a == b
            assert len(np.unique(a)) >= 3
        else:
            std = np.array(specs[target].std)[:, None, None]
            agree = np.abs(a - b) <= 1e-3 * std
            assert (a.std((1, 2)) > 0.02 * std.ravel()).all()
        print(f"{target}: {(~agree).mean():.2e} of pixels differ, {(a != b).mean():.2e} in any bit")
        assert agree.mean() >= 0.999, target


def test_the_item_says_which_model_with_which_settings(
    runs: dict[str, MapResult], narrow_bundle: Path
) -> None:
    manifest = load_bundle(narrow_bundle).manifest
    properties = json.loads(runs["one"].item.read_text())["properties"]
    assert properties["terramosaic:steps"] == 2
    assert properties["terramosaic:seed"] == 3
    assert properties["terramosaic:conditioning"] == "chained"
    assert properties["terramosaic:sampling"] == "nucleus"
    assert properties["terramosaic:x0_clip"] == 2
    model = properties["terramosaic:model"]
    assert model["is_terramind"] is True
    assert model["variant"] == "terramind_v1_tiny"
    assert model["random_weights"] == manifest.random_weights == 0
    # Random weights have none, and what is empty is left out.
    assert model.get("checkpoints", {}) == manifest.checkpoints


def test_the_report_says_that_the_weights_are_random(runs: dict[str, MapResult]) -> None:
    page = runs["one"].report.read_text()
    assert "Random weights." in page
    assert "RANDOM WEIGHTS" in page
