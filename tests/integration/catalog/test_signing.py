"""Signing, against a loopback stand-in for Planetary Computer's token service."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import planetary_computer
import pytest

from terramosaic.catalog.profiles import sign
from terramosaic.errors import CatalogError
from terramosaic.storage.retries import Limit

BLOB = "https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/13/T/EF/B04_10m.tif"


class TokenService:
    """Gives numbered tokens that live for ``seconds``, or fails, or never answers."""

    def __init__(self):
        self.asked, self.seconds, self.status, self.silence = [], 3600, 200, threading.Event()
        self.silence.set()


@pytest.fixture
def tokens(monkeypatch):
    service = TokenService()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            service.asked.append(self.path)
            service.silence.wait()
            expiry = datetime.now(UTC) + timedelta(seconds=service.seconds)
            answer = {
                "msft:expiry": f"{expiry:%Y-%m-%dT%H:%M:%SZ}",
                "token": f"sig=n{len(service.asked)}&se=soon",
            }
            self.send_response(service.status)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    settings = planetary_computer.settings.Settings.get()
    monkeypatch.setattr(settings, "sas_url", f"http://127.0.0.1:{server.server_port}/token")
    monkeypatch.setattr(planetary_computer.sas, "TOKEN_CACHE", {})
    yield service
    service.silence.set()
    server.shutdown()
    thread.join()
    server.server_close()


def token_of(url):
    return parse_qs(urlsplit(url).query)["sig"]


def test_a_token_is_asked_for_once_and_renewed_before_it_expires(tokens):
    assert token_of(sign(BLOB, "planetary-computer")) == ["n1"]
    assert token_of(sign(BLOB.replace("B04", "B03"), "planetary-computer")) == ["n1"]
    assert tokens.asked == ["/token/sentinel2l2a01/sentinel2-l2"]
    planetary_computer.sas.TOKEN_CACHE.clear()
    tokens.seconds = 30  # less than the minute in which the client renews
    sign(BLOB, "planetary-computer")
    assert token_of(sign(BLOB, "planetary-computer")) == ["n3"]


def test_an_old_signature_is_replaced(tokens):
    signed = sign(f"{BLOB}?st=2020-01-01&se=2020-01-02&sp=rl&sig=old", "planetary-computer")
    assert signed.startswith(f"{BLOB}?") and token_of(signed) == ["n1"]


@pytest.mark.parametrize(
    ("href", "profile"),
    [
        (BLOB, "earth-search"),
        (BLOB, "of-a-later-version"),
        ("/data/B04.tif", "planetary-computer"),
        ("https://example.org/B04.tif?key=1", "planetary-computer"),
        ("s3://eodata/Sentinel-2/B04_10m.jp2", "copernicus"),
    ],
)
def test_what_needs_no_signature_stays_as_it_is(tokens, href, profile):
    assert sign(href, profile) == href
    assert tokens.asked == []


def test_a_refused_token_is_an_error_in_a_line(tokens):
    tokens.status = 403
    with pytest.raises(
        CatalogError, match=r"gave no token for https://sentinel2l2a01.*403.*try again later"
    ) as error:
        sign(BLOB, "planetary-computer")
    assert "\n" not in str(error.value)


def test_a_silent_token_service_does_not_hang_a_run(tokens, quick_retries, monkeypatch):
    monkeypatch.setattr("terramosaic.storage.http.HTTP", Limit(5, pause=0.001, silence=0.1))
    tokens.silence.clear()
    with pytest.raises(CatalogError, match=r"gave no token .*timed out"):
        sign(BLOB, "planetary-computer")
    assert len(tokens.asked) == 3


def test_a_token_is_asked_for_five_times_and_by_one_thread(tokens, quick_retries):
    tokens.status = 503
    with pytest.raises(CatalogError, match=r"gave no token .*: the server answers 503"):
        sign(BLOB, "planetary-computer")
    assert len(tokens.asked) == 5
    tokens.status = 200
    with ThreadPoolExecutor(8) as threads:
        signed = set(threads.map(lambda _: sign(BLOB, "planetary-computer"), range(8)))
    assert len(tokens.asked) == 6 and len(signed) == 1


def test_a_token_that_was_refused_is_replaced(tokens):
    assert token_of(sign(BLOB, "planetary-computer")) == ["n1"]
    assert token_of(sign(BLOB, "planetary-computer", anew=True)) == ["n2"]
    assert token_of(sign(BLOB, "planetary-computer")) == ["n2"]
