"""Regions by URL, from a loopback server: read when planned, refused in one line, and frozen by the plan."""

from __future__ import annotations

import json

import pytest
from shapely.geometry import box

from terramosaic import assemble, plan, publish, run_block
from terramosaic.errors import RequestError
from terramosaic.ground.grid import Rect
from terramosaic.ground.zones import as_geojson, lonlat_of
from terramosaic.planning.folder import is_complete, read_plan
from terramosaic.request.files import area_from_file
from terramosaic.request.region import GeoJsonFile
from tests.integration.conftest import EPSG, LAND
from tests.support.file_server import serve_files


@pytest.fixture
def files(tmp_path):
    (tmp_path / "www").mkdir()
    with serve_files(tmp_path / "www") as server:
        yield server


def polygon(rect: Rect) -> dict:
    left, bottom, right, top = rect.bounds
    return as_geojson(lonlat_of(box(left + 4, bottom + 4, right - 4, top - 4), EPSG))


def write(tmp_path, name: str, content: dict | str) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    (tmp_path / "www" / name).write_text(text, encoding="utf-8")


def test_a_region_is_the_same_by_path_http_and_file_url(files, tmp_path):
    write(tmp_path, "region.geojson", polygon(Rect(LAND.row, LAND.col, 300, 200)))
    path = tmp_path / "www" / "region.geojson"
    files.fail["region.geojson"] = (503, 1)
    outlines = {
        area_from_file(where).outline.wkt for where in (str(path), files.url("region.geojson"), path.as_uri())
    }
    assert len(outlines) == 1 and files.requests["region.geojson"] == 2


def test_what_is_wrong_with_a_url_is_said_in_one_line(files, tmp_path, quick_retries, monkeypatch):
    write(tmp_path, "page.html", "<html>")
    write(tmp_path, "point.geojson", {"type": "Point", "coordinates": [1, 2]})
    write(tmp_path, "large.geojson", {"type": "Polygon", "coordinates": [[[1, 2]] * 1000]})
    monkeypatch.setattr("terramosaic.request.files._LARGEST_FILE", 2000)
    files.fail["down.geojson"] = (503, 9)
    said = {}
    urls = [
        files.url(name)
        for name in ("none.geojson", "down.geojson", "page.html", "point.geojson", "large.geojson")
    ]
    closed = "http://127.0.0.1:9/region.geojson"
    for url in [
        *urls,
        closed,
        f"{closed}?signature=secret",
        "file:///no/such.geojson",
        "gopher://a/b",
        "http://",
        "http:///x",
        "https://[::1/region",
    ]:
        with pytest.raises(RequestError) as error:
            area_from_file(url)
        said[url.rpartition("/")[2]] = str(error.value)
        assert str(error.value).startswith("region: ") and len(str(error.value).splitlines()) == 1
    assert "cannot read" in said["none.geojson"] and said["none.geojson"].endswith(
        "the server answers 404 Not Found"
    )
    assert said["down.geojson"].endswith("503 Service Unavailable") and files.requests["down.geojson"] == 5
    assert files.requests["none.geojson"] == 2
    assert "is not GeoJSON" in said["page.html"]
    assert "Polygon or MultiPolygon is wanted, not Point" in said["point.geojson"]
    assert "it is larger than 0.002 MB" in said["large.geojson"]
    assert "refused" in said["region.geojson"] and "secret" not in said["region.geojson?signature=secret"]
    assert said["such.geojson"].endswith("there is no such file")
    assert "gopher" in said["b"]


def test_a_plan_keeps_the_region_that_it_was_made_for(files, land, tmp_path):
    rect = Rect(LAND.row, LAND.col, 300, 200)
    write(tmp_path, "region.geojson", polygon(rect))
    whole = land.request(rect, tmp_path / "out", targets=("NDVI",))
    request = whole.model_copy(update={"region": GeoJsonFile(path=files.url("region.geojson"))})
    made = plan(request)
    run_block(made, made.blocks[0])
    folder = tmp_path / "out" / made.run_id
    # Another region by now: what was begun goes on as it was planned, in any process.
    write(tmp_path, "region.geojson", polygon(Rect(LAND.row + 300, LAND.col, 300, 200)))
    again = read_plan(folder)
    assert again.zones == made.zones and again.region == made.region
    for block in again.blocks[1:]:
        run_block(again, block)
    assemble(again)
    publish(again)
    assert is_complete(again)
    # And a new plan sees it.
    assert plan(request).run_id != made.run_id
