"""A deployment that is limited to roots refuses what a request names beyond them, before any of it is read."""

import pytest

from terramosaic.catalog.hrefs import refusal
from terramosaic.errors import RequestError
from terramosaic.planning.planning import plan
from terramosaic.request.features import requests_of
from terramosaic.request.request import RegionRequest
from terramosaic.settings import ROOTS


@pytest.fixture
def inside(tmp_path, monkeypatch):
    """Fields of a request that the roots allow."""
    monkeypatch.setenv(ROOTS.name, str(tmp_path))
    return {
        "region": [9.0, 43.0, 9.1, 43.1],
        "datetime": "2020-04",
        "out": str(tmp_path),
        "catalog": "earth-search",
    }


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("out", "/etc"),
        ("out", "s3://bucket/maps"),
        ("model", "/etc"),
        ("catalog", "/etc/passwd"),
        ("catalog", "http://169.254.169.254/latest"),
        ("catalogs", {"DEM": "/etc#cop-dem-glo-30"}),
        ("catalogs", {"DEM": "planetary-computer#/../../etc#cop-dem-glo-30"}),
        ("catalog", "https://earth-search.aws.element84.com/v1/../../other"),
        ("exclude", "/etc/ids.txt"),
        ("trust", ["http://169.254.169.254/ids.csv"]),
        ("region", "/etc/passwd"),
        ("region", "http://169.254.169.254/latest"),
    ],
)
def test_a_place_beyond_the_roots_is_refused(inside, field, value):
    request = RegionRequest(**(inside | {field: value}))
    for look in (plan, requests_of) if field == "region" else (plan,):
        with pytest.raises(
            RequestError, match=rf"^{field}: .* is beyond what TERRAMOSAIC_ROOTS allows"
        ) as error:
            look(request)
        assert "\n" not in str(error.value) and "root:" not in str(error.value)


def test_an_item_on_disk_names_no_file_beyond_the_roots(inside, tmp_path):
    assert not refusal(str(tmp_path / "B04.tif"), "disk") and not refusal(
        "https://example.com/B04.tif", "disk"
    )
    assert refusal("/etc/B04.tif", "disk") and refusal(f"file://{tmp_path}/../B04.tif", "disk")
    assert refusal("/vsizip//etc/x.zip/B04.tif", "disk")
