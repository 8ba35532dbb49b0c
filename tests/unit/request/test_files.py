"""Region files: what GIS programs write is read where a reader is installed, and told by its name where none is."""

from __future__ import annotations

import json
import os
import random
import sys
import zipfile

import pytest
import shapely
from pyproj import Transformer
from shapely.geometry import box, mapping

from terramosaic.errors import RequestError
from terramosaic.request.features import requests_of
from terramosaic.request.files import area_from_file, read_region
from terramosaic.request.request import request_of

SQUARE = box(13, 45, 13.5, 45.5)
METRES = box(400_000, 5_000_000, 410_000, 5_010_000)


def refused(path):
    with pytest.raises(RequestError) as error:
        area_from_file(str(path))
    assert len(str(error.value).splitlines()) == 1 and str(error.value).startswith("region: ")
    return str(error.value)


def test_geojson_and_wkt_need_no_reader(tmp_path):
    for name, content in (
        ("region.geojson", "\ufeff" + json.dumps(mapping(SQUARE))),  # with the mark that Windows writes
        ("region.wkt", SQUARE.wkt),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8")
        assert area_from_file(str(tmp_path / name)).outline.equals(SQUARE)


@pytest.mark.parametrize(
    ("name", "start", "kind"),
    [
        ("a.gpkg", b"SQLite format 3\0\xff", "GeoPackage"),
        ("a.kml", b"<?xml version='1.0'?>\n<kml><Document/></kml>", "KML"),
        ("a.shp", b"\0\0\x27\x0a\0\0", "Shapefile"),
        ("a.fgb", b"fgb\x03fgb\x00", "FlatGeobuf"),
        ("a.parquet", b"PAR1\x15\x04", "GeoParquet"),
    ],
)
def test_without_a_reader_it_is_said_what_to_install_or_to_convert(tmp_path, monkeypatch, name, start, kind):
    for package in ("pyogrio", "pyarrow"):
        monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / name).write_bytes(start)
    line = refused(tmp_path / name)
    assert f"is a {kind}: pip install 'terramosaic[vectors]' to read it" in line
    assert f"ogr2ogr -t_srs EPSG:4326 region.geojson {tmp_path / name}" in line


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"<html>", "is not GeoJSON"),
        (b"[" * 100_000, "is not GeoJSON"),
        (b"POLYGON((1 2,", "is a WKT that cannot be read"),
        (b"PK\x03\x04 and no more", "is a ZIP that cannot be read: File is not a zip file"),
    ],
)
def test_a_broken_file_is_told_in_a_line(tmp_path, content, line):
    (tmp_path / "region").write_bytes(content)
    assert line in refused(tmp_path / "region")


def test_a_zip_file_that_the_disk_has_damaged_is_read_or_told_in_a_line(tmp_path):
    dice, file = random.Random(13), tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.geojson", json.dumps(mapping(SQUARE) | {"name": "x" * 300}))
    whole, told = file.read_bytes(), set()
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[dice.randrange(4, len(whole))] = dice.randrange(256)
        file.write_bytes(damaged[: dice.choice((len(whole), dice.randrange(4, len(whole))))])
        try:
            assert area_from_file(str(file)).outline.equals(SQUARE)
        except RequestError as error:
            told.add(str(error).partition(": ")[2].removeprefix(f"{file} is a ZIP that cannot be read: ")[:8])
    assert len(told) > 4 and all(line.isprintable() for line in told)


def test_what_is_no_file_is_told_in_a_line(tmp_path):
    assert "cannot read no\\nfile\\x00: " in refused("no\nfile\0")
    assert "cannot read ~nobody/there/is: " in refused("~nobody/there/is")
    os.mkfifo(tmp_path / "pipe")
    assert refused(tmp_path / "pipe").endswith("it is a pipe")


class TestFeatures:
    """A file of several regions."""

    def requests(self, tmp_path, features, **members):
        file = tmp_path / "regions.geojson"
        file.write_text(json.dumps({"type": "FeatureCollection", "features": features, **members}))
        return requests_of(request_of(region=str(file), datetime="2023", out="maps"))

    def feature(self, name, geometry):
        return {"type": "Feature", "properties": {"name": name}, "geometry": geometry and mapping(geometry)}

    def test_one_without_a_geometry_is_passed_over_with_a_warning(self, tmp_path, caplog):
        made = self.requests(tmp_path, [self.feature("a", SQUARE), self.feature("b", None)])
        assert [request.out for request in made.values()] == ["maps/a"]
        assert "region b has no geometry and is passed over" in caplog.text
        with pytest.raises(RequestError, match="none of its 2 features has a geometry"):
            self.requests(tmp_path, [self.feature("a", None), self.feature("b", None)])

    def test_each_lies_in_the_files_crs(self, tmp_path):
        made = self.requests(
            tmp_path,
            [self.feature("a", METRES), self.feature("b", shapely.affinity.translate(METRES, 10_000))],
            crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}},
        )
        west = Transformer.from_crs(32633, 4326, always_xy=True).transform(410_000, 5_010_000)[0]
        assert made["b"].area().outline.bounds[0] == pytest.approx(west, abs=1e-3)

    def test_names_are_folders_whatever_they_hold(self, tmp_path):
        odd = [self.feature(name, SQUARE) for name in ("x" * 300, "/../", "a")]
        odd[2]["properties"] = ["no", "object"]
        first, second, third = self.requests(tmp_path, odd)
        assert first.startswith("x" * 100) and len(first) < 120
        assert second == "region" and third == "region-3"


