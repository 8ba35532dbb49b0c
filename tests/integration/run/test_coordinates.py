"""Coordinates as a table: a row a window, wherever blocks lie, told by item and report, and verified."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow
import pytest
import rasterio
import shapely
from pyarrow import parquet
from pyproj import Geod, Transformer
from rich.console import Console

from terramosaic import map_region, open_run, verify
from terramosaic.cli.show import result_as_json, show_result
from terramosaic.errors import OutputError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.mosaic.result import MapResult
from terramosaic.planning.folder import RunFolder, read_plan
from terramosaic.storage.files import remove
from tests.integration.conftest import EPSG, LAND
from tests.support.pixels import read
from tests.unit.model.toy_terramind import make_toy

#: Where four blocks meet, over a part of the hole.
RECT = Rect(LAND.row + 420, LAND.col + 600, 330, 500)
#: A part of it, and of what lies beside it.
BESIDE = Rect(LAND.row + 500, LAND.col + 850, 230, 600)


@pytest.fixture(scope="module")
def mapped(land, tmp_path_factory) -> Callable[..., MapResult]:
    toy = str(make_toy(tmp_path_factory.mktemp("toy") / "bundle", locates=True))
    out = tmp_path_factory.mktemp("mapped")

    def mapped(targets=("NDVI", "coordinates"), rect=RECT, **options) -> MapResult:
        return map_region(
            land.request(rect, options.pop("out", out), targets=targets, model=toy, steps=1, **options)
        )

    return mapped


@pytest.fixture(scope="module")
def placed(land, tmp_path_factory) -> Callable[..., MapResult]:
    toy = str(make_toy(tmp_path_factory.mktemp("placed") / "bundle", placed=True))
    out = tmp_path_factory.mktemp("out")

    def placed(rect=RECT, **options) -> MapResult:
        fields = {"targets": ("NDVI",), "inputs": ("S2L2A", "coordinates"), "steps": 1, **options}
        return map_region(land.request(rect, out, model=toy, **fields))

    return placed


@pytest.fixture(scope="module")
def run(mapped) -> MapResult:
    return mapped()


def table_of(run: MapResult) -> pyarrow.Table:
    return parquet.read_table(run.tables["coordinates"])


def rows_of(run: MapResult) -> dict[tuple[int, int], tuple[float | None, bytes | None]]:
    return {
        (row["row"], row["column"]): (row["distance_km"], row["geometry"])
        for row in table_of(run).to_pylist()
    }


def test_each_window_has_a_row(run):
    """All that touch the region, each once, though four blocks see some of them."""
    table = table_of(run)
    windows = list(zip(*(table[name].to_pylist() for name in ("zone", "row", "column")), strict=True))
    wanted = [
        (EPSG, i, j)
        for i in range((RECT.row - 224) // 192 + 1, (RECT.row_end - 1) // 192 + 1)
        for j in range((RECT.col - 224) // 192 + 1, (RECT.col_end - 1) // 192 + 1)
    ]
    assert windows == wanted
    assert len(run.plan.blocks) > 1


def test_a_row_says_where_the_window_lies_and_where_it_is_taken_to(run):
    transformer, geod = Transformer.from_crs(EPSG, 4326, always_xy=True), Geod(ellps="WGS84")
    places = 0
    for row in table_of(run).to_pylist():
        middle = (row["column"] * 192 + 112) * 10, 10_000_000 - (row["row"] * 192 + 112) * 10
        lon, lat = transformer.transform(*middle)
        assert (row["longitude"], row["latitude"]) == pytest.approx((lon, lat), abs=1e-9)
        if row["geometry"] is None:
            assert row["distance_km"] is None
            continue
        point = shapely.from_wkb(row["geometry"])
        assert point.x in (14.5, 14.75, 15, 15.25) and point.y in (45.5, 45.75, 46, 46.25)
        assert row["distance_km"] == pytest.approx(geod.inv(lon, lat, point.x, point.y)[2] / 1000)
        places += 1
    assert 0 < places < len(table_of(run))


def test_it_is_geoparquet(run):
    """Version 1.1: without a CRS, longitude and latitude of WGS 84."""
    metadata = json.loads(table_of(run).schema.metadata[b"geo"])
    column = metadata["columns"][metadata["primary_column"]]
    assert metadata["version"] == "1.1.0"
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Point"])
    assert "crs" not in column
    points = [shapely.from_wkb(each) for each in table_of(run)["geometry"].to_pylist() if each]
    assert column["bbox"] == list(shapely.total_bounds(points))


def test_ground_decides(run, mapped):
    """Windows that two regions share say the same, whatever blocks, batches and further targets there are."""
    one, other = rows_of(run), rows_of(mapped(rect=BESIDE))
    shared = one.keys() & other.keys()
    assert len(shared) > 3 and shared < one.keys() and shared < other.keys()
    assert {key: one[key] for key in shared} == {key: other[key] for key in shared}
    assert rows_of(mapped(block_size=1024)) == one
    assert rows_of(mapped(("NDVI", "embedding", "coordinates"))) == one
    assert rows_of(mapped(seed=5)) != one


def test_other_targets_are_as_if_it_were_not_asked(run, mapped):
    alone = mapped(("NDVI",))
    with rasterio.open(run.mosaics["NDVI"]) as one, rasterio.open(alone.mosaics["NDVI"]) as other:
        np.testing.assert_array_equal(one.read(), other.read())
    assert not (alone.folder / "coordinates.parquet").exists()


def test_it_may_be_asked_alone_and_at_a_stride_of_its_own(mapped):
    run = mapped(("coordinates",))
    assert set(run.mosaics) == {"acquired", "quality"}
    assert run.report.exists() and len(rows_of(run)) == len(rows_of(mapped()))
    wide = mapped(strides={"coordinates": 224})
    transformer = Transformer.from_crs(4326, EPSG, always_xy=True)
    eastings = [
        transformer.transform(row["longitude"], row["latitude"])[0] for row in table_of(wide).to_pylist()
    ]
    assert eastings == pytest.approx(
        [(each * 224 + 112) * 10 for each in table_of(wide)["column"].to_pylist()]
    )
    assert verify(wide, windows=4, seed=1, write=False).passed


def test_a_result_names_it(run, mapped, capsys):
    path = run.folder / "coordinates.parquet"
    assert run.tables == {"coordinates": path} and mapped(("NDVI",)).tables == {}
    assert result_as_json(run)["tables"] == {"coordinates": str(path)}
    assert "tables" not in result_as_json(mapped(("NDVI",)))
    show_result(Console(width=40), run)
    assert str(path) in capsys.readouterr().out.splitlines()


def test_item_and_report_tell_it(run):
    item = json.loads(run.item.read_text())
    asset = item["assets"]["coordinates"]
    assert asset["type"] == "application/vnd.apache.parquet"
    assert asset["file:size"] == (run.folder / "coordinates.parquet").stat().st_size
    figures = item["properties"]["terramosaic:coordinates"]
    distances = [row["distance_km"] for row in table_of(run).to_pylist()]
    placed = [each for each in distances if each is not None]
    assert figures["windows"] == len(distances) and figures["without"] == len(distances) - len(placed)
    assert figures["median"] == pytest.approx(np.median(placed), abs=1e-3)
    assert figures["near"] == sum(each <= 50 for each in placed)
    report = run.report.read_text()
    assert "<h3>Coordinates</h3>" in report and "Median distance" in report


def test_verification_computes_places_again(run, tmp_path):
    found = verify(run, windows=6, seed=3, write=False)
    assert found.passed and found.verified == 6
    copy = shutil.copytree(run.folder, tmp_path / run.folder.name)
    path = copy / "coordinates.parquet"
    table = parquet.read_table(path)
    moved = [each and shapely.to_wkb(shapely.Point(0, 0)) for each in table["geometry"].to_pylist()]
    parquet.write_table(table.set_column(6, "geometry", pyarrow.array(moved, pyarrow.binary())), path)
    found = verify(copy, windows=10_000, seed=3, write=False)
    assert [flaw.file for flaw in found.flaws] == ["coordinates.parquet"]
    assert found.differing and all(each.mosaics == {"coordinates": 1} for each in found.differing)
    # Those that have no place still have none.
    assert 0 < found.verified < found.drawn


def test_a_damaged_table_or_raster_is_made_anew(mapped, tmp_path):
    run = mapped(out=tmp_path)
    path, wanted = run.folder / "coordinates.parquet", rows_of(run)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(OutputError, match=r"coordinates\.parquet is damaged"):
        open_run(run.folder)
    assert rows_of(mapped(out=tmp_path)) == wanted
    # And from a block whose own raster is damaged, which is computed again.
    plan = read_plan(run.folder)
    raster = Path(RunFolder.of(plan).block_raster(plan.blocks[0], "coordinates"))
    with rasterio.open(raster, "r+") as file:
        file.write(np.full((2, *file.shape), 7, np.float32))
    remove(path)
    remove(run.item)
    assert rows_of(mapped(out=tmp_path)) == wanted


def test_what_it_cannot_be_written_with_is_told_first(mapped, monkeypatch):
    monkeypatch.setattr("terramosaic.planning.prepared.find_spec", lambda name: None)
    with pytest.raises(RequestError, match=r"pip install 'terramosaic\[vectors\]' \(pyarrow is missing\)"):
        mapped(seed=77)


class TestAsInput:
    """Where windows lie is put in: it needs no imagery, and stays a function of the place."""

    def test_the_map_hangs_on_it(self, placed):
        with_it, without = placed(), placed(inputs=("S2L2A",))
        assert with_it.plan.run_id != without.plan.run_id
        assert (read(with_it.mosaics["NDVI"])[0] != read(without.mosaics["NDVI"])[0]).mean() > 0.1
        assert "Sentinel-2 L2A and where windows lie" in description_of(with_it)

    def test_ground_decides_and_verification_agrees(self, placed):
        (one, here), (other, there) = (read(placed(rect).mosaics["NDVI"]) for rect in (RECT, BESIDE))
        shared = here.intersection(there)
        np.testing.assert_array_equal(one[:, *shared.slices(here)], other[:, *shared.slices(there)])
        found = verify(placed(), windows=5, seed=2, write=False)
        assert found.passed and found.verified == 5

    def test_windows_that_share_tokens_have_it_too(self, placed):
        run = placed(consensus="tokens", conditioning="independent")
        alone = placed(consensus="tokens", conditioning="independent", inputs=("S2L2A",))
        assert (read(run.mosaics["NDVI"])[0] != read(alone.mosaics["NDVI"])[0]).any()
        assert verify(run, windows=2, seed=2, write=False).passed

    def test_alone_it_is_of_no_day(self, placed):
        with pytest.raises(RequestError, match="coordinates alone is of no day and no pass"):
            placed(inputs=("coordinates",))

    def test_no_catalog_has_it(self, placed):
        with pytest.raises(RequestError, match="catalogs: coordinates is not read"):
            placed(catalogs={"coordinates": "earth-search"})


def description_of(run: MapResult) -> str:
    """What a mosaic's tags say it was made from."""
    with rasterio.open(run.mosaics["NDVI"]) as file:
        return str(file.tags()["TIFFTAG_IMAGEDESCRIPTION"])
