"""The flow ``assess-map``: what it leaves in the UI, and how it fails."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from shapely.geometry import box

from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.watch.collection import MapCollection
from tests.integration.conftest import EPSG, LAND, Catalog
from tests.integration.flows.test_map_region import artifacts
from tests.integration.watch.newest_region import put, watch

PLACE = Rect(LAND.row, LAND.col, 300, 300)


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Path:
    """A watched region with two maps."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "catalog").mkdir()
    catalog = Catalog(folder / "catalog")
    for day in ("2023-08-15", "2023-08-20"):
        put(catalog, day, place=PLACE)
    request = catalog.request(PLACE, folder / "maps", datetime="2023-08", targets=("NDVI", "LULC"))
    watch(request, "2023-08-31", newest=False)
    return folder / "maps"


def point(path: Path, value: object) -> str:
    """A reference of one point in the middle."""
    middle = lonlat_of(box(*Rect(PLACE.row + 140, PLACE.col + 140, 1, 1).bounds), EPSG).centroid
    feature = {"type": "Feature", "properties": {"value": value}, "geometry": as_geojson(middle)}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    return f"LULC={path}"


def test_a_map_and_a_watched_region_leave_their_figures(server, watched, tmp_path):
    from terramosaic_flows.assess_map import assess_map

    references = (point(tmp_path / "po|nt.geojson", 1),)
    run = watched / "acquisitions" / MapCollection(watched).mapped[0].run_id
    state = assess_map(str(run), references, write=False, return_state=True)
    assert state.is_completed() and state.message.startswith("LULC against po|nt.geojson: overall accuracy ")
    (page,) = artifacts("assessment", state)
    assert page.type == "markdown" and f"## Run {run.name}" in page.data
    assert "### LULC against po\\|nt.geojson: overall accuracy" in page.data
    assert "| class | user's accuracy | producer's accuracy | F1 | IoU |" in page.data
    assert "> po\\|nt.geojson: areas take it that points" in page.data and "It does not show" in page.data
    assert not (run / "assessment.json").exists()

    state = assess_map(str(watched), references, limit=1, return_state=True)
    assert state.message == "1 of 2 acquisitions compared, 1 of them now; 1 left for the next time"
    state = assess_map(str(watched), references, return_state=True)
    assert state.message == "2 of 2 acquisitions compared, 1 of them now"
    (page,) = artifacts("assessment", state)
    rows = [line for line in page.data.splitlines() if line.startswith("| 2023-")]
    assert [row.split(" | ")[0] for row in rows] == ["| 2023-08-15", "| 2023-08-20"]
    assert (watched / "assessments.json").exists()


def test_what_is_wrong_is_said_in_a_line(server, watched, tmp_path, monkeypatch):
    from terramosaic_flows.assess_map import assess_map

    state = assess_map(str(tmp_path), return_state=True)
    assert state.is_failed() and state.message.startswith("plan: cannot read")
    state = assess_map(str(watched), limit=0, return_state=True)
    assert state.message == "limit: 0 is not a number from 1 on"
    monkeypatch.setenv("TERRAMOSAIC_ROOTS", str(watched))
    state = assess_map(str(watched), (point(tmp_path / "a.geojson", 1),), catalog="/etc", return_state=True)
    assert [line.partition(": ")[0] for line in state.message.splitlines()] == ["references", "catalog"]
