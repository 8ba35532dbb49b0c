"""The maps of a watched region compared with references that were made for them, over time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from terramosaic.errors import CatalogError, RequestError
from terramosaic.evaluation.assessment import assessment_of
from terramosaic.evaluation.series import AssessmentSeries
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.planning.folder import RunFolder
from terramosaic.watch.assessing import assess_watched, watched_folder
from terramosaic.watch.collection import MapCollection
from tests.integration.conftest import EPSG, LAND, Catalog
from tests.integration.watch.newest_region import put, watch

pytest.importorskip("odc.stac", reason="the extra assess is not installed")

PLACE = Rect(LAND.row, LAND.col, 300, 300)
DAYS = ("2023-08-15", "2023-08-20", "2023-08-25")


@pytest.fixture(scope="module")
def watched(tmp_path_factory) -> Path:
    """Three acquisitions, the later ones brighter, so that their NDVI is another."""
    folder = tmp_path_factory.mktemp("watched")
    (folder / "catalog").mkdir()
    catalog = Catalog(folder / "catalog")
    for number, day in enumerate(DAYS):
        put(catalog, day, place=PLACE, level=400 * number)
    request = catalog.request(PLACE, folder / "maps", datetime="2023-08", targets=("NDVI", "LULC"))
    watch(request, "2023-08-31", newest=False)
    return folder / "maps"


@pytest.fixture
def out(watched, tmp_path) -> Path:
    """A copy of it, to write into."""
    return Path(shutil.copytree(watched, tmp_path / "maps"))


def runs_in(out: Path) -> list[RunFolder]:
    """In order of time."""
    return [RunFolder(out / "acquisitions" / held.run_id) for held in MapCollection(out).mapped]


def ndvi(run: RunFolder) -> np.ndarray:
    with rasterio.open(run.path / "NDVI.tif") as dataset:
        return dataset.read(1) / 10_000


def reference(path: Path, pixels: np.ndarray) -> str:
    """A reference of the maps' own pixels."""
    with rasterio.open(
        path, "w", driver="GTiff", height=PLACE.height, width=PLACE.width, count=1, dtype="float32",
        crs=f"EPSG:{EPSG}", transform=PLACE.transform,
    ) as file:  # fmt: skip
        file.write(pixels.astype(np.float32), 1)
    return f"NDVI={path}"


def test_the_newest_come_first_and_the_others_at_the_next_call(out, tmp_path):
    runs = runs_in(out)
    truth = reference(tmp_path / "truth.tif", ndvi(runs[0]))
    first = assess_watched(out, [truth], limit=2)
    assert (first.acquisitions, first.assessed, first.waiting) == (3, 2, 1)
    assert [row.acquisition for row in first.rows] == [*DAYS[1:]]
    assert "1 left for the next time" in first.summary
    second = assess_watched(out, [truth], limit=2)
    assert (second.assessed, second.waiting, second.missing) == (1, 0, ())
    assert [row.acquisition for row in second.rows] == [*DAYS]
    for row, run in zip(second.rows, runs, strict=True):
        assert row.bias == pytest.approx(float((ndvi(run) - ndvi(runs[0])).mean()), abs=1e-5)
        kept = assessment_of(run)
        assert kept is not None and kept.comparisons[0].bands[0].bias == row.bias
    assert abs(second.rows[0].bias) < 1e-6 < abs(second.rows[2].bias)
    kept = json.loads((out / "assessments.json").read_text())
    assert [row["bias"] for row in kept["rows"]] == [row.bias for row in second.rows]
    assert assess_watched(out, [truth]).assessed == 0


