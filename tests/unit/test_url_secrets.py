"""Secrets in URLs: taken out of what is kept, hidden in what is said, and at hand where a request is made."""

import logging
import sys
import threading
from datetime import UTC, datetime

import pytest

from terramosaic import url_secrets
from terramosaic.errors import one_line
from terramosaic.url_secrets import (
    bare,
    expiry_of,
    hide_in_log,
    keep,
    keep_written,
    learn,
    scrubbed,
    told,
    whole,
    with_secrets_of,
)

SECRET = "S3cr3t+w%2Frd"

SIGNED = {
    "azure": f"https://a.blob.core.windows.net/c/B04.tif?sv=2021&se=2030-01-01T00%3A00%3A00Z&sr=c&sp=rl&sig={SECRET}",
    "aws": "https://b.s3.amazonaws.com/B04.tif?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20300101T000000Z"
    f"&X-Amz-Expires=3600&X-Amz-SignedHeaders=host&X-Amz-Signature={SECRET}",
    "aws of old": f"https://b.s3.amazonaws.com/B04.tif?AWSAccessKeyId=AKIA&Expires=1893456000&Signature={SECRET}",
    "google": f"https://storage.googleapis.com/b/B04.tif?X-Goog-Date=20300101T000000Z&X-Goog-Expires=60&X-Goog-Signature={SECRET}",
    "cloudfront": f"https://d1.cloudfront.net/B04.tif?Expires=1893456000&Signature={SECRET}&Key-Pair-Id=APKA",
    "akamai": f"https://host.example/B04.tif?hdnea=exp=1893456000~acl=/*~hmac={SECRET}",
    "swift": f"https://host.example/B04.tif?temp_url_sig={SECRET}&temp_url_expires=1893456000",
    "token": f"https://host.example/B04.tif?token={SECRET}",
    "access token": f"https://host.example/B04.tif?access_token={SECRET}",
    "api key": f"https://host.example/B04.tif?apiKey={SECRET}",
    "subscription": f"https://host.example/B04.tif?subscription-key={SECRET}",
    "in the fragment": f"https://host.example/B04.tif#access_token={SECRET}",
    "of a relative reference": f"granule/B04.tif?se=2030&sig={SECRET}",
    "login": f"https://user:{SECRET}@host.example/B04.tif",
    "login that is a token": f"https://{SECRET}@host.example/B04.tif",
    "login with an at": f"https://user@place:{SECRET}@host.example/B04.tif",
    "login with what would end it": f"https://user:a/b?c#{SECRET}@host.example:8080/B04.tif",
    "login before no host": f"https://user:{SECRET}@[::1/B04.tif",
    "in a name of GDAL's": f"/vsicurl/https://user:{SECRET}@host.example/B04.tif",
}


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    monkeypatch.setattr(url_secrets, "_whole", {})
    monkeypatch.setattr(url_secrets, "_values", set())


@pytest.mark.parametrize("url", SIGNED.values(), ids=SIGNED)
def test_a_secret_is_taken_out_hidden_and_at_hand(url):
    short = keep(url)
    assert SECRET not in short and short.endswith("B04.tif") and bare(short) == short
    assert whole(short) == url
    assert SECRET not in scrubbed(f"GET {url} failed") and SECRET not in one_line(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example/download?file=B04.tif&format=tif&collections=keys",
        "s3://bucket/B04.jp2?versionId=3sL4kqtJlcpXroDTDmJ",
        "abfs://container@account.dfs.core.windows.net/B04.tif",
        "https://host.example/a@b/B04.tif",
        "https://host.example:8080/a@b/B04.tif",
        "http://[::1]:8080/a@b/B04.tif",
        "/data/sig=b/B04.tif",
        "demo",
    ],
)
def test_what_is_no_secret_stays(url):
    assert keep(url) == url and not told()


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("get?file=S2A/B04.tif&token={}", "get?file=S2A/B04.tif"),
        ("get?token={}&band=B04&date=20230815", "get?band=B04&date=20230815"),
        ("get?key=S2A%2FB04.tif&sig={}&se=2030&sv=2021", "get?key=S2A%2FB04.tif"),
        ("get?key={}&st=summer&file=B04", "get?st=summer&file=B04"),
        ("get?X-Amz-Signature={}&versionId=7&Expires=5&X-Amz-Date=x", "get?versionId=7"),
    ],
)
def test_what_says_which_file_is_meant_stays(url, kept):
    first, second = (
        f"https://host.example/{url.format(SECRET)}",
        f"https://host.example/{url.format('another')}",
    )
    assert keep(first) == keep(second) == f"https://host.example/{kept}"
    assert whole(keep(first)) == first


