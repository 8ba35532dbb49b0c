"""A file that is no region is called that, and nothing of what it holds is told or followed."""

import pytest

from terramosaic.errors import RequestError
from terramosaic.request.area import area_from_geojson
from terramosaic.request.files import area_from_file, geojson_of_wkt, kind_of

SECRET = "S3cr3t"


@pytest.mark.parametrize(
    "content",
    [
        f"root:{SECRET}:0:0:root:/root:/bin/bash\n",
        f'"{SECRET}"',
        f'{{"type": "{SECRET}"}}',
        f'{{"type": "Feature", "geometry": {{"type": "{SECRET}"}}}}',
        f'{{"type": "Polygon", "coordinates": [[["{SECRET}", 1], [2, 2], [3, 1]]]}}',
        f'{{"type": "Polygon", "coordinates": "{SECRET}"}}',
        f"POLYGON (({SECRET}))",
        f"<kml><{SECRET}/></kml",
        f"\xff{SECRET}",
    ],
)
def test_an_error_tells_nothing_of_a_file_that_was_named(content, tmp_path):
    path = tmp_path / "region"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(RequestError, match=r"^region: ") as error:
        area_from_file(str(path))
    assert SECRET not in str(error.value) and "\n" not in str(error.value)


def test_what_is_wanted_is_said_where_it_is_known():
    with pytest.raises(ValueError, match="wanted, not Point"):
        area_from_geojson({"type": "Point", "coordinates": [1, 2]})
    with pytest.raises(ValueError, match="well-known text"):
        geojson_of_wkt("POLYGON ((a")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (
            b"<?xml version='1.0'?>\n<!-- of a program -->\n<kml xmlns='http://www.opengis.net/kml/2.2'/>",
            "KML",
        ),
        (b"<kml:kml/>", "KML"),
        # GDAL would open the sources that these name.
        (
            b"<OGRVRTDataSource><!-- <kml> --><SrcDataSource>/etc/x.gpkg</SrcDataSource></OGRVRTDataSource>",
            "GeoJSON",
        ),
        (
            b"<kml><OGRVRTDataSource><SrcDataSource>/etc/x.gpkg</SrcDataSource></OGRVRTDataSource></kml>",
            "GeoJSON",
        ),
        (b"<OGRWFSDataSource><URL>http://169.254.169.254/</URL></OGRWFSDataSource>", "GeoJSON"),
    ],
)
def test_a_document_that_names_others_is_no_kml(content, kind):
    assert kind_of(content) == kind
