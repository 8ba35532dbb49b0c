"""Which places a deployment allows: below its roots, however they are written."""

import pytest

from terramosaic.errors import RequestError
from terramosaic.settings import ROOTS
from terramosaic.storage.roots import is_within_roots, require_within_roots


@pytest.fixture(autouse=True)
def roots(tmp_path, monkeypatch):
    """A folder, a bucket's part and a server, with a link that leads out of the folder."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "out").symlink_to(tmp_path)
    (tmp_path / "in").symlink_to(tmp_path / "data")
    monkeypatch.setenv(ROOTS.name, f"{tmp_path}/data, s3://bucket/maps/,https://stac.example.com/v1")
    monkeypatch.chdir(tmp_path / "data")


@pytest.mark.parametrize(
    "place",
    [
        "{}/data",
        "{}/data/maps/deep",
        "{}/data/../data/maps",
        "{}/in/maps",
        "maps",
        "file://{}/data/a%20b",
        "s3://bucket/maps",
        "s3://bucket/maps/33TWL",
        "s3://bucket//maps/33TWL",
        "https://stac.example.com/v1/",
        "HTTPS://user:word@STAC.example.com:443/v1/search?token=x",
    ],
)
def test_what_is_below_a_root_is_allowed(place, tmp_path):
    assert is_within_roots(place.format(tmp_path))


@pytest.mark.parametrize(
    "place",
    [
        "/etc/passwd",
        "{}",
        "{}/database",
        "{}/data/../other",
        "{}/data/out/other",
        "../other",
        "~/maps",
        "file:///etc/passwd",
        "file://{}/data/%2e%2e/other",
        "file://{}/data/../other",
        "{}/data/\0",
        "s3://bucket",
        "s3://bucket/maps2",
        "s3://bucket/maps/../other",
        "s3://bucket/maps/%2e%2e/other",
        "s3://bucket/maps/%252e%252e/other",
        "s3://other/maps",
        "gs://bucket/maps",
        "http://stac.example.com/v1",
        "https://stac.example.com:8443/v1",
        "https://stac.example.com/v10",
        "https://stac.example.com@evil.example/v1",
        "https://stac.example.com/v1/..\\other",
        "http://[::1/v1",
    ],
)
def test_what_is_beyond_is_refused_in_a_line(place, tmp_path):
    with pytest.raises(
        RequestError, match=r"^out: .* is beyond what TERRAMOSAIC_ROOTS allows here; take a place in"
    ):
        require_within_roots(("out", place.format(tmp_path)))


def test_without_roots_every_place_is_allowed(monkeypatch):
    monkeypatch.delenv(ROOTS.name)
    require_within_roots(("out", "/etc"), ("catalog", "https://anywhere.example"))


def test_a_container_is_another_place_than_its_neighbour(monkeypatch):
    account = "account.dfs.core.windows.net"
    monkeypatch.setenv(ROOTS.name, f"abfs://maps@{account}/a")
    assert is_within_roots(f"abfs://maps@{account}/a/b")
    assert not is_within_roots(f"abfs://other@{account}/a/b") and not is_within_roots(f"abfs://{account}/a/b")
