"""Files that fail while they are read: what is tried again, how often, and what is told of it."""

from __future__ import annotations

import json
import shutil
import struct

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from starlette.applications import Starlette

from terramosaic.errors import CatalogError, DeadAssetError, UnusableFileError
from terramosaic.ground.grid import Rect
from terramosaic.imagery.pool import ReaderPool
from terramosaic.imagery.reader import SceneReader
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.planning.folder import RunFolder
from terramosaic.storage.retries import ASSET, MISSING
from tests.support.file_server import serve_files
from tests.support.loopback import self_signed, serving
from tests.support.s3 import BUCKET, s3_server
from tests.support.scenes import as_scene, dn_of, write_scene

RECT = Rect(490002, 50004, 600, 600)
FILE = "S2A_33TWL_20230815_B04.tif"

pytestmark = pytest.mark.usefixtures("quick_retries")


@pytest.fixture
def files(tmp_path):
    with serve_files(tmp_path / "scene") as server:
        yield server


@pytest.fixture
def scene(files, tmp_path):
    """A scene whose B04 is behind the server."""
    item = write_scene(tmp_path / "scene", RECT)
    item["assets"]["B04"]["href"] = files.url(FILE)
    return as_scene(item)


@pytest.fixture
def s3():
    with s3_server() as server:
        yield server


@pytest.fixture
def stranger(tmp_path):
    """A server that nobody vouches for."""
    with serving(Starlette(), **self_signed(tmp_path / "tls")) as port:
        yield f"https://127.0.0.1:{port}/B04.tif"


def at(scene, href):
    """The scene with its B04 at another place."""
    asset = scene.assets["B04"].model_copy(update={"href": href})
    return scene.model_copy(update={"assets": scene.assets | {"B04": asset}})


def read(scene, run=None):
    with SceneReader(scene, 32633, run) as reader:
        return reader.read("B04", RECT)


@pytest.mark.parametrize(
    ("status", "times"), [(429, 3), (500, 3), (502, 3), (503, 3), (504, 3), (408, 1), (404, 1), (410, 1)]
)
def test_failures_that_pass_are_survived(files, scene, status, times):
    files.fail[FILE] = (status, times)
    np.testing.assert_array_equal(read(scene), dn_of("B04", 600, 600))


@pytest.mark.parametrize(
    ("status", "tries"),
    [(503, ASSET.tries), (404, MISSING.tries), (403, 1), (401, 1), (400, 1), (501, ASSET.tries)],
)
def test_a_file_that_fails_for_good_is_asked_for_as_often_as_may_help(files, scene, status, tries):
    files.fail[FILE] = (status, 10_000)
    with pytest.raises(CatalogError, match=rf"asset B04 of S2A_33TWL_20230815 .*{status}") as error:
        read(scene)
    # One request a try: GDAL's memory of what it asked for is not asked for twice.
    # And of a busy server one more, for how long it asks to wait.
    assert files.requests[FILE] == tries + (status == 503)
    assert (f"after {tries} tries" in str(error.value)) == (tries > 1)


def test_a_busy_server_that_asks_to_come_back_late_is_not_waited_for(files, scene):
    files.fail[FILE], files.headers = (503, 10_000), {"Retry-After": "3600"}
    with pytest.raises(CatalogError, match="HTTP response code: 503; its server asks to come back in 3600 s"):
        read(scene)
    assert files.requests[FILE] == 2


def test_a_server_that_tells_a_length_and_gives_nothing_is_no_file_of_another_kind(files, scene):
    files.fail[FILE], files.heads_pass = (503, 4), True
    np.testing.assert_array_equal(read(scene), dn_of("B04", 600, 600))
    assert files.fail[FILE] == (503, 0)


def test_what_is_no_raster_is_asked_for_once_more_and_is_dead_then(files, scene, tmp_path):
    (tmp_path / "scene" / FILE).write_text("<html>Please log in</html>")
    with pytest.raises(DeadAssetError, match=r"the file is not recognized as") as error:
        read(scene)
    assert (
        files.requests[FILE] <= 6 and "after 2 tries" in str(error.value) and "/vsi" not in str(error.value)
    )