def test_a_server_that_repeats_a_secret_does_not_spread_it():
    keep(SIGNED["login"])
    assert (
        scrubbed(f"401: {SECRET} and S3cr3t+w/rd are not known here") == "401: *** and *** are not known here"
    )


def test_another_process_knows_what_it_was_handed():
    short = keep(SIGNED["azure"])
    handed = told()
    url_secrets._whole.clear()
    assert whole(short) == short
    learn(handed)
    assert whole(short) == SIGNED["azure"]


@pytest.mark.parametrize(
    ("url", "with_secrets"),
    [
        ("https://host.example/search", "https://user:word@host.example/search?token=x"),
        (
            "https://host.example:443/search?page=2",
            "https://user:word@host.example:443/search?page=2&token=x",
        ),
        ("https://me@host.example/search?token=x", "https://me@host.example/search?token=x"),
        ("http://host.example/search", "http://host.example/search"),
        ("https://host.example:8443/search", "https://host.example:8443/search"),
        ("https://other.example/search", "https://other.example/search"),
        ("https://host.example@other.example/search", "https://host.example@other.example/search"),
        ("https://[::1/search", "https://[::1/search"),
    ],
)
def test_secrets_go_to_the_server_that_they_are_of(url, with_secrets):
    assert with_secrets_of("https://user:word@host.example/v1?token=x", url) == with_secrets
    assert with_secrets_of("https://host.example/v1?page=1", url) == url


@pytest.mark.parametrize(
    ("url", "expiry"),
    [
        (SIGNED["azure"], datetime(2030, 1, 1, tzinfo=UTC)),
        (SIGNED["aws"], datetime(2030, 1, 1, 1, tzinfo=UTC)),
        (SIGNED["aws of old"], datetime(2030, 1, 1, tzinfo=UTC)),
        (SIGNED["google"], datetime(2030, 1, 1, 0, 1, tzinfo=UTC)),
        (SIGNED["cloudfront"], datetime(2030, 1, 1, tzinfo=UTC)),
        (
            # {"Statement": [{"Condition": {"DateLessThan": {"AWS:EpochTime": 1893456000}}}]}
            "https://d1.cloudfront.net/B04.tif?Policy=eyJTdGF0ZW1lbnQiOiBbeyJDb25kaXRpb24iOiB7IkRhdGVMZXNzVGhhbiI6IHsiQVdTOkVw"
            "b2NoVGltZSI6IDE4OTM0NTYwMDB9fX1dfQ__&Signature=x&Key-Pair-Id=y",
            datetime(2030, 1, 1, tzinfo=UTC),
        ),
        ("https://host.example/B04.tif?se=2030&sig=x", None),
        ("https://host.example/B04.tif?Expires=9999999999999999999&Signature=x", None),
        ("https://host.example/B04.tif?Expires=soon&Policy=%%%&Signature=x", None),
        (SIGNED["token"], None),
    ],
)
def test_a_signature_tells_when_it_expires(url, expiry):
    assert expiry_of(url) == expiry


def test_logs_of_others_are_scrubbed(caplog):
    hide_in_log("test.others")
    logging.getLogger("test.others").warning("again: %s", SIGNED["token"])
    assert "again: https://host.example/B04.tif?token=***" in caplog.text


@pytest.mark.parametrize("word", ["a/b", "a?b", "a#b"])
def test_who_writes_a_login_that_cannot_be_told_from_the_rest_hears_how_to(word):
    with pytest.raises(ValueError, match="write them as %2F, %3F and %23"):
        keep_written(f"https://user:{word}@host.example/v1")
    assert not told()
    assert keep_written("https://user:a%2Fb@host.example/v1") == "https://host.example/v1"


def test_a_text_that_somebody_made_long_is_scrubbed_at_once():
    for text in (
        "://a:b" * 200_000,
        "https://a:" * 100_000,
        f"https://a:{'b/' * 500_000}@c",
        "?key=" * 200_000,
    ):
        scrubbed(text)


def test_secrets_are_told_while_others_are_hidden():
    over, failed = threading.Event(), list[BaseException]()

    def hide():
        try:
            while not over.is_set():
                scrubbed("GET https://host.example/x")
        except RuntimeError as error:
            failed.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    hiding = threading.Thread(target=hide)
    hiding.start()
    try:
        for number in range(2000):
            keep(f"https://host.example/{number}?token={SECRET}{number}")
    finally:
        over.set()
        hiding.join()
        sys.setswitchinterval(interval)
    assert not failed
