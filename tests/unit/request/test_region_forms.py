"""What may stand for a region: each form comes to the area that is meant, or is refused by name."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from pyproj import Transformer
from shapely.geometry import box, mapping

from terramosaic.errors import RequestError
from terramosaic.request.region import BoundingBox, GeoJson, GeoJsonFile, MgrsTile
from terramosaic.request.request import RegionRequest, request_of

SQUARE = box(13, 45, 13.5, 45.5)


def request(region):
    made = request_of(region=region, datetime="2023")
    assert RegionRequest.model_validate_json(made.model_dump_json()) == made
    return made


def outline(region):
    return request(region).area().outline


def refused(region):
    with pytest.raises(RequestError) as error:
        request(region)
    assert len(str(error.value).splitlines()) == 1 and str(error.value).startswith("region: ")
    return str(error.value)


@pytest.mark.parametrize(
    ("region", "form"),
    [
        (np.array([13, 45, 13.5, 45.5]), BoundingBox),
        ([np.float32(13), np.int64(45), np.float64(13.5), 45.5], BoundingBox),
        ([13, 45, 0, 13.5, 45.5, 900], BoundingBox),  # with heights, as in a STAC item
        ("13, 45, 13.5, 45.5", BoundingBox),
        (SQUARE, GeoJson),
        (SimpleNamespace(__geo_interface__=mapping(SQUARE)), GeoJson),
        (SQUARE.wkt, GeoJson),
        (shapely.to_geojson(SQUARE), GeoJson),
        ({"type": "GeometryCollection", "geometries": [mapping(SQUARE)]}, GeoJson),
    ],
)
def test_a_square_is_the_same_in_every_form(region, form):
    assert isinstance(request(region).region, form)
    assert outline(region).equals(SQUARE)


@pytest.mark.parametrize("tile", ["33TWL", "T33TWL", "t33twl", "MGRS-33TWL"])
def test_a_tile_is_known_by_all_its_names(tile):
    assert isinstance(request(tile).region, MgrsTile)
    assert outline(tile).equals(outline({"tile": "33TWL"}))


def test_a_file_is_known_by_its_path():
    assert request("maps/33TWL.gpkg").region == GeoJsonFile(path="maps/33TWL.gpkg")


class TestOtherCoordinates:
    def test_geojson_says_them_by_its_crs_member(self):
        # European Datum 1950, whose degrees lie some 70 m west and 100 m south here
        crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::4230"}}
        feature = {"type": "Feature", "properties": {}, "geometry": mapping(SQUARE)}
        found = outline({"type": "FeatureCollection", "crs": crs, "features": [feature]})
        expected = Transformer.from_crs(4230, 4326, always_xy=True).transform(13, 45)
        assert found.exterior.distance(shapely.Point(expected)) < 1e-9 and found.bounds[0] < 12.9992

    @pytest.mark.parametrize("name", ["urn:ogc:def:crs:OGC:1.3:CRS84", "EPSG:4326"])
    def test_degrees_stay_as_they_are(self, name):
        crs = {"type": "name", "properties": {"name": name}}
        assert outline({**mapping(SQUARE), "crs": crs}).equals(SQUARE)

    def test_metres_become_degrees_and_long_edges_stay_where_they_were(self):
        metres = box(400_000, 5_000_000, 500_000, 5_100_000)
        to_degrees = Transformer.from_crs(32633, 4326, always_xy=True)
        middle = shapely.Point(to_degrees.transform(450_000, 5_000_000))
        for region in (f"SRID=32633;{metres.wkt}", shapely.set_srid(metres, 32633)):
            found = outline(region)
            assert found.bounds[3] == pytest.approx(to_degrees.transform(500_000, 5_100_000)[1])
            assert found.exterior.distance(middle) < 1e-5

    def test_a_frame_that_knows_its_crs_is_asked_for_degrees(self):
        frame = SimpleNamespace(crs="EPSG:32633", to_crs={"EPSG:4326": SQUARE}.get)
        assert outline(frame).equals(SQUARE)

    @pytest.mark.parametrize(
        ("crs", "line"),
        [
            ({"type": "link", "properties": {"href": "x"}}, "is no name such as EPSG:32633"),
            ({"type": "name", "properties": {"name": "EPSG:1"}}, "crs EPSG:1 cannot be transformed"),
            ("+proj=utm +zone=33", "a code such as EPSG:32633 is wanted"),
            ("EPSG:5773", "neither geographic nor projected"),
            ("EPSG:2056", "coordinates do not lie in crs EPSG:2056"),
        ],
    )
    def test_what_cannot_be_transformed_is_refused_by_name(self, crs, line):
        far = mapping(box(1e30, 1e30, 2e30, 2e30) if crs == "EPSG:2056" else SQUARE)
        assert line in refused({**far, "crs": crs})


class TestSeveralPolygons:
    WEST, EAST, OVER = box(13, 45, 13.1, 45.1), box(13.1, 45, 13.2, 45.1), box(13.05, 45, 13.2, 45.1)

    @pytest.mark.parametrize("other", [EAST, OVER])
    @pytest.mark.parametrize("kind", [shapely.MultiPolygon, shapely.GeometryCollection])
    def test_neighbours_and_overlapping_ones_are_one(self, kind, other):
        assert outline(mapping(kind([self.WEST, other]))).equals(box(13, 45, 13.2, 45.1))

    def test_apart_they_stay_as_they_were_drawn(self):
        apart = shapely.MultiPolygon([box(15, 45, 15.1, 45.1), self.WEST])
        assert outline(apart) == apart

    def test_one_that_crosses_itself_is_refused(self):
        bowtie = shapely.Polygon([(14, 45), (15, 46), (15, 45), (14, 46)])
        for kind in (shapely.MultiPolygon, shapely.GeometryCollection):
            assert "polygon is not valid: Self-intersection" in refused(mapping(kind([self.WEST, bowtie])))

    def test_a_collection_of_something_else_is_refused(self):
        mixed = shapely.GeometryCollection([self.WEST, shapely.Point(13, 45)])
        assert "a Polygon or MultiPolygon is wanted, not Point" in refused(mixed)
        assert "it is empty" in refused({"type": "GeometryCollection", "geometries": []})


class TestLongitudesUpTo360:
    @pytest.mark.parametrize(
        ("east_of_greenwich", "usual"),
        [
            ((200, 10, 201, 11), (-160, 10, -159, 11)),
            ((179, 10, 181, 11), (179, 10, -179, 11)),
            ((359, 10, 1, 11), (-1, 10, 1, 11)),
        ],
    )
    def test_of_a_box(self, east_of_greenwich, usual):
        assert outline(east_of_greenwich).equals(outline(usual))

    def test_of_polygons(self):
        assert outline(box(200, 10, 201, 11)).equals(box(-160, 10, -159, 11))
        assert outline(box(179, 10, 181, 11)).equals(outline((179, 10, -179, 11)))
        greenwich = shapely.MultiPolygon([box(359, 10, 360, 11), box(0, 10, 1, 11)])
        assert outline(greenwich).equals(box(-1, 10, 1, 11))

    def test_out_of_range_is_refused(self):
        assert "less than or equal to 360 (not 361)" in refused((361, 10, 362, 11))
        assert "wider than 180 degrees" in refused((0, 10, 360, 11))
        assert "is it in degrees?" in refused(box(-1, 10, 181, 11))