def test_a_truncated_file_is_an_error(files, scene, tmp_path):
    path = tmp_path / "scene" / FILE
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CatalogError, match=r"asset B04 .* after 4 tries"):
        read(scene)


def test_a_file_of_the_disk_that_is_broken_is_not_tried_for_long(scene, tmp_path):
    path = tmp_path / "scene" / FILE
    whole = path.read_bytes()
    # Errors of a directory of the file that lies nowhere come from rasterio as GDAL's own.
    (start,) = struct.unpack_from("<I", whole, 4)
    (entries,) = struct.unpack_from("<H", whole, start)
    lost = bytearray(whole)
    struct.pack_into("<I", lost, start + 2 + 12 * entries, 1)
    for broken, why in (
        (whole[: len(whole) // 2], "IReadBlock failed"),
        (bytes(lost), "Failed to read directory"),
    ):
        path.write_bytes(broken)
        with pytest.raises(DeadAssetError, match=rf"asset B04 .* could not be read after 2 tries .*{why}"):
            read(at(scene, str(path)))


def test_a_bad_certificate_an_unknown_host_and_no_raster_are_final(scene, stranger):
    for href, reason in {
        stranger: "SSL certificate problem",
        "http://no-such-host.invalid/B04.tif": "Could not resolve host",
        __file__: "not recognized as",
    }.items():
        with pytest.raises(CatalogError, match=reason) as error:
            read(at(scene, href))
        assert "after" not in str(error.value)


def test_scenes_in_s3_are_read_with_the_keys_of_the_environment(scene, tmp_path, s3, monkeypatch):
    for name, value in {
        **s3.env,
        "AWS_S3_ENDPOINT": s3.endpoint.removeprefix("http://"),
        "AWS_HTTPS": "NO",
        "AWS_VIRTUAL_HOSTING": "FALSE",
    }.items():
        monkeypatch.setenv(name, value)
    s3.client.upload_file(str(tmp_path / "scene" / FILE), BUCKET, f"scenes/{FILE}")
    there = at(scene, s3.url(f"scenes/{FILE}"))
    np.testing.assert_array_equal(read(there), dn_of("B04", 600, 600))
    s3.failing.append(("GET", FILE, 503, 3))
    np.testing.assert_array_equal(read(there), dn_of("B04", 600, 600))
    with pytest.raises(CatalogError, match=f"after {MISSING.tries} tries"):
        read(at(scene, s3.url("scenes/none.tif")))
    with s3.knowing_nobody(), pytest.raises(CatalogError, match=r"could not be read \(s3.* Access Key Id"):
        read(there)


def test_a_file_that_failed_is_left_by_all_blocks_of_its_run_until_that_begins_anew(files, scene, tmp_path):
    run, pool = RunFolder(tmp_path / "run"), ReaderPool()
    files.fail[FILE] = (503, 10_000)
    said = set()
    for _ in range(3):
        with pytest.raises(CatalogError) as error, pool.borrow(scene, 32633, run) as reader:
            reader.read("B04", RECT)
        said.add(str(error.value))
        with pytest.raises(CatalogError), pool.borrow(scene, 32633, run) as reader:
            reader.overview("B04")
    # Another process knows no more than the run folder.
    with pytest.raises(CatalogError) as error:
        read(scene, run)
    assert files.requests[FILE] == ASSET.tries + 1 and said == {str(error.value)}
    mark = json.loads(run.failed_asset_file(scene.id, "B04").read_text())
    assert (mark["scene"], mark["band"]) == (scene.id, "B04")
    assert mark["error"]["text"] in str(error.value)
    # Other bands and other runs are not concerned.
    with pool.borrow(scene, 32633, run) as reader:
        assert reader.read("B03", RECT).any()
    files.fail.clear()
    assert read(scene, RunFolder(tmp_path / "another")).any()
    run.begin()
    assert read(scene, run).any()


def test_a_dead_file_has_no_mark_for_its_scene_is_left_out_and_a_damaged_mark_is_none(files, scene, tmp_path):
    run, mark = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "run").failed_asset_file(scene.id, "B04")
    with pytest.raises(DeadAssetError) as error:
        read(at(scene, __file__), run)
    assert error.value.scene == scene.key and not mark.exists()
    mark.parent.mkdir(parents=True)
    for damaged in ("", "[1]", "{", "null", '{"error": 1}', '{"error": {"code": "catalog"}}'):
        mark.write_text(damaged)
        assert read(scene, run).any()


def test_a_reader_with_a_dead_file_is_not_kept(files, scene):
    """A process that lives for long may be given the run again, when the file has come."""
    pool = ReaderPool()
    files.fail[FILE] = (404, 2)
    with pytest.raises(DeadAssetError), pool.borrow(scene, 32633) as reader:
        reader.read("B04", RECT)
    with pool.borrow(scene, 32633) as reader:
        assert reader.read("B04", RECT).any()


def test_a_refused_signature_is_replaced_once(files, scene, monkeypatch):
    from terramosaic.imagery import item_reader as module

    signed = []

    def sign(href, profile, *, anew=False):
        signed.append(anew)
        return f"{href}?sig=secret{len(signed)}"

    monkeypatch.setattr(module, "is_signed", lambda href, profile: True)
    monkeypatch.setattr(module, "sign", sign)
    files.fail[FILE] = (403, 1)
    assert read(scene).any() and signed == [False, True]
    files.fail[FILE] = (403, 10_000)
    with pytest.raises(CatalogError, match="after 2 tries") as error:
        read(scene)
    assert signed == [False, True] * 2 and "secret" not in str(error.value)
    assert "its collection may want a key: set PC_SDK_SUBSCRIPTION_KEY" in str(error.value)


def test_a_scene_of_the_network_names_no_file_of_this_machine(scene, tmp_path):
    here = at(scene, str(tmp_path / "scene" / FILE))
    np.testing.assert_array_equal(read(here), dn_of("B04", 600, 600))
    with pytest.raises(CatalogError, match=r"asset B04 of S2A_33TWL_20230815 is not opened .*by http"):
        read(here.model_copy(update={"origin": "private"}))
    # It is not even asked for.
    there = scene.model_copy(update={"origin": "public"})
    with pytest.raises(CatalogError, match=r"127\.0\.0\.1 is a private host"):
        read(there)


def test_a_fetched_document_does_not_lead_to_files_of_this_machine(files, scene, tmp_path):
    secret = tmp_path / "secret.tif"
    shutil.copy(tmp_path / "scene" / FILE, secret)
    with rasterio.open(secret) as source:
        rasterio.shutil.copy(source, tmp_path / "scene" / "B04.vrt", driver="VRT")
    with pytest.raises(CatalogError, match="not recognized as"):
        read(at(scene, files.url("B04.vrt")))


def test_a_file_that_takes_its_overviews_from_elsewhere_is_refused(files, scene, tmp_path):
    # GDAL would show the other file, whatever and wherever it is, to whom asks for coarse pixels.
    other = tmp_path / "other.tif"
    with rasterio.open(tmp_path / "scene" / FILE, "r+") as target:
        profile = target.profile | {"width": target.width // 2, "height": target.height // 2}
        target.update_tags(ns="OVERVIEWS", OVERVIEW_FILE=str(other))
    with rasterio.open(other, "w", **profile) as file:
        file.write(np.full((1, file.height, file.width), 4242, np.uint16))
    with rasterio.open(tmp_path / "scene" / FILE) as shown:
        assert shown.read(out_shape=(1, 30, 30)).max() == 4242
    with (
        SceneReader(scene, 32633) as reader,
        pytest.raises(CatalogError, match="names another file for its overviews"),
    ):
        reader.overview("B04")


def test_a_scene_is_left_out_for_an_href_that_may_not_be(scene, tmp_path):
    there = scene.model_copy(update={"origin": "public"})
    with pytest.raises(UnusableFileError) as error:
        read(there)
    decision = SceneDecision.without(error.value)
    assert decision.cause == "refused href" and not decision.is_used and "private host" in decision.reason
