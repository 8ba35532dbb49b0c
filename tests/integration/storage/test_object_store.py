"""Runs in an object store: the same maps, resumed, shared by workers that have only the bucket; errors in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio

pytest.importorskip("moto", reason="moto, which plays S3, is not installed")
pytest.importorskip("obstore", reason="obstore is not installed")

from terramosaic import RegionRequest, map_region, plan, publish, run_block
from terramosaic.block.block import finished_block
from terramosaic.block.receipt import finished_blocks
from terramosaic.cli.show import result_as_json
from terramosaic.errors import (
    ChangedError,
    LeaseHeldError,
    LeaseLostError,
    OutputError,
    RequestError,
    StoreError,
)
from terramosaic.ground.grid import Rect
from terramosaic.model.bundle import DEMO_FOLDER
from terramosaic.mosaic.assemble import assemble
from terramosaic.planning.folder import RunFolder, read_plan
from terramosaic.storage.files import exists, list_facts, read_json, read_version, write_text, write_text_if
from terramosaic.storage.lease import lease
from terramosaic.storage.location import location
from tests.integration.conftest import LAND
from tests.support.s3 import BUCKET, Store, forget_clients, s3_server
from tests.support.services import wait_for

#: Four blocks, of up to 512 pixels.
PART = Rect(LAND.row + 394, LAND.col + 584, 200, 200)


@pytest.fixture(scope="module")
def store():
    """An S3 server for this module's tests."""
    with s3_server() as server:
        yield server


@pytest.fixture(scope="module")
def request_for(land):
    """A request for a part of the land, by where its outputs go."""

    def make(out: str | Path) -> RegionRequest:
        return land.request(PART, out, targets=("NDVI", "LULC"))

    return make


@pytest.fixture(scope="module")
def local(request_for, tmp_path_factory):
    """The region on disk."""
    return map_region(request_for(tmp_path_factory.mktemp("local")))


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """A scratch folder of the test's own, which must be empty in the end."""
    folder = tmp_path / "scratch"
    monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(folder))
    yield folder
    assert not folder.exists() or not list(folder.iterdir())


