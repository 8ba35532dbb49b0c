"""Shards: where samples lie is found once, and they are read by range from disk and by HTTP."""

import io
import os
import tarfile

import pytest

from terramosaic.errors import CatalogError
from terramosaic.evaluation.shards import Shard
from terramosaic.storage.ranges import FileRanges, HttpRanges
from tests.support.file_server import serve_files

CONTENT = {f"majortom_val_{n:07}": os.urandom(3000 + 700 * n) for n in range(8)}


class Counted:
    """A file that counts what is read of it."""

    def __init__(self, file):
        self._file, self.reads = file, []
        self.name, self.version = file.name, file.version

    def read(self, start, size):
        self.reads.append((start, size))
        return self._file.read(start, size)


@pytest.fixture
def tar(tmp_path):
    """A shard with a folder and a long name among its samples."""
    path = tmp_path / "majortom_shard_000001.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as shard:
        shard.addfile(tarfile.TarInfo("./"))
        for key, content in CONTENT.items():
            folder = "x" * 120 + "/" if key.endswith("5") else ""
            member = tarfile.TarInfo(f"{folder}{key}.zarr.zip")
            member.size = len(content)
            shard.addfile(member, io.BytesIO(content))
    return path


def test_samples_are_where_the_index_says(tar):
    shard = Shard(FileRanges(tar))
    assert shard.first(None) == list(CONTENT)
    assert {key: shard.read(key) for key in CONTENT} == CONTENT
    assert shard.holds(["majortom_val_0000003", "elsewhere"]) == {"majortom_val_0000003"}


def test_the_index_goes_as_far_as_samples_are_asked_for_and_is_kept(tar):
    first = Counted(FileRanges(tar))
    assert Shard(first).first(3) == list(CONTENT)[:3]
    assert max(start for start, _ in first.reads) < 16_000  # of 58 000 bytes
    again = Counted(FileRanges(tar))
    shard = Shard(again)
    assert shard.first(3) == list(CONTENT)[:3] and not again.reads
    assert shard.first(None) == list(CONTENT) and min(start for start, _ in again.reads) > 10_000
    last = Counted(FileRanges(tar))
    assert Shard(last).first(None) == list(CONTENT) and not last.reads


def test_a_shard_that_has_changed_is_looked_at_anew(tar):
    Shard(FileRanges(tar)).first(None)
    with tarfile.open(tar, "w") as shard:
        member = tarfile.TarInfo("other.zarr.zip")
        member.size = 4
        shard.addfile(member, io.BytesIO(b"1234"))
    shard = Shard(FileRanges(tar))
    assert shard.first(None) == ["other"] and shard.read("other") == b"1234"


def test_by_http_single_samples_are_read(tar):
    with serve_files(tar.parent) as server:
        file = Counted(HttpRanges(server.url(tar.name)))
        shard = Shard(file)
        assert shard.first(4) == list(CONTENT)[:4]
        # One request for each header, and none for what lies between them.
        assert server.requests[tar.name] <= 7 and sum(size for _, size in file.reads) < 8_000
        assert shard.read("majortom_val_0000002") == CONTENT["majortom_val_0000002"]
        assert shard.first(None) == list(CONTENT)


def test_by_http_a_shard_that_has_changed_is_noticed(tar):
    with serve_files(tar.parent) as server:
        Shard(HttpRanges(server.url(tar.name))).first(None)
        with tarfile.open(tar, "w") as shard:
            member = tarfile.TarInfo("a.zarr.zip")
            member.size = 50_000
            shard.addfile(member, io.BytesIO(bytes(50_000)))
        with pytest.raises(CatalogError, match=r"not where it was.*run it again"):
            Shard(HttpRanges(server.url(tar.name))).read("majortom_val_0000004")
        assert Shard(HttpRanges(server.url(tar.name))).first(None) == ["a"]


def test_what_is_no_shard_is_said_in_a_line(tar):
    cut = tar.with_name("cut.tar")
    cut.write_bytes(tar.read_bytes()[:20_000])
    with pytest.raises(CatalogError, match=r"cut\.tar: is no whole tar"):
        Shard(FileRanges(cut)).first(None)
    text = tar.with_name("text.tar")
    text.write_text("<html>" * 400)
    with pytest.raises(CatalogError, match=r"text\.tar: is no whole tar"):
        Shard(FileRanges(text)).first(None)
    with pytest.raises(CatalogError, match=r"none\.tar: cannot be read: No such file"):
        Shard(FileRanges(tar.with_name("none.tar")))
    with serve_files(tar.parent) as server, pytest.raises(CatalogError, match="404"):
        Shard(HttpRanges(server.url("none.tar"))).first(None)
