"""Logins and signatures in URLs: used by all that a run does, and in nothing that it leaves or says."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import pytest

from terramosaic import map_region, plan, url_secrets
from terramosaic.errors import CatalogError, RequestError
from terramosaic.ground.grid import Rect
from terramosaic.planning.folder import read_plan
from terramosaic.planning.planning import recall_secrets
from terramosaic.request.region import GeoJsonFile
from terramosaic.run.mapping import map_plan
from tests.integration.conftest import LAND
from tests.support.file_server import serve_files
from tests.support.stac_server import serve_stac

SECRET = "SECRET+pass%2Fword"
BASIC = "Basic " + base64.b64encode(b"user:SECRET+pass/word").decode()

RECT = Rect(LAND.row + 900, LAND.col + 900, 400, 400)


@pytest.fixture
def world(land, tmp_path):
    """A catalog that wants a login, or a token, and files that want a signature; those that it gives can be changed."""
    items = [json.loads(file.read_text()) for file in sorted(land.folder.glob("*.json"))]
    world = SimpleNamespace(signature=SECRET, wants=SECRET, asked=[])
    (tmp_path / "files").mkdir()
    for path in land.folder.rglob("*.tif"):
        (tmp_path / "files" / path.name).symlink_to(path)

    def knows_login(request):
        world.asked.append(request.url.path)
        token = request.url.query.partition("token=")[2]
        return request.headers.get("authorization") == BASIC or token == SECRET

    def is_signed(request):
        return f"&sig={world.wants}" in f"&{request.url.query}"

    with serve_files(tmp_path / "files", is_signed) as files, serve_stac([], knows_login) as api:

        def offer(signature=SECRET, more="se=2100-01-01"):
            api.items = deepcopy(items)
            for item in api.items:
                for asset in item["assets"].values():
                    asset["href"] = files.url(f"{Path(asset['href']).name}?{more}&sig={signature}")

        offer()
        world.offer, world.port = offer, api.port
        yield world


@pytest.fixture(autouse=True)
def nothing_told(monkeypatch):
    """As in another process, at the beginning."""
    monkeypatch.setattr(url_secrets, "_whole", {})


def files_that_hold(text, folder):
    return [path.name for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


@pytest.mark.parametrize(
    "how", [pytest.param("user:{}@127.0.0.1:{}", marks=pytest.mark.slow), "127.0.0.1:{1}/?token={0}"]
)
def test_a_map_is_made_with_secrets_and_holds_none(world, land, tmp_path, how):
    out = tmp_path / "out"
    request = land.request(RECT, out, catalog="http://" + how.format(SECRET, world.port), targets=("NDVI",))
    assert SECRET not in repr(request) and SECRET not in request.model_dump_json()
    result = map_region(request, devices=["cpu"])  # in a process of its own, which is handed them
    assert result.folder.is_relative_to(out)
    assert files_that_hold("SECRET", out) == []
    assert "/search" in world.asked and read_plan(result.folder).request.catalog.startswith(
        "http://127.0.0.1"
    )


def test_a_process_that_was_not_told_says_so(world, land, tmp_path):
    request = land.request(
        RECT, tmp_path, catalog=f"http://user:{SECRET}@127.0.0.1:{world.port}", targets=("NDVI",)
    )
    made = plan(request)
    url_secrets._whole.clear()
    with pytest.raises(CatalogError, match=r"403.* held a signature or login, .* was not told it") as error:
        map_plan(made)
    assert "SECRET" not in str(error.value) and files_that_hold("SECRET", tmp_path / made.run_id) == []
    # As a flow run that is started again in another process: it has its request, and the plan of its first start.
    land.request(RECT, tmp_path, catalog=f"http://user:{SECRET}@127.0.0.1:{world.port}")
    recall_secrets(read_plan(tmp_path / made.run_id))
    map_plan(made)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("se=2020-02-01", "the signature in its href expired at 2020-02-01 00:00:00 UTC"),
        ("se=2100-01-01", "may have expired"),
    ],
)
def test_an_expired_signature_is_called_that_and_a_new_search_brings_new_ones(
    world, land, tmp_path, more, reason
):
    catalog = f"http://user:{SECRET}@127.0.0.1:{world.port}"
    request = land.request(RECT, tmp_path / "out", catalog=catalog, targets=("NDVI",))
    world.wants = "new"
    world.offer(more=more)
    with pytest.raises(CatalogError, match=reason) as error:
        map_region(request)
    assert "search for fresh items" in str(error.value) and "SECRET" not in str(error.value)
    world.offer("new")
    map_region(request)


def test_what_fails_tells_no_secret(land, tmp_path, quick_retries, capfd):
    for catalog in (f"http://user:{SECRET}@127.0.0.1:9", f"http://127.0.0.1:9/?api_key={SECRET}"):
        with pytest.raises(CatalogError, match="refuses the connection") as error:
            plan(land.request(RECT, tmp_path, catalog=catalog))
        assert "SECRET" not in str(error.value)
    region = GeoJsonFile(path=f"http://user:{SECRET}@127.0.0.1:9/region.geojson?X-Amz-Signature={SECRET}")
    with pytest.raises(RequestError, match=r"cannot read http://127\.0\.0\.1:9/region\.geojson") as error:
        region.area()
    assert "SECRET" not in str(error.value)
    assert "SECRET" not in "".join(capfd.readouterr())


def test_a_login_is_given_to_the_catalogs_own_server_alone(world, land, tmp_path, monkeypatch):
    seen = []

    def overhears(request):
        seen.append((request.headers.get("authorization"), request.url.query))
        return True

    with serve_stac([], overhears) as other, serve_stac([]) as api:
        monkeypatch.setattr(type(api), "url", property(lambda self: f"http://127.0.0.1:{other.port}"))
        request = land.request(
            RECT, tmp_path, catalog=f"http://user:{SECRET}@127.0.0.1:{api.port}/?token={SECRET}"
        )
        with pytest.raises(Exception, match=r"no scene|none named"):
            plan(request)
    assert seen and all(authorization is None and "SECRET" not in query for authorization, query in seen)