class TestReaders:
    """With the readers themselves."""

    @pytest.fixture(autouse=True)
    def readers(self):
        self.pyogrio = pytest.importorskip("pyogrio")

    def write(self, path, *geometries, crs="EPSG:32633", driver=None):
        import numpy as np

        self.pyogrio.raw.write(
            path,
            geometry=np.array(shapely.to_wkb(list(geometries)), dtype=object),
            field_data=[np.array([f"region {number}" for number in range(len(geometries))], dtype=object)],
            fields=["name"],
            crs=crs,
            geometry_type="Polygon",
            driver=driver,
        )
        return path

    @pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.fgb"])
    def test_metres_are_transformed(self, tmp_path, name):
        found = area_from_file(str(self.write(tmp_path / name, METRES))).outline
        to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
        assert found.exterior.distance(shapely.Point(to_degrees.transform(400_000, 5_000_000))) < 1e-9

    def test_kml(self, tmp_path):
        path = self.write(tmp_path / "a.kml", SQUARE, crs="EPSG:4326", driver="KML")
        assert area_from_file(str(path)).outline.equals(SQUARE)

    def test_a_shapefile_in_a_zip_file_with_what_belongs_to_it(self, tmp_path):
        self.write(tmp_path / "a.shp", METRES)
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            for file in tmp_path.glob("a.[sdp]*"):
                archive.write(file, f"folder/{file.name}")
        assert area_from_file(str(tmp_path / "a.zip")).outline.equals(
            area_from_file(str(tmp_path / "a.shp")).outline
        )

    def test_features_have_their_names(self, tmp_path):
        path = self.write(tmp_path / "a.gpkg", METRES, shapely.affinity.translate(METRES, 20_000))
        assert list(requests_of(request_of(region=path, datetime="2023"))) == ["region-0", "region-1"]

    def test_a_broken_file_is_told_in_a_line(self, tmp_path):
        (tmp_path / "a.gpkg").write_bytes(b"SQLite format 3\0" + b"\xff" * 100)
        assert "is a GeoPackage that cannot be read" in refused(tmp_path / "a.gpkg")

        ring = "<coordinates>13,45 14,45 14,46 13,46</coordinates>"  # which does not close
        (tmp_path / "a.kml").write_text(
            f"<kml><Document><Placemark><Polygon><outerBoundaryIs><LinearRing>{ring}</LinearRing></outerBoundaryIs>"
            "</Polygon></Placemark></Document></kml>"
        )
        assert "is a KML that cannot be read: IllegalArgumentException: Points of LinearRing" in refused(
            tmp_path / "a.kml"
        )

    def test_geoparquet(self, tmp_path):
        pyarrow = pytest.importorskip("pyarrow")
        from pyproj import CRS

        table = pyarrow.table({"name": ["a", "b"], "geometry": [METRES.wkb, METRES.wkb]})
        about = {
            "version": "1.1.0",
            "primary_column": "geometry",
            "columns": {"geometry": {"encoding": "WKB", "crs": CRS.from_epsg(32633).to_json_dict()}},
        }
        table = table.replace_schema_metadata({"geo": json.dumps(about)})
        import pyarrow.parquet

        pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
        first, second = read_region(str(tmp_path / "a.parquet"))["features"]
        assert (first["properties"], second["properties"]) == ({"name": "a"}, {"name": "b"})
        made = requests_of(request_of(region=str(tmp_path / "a.parquet"), datetime="2023"))
        assert made["a"].area().outline.bounds[0] == pytest.approx(13.73, abs=0.01)
        pyarrow.parquet.write_table(
            table.replace_schema_metadata({}).drop(["geometry"]), tmp_path / "b.parquet"
        )
        assert "its geometry is not in WKB" in refused(tmp_path / "b.parquet")
        (tmp_path / "c.parquet").write_bytes(b"PAR1" + b"\xff" * 100 + b"PAR1")
        assert "is a GeoParquet that cannot be read" in refused(tmp_path / "c.parquet")