@pytest.fixture
def impatient(monkeypatch):
    """No second tries: what fails, fails at once."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    forget_clients()
    yield
    forget_clients()


def run_in_a_process(program: str, *arguments: str, cwd: Path, store: Store, **env: str) -> subprocess.Popen:
    """A process that has the store's address and nothing else of ours."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=cwd,
        env={**os.environ, **store.env, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def assert_same_mosaics(local, folder: str, store: Store) -> None:
    """The objects of a run are the local files, byte for byte."""
    assert len(local.mosaics) == 6
    for name, path in local.mosaics.items():
        assert store.read(f"{folder}/{local.plan.run_id}/{path.name}") == path.read_bytes(), name


def test_a_region_in_a_store_equals_the_local_one_and_is_recognised(store, request_for, local, land):
    result = map_region(request_for(store.url("whole/")))
    run_id = result.plan.run_id
    assert run_id == local.plan.run_id and len(result.plan.blocks) >= 4
    assert str(result.folder) == store.url(f"whole/{run_id}") == RunFolder.of(result.plan).location
    assert_same_mosaics(local, "whole", store)
    before = store.objects("whole/")
    there = {key.removeprefix("whole/") for key in before}
    out = local.folder.parent
    ours = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert there - {"latest"} == {name for name in ours if name != "catalog-lease/lock"}
    assert store.read("whole/latest").decode().strip() == run_id

    document = json.loads(store.read(f"whole/{run_id}/item.json"))
    item = pystac.Item.from_dict(document)
    here = json.loads(local.item.read_text())
    for name, asset in item.assets.items():
        assert asset.href.startswith("./")
        key = f"whole/{run_id}/{asset.href[2:]}"
        if asset.roles != ["style"] and "table" not in name and "composite" not in name:
            assert asset.extra_fields["file:size"] == len(store.read(key))
        if name in local.mosaics:
            assert asset.to_dict() == here["assets"][name]
    sources = [link["href"] for link in document["links"] if link["rel"] == "derived_from"]
    assert sources and all(href.startswith(land.folder.as_uri() + "#") for href in sources)
    head = store.client.head_object(Bucket=BUCKET, Key=f"whole/{run_id}/report.html")
    assert head["ContentType"] == "text/html"

    again = map_region(request_for(store.url("whole")))
    assert again.was_done and store.objects("whole/") == before
    assert result_as_json(again)["mosaics"]["NDVI"] == store.url(f"whole/{run_id}/NDVI.tif")
    assert (
        read_plan(store.url("whole/latest"))
        == read_plan(again.folder)
        == read_plan(f"{again.folder}/plan.json")
    )
    assert read_plan(store.url("whole/latest")).request.out == store.url("whole")


@pytest.mark.slow
def test_a_finished_run_in_a_store_opens_as_xarray_where_its_model_is_not(
    store, land, local, tmp_path, scratch
):
    """In a process of its own, because the copy that it reads from stays until the process ends."""
    model = Path(shutil.copytree(DEMO_FOLDER, tmp_path / "model"))
    map_region(land.request(PART, store.url("moved"), targets=("NDVI", "LULC"), model=str(model)))
    shutil.rmtree(model)
    program = (
        "import sys; from terramosaic import open_run\n"
        "result = open_run(sys.argv[1])\n"
        "one, two = result.open('NDVI'), result.open('NDVI')\n"
        "assert 'NDVI' in result['NDVI']._repr_html_()\n"
        "print(float(one.mean()), float(two[:, :50].mean()), one.rio.crs.to_epsg())"
    )
    process = run_in_a_process(program, store.url("moved/latest"), cwd=scratch.parent, store=store)
    out, err = process.communicate(timeout=300)
    ndvi = local.open("NDVI")
    assert out.split() == [str(float(ndvi.mean())), str(float(ndvi[:, :50].mean())), "32633"], err


@pytest.mark.slow
def test_the_command_line_takes_a_url(store, request_for, local, tmp_path):
    request = request_for(store.url("cli"))
    region = tmp_path / "region.geojson"
    region.write_text(json.dumps(request.region.geojson))
    program = "from terramosaic.cli import main; main()"
    arguments = [
        *("map", "--region", str(region), "--datetime", "2023-08", "--catalog", request.catalog),
        *("--targets", "NDVI,LULC", "--block-size", "512", "--out", store.url("cli"), "--json"),
    ]
    out, err = run_in_a_process(program, *arguments, cwd=tmp_path, store=store).communicate(timeout=300)
    told = json.loads(out)
    again = RegionRequest(region=f"{told['folder']}/item.json", datetime="2023-08")
    assert again.area().outline.equals(request.area().outline)
    assert told["folder"] == store.url(f"cli/{local.plan.run_id}") and not told["was_done"], err
    assert_same_mosaics(local, "cli", store)


MAP_AND_DIE_IN_THE_THIRD_BLOCK = """
import os, signal, sys
from terramosaic import RegionRequest, map_region
from terramosaic.run.mapping import Quiet

class Fuse(Quiet):
    done = 0
    def block_done(self, block, receipt):
        self.done += 1
    def windows(self, count):
        if self.done == 2:
            os.kill(os.getpid(), signal.SIGKILL)

map_region(RegionRequest.model_validate_json(sys.argv[1]), workers=1, progress=Fuse())
"""


@pytest.mark.slow
def test_killed_in_the_middle_and_started_again(store, request_for, local, tmp_path, scratch):
    request = request_for(store.url("killed"))
    arguments = MAP_AND_DIE_IN_THE_THIRD_BLOCK, request.model_dump_json()
    process = run_in_a_process(*arguments, cwd=tmp_path, store=store)
    _, err = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL, err
    done = {key: facts for key, facts in store.objects("killed/").items() if key.endswith("/block.json")}
    assert len(done) == 2 and list(scratch.iterdir())
    store.requests.clear()
    map_region(request)
    # S3 tells the second alone in which an object was written, but the server saw what was asked of it.
    written = {path for method, path in store.requests if method not in ("GET", "HEAD")}
    assert written and not written & {f"/{BUCKET}/{key}" for key in done}
    after = store.objects("killed/")
    assert {key: after[key] for key in done} == done
    assert_same_mosaics(local, "killed", store)


HALF_OF_THE_BLOCKS = """
import sys
from terramosaic import run_block
from terramosaic.planning.folder import read_plan
url, half = sys.argv[1], int(sys.argv[2])
for block in read_plan(url).blocks[half::2]:
    run_block(read_plan(url), block)
"""

THE_REST = """
import sys
from terramosaic import assemble, publish
from terramosaic.planning.folder import read_plan
print(*assemble(read_plan(sys.argv[1])), publish(read_plan(sys.argv[1])))
"""


@pytest.mark.slow
def test_workers_that_share_nothing_but_the_bucket(store, request_for, local, tmp_path):
    from terramosaic.planning.folder import write_plan

    url = write_plan(plan(request_for(store.url("shared")))).location
    folders = {}

    def start(program: str, name: str, *arguments: str) -> subprocess.Popen:
        folders[name] = {kind: tmp_path / name / kind for kind in ("scratch", "cache", "home", "cwd")}
        for folder in folders[name].values():
            folder.mkdir(parents=True)
        own = folders[name]
        return run_in_a_process(
            program, url, *arguments, cwd=own["cwd"], store=store, HOME=str(own["home"]),
            TERRAMOSAIC_SCRATCH=str(own["scratch"]), TERRAMOSAIC_CACHE=str(own["cache"]),
        )  # fmt: skip

    for process in [start(HALF_OF_THE_BLOCKS, f"worker{half}", str(half)) for half in (0, 1)]:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    store.requests.clear()
    receipts = finished_blocks(read_plan(url))
    # The plan's facts, two lists, a receipt of each block and a record of each scene; and the same for a country.
    assert len(store.requests) <= 4 + len(local.plan.blocks) + len(local.plan.scenes)
    assert set(receipts) == {block.id for block in local.plan.blocks}
    assert list(receipts.values()) == [finished_block(read_plan(url), block) for block in local.plan.blocks]
    process = start(THE_REST, "assembler")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0 and out.split()[-1] == f"{url}/item.json", err
    assert_same_mosaics(local, "shared", store)
    for own in folders.values():
        assert not list(own["scratch"].iterdir()) and not list(own["cwd"].iterdir())


@pytest.mark.slow
def test_worker_processes_of_the_engine(store, request_for, local):
    map_region(request_for(store.url("devices")), devices=["cpu", "cpu"])
    assert_same_mosaics(local, "devices", store)


def test_a_forked_process_is_told_that_it_cannot_use_the_store(store):
    place = location(store.url("forked/a.txt"))
    write_text(place, "parent")
    child = os.fork()
    if not child:
        signal.alarm(20)
        try:
            write_text(place, "child")
        except OutputError as error:
            os._exit(0 if "'spawn'" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert store.read("forked/a.txt") == b"parent"


def test_what_another_process_writes_or_removes_is_seen_at_once(store):
    place = location(store.url("seen/run/a.json"))
    store.client.put_object(Bucket=BUCKET, Key="seen/run/other.json", Body=b"{}")
    assert list(list_facts(place.parent)) == ["other.json"]
    assert not exists(place) and read_json(place) is None
    store.client.put_object(Bucket=BUCKET, Key="seen/run/a.json", Body=b"{}")
    assert exists(place) and read_json(place) == {}
    assert list(list_facts(place.parent)) == ["a.json", "other.json"]
    assert not exists(place.parent)  # a folder is no file
    store.client.delete_object(Bucket=BUCKET, Key="seen/run/a.json")
    assert not exists(place) and read_json(place) is None


def test_a_plan_is_parsed_once_until_it_changes(store, request_for, monkeypatch):
    from terramosaic.planning.folder import write_plan
    from terramosaic.planning.plan import Plan

    made = plan(request_for(store.url("parsed")))
    folder = write_plan(made)
    parse, parsed = Plan.model_validate, []
    monkeypatch.setattr(Plan, "model_validate", lambda content: parsed.append(1) or parse(content))
    threads = [
        threading.Thread(target=lambda: [read_plan(folder.location) for _ in range(5)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(parsed) == 1
    write_text(folder.plan_file, made.model_copy(update={"searched": "elsewhere"}).model_dump_json())
    assert read_plan(folder.location).searched == "elsewhere" and len(parsed) == 2


def test_an_upload_that_fails_leaves_no_object_and_no_receipt(store, request_for, local, impatient, tmp_path):
    made = plan(request_for(store.url("half")))
    block = made.blocks[0]
    store.failing = [("PUT", f"{block.id}/quality.tif", 500, 1)]
    with pytest.raises(
        StoreError, match=f"block {block.id}: out: s3://.*quality.tif could not be written"
    ) as failed:
        run_block(made, block)
    assert "\n" not in str(failed.value) and failed.value.exit_code == 6
    keys = [key for key in store.objects("half/") if block.id in key]
    assert not any(key.endswith(("block.json", "quality.tif")) for key in keys)
    assert finished_block(made, block) is None and block.id not in finished_blocks(made)
    assert run_block(made, block).files["quality"] > 0
    # A mosaic, too, is there whole or not at all, and its copies of blocks are gone.
    for other in made.blocks[1:]:
        run_block(made, other)
    store.failing = [("PUT", "/NDVI.tif", 503, 1), ("GET", f"{made.blocks[-1].id}/LULC.tif", 500, 1)]
    store.failing[0] = ("PUT", f"{made.run_id}/NDVI.tif", 503, 1)
    for _ in range(2):
        with pytest.raises(StoreError):
            assemble(made)
    assert not any(key.endswith(f"{made.run_id}/LULC.tif") for key in store.objects("half/"))
    with pytest.raises(OutputError, match=r"LULC\.tif is missing; assemble"):
        publish(made)
    assemble(made)
    assert_same_mosaics(local, "half", store)


def test_what_fails_for_a_while_is_tried_again(store):
    place = location(store.url("again/a.json"))
    store.failing = [("PUT", "again/a.json", 500, 2), ("GET", "again/a.json", 503, 1)]
    write_text(place, "{}")
    assert read_json(place) == {}
    assert not any(times for *_, times in store.failing)


def test_errors_are_one_line_that_names_the_field_and_says_what_to_do(
    store, request_for, impatient, monkeypatch, tmp_path
):
    def line_of(out: str, kind: type[OutputError] = OutputError) -> str:
        with pytest.raises(kind) as error:
            map_region(request_for(out))
        line = str(error.value)
        assert line.startswith("out: ") and out in line and "\n" not in line and "Traceback" not in line
        return line

    assert "the bucket does not exist; make it" in line_of("s3://nobody/maps")
    with store.knowing_nobody():
        assert "access was denied" in line_of(store.url("denied"))
    assert "is in no store that is known" in line_of("s4://maps/a")
    assert "names no bucket" in line_of("s3:///maps")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        forget_clients()
        line = line_of(store.url("refused"), StoreError)
        assert "no good answer" in line and "AWS_ENDPOINT_URL" in line
    with monkeypatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.delenv(name)
        patch.setenv("HOME", str(tmp_path))
        forget_clients()
        assert "no credentials" in line_of(store.url("nobody"))
    forget_clients()
    with pytest.raises(
        RequestError, match=r"region: cannot read s3://.*here\.geojson: there is no such file"
    ):
        RegionRequest(region=store.url("here.geojson"), datetime="2023").area()
    with pytest.raises(RequestError, match=r"plan: cannot read s3://.*no such file"):
        read_plan(store.url("nothing/here"))


@pytest.mark.slow
def test_other_stores_and_file_urls(request_for, local, tmp_path):
    shelf = map_region(request_for("memory://shelf/maps"))
    for name, path in local.mosaics.items():
        with rasterio.open(path) as file:
            ndvi = file.read()
        np.testing.assert_array_equal(shelf_pixels(shelf.mosaics[name]), ndvi)
    assert map_region(request_for("memory://shelf/maps")).was_done
    here = map_region(request_for((tmp_path / "here").as_uri()))
    assert (
        here.folder == tmp_path / "here" / local.plan.run_id and (tmp_path / "here" / "latest").is_symlink()
    )


def shelf_pixels(place) -> np.ndarray:
    from terramosaic.storage.scratch import LocalCopy

    with LocalCopy(place) as copy, rasterio.open(copy) as file:
        pixels: np.ndarray = file.read()
    return pixels


@pytest.mark.parametrize("is_there", [False, True])
def test_of_many_that_write_what_they_have_read_one_does(store, is_there):
    place = location(store.url(f"once/{is_there}.txt"))
    if is_there:
        write_text(place, "before")
    found = read_version(place)
    made: list[str] = []
    refused: list[type] = []
    store.failing = [("PUT", f"once/{is_there}.txt", 409, 2)]

    def make(number: int) -> None:
        try:
            write_text_if(place, str(number), found.version if found else None)
            made.append(str(number))
        except Exception as error:
            refused.append(type(error))

    threads = [threading.Thread(target=make, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == 11 * [ChangedError]
    assert len(made) == 1 and store.read(f"once/{is_there}.txt").decode() == made[0]
    assert read_version(place).text == made[0]


def test_what_was_removed_meanwhile_is_not_written(store):
    place = location(store.url("once/gone.txt"))
    version = write_text_if(place, "1", None)
    store.client.delete_object(Bucket=BUCKET, Key="once/gone.txt")
    with pytest.raises(ChangedError):
        write_text_if(place, "2", version)
    assert read_version(place) is None


RACE = """
import sys, time
from terramosaic.errors import LeaseHeldError
from terramosaic.ground.grid import Rect
from terramosaic.model.bundle import DEMO_FOLDER
from terramosaic.storage.lease import lease
url, name = sys.argv[1:]
times = 0
while times < 3:
    try:
        with lease(url, owner=name, ttl=30) as held:
            start = time.time()
            time.sleep(0.02)
            held.check()
            print(start, time.time(), flush=True)
            times += 1
    except LeaseHeldError:
        time.sleep(0.005)
"""


@pytest.mark.parametrize("where", ["store", "disk"])
def test_a_lease_has_one_holder_among_processes(store, tmp_path, where):
    url = store.url("lease/race") if where == "store" else str(tmp_path / "race")
    processes = [
        run_in_a_process(
            RACE, url, f"process {n}", cwd=tmp_path, store=store, TERRAMOSAIC_SCRATCH=str(tmp_path / f"{n}")
        )
        for n in range(3)
    ]
    spells = []
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        spells += [tuple(map(float, line.split())) for line in out.splitlines()]
    spells.sort()
    assert len(spells) == 9
    assert all(end <= start for (_, end), (start, _) in pairwise(spells))


def test_a_lease_in_a_store_whose_holder_was_killed(store, tmp_path):
    url = store.url("lease/killed")
    program = (
        "import sys, time; from terramosaic.storage.lease import lease\n"
        "with lease(sys.argv[1], owner='victim', ttl=300): print('held', flush=True); time.sleep(60)"
    )
    process = run_in_a_process(program, url, cwd=tmp_path, store=store)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with (
        pytest.raises(LeaseHeldError, match=f"s3://.* is held by victim \\(process {process.pid}"),
        lease(url, owner="b"),
    ):
        pass
    process.kill()
    process.communicate()
    with lease(url, owner="b", ttl=0.3) as held:
        first = store.objects("lease/killed/")
        wait_for("a renewal", lambda: store.objects("lease/killed/") != first)
        held.check()
    assert set(store.objects("lease/killed/")) == {"lease/killed/lease.json"}


def test_a_lease_in_a_store_ends_by_the_stores_clock(store, tmp_path, monkeypatch):
    """Among machines: each has scratch of its own, and with it locks that the others do not see."""

    def hold(owner: str):
        monkeypatch.setenv("TERRAMOSAIC_SCRATCH", str(tmp_path / owner))
        return lease(store.url("lease/slow"), owner=owner, ttl=120, renews=False)

    with hold("slow") as slow:
        store.age("lease/slow/lease.json", 110)
        with pytest.raises(LeaseHeldError, match="held by slow"), hold("early"):
            pass
        slow.check()
        store.age("lease/slow/lease.json", 110)
        with pytest.raises(LeaseHeldError, match="held by slow"), hold("early"):
            pass
        store.age("lease/slow/lease.json", 15)
        with hold("next") as heir:
            with pytest.raises(LeaseLostError):
                slow.check()
            heir.check()
    assert set(store.objects("lease/slow/")) == {"lease/slow/lease.json"}