def test_what_was_compared_with_something_else_is_compared_again(out, tmp_path):
    runs = runs_in(out)
    truth = reference(tmp_path / "truth.tif", ndvi(runs[0]))
    assert assess_watched(out, [truth], samples=1).assessed == 3
    assert assess_watched(out, [truth], samples=2).assessed == 3
    # A map of one block of 300 pixels has four parts.
    assert assess_watched(out, [truth], samples=4).assessed == 3
    assert assess_watched(out, [truth], samples=99).assessed == 0
    reference(tmp_path / "truth.tif", ndvi(runs[0]) + 0.25)
    assert assess_watched(out, [truth]).rows[0].bias == pytest.approx(-0.25, abs=1e-4)
    item = json.loads(runs[1].item_file.read_text())
    item["assets"]["NDVI"]["file:checksum"] = "1220" + "0" * 64
    runs[1].item_file.write_text(json.dumps(item))
    assert assess_watched(out, [truth]).assessed == 1


def cover(folder: Path, year: int) -> None:
    """A land cover of a year: water everywhere."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{year}.tif"
    reference(path, np.ones(PLACE.shape))
    times = {"start_datetime": f"{year}-01-01T00:00:00Z", "end_datetime": f"{year + 1}-01-01T00:00:00Z"}
    outline = lonlat_of(PLACE.geobox(EPSG).extent.geom, EPSG)
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": str(year), "collection": "io-lulc-annual-v02", "links": [],
        "geometry": as_geojson(outline), "bbox": list(outline.bounds), "properties": {"datetime": None, **times},
        "assets": {"data": {"href": str(path)}},
    }  # fmt: skip
    (folder / f"{year}.json").write_text(json.dumps(item))


def test_a_reference_that_was_missing_is_looked_for_again_after_what_was_never_compared(out, tmp_path):
    cover(tmp_path / "cover", 2019)
    options = {"references": ["io-lulc"], "catalog": str(tmp_path / "cover")}
    found = assess_watched(out, limit=2, **options)
    assert not found.rows and isinstance(found.failure, CatalogError)
    assert {one.reference for one in found.missing} == {"io-lulc"} and "of 2019" in found.missing[0].reason
    cover(tmp_path / "cover", 2023)
    found = assess_watched(out, limit=1, **options)
    assert [row.acquisition for row in found.rows] == [DAYS[0]] and found.rows[0].water_iou is not None
    assert [one.acquisition for one in found.missing] == [*DAYS[1:]] and found.failure is None
    assert len(assess_watched(out, **options).rows) == 3


def test_a_map_that_is_gone_is_told_and_the_others_are_compared(out, tmp_path):
    runs = runs_in(out)
    truth = reference(tmp_path / "truth.tif", ndvi(runs[0]))
    shutil.rmtree(runs[1].path)
    (runs[2].path / "NDVI.tif").unlink()
    found = assess_watched(out, [truth], write=False)
    assert [row.acquisition for row in found.rows] == [DAYS[0]]
    assert [one.acquisition for one in found.missing] == [*DAYS[1:]]
    assert "there is no such file" in found.missing[0].reason
    assert not (out / "assessments.json").exists() and not runs[0].assessment_file.exists()


def test_the_command_tells_it_as_a_table_and_as_json(out, tmp_path, run_here):
    truth = reference(tmp_path / "truth.tif", ndvi(runs_in(out)[0]))
    done = run_here("assess", str(out), "--reference", truth, "--limit", "2")
    assert done.returncode == 0, done.stderr
    # Reports of watched maps always stay as they are.
    assert "report and item stay" not in done.stderr
    for text in (
        "NDVI against truth.tif",
        DAYS[2],
        "RMSE",
        "2 of 3 acquisitions compared, 2 of them now; 1 left",
    ):
        assert text in done.stdout
    done = run_here("assess", str(out / "collection.json"), "--reference", truth, "--json")
    assert len(AssessmentSeries.model_validate_json(done.stdout).rows) == 3


def test_what_is_asked_wrong(out, tmp_path, run_here):
    done = run_here("assess", str(out), "--reference", "cop-dem")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "terramosaic: reference: cop-dem is of DEM, and the run has NDVI, LULC\n"
    assert watched_folder(out.parent) is None and watched_folder(out / "acquisitions") is None
    (out / "collection.json").write_text(
        json.dumps({"type": "Collection", "links": [], "id": "none", "assets": {}})
    )
    with pytest.raises(RequestError, match="has no map yet"):
        assess_watched(out)
