"""What an item may name as its file, by where the item was found."""

import socket

import pytest

from terramosaic.catalog import hrefs
from terramosaic.catalog.hrefs import origin_of, refusal
from terramosaic.settings import PRIVATE_HOSTS, ROOTS

ADDRESSES = {
    "public.example": "93.184.215.14",
    "inside.example": "10.1.2.3",
    "mapped.example": "::ffff:169.254.169.254",
    "nat64.example": "64:ff9b::7f00:1",
    "link.example": "fe80::1%eth0",
}


@pytest.fixture(autouse=True)
def names(monkeypatch):
    """Names without a name server; addresses mean themselves, in all the ways that the system knows to write them."""
    real = socket.getaddrinfo

    def look_up(host, *rest, **more):
        if host in ADDRESSES:
            return [(0, 0, 0, "", (ADDRESSES[host], 0))]
        return real(host, *rest, flags=socket.AI_NUMERICHOST, **more)

    monkeypatch.setattr(hrefs.socket, "getaddrinfo", look_up)
    hrefs._known_addresses.cache_clear()
    yield
    hrefs._known_addresses.cache_clear()


@pytest.mark.parametrize(
    "href",
    [
        "https://public.example/B04.tif",
        "HTTPS://public.example/B04.tif",
        "http://user:word@public.example:8080/a%20b.tif?sig=x",
        "s3://bucket/B04.jp2",
        "gs://bucket/B04.jp2",
        "az://container/B04.tif",
        "abfs://container@account.dfs.core.windows.net/B04.tif",
        "https://8.8.8.8/B04.tif",
        # Nobody knows it: it cannot be opened, and that is what is told.
        "https://no-such-host.invalid/B04.tif",
    ],
)
def test_what_is_on_the_network_may_be_named_by_what_came_from_there(href):
    assert not refusal(href, "public")


@pytest.mark.parametrize(
    "href",
    [
        "/data/B04.tif",
        "data/B04.tif",
        "file:///data/B04.tif",
        "FILE:///data/B04.tif",
        "/vsicurl/https://public.example/B04.tif",
        "/vsizip//data/x.zip/B04.tif",
        "<VRTDataset rasterXSize='1' rasterYSize='1'/>",
        "<GDAL_WMS><Service><ServerUrl>http://127.0.0.1/</ServerUrl></Service></GDAL_WMS>",
        "WMS:http://public.example/wms",
        "vrt:///data/B04.tif?bands=1",
        "GTIFF_DIR:1:/data/B04.tif",
        "PG:host=127.0.0.1",
        "ftp://public.example/B04.tif",
        "zip+https://public.example/x.zip!B04.tif",
        "",
        "https://",
        "http://[::1/B04.tif",
        "https://public.example/B04.tif\nHost: inside",
        "s3:///B04.tif",
    ],
)
@pytest.mark.parametrize("origin", ["public", "private"])
def test_what_came_from_the_network_names_no_path_and_nothing_else_that_gdal_knows(href, origin):
    assert refusal(href, origin)
    assert not refusal(href, "disk")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0",
        "[::1]",
        "169.254.169.254",
        "10.0.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "inside.example",
        "INSIDE.example.",
        "mapped.example",
        "nat64.example",
        "link.example",
        "user:word@127.0.0.1",
        "public.example@127.0.0.1",
    ],
)
def test_a_public_catalog_names_no_private_host(host):
    href = f"http://{host}:8080/B04.tif"
    assert "private host" in refusal(href, "public")
    assert not refusal(href, "private")


def test_a_setting_names_the_private_hosts_that_public_catalogs_may_name(monkeypatch):
    monkeypatch.setenv(PRIVATE_HOSTS.name, "10.0.0.1, inside.example")
    assert not refusal("https://inside.example/B04.tif", "public")
    assert refusal("https://127.0.0.1/B04.tif", "public")
    monkeypatch.setenv(PRIVATE_HOSTS.name, "*")
    assert not refusal("https://127.0.0.1/B04.tif", "public")


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://127.0.0.1:8080", "private"),
        ("https://inside.example/stac", "private"),
        ("https://public.example/stac", "public"),
        ("https://no-such-host.invalid/stac", "public"),
        ("http://[::1/stac", "public"),
    ],
)
def test_a_catalog_is_where_its_host_is(url, origin):
    assert origin_of(url) == origin


def test_a_name_that_was_not_known_for_a_moment_is_asked_for_again(monkeypatch):
    assert origin_of("https://late.example/v1") == "public"
    monkeypatch.setitem(ADDRESSES, "late.example", "10.1.2.4")
    assert origin_of("https://late.example/v1") == "private"


@pytest.mark.parametrize(
    "href", ["zip+file:///etc/x.zip!/a.tif", "vrt:///etc/a.tif", "local:///etc/a.tif", "x://etc"]
)
def test_what_leads_back_to_this_machine_must_lie_within_the_roots(href, tmp_path, monkeypatch):
    assert not refusal(href, "disk")
    monkeypatch.setenv(ROOTS.name, str(tmp_path))
    assert "beyond what" in refusal(href, "disk")
    assert not refusal("S3://bucket/B04.tif", "disk") and not refusal(f"{tmp_path}/B04.tif", "disk")
